"""What the ledger says of a registration is its row: whatever is changed in that, `ledger check` says so."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from alembic import command
from booked import Booked
from parts import FixedClock
from store.test_migrations import config
from world import World

from hub.certificates.event import REGISTERED, body_of
from hub.certificates.find import by_public_id
from hub.certificates.model import certificate_holders, certificates
from hub.certificates.shelf import CertificateShelf
from hub.ledger.append import commit_event
from hub.ledger.check import Report
from hub.ledger.model import bodies
from hub.store.model import person_keys


class Register(Booked):
    """A degree of one person, a marriage of two, another degree, and the ledger they are in."""

    def __init__(self, world: World, folder: Path) -> None:
        super().__init__(world, folder)
        self.names: list[str] = []

    async def written(self) -> "Register":
        await self.begun()
        wang, li = self.world.person("王小莞"), self.world.person("李四", "19900101")
        for code, holders in (
            ("degree", [(wang, "owner")]),
            ("marriage", [(wang, "spouse"), (li, "spouse")]),
            ("degree", [(li, "owner")]),
        ):
            self.world.clock.advance(seconds=7)
            self.names.append((await self.world.certificate(code, *holders)).certificate)
        await self.sequenced()
        return self

    async def check(self, **more: Any) -> Report:
        return await super().check(**({"shelves": [CertificateShelf()]} | more))

    async def place(self, number: int) -> int:
        """The index of a registration's leaf."""
        async with self.world.view() as view:
            one = await by_public_id(view, self.names[number])
            found = await view.value(
                sa.text("SELECT idx FROM ledger_leaves WHERE leaf_hash = :leaf").bindparams(leaf=one.leaf_hash)
            )
        assert isinstance(found, int)
        return found


@pytest.fixture
async def register(database: str, clock: FixedClock, tmp_path: Path):
    world = World(database, clock)
    yield await Register(world, tmp_path / "blobs").written()
    await world.close()


Change = Callable[[Register], sa.Executable]


def set_to(**values: object) -> Change:
    """Change columns of the second certificate."""
    return lambda register: certificates.update().where(certificates.c.public_id == register.names[1]).values(**values)


async def first_holder(register: Register) -> UUID:
    async with register.world.view() as view:
        one = await by_public_id(view, register.names[1])
        return await view.value(
            sa.select(certificate_holders.c.subject_id).where(
                certificate_holders.c.certificate_id == one.ref.id, certificate_holders.c.position == 0
            )
        )


CHANGES: dict[str, tuple[Change, str]] = {
    "another department": (set_to(department="dg-tax"), "body.differs"),
    "another type": (set_to(type_code="degree"), "body.differs"),
    "another key": (set_to(kid="AAAAAAAAAAAAAAAAAAAAAA"), "body.differs"),
    "another id outside": (set_to(public_id="AAAAAAAAAAAAAAAAAAAAAA"), "body.differs"),
    "other bytes": (set_to(signing_input_hash=b"x" * 32), "body.differs"),
    "a microsecond later": (
        set_to(registered_at=FixedClock()() + timedelta(seconds=14, microseconds=1)), "body.differs",
    ),
    "a day later": (set_to(registered_at=FixedClock()() + timedelta(days=1)), "body.missing"),
    "another leaf": (set_to(leaf_hash=b"x" * 32), "body.missing"),
    "taken away": (
        lambda register: certificates.delete().where(certificates.c.public_id == register.names[1]), "body.missing",
    ),
}  # fmt: skip


async def test_a_registration_rests_in_its_row_and_nowhere_else(register: Register) -> None:
    report = await register.check()
    assert report.ok, report.failures
    assert report.bodies_read == 3
    async with register.world.view() as view:
        assert await view.value(sa.select(sa.func.count()).select_from(bodies)) == 0
    without = await register.check(shelves=[])
    assert {failure.code for failure in without.failures} == {"body.missing"}, "never taken for whole"


async def test_every_change_of_what_was_registered_is_found_at_its_leaf(register: Register) -> None:
    place = await register.place(1)
    async with register.world.view() as view:
        kept = [dict(row._mapping) for row in await view.all(sa.select(certificates))]
    for name, (change, code) in CHANGES.items():
        async with register.world.tx() as tx:
            assert await tx.run(change(register)) == 1, name
        report = await register.check()
        assert [(failure.code, failure.index) for failure in report.failures] == [(code, place)], (name, report)
        async with register.world.tx() as tx:
            await tx.run(certificates.delete())
            await tx.insert(certificates, kept)
    assert (await register.check()).ok


async def test_another_first_holder_gives_another_body(register: Register) -> None:
    """Also where the row of the certificate itself is untouched."""
    async with register.world.view() as view:
        one = await by_public_id(view, register.names[1])
    links = certificate_holders.c
    second = sa.and_(links.certificate_id == one.ref.id, links.position == 1)
    async with register.world.tx() as tx:
        await tx.run(certificate_holders.update().where(second).values(position=2))
        await tx.run(
            certificate_holders.update()
            .where(links.certificate_id == one.ref.id, links.position == 0).values(position=1)
        )  # fmt: skip
        await tx.run(
            certificate_holders.update()
            .where(links.certificate_id == one.ref.id, links.position == 2).values(position=0)
        )  # fmt: skip
    failed = [(failure.code, failure.index) for failure in (await register.check()).failures]
    assert failed == [("body.differs", await register.place(1))]


async def test_without_its_persons_key_nothing_tells_what_a_leaf_meant(register: Register) -> None:
    """The first holder's: the degree and the marriage go with it, the other's degree stays."""
    owner = await first_holder(register)
    async with register.world.tx() as tx:
        await tx.run(person_keys.update().where(person_keys.c.subject_id == owner).values(wrapped=None))
    register.world.vault._opened.clear()
    report = await register.check()
    assert report.ok, report.failures
    assert (report.bodies_read, report.bodies_erased) == (1, 2)


async def test_revision_0023_is_not_taken_back_once_a_registration_rests_in_its_row(
    register: Register, database: str
) -> None:
    await asyncio.to_thread(command.stamp, config(database), "head")
    with pytest.raises(RuntimeError, match="since revision 0023"):
        await asyncio.to_thread(command.downgrade, config(database), "0022")
    assert (await register.check()).ok


async def test_a_certificate_of_before_is_compared_with_its_sealed_body(register: Register) -> None:
    """As 0022 left it: the marriage's leaf commits to a body of its own, which rests sealed in `ledger_bodies`."""
    owner = await first_holder(register)
    async with register.world.view() as view:
        one = await by_public_id(view, register.names[1])
    async with register.world.tx() as tx:
        body = body_of(
            department=one.department, type_code=one.type_code, public_id=one.public_id,
            signing_input_hash=one.signing_input_hash, kid=one.kid, at=tx.now,
        )  # fmt: skip
        ref = await commit_event(tx, kind=REGISTERED, subject_id=owner, body=body)
        old = set_to(leaf_hash=ref.leaf_hash, registered_at=tx.now)
        await tx.run(old(register))
    await register.sequenced()
    place = await register.place(1)
    # The leaf that the certificate had before in this test has no row any more: that one failure stays.
    assert [failure.code for failure in (await register.check()).failures] == ["body.missing"]
    for change in (set_to(kid="AAAA"), set_to(department="dg-tax"), set_to(leaf_hash=b"x" * 32)):
        async with register.world.view() as view:
            kept = [dict(row._mapping) for row in await view.all(sa.select(certificates))]
        async with register.world.tx() as tx:
            await tx.run(change(register))
        found = {(failure.code, failure.index) for failure in (await register.check()).failures}
        assert ("certificate.differs", place) in found
        async with register.world.tx() as tx:
            await tx.run(certificates.delete())
            await tx.insert(certificates, kept)

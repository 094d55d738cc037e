"""A look rests in its row alone: whatever somebody changes in it, `ledger check` and the person's own wallet say so."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from booked import Booked
from hypothesis import given
from hypothesis import strategies as st
from parts import FixedClock
from world import World

from hub.access import history
from hub.access.body import FIRST, body_of, of_case
from hub.access.find import named
from hub.access.model import (
    Look,
    Outcome,
    access_chains,
    accesses,
    commit_named,
    profiles,
    public_id_of,
    rows,
)
from hub.access.profiles import NEW, _Known, hash_of, ids_of, words_of
from hub.access.record import _row, record
from hub.access.shelf import AccessShelf
from hub.formats.jcs import canonical
from hub.ids import bucket_of, public_token
from hub.ledger.append import commit_event
from hub.ledger.check import Report
from hub.ledger.model import bodies
from hub.oversight.search import Query
from hub.store.model import person_keys
from hub.store.small import token_bytes, token_text
from hub.store.tx import Tx


class Book(Booked):
    """Three looks at one person and one at another, in a ledger."""

    def __init__(self, world: World, folder: Path) -> None:
        super().__init__(world, folder)
        self.people: list[UUID] = []

    async def written(self) -> "Book":
        for name in ("王小莞", "李四"):
            self.people.append(await self.world.subject(self.world.person(name)))
        await self.begun()
        for number, (who, reason) in enumerate([(0, "accepted"), (0, "accepted"), (1, "accepted"), (0, "grant.spent")]):
            self.world.clock.advance(seconds=7)
            async with self.world.tx() as tx:
                await record(tx, [look(self.people[who], reason, number)])
        await self.sequenced()
        return self

    async def check(self, **more: Any) -> Report:
        return await super().check(**({"shelves": [AccessShelf()]} | more))

    async def gaps(self) -> list[int]:
        """The numbers of the first person's looks that are marked, and 0 when the newest is missing."""
        async with self.world.view() as view:
            found = await history.of_subject(view, subject_id=self.people[0])
            missing = await history.newest_missing(view, subject_id=self.people[0])
        return [0] * missing + sorted(one.subject_seq for one in found if one.gap)


def look(who: UUID, reason: str = "accepted", number: int = 1) -> Look:
    spent = reason != "accepted"
    return Look(
        subject_id=who, department="dg-edu", item_code="441900-edu-points-enrolment", case_id=f"案件 {number}",
        purpose="points-enrolment", basis="holder", outcome=Outcome.REFUSED if spent else Outcome.ACCEPTED,
        reason=reason, type_code="degree", certificate=None if spent else "IRVAcmgXkSIO1AP3SBwpXA",
        fields=() if spent else (("degree_level",), ("holders", 0, "name")), predicates=({"op": "min", "years": 5},),
        grant_public_id="Z3JhbnQtbnVtYmVyLW9uZQ", grant_seq=None if spent else number + 1, officer_id=UUID(int=number),
    )  # fmt: skip


@pytest.fixture
async def book(database: str, clock: FixedClock, tmp_path: Path):
    world = World(database, clock)
    yield await Book(world, tmp_path / "blobs").written()
    await world.close()


Change = Callable[[Book], sa.Executable]


def set_to(**values: Any) -> Change:
    """Change columns of the first person's second look."""

    def change(book: Book) -> sa.Executable:
        return rows.update().where(rows.c.subject_id == book.people[0], rows.c.subject_seq == 2).values(**values)

    return change


CHANGES: dict[str, tuple[Change, str]] = {
    "another profile": (set_to(profile=sa.select(sa.func.max(profiles.c.id)).scalar_subquery()), "body.differs"),
    "no profile": (set_to(profile=99), "body.missing"),
    "another certificate": (set_to(certificate="AAAAAAAAAAAAAAAAAAAAAA"), "body.differs"),
    "another case": (set_to(case_id="案件 9"), "body.differs"),
    "another grant": (set_to(grant_public_id="AAAAAAAAAAAAAAAAAAAAAA"), "body.differs"),
    "no use": (set_to(grant_seq=None), "body.differs"),
    "another officer": (set_to(officer_id=UUID(int=77)), "body.differs"),
    "hidden for a while": (set_to(visible_at=FixedClock()() + timedelta(days=1000)), "body.differs"),
    "a microsecond later": (set_to(at=FixedClock()() + timedelta(seconds=14, microseconds=1)), "body.differs"),
    "a day later": (set_to(at=FixedClock()() + timedelta(days=1)), "body.missing"),
    "another commitment": (set_to(commit=b"x" * 32), "body.missing"),
    "another person": (
        lambda book: (
            rows.update()
            .where(rows.c.subject_id == book.people[0], rows.c.subject_seq == 2)
            .values(subject_id=book.people[1], bucket=bucket_of(book.people[1]))
        ),
        "body.differs",
    ),
    "taken away": (
        lambda book: rows.delete().where(rows.c.subject_id == book.people[0], rows.c.subject_seq == 2),
        "body.missing",
    ),
    "other words for all": (lambda _: profiles.update().values(department="dg-tax"), "body.differs"),
    "more fields for all": (lambda _: profiles.update().values(fields=[["secret"]]), "body.differs"),
}


async def test_a_book_is_whole_and_its_bodies_are_nowhere_else(book: Book) -> None:
    report = await book.check()
    assert report.ok, report.failures
    assert (report.bodies_read, report.leaves_read) == (4, 4)
    assert await book.gaps() == []
    async with book.world.view() as view:
        assert await view.value(sa.select(sa.func.count()).select_from(bodies)) == 0
        told = await of_case(view, subject_id=book.people[0], case_id="案件 1")
    (one,) = told.values()
    assert (one.event["subject_seq"], one.event["grant_seq"]) == (2, 2)
    assert one.event["certificate"] == "IRVAcmgXkSIO1AP3SBwpXA"
    without = await book.check(shelves=[])
    assert {failure.code for failure in without.failures} == {"body.missing"}, "never taken for whole"


async def test_every_change_of_a_row_is_found_twice(book: Book) -> None:
    """By whoever checks the ledger, at the leaf of the look; and by the person, who needs no operator for it."""
    async with book.world.view() as view:
        kept = [dict(row._mapping) for row in await view.all(sa.select(rows))]
        words = [dict(row._mapping) for row in await view.all(sa.select(profiles))]
    for name, (change, code) in CHANGES.items():
        async with book.world.tx() as tx:
            assert await tx.run(change(book)), name
        report = await book.check()
        assert code in {failure.code for failure in report.failures}, (name, report.failures)
        assert report.first_index == (0 if name.endswith("for all") else 1), name
        if name == "hidden for a while":  # the person is told that one is, and the ledger that it must not be
            async with book.world.view() as view:
                assert (await history.delayed(view, subject_id=book.people[0]))[0] == 1
        else:
            assert await book.gaps(), name
        async with book.world.tx() as tx:
            await tx.run(rows.delete())
            await tx.run(profiles.delete())
            await tx.insert(profiles, words)
            await tx.insert(rows, kept)
    assert (await book.check()).ok
    assert await book.gaps() == []


async def test_a_look_of_before_is_compared_with_its_body(database: str, clock: FixedClock, tmp_path: Path) -> None:
    """As 0022 left it: its body rests in `ledger_bodies`. The next look is in the new form, and names it."""
    world = World(database, clock)
    book = Book(world, tmp_path / "blobs")
    who = await world.subject(world.person("王小莞"))
    book.people = [who, who]
    old, public_id = look(who, number=0), public_token()
    await book.begun()
    async with world.tx() as tx:
        body = body_of(old, seq=1, previous=FIRST, at=tx.now) | {"access": public_id}
        ref = await commit_event(tx, kind="access", subject_id=who, body=body)
        (profile,) = await ids_of(tx, [old])
        row = _row(tx, old, 1, profile, ref.commit)
        await tx.insert(rows, row | {"grant_seq": None, "public_id": public_id, "previous_commit": FIRST})
        await tx.insert(access_chains, {"bucket": bucket_of(who), "subject_id": who, "seq": 1, "commit": ref.commit})
    clock.advance(seconds=7)
    async with world.tx() as tx:
        await record(tx, [look(who)])
    await book.sequenced()
    report = await book.check()
    assert (report.ok, report.bodies_read, await book.gaps()) == (True, 2, []), report.failures
    async with world.view() as view:
        assert await view.value(sa.select(accesses.c.subject_seq).where(await named(view, public_id))) == 1
    first = rows.c.subject_seq == 1
    for change in (
        rows.update().where(first).values(certificate="AAAAAAAAAAAAAAAAAAAAAA"),
        profiles.update().values(reason="certificate.none_registered"),
        rows.update().where(first).values(public_id=public_token()),
        rows.update().where(first).values(previous_commit=b"x" * 32),
        rows.delete().where(first),
    ):
        async with world.view() as view:
            kept = [dict(one._mapping) for one in await view.all(sa.select(rows).where(first))]
            words = [dict(one._mapping) for one in await view.all(sa.select(profiles))]
        async with world.tx() as tx:
            assert await tx.run(change)
        report = await book.check()
        assert ("access.differs", 0) in {(failure.code, failure.index) for failure in report.failures}, change
        async with world.tx() as tx:
            await tx.run(rows.delete().where(first))
            await tx.run(profiles.delete())
            await tx.insert(profiles, words)
            await tx.insert(rows, kept)
    assert (await book.check()).ok
    await world.close()


async def test_the_newest_look_taken_away_is_missed_too(book: Book) -> None:
    async with book.world.tx() as tx:
        await tx.run(rows.delete().where(rows.c.subject_id == book.people[0], rows.c.subject_seq == 3))
    assert await book.gaps() == [0]
    assert (await book.check()).first_index == 3


async def test_without_the_persons_key_nothing_tells_what_a_leaf_meant(book: Book) -> None:
    async with book.world.tx() as tx:
        await tx.run(person_keys.update().where(person_keys.c.subject_id == book.people[0]).values(wrapped=None))
    book.world.vault._opened.clear()
    report = await book.check()
    assert report.ok, report.failures
    assert (report.bodies_read, report.bodies_erased) == (1, 3)


async def test_salts_never_repeat_and_a_look_is_found_by_its_id(book: Book) -> None:
    async with book.world.view() as view:
        found = await view.all(sa.select(accesses))
        assert len({row.public_id for row in found}) == 4
        for row in found:
            assert commit_named(row.public_id) == row.commit
            assert await view.value(sa.select(accesses.c.commit).where(await named(view, row.public_id))) == row.commit
        for other in (public_id_of(b"x" * 32), "IRVAcmgXkSIO1AP3SBwpXA", "x"):
            assert await view.first(sa.select(accesses).where(await named(view, other))) is None
    assert Query(public_id=found[0].public_id).as_json() == {"access": found[0].public_id}


async def test_a_profile_is_remembered_only_once_it_is_durable(
    database: str, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(database, clock)
    who = await world.subject(world.person("王小莞"))
    said: list[int] = []
    each = Tx.each

    async def counted(tx: Tx, statement: Any, values: Any) -> Any:
        said.append(len(values) if statement is NEW else 0)
        return await each(tx, statement, values)

    async def one(*, lost: bool = False) -> None:
        said.clear()
        clock.advance(seconds=1)
        async with world.tx() as tx:
            await record(tx, [look(who)])
            await record(tx, [look(who)])  # sees what this transaction made
            assert world.db.memory.of(_Known).get(b"") is None
            if lost:
                raise ZeroDivisionError

    monkeypatch.setattr(Tx, "each", counted)
    for _ in range(2):  # what was rolled back is not remembered
        with pytest.raises(ZeroDivisionError):
            await one(lost=True)
        assert sum(said) == 2
    await one()
    assert sum(said) == 2, "made, and still not taken for durable"
    await one()
    assert sum(said) == 1, "found, and remembered"
    await one()
    assert sum(said) == 0, "not a statement more"
    async with world.view() as view:
        assert await view.value(sa.select(sa.func.count()).select_from(profiles)) == 1
        assert await view.value(sa.select(sa.func.count()).select_from(accesses)) == 6
        assert await view.value(sa.select(access_chains.c.seq)) == 6
    await world.close()


def test_the_name_of_a_profile_is_the_hash_of_its_words_with_questions_and_without() -> None:
    said = look(uuid4())
    for one in (said, replace(said, predicates=()), replace(said, predicates=(), fields=(), type_code=None)):
        for _ in range(2):
            assert hash_of(one) == sha256(canonical(words_of(one))).digest()


@given(st.text(max_size=40) | st.binary(min_size=0, max_size=33).map(lambda raw: public_id_of(raw)))
def test_every_token_comes_back_in_one_spelling(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:  # half a surrogate pair: no database takes it
        return
    assert token_text(token_bytes(text)) == text


def test_a_token_rests_as_its_bytes() -> None:
    assert len(token_bytes("IRVAcmgXkSIO1AP3SBwpXA")) == 17
    assert token_bytes(str(uuid4()) + "=")[:1] == b"\x00"

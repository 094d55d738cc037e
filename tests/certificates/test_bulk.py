"""Many at once: each line answered as the single door would, in order, whoever else is at work on the same rows."""

import asyncio
import hashlib
import secrets

import pytest
import sqlalchemy as sa
from registry.makers import AUDIENCE
from world import TYPES, World

from hub.certificates.examine import examine
from hub.certificates.find import of_holder, open_body
from hub.certificates.model import certificate_holders, certificates
from hub.certificates.register import Application, Registered, Source, register_all, terms_of, together
from hub.errors import HubError
from hub.ledger.model import leaves
from hub.registry import keys, subjects
from hub.registry.model import subject_identifiers
from hub.store.model import person_keys


async def count(world: World, table: sa.Table) -> int:
    async with world.view() as view:
        return int(await view.value(sa.select(sa.func.count()).select_from(table)))


def row(number: int, generation: int = 1) -> Source:
    digest = hashlib.sha256(f"{number}:{generation}".encode()).digest()
    return Source("all", f"row-{number}", generation, digest)


async def signed(world: World, *people, **claims) -> str:
    return await world.sign("degree", [person.as_holder("owner") for person in people], **claims)


async def hand_in(world: World, applications: list[Application], by: str = "dg-degree") -> list[Registered | HubError]:
    """As the batch door does it: examine, then register what may go together, a commit each."""
    actor = world.acting(await world.department(by))
    async with world.view(actor) as view:
        terms = await terms_of(view, base_url=AUDIENCE)
    handed = [(one, examine([one.token], terms, TYPES)[0]) for one in applications]
    found: list[Registered | HubError] = []
    while handed:
        run, handed = handed[: together(handed)], handed[together(handed) :]
        async with world.tx(actor) as tx:
            found += await register_all(tx, run)
    return found


def told(found) -> list[str]:
    return [one.code if isinstance(one, HubError) else "replayed" if one.replayed else "new" for one in found]


async def test_a_hundred_rows_are_registered_in_one_commit_and_in_their_order(world: World) -> None:
    people = [world.person(f"王{n}") for n in range(50)]
    tokens = [await signed(world, people[n % 50]) for n in range(100)]
    found = await hand_in(world, [Application(token, row(n)) for n, token in enumerate(tokens)])
    assert told(found) == ["new"] * 100
    async with world.view() as view:
        order = [r.leaf_hash for r in await view.all(sa.select(leaves.c.leaf_hash).order_by(leaves.c.seq))]
        mine = [one.leaf_hash for one in found]
        assert [leaf for leaf in order if leaf in set(mine)] == mine
        held = await of_holder(view, subject_id=await world.subject(people[7]))
        assert [await open_body(view, one) for one in reversed(held)] == [tokens[7], tokens[57]]
    assert await count(world, subject_identifiers) == 50
    assert await count(world, person_keys) == 50


async def test_each_line_is_refused_by_the_name_that_the_single_door_gives(world: World) -> None:
    wang, li = world.person("王小莞"), world.person("李䶮")
    good = await signed(world, wang)
    done = await signed(world, wang)
    await world.register(done, by="dg-degree", source=row(1))
    spent = await signed(world, wang)
    entry = world_status(spent)
    await world.register(spent, by="dg-degree")
    lines = [
        Application(good, row(2)),
        Application("nonsense", row(3)),
        Application(done, row(1)),
        Application(good, Source("all", "row-1", 1, b"x" * 32)),
        Application(await signed(world, wang, degree_level="emperor"), row(4)),
        Application(await world.sign("degree", [wang.as_holder("owner")], by="dg-tax"), row(5)),
        Application(await signed(world, li, status=entry), row(6)),
        Application(await signed(world, wang.__class__("王", "441900198506010000")), row(7)),
        Application(await signed(world, li), row(8)),
    ]
    single = [await one_by_one(world, line) for line in lines]
    assert single == [
        "new", "sdjwt.form", "replayed", "certificate.generation_reused", "type.claims_invalid", "key.unknown",
        "status.index_taken", "gb11643.check", "new",
    ]  # fmt: skip
    first, last = Application(await signed(world, wang), row(12)), Application(await signed(world, li), row(18))
    fresh = [first, *lines[1:8], last]
    assert told(await hand_in(world, fresh)) == single


def world_status(token: str):
    from hub.formats import sdjwt

    return sdjwt.claims(token)["status"]


async def one_by_one(world: World, line: Application) -> str:
    try:
        done = await world.register(line.token, by="dg-degree", source=line.source)
    except HubError as refusal:
        return refusal.code
    return "replayed" if done.replayed else "new"


async def test_lines_about_the_same_row_are_taken_one_after_the_other(world: World) -> None:
    wang = world.person("王小莞")
    first, second = await signed(world, wang), await signed(world, wang)
    lines = [Application(token, row(n)) for token, n in ((first, 1), (first, 1), (second, 1), (first, 2))]
    assert told(await hand_in(world, lines)) == ["new", "replayed", "replayed", "status.index_taken"]


async def test_the_newest_name_is_kept_and_two_spellings_are_one_person(world: World) -> None:
    old = world.person("王小莞")
    number = old.id_no
    lines = [
        Application(await signed(world, old.__class__(name, spelled)), row(n))
        for n, (name, spelled) in enumerate([("王小莞", number), ("王晓莞", f" {number}"), ("王䶮", number)])
    ]
    assert told(await hand_in(world, lines)) == ["new"] * 3
    assert await count(world, subject_identifiers) == 1
    async with world.view() as view:
        face = await subjects.face(view, await world.subject(old))
        assert face is not None
        assert face.name == "王䶮"


async def test_a_key_that_was_retired_while_the_workers_looked_counts_no_more(world: World) -> None:
    department = await world.department("dg-degree")
    token = await signed(world, world.person("王小莞"))
    actor = world.acting(department)
    async with world.view(actor) as view:
        terms = await terms_of(view, base_url=AUDIENCE)
    looked = examine([token], terms, TYPES)[0]
    async with world.tx() as tx:
        await keys.distrust(tx, kid=department.certificate.kid, from_=world.clock())
    async with world.tx(actor) as tx:
        assert told(await register_all(tx, [(Application("", row(1)), looked)])) == ["key.not_standing"]


@pytest.mark.parametrize("turned", [False, True])
async def test_two_batches_of_the_same_rows_at_once_register_each_row_once(world: World, turned: bool) -> None:
    people = [world.person(f"王{n}") for n in range(20)]
    lines = [Application(await signed(world, people[n % 20]), row(n)) for n in range(40)]
    other = lines[::-1] if turned else lines
    found, again = await asyncio.gather(hand_in(world, lines), hand_in(world, other))
    assert sorted(told(found) + told(again)) == ["new"] * 40 + ["replayed"] * 40
    ours = {one.certificate for one in found}
    assert ours == {one.certificate for one in again}
    assert (await count(world, certificates), await count(world, subject_identifiers)) == (40, 20)


async def test_two_batches_with_other_certificates_for_the_same_rows_do_not_mix(world: World) -> None:
    person = world.person("王小莞")
    mine = [Application(await signed(world, person), row(n)) for n in range(20)]
    theirs = [Application(await signed(world, person), Source(*row(n)[:3], secrets.token_bytes(32))) for n in range(20)]
    found = told(await hand_in_both(world, mine, theirs))
    assert found.count("new") == 20
    assert found.count("certificate.generation_reused") == 20
    assert await count(world, certificate_holders) == 20


async def hand_in_both(world: World, mine, theirs):
    found, again = await asyncio.gather(hand_in(world, mine), hand_in(world, theirs))
    return found + again

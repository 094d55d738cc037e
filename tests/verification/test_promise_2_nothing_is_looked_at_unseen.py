"""Promise 2. No claim leaves before its Access is durable; refusals are recorded; a missing row shows."""

import asyncio

import pytest
import sqlalchemy as sa
from world import World

from hub.access import history
from hub.access.body import leaf_of
from hub.access.model import Outcome, accesses
from hub.access.model import rows as access_rows
from hub.formats import jcs
from hub.formats.merkle import leaf_hash
from hub.store.tx import Tx
from hub.verification import verify as verifying
from hub.verification.model import Ask, Verdict


async def seen(world: World, person: object) -> list[history.Access]:
    async with world.view() as view:
        return await history.of_subject(view, subject_id=await world.subject(person))  # type: ignore[arg-type]


async def test_each_look_and_each_refusal_is_in_the_citizens_history(world: World) -> None:
    wang = world.person("王小莞")
    await world.certificate("degree", (wang, "owner"))
    case, grants = await world.grant(wang, ["degree"])
    (good,) = await world.verify(case, grants, [Ask("degree")])
    (second,) = await world.verify(case, grants, [Ask("degree")])
    newest, older = await seen(world, wang)
    assert (older.look.outcome, newest.look.outcome) == (Outcome.ACCEPTED, Outcome.REFUSED)
    assert (older.public_id, newest.public_id) == (good.access, second.access)
    assert newest.look.reason == "grant.spent"
    assert older.look.fields
    assert newest.look.fields == ()
    assert second.sd_jwt is None
    assert not newest.gap
    assert not older.gap


async def test_when_the_record_cannot_be_written_nothing_leaves(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk fails in the middle of recording: the use is not taken, no verdict exists, nothing is left over."""
    wang = world.person("王小莞")
    await world.certificate("degree", (wang, "owner"))
    case, grants = await world.grant(wang, ["degree"])

    async def broken(*_: object, **__: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(verifying, "record", broken)
    with pytest.raises(OSError, match="no space"):
        await world.verify(case, grants, [Ask("degree")])
    monkeypatch.undo()
    assert await seen(world, wang) == []
    (verdict,) = await world.verify(case, grants, [Ask("degree")])
    assert verdict.outcome is Outcome.ACCEPTED


async def test_what_is_made_of_the_verdicts_while_they_are_written_falls_with_them(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The writing fails after the answer was made, or the making fails while it is written: nothing is left over."""
    wang = world.person("王小莞")
    await world.certificate("degree", (wang, "owner"))
    case, grants = await world.grant(wang, ["degree"])
    made: list[Verdict] = []

    def too_much(told: list[list[Verdict]]) -> None:
        made.extend(told[0])
        raise MemoryError

    with pytest.raises(MemoryError):
        await world.verify(case, grants, [Ask("degree")], meanwhile=too_much)

    async def full(*_: object) -> None:
        await asyncio.sleep(0.01)
        raise OSError("no space left on device")

    monkeypatch.setattr(Tx, "all_of", full)
    with pytest.raises(OSError, match="no space"):
        await world.verify(case, grants, [Ask("degree")], meanwhile=lambda told: made.extend(told[0]))
    monkeypatch.undo()
    assert [(one.outcome, one.access is not None) for one in made] == [(Outcome.ACCEPTED, True)] * 2
    assert await seen(world, wang) == []
    (verdict,) = await world.verify(case, grants, [Ask("degree")])
    assert verdict.outcome is Outcome.ACCEPTED, "the one use was not taken"


async def test_a_row_taken_away_shows_as_a_gap(world: World) -> None:
    wang = world.person("王小莞")
    await world.certificate("degree", (wang, "owner"))
    case, grants = await world.grant(wang, ["degree"], max_uses=2)
    for _ in range(3):
        await world.verify(case, grants, [Ask("degree")])
    async with world.tx() as tx:
        await tx.run(sa.delete(access_rows).where(access_rows.c.subject_seq == 2))
    newest, oldest = await seen(world, wang)
    assert (newest.subject_seq, newest.gap) == (3, True)
    assert (oldest.subject_seq, oldest.gap) == (1, False)


async def test_a_newest_row_taken_away_or_a_row_replaced_shows_too(world: World) -> None:
    wang = world.person("王小莞")
    await world.certificate("degree", (wang, "owner"))
    case, grants = await world.grant(wang, ["degree"], max_uses=2)
    for _ in range(3):
        await world.verify(case, grants, [Ask("degree")])
    subject = await world.subject(wang)
    async with world.tx() as tx:
        assert not await history.newest_missing(tx, subject_id=subject)
        await tx.run(access_rows.update().where(access_rows.c.subject_seq == 2).values(commit=b"x" * 32))
    assert [row.gap for row in await seen(world, wang)] == [True, True, False], "it, and whoever names it"
    async with world.tx() as tx:
        await tx.run(sa.delete(access_rows).where(access_rows.c.subject_seq == 3))
        assert await history.newest_missing(tx, subject_id=subject)


async def test_the_leaf_of_an_access_is_a_salted_commitment_and_nothing_else(world: World) -> None:
    wang = world.person("王小莞")
    await world.certificate("degree", (wang, "owner"))
    case, grants = await world.grant(wang, ["degree"])
    await world.verify(case, grants, [Ask("degree")])
    async with world.view() as view:
        row = await view.first(sa.select(accesses))
    assert row is not None
    leaf = jcs.canonical({"v": 1, "commit": row.commit.hex()})
    assert leaf_hash(leaf) == leaf_of(row.commit)


async def test_a_look_that_found_nothing_is_recorded_as_no_record(world: World) -> None:
    wang = world.person("王小莞")
    case, grants = await world.grant(wang, ["degree"])
    (verdict,) = await world.verify(case, grants, [Ask("degree")])
    assert verdict.outcome is Outcome.NO_RECORD
    (row,) = await seen(world, wang)
    assert row.look.outcome is Outcome.NO_RECORD

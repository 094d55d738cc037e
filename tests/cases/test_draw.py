"""A ranking: the seed is promised before the list is closed, drawn in the open, and drawn again when corrected."""

import hashlib
import json
from dataclasses import replace

import pytest
import sqlalchemy as sa
from cases.applicants import SCHEME, applicant, decider, scored
from world import SCHOOL, World

from hub.cases import draw
from hub.cases import notice as notices
from hub.cases.model import points_schemes
from hub.cases.ranking import list_sha256, lot_of
from hub.cases.scheme import parse_scheme
from hub.errors import Conflict, Forbidden, Unprocessable
from hub.ledger.model import leaves

DECIDER = decider()


async def announced(world: World, places: int = 2) -> notices.Ranking:
    async with world.tx(DECIDER) as tx:
        return await draw.announce(
            tx, item=world.items[SCHOOL], scheme=SCHEME, title_zh="松山湖小学", title_en="Lake school", places=places
        )


async def closed(world: World, found: notices.Ranking) -> notices.Ranking:
    async with world.tx(DECIDER) as tx:
        return await draw.close(tx, found)


async def drawn(world: World, found: notices.Ranking, reason: str = "first") -> notices.Result:
    async with world.tx(DECIDER) as tx:
        return await draw.draw(tx, await notices.ranking(tx, found.public_id), reason=reason)


async def notice(world: World, found: notices.Ranking, revision: int) -> str:
    async with world.view() as view:
        return "".join([piece async for piece in notices.whole_notice(view, found, revision=revision)])


async def told(world: World) -> list[dict[str, object]]:
    """The public leaves about rankings, in the order of the ledger."""
    async with world.view() as view:
        rows = await view.all(sa.select(leaves.c.data).where(leaves.c.kind == "ranking").order_by(leaves.c.seq))
    return [json.loads(row.data) for row in rows]


async def test_announced_closed_drawn_corrected_and_drawn_again(world: World) -> None:
    months = {"甲": 72, "乙": 36, "丙": 36, "丁": 0}
    people = {
        name: await applicant(world, name, {"employment": {"service_months": n}}) for name, n in months.items()
    }
    for one in people.values():
        await scored(world, one)
    found = await closed(world, await announced(world))
    assert found.entries == 4
    assert found.seed is None, "nobody reads the seed before it is drawn"
    first = await drawn(world, found)
    async with world.view() as view:
        found = await notices.ranking(view, found.public_id)
        places = {name: await notices.place_of(view, case_id=one.case.id) for name, one in people.items()}
    assert places["甲"].position == 1
    assert {places["乙"].position, places["丙"].position} == {2, 3}
    assert (places["乙"].by_lot, places["丙"].by_lot, places["甲"].by_lot) == (True, True, False)
    assert [places["乙"].admitted, places["丙"].admitted].count(True) == 1
    assert places["丁"].position == 4

    # What is published is enough to check it: the promise of the seed, the list, the notice.
    events = await told(world)
    assert [event["event"] for event in events] == ["ranking.announced", "ranking.closed", "ranking.drawn"]
    seed = bytes.fromhex(str(events[2]["seed"]))
    assert hashlib.sha256(seed).hexdigest() == events[0]["seed_sha256"]
    assert events[1]["list_sha256"] == list_sha256(one.receipt for one in places.values()).hex()
    text = await notice(world, found, 1)
    assert hashlib.sha256(text.encode()).hexdigest() == events[2]["notice_sha256"] == first.sha256.hex()
    assert "甲" not in text
    assert not any(one.case.public_id in text for one in people.values())

    # One score is corrected: drawn again with the same lots, and the first notice stays as it was.
    people["丁"].disclosures = (await applicant(world, "丁二", {"employment": {"service_months": 120}})).disclosures
    with pytest.raises(Unprocessable):
        await scored(world, people["丁"])  # another person's paper never counts
    people["丙"].disclosures = []
    await scored(world, people["丙"])
    second = await drawn(world, found, "correction")
    assert second.revision == 2
    async with world.view() as view:
        found = await notices.ranking(view, found.public_id)
        after = {name: await notices.place_of(view, case_id=one.case.id) for name, one in people.items()}
        rows = await notices.lines(view, found, revision=2)
        assert [one.reason for one in await notices.results(view, found)] == ["correction", "first"]
    assert after["乙"].position == 2
    assert {after["丙"].position, after["丁"].position} == {3, 4}
    assert {name: one.receipt for name, one in after.items()} == {n: one.receipt for n, one in places.items()}
    assert all(row.lot == lot_of(found.seed, found.list_sha256, row.entry.receipt) for row in rows)
    assert hashlib.sha256((await notice(world, found, 1)).encode()).digest() == first.sha256
    assert (await told(world))[-1]["seed"] == events[2]["seed"]


async def test_the_steps_come_in_order_and_each_once(world: World) -> None:
    found = await announced(world)
    with pytest.raises(Unprocessable) as nobody:
        await closed(world, found)
    assert nobody.value.code == "ranking.nobody"
    with pytest.raises(Conflict):
        await drawn(world, found)
    await scored(world, await applicant(world, "甲", {"employment": {"service_months": 12}}))
    await closed(world, found)
    with pytest.raises(Conflict) as twice:
        await closed(world, found)
    assert twice.value.code == "ranking.closed"
    stale = await announced(world)
    await drawn(world, found)
    async with world.tx(DECIDER) as tx:
        now = await notices.ranking(tx, found.public_id)
        with pytest.raises(Conflict):
            await draw.draw(tx, replace(now, revision=0), reason="somebody else was faster")
    with pytest.raises(Unprocessable):
        await closed(world, stale)  # the one application takes part in the first ranking already


@pytest.mark.parametrize(
    "actor", [decider("dg-tax"), decider(roles=("clerk",))], ids=["another department", "a clerk"]
)
async def test_only_deciders_of_the_items_department_rank(world: World, actor: object) -> None:
    async with world.tx(actor) as tx:
        with pytest.raises(Forbidden):
            await draw.announce(
                tx, item=world.items[SCHOOL], scheme=SCHEME, title_zh="甲", title_en="A", places=1
            )


async def test_a_score_under_another_version_takes_no_part(world: World) -> None:
    document = json.loads(json.dumps(SCHEME.document)) | {"version": 2}
    newer = parse_scheme(document)
    one = await applicant(world, "甲", {"employment": {"service_months": 12}})
    await scored(world, one, scheme=newer)
    found = await announced(world)
    with pytest.raises(Unprocessable):
        await closed(world, found)
    async with world.view() as view:
        assert await view.value(sa.select(sa.func.count()).select_from(points_schemes)) == 2

"""The guard behind the door: all bases are counted, by one process at a time, and told once."""

import asyncio
from dataclasses import replace
from uuid import UUID

import sqlalchemy as sa
from world import World

from hub.access.model import Look, Outcome
from hub.access.record import record
from hub.consent.guard import load_guard
from hub.consent.model import guard_persons
from hub.consent.office import newest_alarms
from hub.oversight.watch import watch

MOST = {"seen_officer_day": 3, "seen_department_hour": 4, "seen_department_month": 6, "refused_department_hour": 2}
SMALL = replace(
    load_guard(), limits=tuple(replace(one, most=MOST.get(one.code, one.most)) for one in load_guard().limits)
)
"""The limits in force, with numbers that a test can reach."""


async def looked(world: World, number: int, *, officer: int | None = None, basis: str = "holder", **more) -> None:
    person = await world.subject(world.person(f"某{number}"))
    look = Look(
        subject_id=person, department="dg-edu", officer_id=UUID(int=officer) if officer else None, item_code="x",
        case_id="c", purpose="p", basis=basis, outcome=more.get("outcome", Outcome.ACCEPTED), reason="accepted",
    )  # fmt: skip
    async with world.tx() as tx:
        await record(tx, [look, look])  # twice the same person counts once


async def run(world: World) -> bool:
    async with world.tx() as tx:
        return await watch(tx, guard=SMALL)


async def told(world: World) -> list[tuple[str, UUID | None]]:
    async with world.view() as view:
        return sorted((one.rule, one.officer_id) for one in await newest_alarms(view))


async def test_many_people_by_one_officer_or_spread_over_accounts_and_time(world: World) -> None:
    assert await run(world)
    for number, basis in enumerate(("holder", "office_power", "guardian", "delegate")):
        await looked(world, number, officer=1, basis=basis)
    world.clock.advance(seconds=61)
    assert await run(world)
    assert await told(world) == [("seen_officer_day", UUID(int=1))]
    for number in range(4, 7):  # slowly, by other accounts and by the department's own system
        world.clock.advance(hours=30)
        await looked(world, number, officer=number if number % 2 else None)
        assert await run(world)
    assert await told(world) == [("seen_department_month", None), ("seen_officer_day", UUID(int=1))]
    await run(world)
    world.clock.advance(seconds=61)
    assert await run(world)
    assert len(await told(world)) == 2, "told once in a span"


async def test_one_of_many_processes_counts_and_a_long_transaction_is_not_lost(world: World) -> None:
    assert await run(world)
    world.clock.advance(seconds=61)
    assert sorted(await asyncio.gather(*(run(world) for _ in range(5)))) == [False] * 4 + [True]
    world.clock.advance(seconds=-30)  # begun before that count, committed after it
    await looked(world, 1, officer=1)
    world.clock.advance(seconds=91)
    assert await run(world)
    async with world.view() as view:
        rows = await view.all(sa.select(guard_persons.c.code))
    assert sorted(row.code for row in rows) == ["seen_department_hour", "seen_department_month", "seen_officer_day"]


async def test_many_refusals_of_a_department_are_told(world: World) -> None:
    for number in range(2):
        await looked(world, number, outcome=Outcome.REFUSED)
    assert await run(world)
    assert await told(world) == [("refused_department_hour", None)]

"""The guard against misuse: one count for everybody, stopped at each door, vouched for by another, told to auditors."""

import asyncio
from dataclasses import replace
from uuid import UUID

import pytest
import sqlalchemy as sa
from world import World

from hub.actor import Actor, ActorKind
from hub.consent.guard import Guard, Stopped, Then, admit, alarm_once, load_guard, parse
from hub.consent.model import guard_counts
from hub.consent.office import newest_alarms
from hub.consent.release import holds_of, vouch
from hub.errors import HubError


def clerk(number: int = 1, department: str = "dg-edu") -> Actor:
    roles = frozenset({"clerk"})
    return Actor(ActorKind.OFFICER, department=department, officer_id=UUID(int=number), roles=roles)


SYSTEM_OF_EDU = Actor(ActorKind.DEPARTMENT, department="dg-edu")


def small(**most: int) -> Guard:
    """The limits in force, with numbers that a test can reach."""
    limits = tuple(replace(one, most=most.get(one.code, one.most)) for one in load_guard().limits)
    return replace(load_guard(), limits=limits)


async def act(
    world: World, by: Actor, watches: str, person: int | None = None, guard: Guard | None = None
) -> str:
    """What a door does: the act is counted in its own transaction; what was stopped is told in another."""
    try:
        async with world.tx(by) as tx:
            await admit(tx, watches, person=None if person is None else UUID(int=person), guard=guard)
    except Stopped as stopped:
        async with world.tx(stopped.actor) as tx:
            await alarm_once(tx, stopped.limit, stopped.place)
        return stopped.limit.code
    return "done"


async def told(world: World) -> list[tuple[str, str]]:
    async with world.view() as view:
        return sorted((one.kind, one.rule) for one in await newest_alarms(view, limit=50))


async def test_the_count_is_one_for_all_processes_and_each_person_counts_once(world: World) -> None:
    guard = small(opened_officer_hour=5)
    tried = [act(world, clerk(), "opened", number % 10, guard) for number in range(30)]  # ten people, three times
    done = await asyncio.gather(*tried)
    assert set(done) == {"done", "opened_officer_hour"}
    async with world.view() as view:
        assert await view.value(sa.select(guard_counts.c.number).where(guard_counts.c.alarmed_at.is_not(None))) == 5
    assert await told(world) == [("guard.opened", "opened_officer_hour")]
    assert await act(world, clerk(2), "opened", 3, guard) == "done"
    world.clock.advance(hours=1)
    assert await act(world, clerk(), "opened", 3, guard) == "done", "the next hour is a new one"


async def test_a_list_spread_over_accounts_is_stopped_for_the_whole_counter_and_not_for_the_system(
    world: World,
) -> None:
    guard = small(opened_office_day=10)
    done = [await act(world, clerk(1 + n % 20), "opened", n, guard) for n in range(14)]
    assert done == ["done"] * 10 + ["opened_office_day"] * 4
    assert await act(world, clerk(30), "asked", 99, guard) == "opened_office_day", "nor at the next door"
    assert await act(world, SYSTEM_OF_EDU, "opened", 99, guard) == "done"
    assert await act(world, clerk(1, "dg-si"), "opened", 99, guard) == "done"
    assert await told(world) == [("guard.opened", "opened_office_day")]
    world.clock.advance(days=1)
    assert await act(world, clerk(1), "opened", 99, guard) == "done"


async def test_a_department_s_system_is_throttled_and_told_when(world: World) -> None:
    guard = small(unknown_numbers_system=3, asked_system_day=2)
    assert [await act(world, SYSTEM_OF_EDU, "unknown_number", None, guard) for _ in range(4)][-1] == (
        "unknown_numbers_system"
    )
    with pytest.raises(Stopped) as stopped:
        async with world.tx(SYSTEM_OF_EDU) as tx:
            await admit(tx, "asked", person=UUID(int=1), guard=guard)
    assert (stopped.value.code, 0 < stopped.value.facts["retry_after"] <= 3601) == ("guard.throttle", True)


async def test_at_night_few_people_and_then_another_officer(world: World) -> None:
    world.clock.advance(hours=13)  # 22:30 in Shanghai
    done = [await act(world, clerk(), "asked", person) for person in (1, 1, 2, 3, 4)]
    assert done == ["done"] * 4 + ["at_night_officer"]
    async with world.tx(clerk(2)) as tx:
        (hold,) = await holds_of(tx)
    asked = {"code": hold.place.code, "key": hold.place.key, "span": hold.place.span}
    for wrong in (clerk(1), clerk(3, "dg-si")):
        with pytest.raises(HubError, match=r"guard\.(not_yours|no_hold)"):
            async with world.tx(wrong) as tx:
                await vouch(tx, **asked)
    for turn in range(3):
        async with world.tx(clerk(2)) as tx:
            await vouch(tx, **asked)
        more = [await act(world, clerk(), "asked", 100 * turn + person) for person in range(4, 8)]
        assert more == ["done"] * 3 + ["at_night_officer"], "as many again"
    with pytest.raises(HubError, match=r"guard\.no_hold"):
        async with world.tx(clerk(2)) as tx:
            await vouch(tx, **asked)
    assert await told(world) == [("guard.at_night", "at_night_officer")]


def test_limits_are_data_with_an_owner_and_dates_and_what_is_unknown_is_refused() -> None:
    guard = load_guard()
    assert (guard.owner, guard.in_force_from < guard.review_by) == ("dg-data", True)
    assert {one.watches for one in guard.limits} >= {
        "opened", "asked", "unknown_number", "wrong_code", "paper", "at_night", "no_case", "seen", "refused",
    }  # fmt: skip
    assert {one.then for one in guard.limits} == set(Then)
    words = [{"locale": "zh-CN", "name": "甲"}, {"locale": "en", "name": "A"}]
    limit = {"code": "x", "watches": "opened", "scope": "officer", "span": "day", "most": 1, "then": "stop"}
    limit["display"] = words
    raw = {
        "code": "g", "version": 1, "owner": "dg-data", "in_force_from": "2026-01-01", "review_by": "2027-01-01",
        "unconfirmed": [], "hours": {"from": 7, "to": 21}, "limits": [limit],
    }  # fmt: skip
    assert parse(raw).limits[0].most == 1
    for change in (
        {"owner_": 1}, {"hours": {"from": 9, "to": 8}}, {"review_by": "2025-01-01"}, {"limits": [limit, limit]},
        {"limits": [{**limit, "most": 0}]}, {"limits": [{**limit, "then": "ignore"}]},
        {"limits": [{**limit, "watches": "nothing"}]}, {"limits": [{**limit, "span": "year"}]},
    ):  # fmt: skip
        with pytest.raises((ValueError, KeyError, TypeError)):
            parse({**raw, **change})

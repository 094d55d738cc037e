"""The board: arithmetic at its edges, small cells hidden, computed from what the ledger vouches for, published once."""

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from world import World

from hub.cases.model import StepState, case_steps
from hub.errors import HubError
from hub.formats.jcs import canonical
from hub.ids import uuid7
from hub.ledger.model import leaves
from hub.oversight.board import Month, board, covered, middle, months, p90, publish, published, share, shown
from hub.registry.publish import publish_types
from hub.verification.model import Ask

START = datetime(2026, 11, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.mark.parametrize(("number", "told"), [(0, 0), (1, None), (9, None), (10, 10), (11, 11)])
def test_fewer_than_ten_are_hidden(number: int, told: int | None) -> None:
    assert shown(number) == told


def test_median_and_ninetieth_are_told_of_ten_and_more() -> None:
    assert (middle([1] * 9), p90([1] * 9), share([True] * 9)) == (None, None, None)
    ten = [1, 2, 3, 4, 5, 6, 7, 8, 9, 100]
    assert (middle(ten), p90(ten)) == ("5.5", 9)
    assert share([True] * 9 + [False]) == 90


@given(st.lists(st.integers(0, 300), min_size=10, max_size=60))
def test_nine_in_ten_do_not_exceed_the_ninetieth(values: list[int]) -> None:
    limit = p90(values)
    assert limit is not None
    assert sum(one <= limit for one in values) >= 0.9 * len(values)
    assert limit in values


@pytest.mark.parametrize(
    ("spans", "part"),
    [
        ([], 0),
        ([(0, 10)], 1000),
        ([(0, 5), (3, 6)], 600),
        ([(-5, 2), (8, 20)], 400),
        ([(0, 1), (0, 1), (0, 1)], 100),
        ([(20, 30)], 0),
    ],
)
def test_uptime_counts_every_moment_once(spans: list[tuple[int, int]], part: int) -> None:
    told = covered([(START + a * HOUR, START + b * HOUR) for a, b in spans], START, START + 10 * HOUR)
    assert told == part
    assert covered([], START, START) is None


@pytest.mark.parametrize(
    ("text", "before", "days"),
    [("2026-01", "2025-12", 31), ("2026-12", "2026-11", 31), ("2024-02", "2024-01", 29)],
)
def test_months_are_civil_months_of_shanghai(text: str, before: str, days: int) -> None:
    month = Month.parse(text)
    start, end = month.span
    assert (end - start).days == days
    assert start.astimezone(UTC).hour == 16
    assert str(month.before) == before
    for wrong in ("2026-13", "2026", "x", "2026-1-1"):
        with pytest.raises(HubError):
            Month.parse(wrong)


async def steps(world: World, number: int, days: int) -> None:
    """Decided steps as the room of cases leaves them: started `days` civil days before they were decided."""
    case = await world.case(world.person("王"))
    async with world.tx() as tx:
        for place in range(number):
            await tx.insert(
                case_steps,
                {
                    "id": uuid7(), "case_id": case.id, "code": f"s{place}-{days}", "department": "dg-edu",
                    "state": StepState.DECIDED, "days": 5, "days_unconfirmed": False, "calendar": "test",
                    "started_at": tx.now - timedelta(days=days), "decided_at": tx.now, "passed": True,
                },
            )  # fmt: skip


async def test_the_board_counts_looks_steps_and_signed_lists(world: World) -> None:
    await world.department("dg-edu")
    wang = world.person("王")
    await world.certificate("degree", (wang, "owner"))
    async with world.tx() as tx:
        await publish_types(tx, world.types.values())
    case, grants = await world.grant(wang, ["degree"], max_uses=2)
    for _ in range(2):
        await world.verify(case, grants, [Ask("degree")])
    await steps(world, 9, 3)
    month = Month.of(world.clock())
    async with world.view() as view:
        early = await board(view, month)
    assert early["total"]["materials_saved"] is None, "one look twice over is one material, and one is hidden"
    assert early["total"]["days_median"] is None
    await steps(world, 3, 10)
    async with world.view() as view:
        told = await board(view, month)
    edu = row(told, "dg-edu")
    assert edu["steps_decided"] == 12
    assert edu["days_median"] is not None
    assert edu["days_p90"] > float(edu["days_median"])
    assert 0 < edu["in_time_percent"] < 100
    assert row(told, "dg-degree")["uptime_permille"] == 1000
    assert edu["uptime_permille"] is None, "it signs no certificates here"
    assert told["waivers"]["verified"]["in_force"] == 0
    assert told["waivers"]["verified"]["announced"] > 100


def row(told: dict[str, Any], slug: str) -> dict[str, Any]:
    return next(one for one in told["departments"] if one["department"] == slug)


async def test_a_month_is_published_once_and_its_leaf_names_it(world: World) -> None:
    await world.department("dg-edu")
    await steps(world, 10, 3)
    month = Month.of(world.clock())
    async with world.db.tx(await world.citizen(world.person("王"))) as tx:
        with pytest.raises(HubError) as early:
            await publish(tx, month)
    assert early.value.code == "board.not_over"
    world.clock.advance(days=30)
    async with world.tx() as tx:
        assert await publish(tx, month)
    await steps(world, 10, 3)  # what comes later changes nothing that was published
    async with world.tx() as tx:
        assert not await publish(tx, month)
    async with world.view() as view:
        found = await published(view, month)
        assert found is not None
        document, leaf = found
        assert await months(view) == [str(month)]
        data = await view.value(sa.select(leaves.c.data).where(leaves.c.leaf_hash == leaf))
    assert row(document, "dg-edu")["steps_decided"] == 10
    assert hashlib.sha256(canonical(document)).hexdigest() in bytes(data).decode()

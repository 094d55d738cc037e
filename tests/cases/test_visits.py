"""Appointments: a slot never holds more than it was opened for; the file opens in any calendar."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from parts import FixedClock
from world import World

from hub.actor import Actor, ActorKind
from hub.cases import visits
from hub.catalogue.catalogue import load_catalogue
from hub.errors import HubError
from hub.formats import icalendar
from hub.ids import uuid7

ITEMS = load_catalogue()
HOME = ITEMS["441900-realestate-gift"]
OTHER = ITEMS["441900-realestate-mortgage"]
THIRD = ITEMS["441900-realestate-new-home"]
FOURTH = ITEMS["441900-realestate-sale-family"]
CLERK = Actor(ActorKind.OFFICER, department="dg-realestate", officer_id=uuid7(), roles=frozenset({"clerk"}))


async def opened(world: World, *, number: int = 3, capacity: int = 1, hours: float = 24) -> list[visits.Slot]:
    async with world.tx(CLERK) as tx:
        await visits.open_slots(
            tx, place_zh="不动产登记中心 3 号窗", place_en="Window 3", first=tx.now + timedelta(hours=hours),
            number=number, minutes=30, capacity=capacity,
        )  # fmt: skip
    async with world.view() as view:
        return await visits.free_slots(view, department="dg-realestate")


async def refused(doing) -> str:
    with pytest.raises(HubError) as told:
        await doing
    return told.value.code


async def booked(world: World, who: Actor, slot: visits.Slot, item=HOME) -> visits.Visit:
    async with world.tx(who) as tx:
        return await visits.book(tx, slot=slot.public_id, item=item)


async def test_twenty_people_want_three_places_and_three_get_them(world: World) -> None:
    (slot,) = await opened(world, number=1, capacity=3)
    people = [await world.citizen(world.person(f"人{n}")) for n in range(20)]
    answers = await asyncio.gather(*(booked(world, one, slot) for one in people), return_exceptions=True)
    got = [one for one in answers if isinstance(one, visits.Visit)]
    assert len(got) == 3
    assert {one.code for one in answers if isinstance(one, HubError)} == {"visit.slot_full"}
    async with world.view(CLERK) as view:
        assert [one.taken for one in await visits.of_department(view, department="dg-realestate")] == [3]
        assert await visits.free_slots(view, department="dg-realestate") == []


async def test_one_person_asking_twice_at_once_holds_one(world: World) -> None:
    slots = await opened(world, number=2, capacity=5)
    me = await world.citizen(world.person("王"))
    answers = await asyncio.gather(
        *(booked(world, me, slots[n % 2]) for n in range(6)), return_exceptions=True
    )
    assert sum(isinstance(one, visits.Visit) for one in answers) == 1
    async with world.view(CLERK) as view:
        assert sum(one.taken for one in await visits.of_department(view, department="dg-realestate")) == 1


async def test_a_cancelled_place_is_free_again_and_only_the_person_cancels(world: World) -> None:
    slots = await opened(world)
    me, stranger = await world.citizen(world.person("王")), await world.citizen(world.person("李"))
    mine = await booked(world, me, slots[0])
    assert await refused(booked(world, stranger, slots[0])) == "visit.slot_full"

    async def cancel(who: Actor) -> visits.Visit:
        async with world.tx(who) as tx:
            return await visits.cancel(tx, public_id=mine.public_id)

    assert await refused(cancel(stranger)) == "visit.unknown"
    assert await refused(cancel(CLERK)) == "visit.citizens_only"
    assert (await cancel(me)).state == visits.CANCELLED
    assert await refused(cancel(me)) == "visit.over"
    assert (await booked(world, stranger, slots[0])).state == visits.BOOKED


async def test_limits_times_and_departments(world: World) -> None:
    slots = await opened(world, number=4, capacity=9)
    me = await world.citizen(world.person("王"))
    for slot, item in zip(slots, (HOME, OTHER, THIRD), strict=False):
        await booked(world, me, slot, item)
    assert await refused(booked(world, me, slots[3], FOURTH)) == "visit.too_many"
    assert await refused(booked(world, me, slots[3], HOME)) == "visit.booked_already"
    other = await world.citizen(world.person("李"))
    assert (
        await refused(booked(world, other, slots[0], ITEMS["441900-civil-marriage"])) == "visit.slot_unknown"
    )
    world.clock.advance(hours=25)
    assert await refused(booked(world, other, slots[0])) == "visit.slot_full"


@pytest.mark.parametrize(
    "wrong", [{"hours": -1}, {"number": 0}, {"number": 201}, {"capacity": 0}, {"hours": 24 * 91}]
)
async def test_slots_that_cannot_be(world: World, wrong: dict[str, float]) -> None:
    assert await refused(opened(world, **wrong)) == "visit.slots_invalid"  # type: ignore[arg-type]


async def test_opening_again_adds_nothing_and_citizens_open_none(world: World) -> None:
    await opened(world)
    again = await opened(world)
    assert len(again) == 3
    async with world.db.tx(await world.citizen(world.person("王"))) as tx:
        with pytest.raises(HubError) as told:
            await visits.open_slots(
                tx,
                place_zh="甲",
                place_en="a",
                first=tx.now + timedelta(hours=1),
                number=1,
                minutes=30,
                capacity=1,
            )
    assert told.value.code == "visit.not_yours_to_open"


def test_the_calendar_file_keeps_the_rules_of_rfc_5545(clock: FixedClock) -> None:
    start = datetime(2026, 12, 1, 1, 0, tzinfo=UTC)
    data = icalendar.event(
        uid="abc@hub.example", starts=start, ends=start + timedelta(minutes=30), made=clock(),
        summary="不动产转移登记（赠与）；材料, 原件\n第二行\x00", place="莞城" * 40, notes="https://hub.example/items/x",
    )  # fmt: skip
    assert data.endswith(b"END:VCALENDAR\r\n")
    assert all(len(line) <= 75 for line in data.split(b"\r\n"))
    assert b"\n" not in data.replace(b"\r\n", b"")
    whole = data.replace(b"\r\n ", b"").decode()
    assert "DTSTART:20261201T010000Z" in whole
    assert "SUMMARY:不动产转移登记（赠与）；材料\\, 原件\\n第二行\r\n" in whole
    assert "LOCATION:" + "莞城" * 40 in whole
    assert "\x00" not in whole
    for line in data.split(b"\r\n"):
        line.decode()  # never folded inside a character

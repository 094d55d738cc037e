"""Visits by appointment: a window opens slots, somebody takes one for an item that still needs a visit.

A slot never holds more people than it was opened for, whoever is faster: one guarded statement decides. Somebody holds
at most one standing visit for an item, and three in all.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from hub.actor import ActorKind
from hub.cases.model import visit_slots, visits
from hub.catalogue.items import ServiceItem
from hub.errors import Conflict, Forbidden, NotFound, Unprocessable
from hub.formats import icalendar
from hub.ids import bucket_of, public_token, uuid7
from hub.registry.locks import one_at_a_time
from hub.registry.model import may
from hub.store.model import public_ids
from hub.store.tx import Tx, View

BOOKED, CANCELLED = "booked", "cancelled"
STANDING_AT_MOST = 3
SLOTS_AT_ONCE = 200
AHEAD = timedelta(days=90)


@dataclass(frozen=True, slots=True)
class Slot:
    """When a window sees people, and how many more it can see then."""

    id: UUID
    public_id: str
    department: str
    place_zh: str
    place_en: str
    starts_at: datetime
    minutes: int
    capacity: int
    taken: int

    @property
    def ends_at(self) -> datetime:
        """Its end."""
        return self.starts_at + timedelta(minutes=self.minutes)


@dataclass(frozen=True, slots=True)
class Visit:
    """One person's visit."""

    public_id: str
    item_code: str
    state: str
    booked_at: datetime
    slot: Slot

    def calendar(self, *, host: str, item: str, what: str) -> bytes:
        """The visit as an iCalendar file; no personal data but the time, the place and the item."""
        return icalendar.event(
            uid=f"{self.public_id}@{host}", starts=self.slot.starts_at, ends=self.slot.ends_at, made=self.booked_at,
            summary=item, place=f"{self.slot.place_zh} {self.slot.place_en}", notes=what,
        )  # fmt: skip


async def open_slots(
    tx: Tx, *, place_zh: str, place_en: str, first: datetime, number: int, minutes: int, capacity: int
) -> int:
    """A clerk of a department opens consecutive slots at one window; returns how many are new.

    Raises Forbidden `visit.not_yours_to_open`, Unprocessable `visit.slots_invalid`.
    """
    actor = tx.actor
    if actor.officer_id is None or actor.department is None or not may(actor.roles, "cases.open"):
        raise Forbidden(
            "visit.not_yours_to_open",
            "只有窗口工作人员可以开放预约。",
            "Only a counter clerk can open appointments.",
        )
    last = first + timedelta(minutes=minutes * number)
    fits = 1 <= number <= SLOTS_AT_ONCE and 5 <= minutes <= 480 and 1 <= capacity <= 100
    named = 1 <= len(place_zh) <= 120 and 1 <= len(place_en) <= 120
    if not fits or not named or first <= tx.now or last > tx.now + AHEAD:
        raise Unprocessable(
            "visit.slots_invalid",
            "时段不成立：须在今后90天内，每段5至480分钟，1至100人，写明地点的中英文名称。",
            "These slots cannot be: within 90 days, 5 to 480 minutes each, 1 to 100 people, a place in both languages.",
        )
    made = 0
    for place in range(number):
        made += await tx.insert_new(
            visit_slots,
            {
                "id": uuid7(), "public_id": public_token(), "department": actor.department, "place_zh": place_zh,
                "place_en": place_en, "starts_at": first + timedelta(minutes=minutes * place), "minutes": minutes,
                "capacity": capacity, "taken": 0, "made_by": actor.officer_id, "made_at": tx.now,
            },
        )  # fmt: skip
    return made


async def free_slots(view: View, *, department: str, limit: int = 60) -> list[Slot]:
    """The next slots of a department that somebody can still take."""
    table = visit_slots.c
    rows = await view.all(
        sa.select(visit_slots)
        .where(
            table.department == department,
            table.starts_at > view.now,
            table.closed_at.is_(None),
            table.taken < table.capacity,
        )
        .order_by(table.starts_at, table.place_zh)
        .limit(limit)
    )
    return [_slot(row) for row in rows]


async def of_department(view: View, *, department: str, limit: int = 200) -> list[Slot]:
    """A department's coming slots with how many are taken; who comes is not listed."""
    table = visit_slots.c
    rows = await view.all(
        sa.select(visit_slots)
        .where(table.department == department, table.starts_at > view.now - timedelta(hours=12))
        .order_by(table.starts_at)
        .limit(limit)
    )
    return [_slot(row) for row in rows]


async def book(tx: Tx, *, slot: str, item: ServiceItem) -> Visit:
    """The signed-in citizen takes a place in a slot of the item's department.

    Raises NotFound `visit.slot_unknown`, Conflict `visit.slot_full`, `visit.booked_already`, `visit.too_many`.
    """
    person = _citizen(tx)
    await one_at_a_time(tx, b"visits" + person.bytes)
    row = await tx.first(sa.select(visit_slots).where(visit_slots.c.public_id == slot))
    if row is None or row.department != item.department:
        raise NotFound("visit.slot_unknown", "没有这个时段。", "There is no such slot.")
    standing = [one for one in await of_person(tx, past=False) if one.state == BOOKED]
    if any(one.item_code == item.code for one in standing):
        raise Conflict(
            "visit.booked_already",
            "您已经为这件事约好了时间。",
            "You already have a visit for this.",
            next_zh="要换时间，请先取消原来的预约。",
            next_en="To change it, cancel the one you have first.",
        )
    if len(standing) >= STANDING_AT_MOST:
        raise Conflict("visit.too_many", "您已有三个预约，请先办完或取消。", "You have three visits already.")
    table = visit_slots.c
    won = await tx.run(
        visit_slots.update()
        .where(
            table.id == row.id,
            table.taken < table.capacity,
            table.starts_at > tx.now,
            table.closed_at.is_(None),
        )
        .values(taken=table.taken + 1)
    )
    if not won:
        raise Conflict(
            "visit.slot_full",
            "这个时段刚刚约满，或已经过了。",
            "This slot has just been filled, or is over.",
            next_zh="请换一个时段。",
            next_en="Choose another slot.",
        )
    bucket, row_id, public_id = bucket_of(person), uuid7(), public_token()
    said = {"public_id": public_id, "subject_id": person, "slot_id": row.id, "item_code": item.code}
    await tx.insert(visits, {"bucket": bucket, "id": row_id, **said, "state": BOOKED, "booked_at": tx.now})
    await tx.insert(public_ids, {"token": public_id, "kind": "visit", "bucket": bucket, "row_id": row_id})
    return await one(tx, public_id)


async def cancel(tx: Tx, *, public_id: str) -> Visit:
    """The citizen gives the place back, until the slot begins. Conflict `visit.over` otherwise."""
    found = await one(tx, public_id)
    table = visits.c
    gone = found.slot.starts_at > tx.now and await tx.run(
        visits.update()
        .where(table.bucket == bucket_of(_citizen(tx)), table.public_id == public_id, table.state == BOOKED)
        .values(state=CANCELLED, ended_at=tx.now)
    )
    if not gone:
        raise Conflict("visit.over", "这个预约已经取消或已经过了。", "This visit is cancelled or over.")
    slot = visit_slots.c
    await tx.run(visit_slots.update().where(slot.id == found.slot.id).values(taken=slot.taken - 1))
    return await one(tx, public_id)


async def one(view: View, public_id: str) -> Visit:
    """A visit of the signed-in citizen; NotFound `visit.unknown` for anybody else's and for none alike."""
    found = [visit for visit in await of_person(view, past=True) if visit.public_id == public_id]
    if not found:
        raise NotFound(
            "visit.unknown", "没有这个预约，或者不是您的。", "There is no such visit, or it is not yours."
        )
    return found[0]


async def of_person(view: View, *, past: bool) -> Sequence[Visit]:
    """The signed-in citizen's visits, the next first; without `past` only those to come."""
    person, table, slot = _citizen(view), visits.c, visit_slots.c
    query = (
        sa.select(table.public_id.label("visit"), table.item_code, table.state, table.booked_at, visit_slots)
        .join(visit_slots, slot.id == table.slot_id)
        .where(table.bucket == bucket_of(person), table.subject_id == person)
        .order_by(slot.starts_at)
    )
    rows = await view.all(query if past else query.where(slot.starts_at > view.now))
    return [Visit(row.visit, row.item_code, row.state, row.booked_at, _slot(row)) for row in rows]


def _citizen(view: View) -> UUID:
    if view.actor.kind is not ActorKind.CITIZEN or view.actor.subject_id is None:
        raise Forbidden("visit.citizens_only", "预约由本人办理。", "Visits are booked by the person.")
    return view.actor.subject_id


def _slot(row: Any) -> Slot:
    return Slot(
        row.id, row.public_id, row.department, row.place_zh, row.place_en, row.starts_at, row.minutes, row.capacity,
        row.taken,
    )  # fmt: skip

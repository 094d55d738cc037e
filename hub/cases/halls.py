"""Halls as data: where a case may be accepted, for whichever department decides it.

The accepting hall hands the case over electronically; the receipt is the department's word that it has it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import Any, Literal
from uuid import UUID

import sqlalchemy as sa

from hub.cases.model import cases, hall_officers, handovers
from hub.cases.open import Case
from hub.clock import seconds
from hub.errors import Conflict, Forbidden, Malformed, NotFound
from hub.ids import public_token, uuid7
from hub.ledger.append import commit_event
from hub.registry.datafiles import display, in_locale, load_folder
from hub.registry.model import may
from hub.store.tx import Tx, View

EVERY = "*"


@dataclass(frozen=True, slots=True)
class Hall:
    """A place where people are served; `accepts` are item codes, or every item."""

    code: str
    level: Literal["city", "town", "village"]
    display: Mapping[str, str]
    accepts: frozenset[str]

    def label(self, locale: str = "zh-CN") -> str:
        """Its name."""
        return in_locale(self.display, locale)

    def takes(self, item_code: str) -> bool:
        """Whether a case of this item may be accepted here."""
        return EVERY in self.accepts or item_code in self.accepts


@dataclass(frozen=True, slots=True)
class Handover:
    """A case on its way from a hall to a department; received once."""

    receipt: str
    case_id: UUID
    hall: str
    department: str
    sent_at: datetime
    received_at: datetime | None


@cache
def load_halls() -> Mapping[str, Hall]:
    """Every hall that comes with the hub. Raises `Malformed("hall.file_invalid")`."""
    return load_folder(files("hub.cases").joinpath("halls"), _parse, _invalid)


async def assign(tx: Tx, *, officer_id: UUID, hall: str) -> None:
    """Let an officer work in a hall. Only an administrator may."""
    if not may(tx.actor.roles, "registry.administer"):
        raise Forbidden("hall.not_yours", "只有平台管理员可以安排。", "Only an administrator may assign.")
    if hall not in load_halls():
        raise NotFound("hall.unknown", "没有这个大厅。", "There is no such hall.")
    await tx.insert_new(hall_officers, {"officer_id": officer_id, "hall": hall})


async def halls_of(view: View) -> list[Hall]:
    """The halls in which the acting officer works."""
    rows = await view.all(
        sa.select(hall_officers.c.hall).where(hall_officers.c.officer_id == view.actor.officer_id)
    )
    return [load_halls()[row.hall] for row in rows if row.hall in load_halls()]


async def hand_over(tx: Tx, *, case: Case) -> Handover:
    """Send a case that was accepted in a hall to the department that handles it.

    Raises Forbidden `hall.not_yours` unless the officer works in that hall, Conflict `hall.sent_before`.
    """
    if case.hall is None or case.hall not in {hall.code for hall in await halls_of(tx)}:
        raise Forbidden(
            "hall.not_yours", "只有受理大厅的工作人员可以移交。", "Only an officer of the accepting hall may."
        )
    waiting = sa.select(handovers.c.id).where(handovers.c.case_id == case.id)
    await tx.run(cases.update().where(cases.c.id == case.id).values(hall=case.hall))  # one at a time
    if await tx.first(waiting) is not None:
        raise Conflict("hall.sent_before", "这个办件已经移交。", "This case was handed over already.")
    made = Handover(public_token(), case.id, case.hall, case.department, tx.now, None)
    await tx.insert(
        handovers,
        {
            "id": uuid7(),
            "receipt": made.receipt,
            "case_id": case.id,
            "hall": made.hall,
            "department": made.department,
            "sent_by": tx.actor.reference(),
            "sent_at": tx.now,
        },
    )
    await _event(tx, case, "case.handed_over", made)
    return made


async def receive(tx: Tx, *, case: Case) -> Handover:
    """The department confirms that it has the case: the receipt. Raises Conflict `hall.nothing_to_receive`."""
    mine = handovers.c
    if tx.actor.department != case.department:
        raise Forbidden("hall.not_yours", "这个办件不是移交给本部门的。", "It is not handed over to you.")
    taken = await tx.run(
        handovers.update()
        .where(mine.case_id == case.id, mine.received_at.is_(None))
        .values(received_at=tx.now, received_by=tx.actor.reference())
    )
    if taken != 1:
        raise Conflict("hall.nothing_to_receive", "没有待接收的移交。", "Nothing waits to be received.")
    found = await handover_of(tx, case=case)
    assert found is not None  # noqa: S101 - just updated
    await _event(tx, case, "case.received", found)
    return found


async def handover_of(view: View, *, case: Case) -> Handover | None:
    """The hand-over of a case, if there was one."""
    row = await view.first(sa.select(handovers).where(handovers.c.case_id == case.id))
    if row is None:
        return None
    return Handover(row.receipt, row.case_id, row.hall, row.department, row.sent_at, row.received_at)


async def _event(tx: Tx, case: Case, kind: str, made: Handover) -> None:
    body = {"event": kind, "case": case.public_id, "hall": made.hall, "department": made.department}
    more = {"receipt": made.receipt, "at": seconds(tx.now)}
    await commit_event(tx, kind=kind, subject_id=case.applicant, body=body | more)


def _invalid(name: str, fault: Exception) -> Malformed:
    return Malformed("hall.file_invalid", f"大厅文件无效：{name}", f"invalid hall file {name}: {fault}")


def _parse(raw: dict[str, Any]) -> Hall:
    if raw["level"] not in ("city", "town", "village"):
        raise ValueError("a hall belongs to the city, a town or a village")
    return Hall(raw["code"], raw["level"], display(raw["display"]), frozenset(raw["accepts"]))

"""Halls as data: where a case may be accepted, for whichever department decides it.

The accepting hall hands the case over electronically; the receipt is the department's word that it has it.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import Any, Literal
from uuid import UUID

import sqlalchemy as sa

from hub.cases.model import cases, hall_officers, handovers
from hub.cases.open import Case, from_row
from hub.clock import seconds
from hub.errors import Conflict, Forbidden, Malformed, NotFound, Unprocessable
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
    """A case on its way from a hall to a department; received once, or refused with a reason.

    The leaves are what the signed receipts of both sides are about (None: from before there were receipts).
    """

    id: UUID
    receipt: str
    case_id: UUID
    hall: str
    department: str
    sent_at: datetime
    received_at: datetime | None
    refused_at: datetime | None
    reason: str | None
    sent_leaf: bytes | None
    answered_leaf: bytes | None

    @property
    def state(self) -> Literal["sent", "received", "refused"]:
        """Where it stands."""
        return "received" if self.received_at else "refused" if self.refused_at else "sent"

    @property
    def answered_at(self) -> datetime | None:
        """When the department answered."""
        return self.received_at or self.refused_at


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


async def remove(tx: Tx, *, officer_id: UUID, hall: str) -> bool:
    """Let an officer work in a hall no more; False when they did not. Only an administrator may."""
    if not may(tx.actor.roles, "registry.administer"):
        raise Forbidden("hall.not_yours", "只有平台管理员可以安排。", "Only an administrator may assign.")
    row = hall_officers.c
    return bool(await tx.run(hall_officers.delete().where(row.officer_id == officer_id, row.hall == hall)))


async def assigned(view: View) -> list[tuple[UUID, str]]:
    """Who works where: officer and hall."""
    rows = await view.all(sa.select(hall_officers).order_by(hall_officers.c.hall))
    return [(row.officer_id, row.hall) for row in rows]


async def halls_of(view: View) -> list[Hall]:
    """The halls in which the acting officer works."""
    rows = await view.all(
        sa.select(hall_officers.c.hall).where(hall_officers.c.officer_id == view.actor.officer_id)
    )
    return [load_halls()[row.hall] for row in rows if row.hall in load_halls()]


async def hand_over(tx: Tx, *, case: Case) -> Handover:
    """Send a case that was accepted in a hall to the department that handles it; after a refusal, again.

    Raises Forbidden `hall.not_yours` unless the officer works in that hall, Conflict `hall.sent_before`.
    """
    if case.hall is None or case.hall not in {hall.code for hall in await halls_of(tx)}:
        raise Forbidden(
            "hall.not_yours", "只有受理大厅的工作人员可以移交。", "Only an officer of the accepting hall may."
        )
    await tx.run(cases.update().where(cases.c.id == case.id).values(hall=case.hall))  # one at a time
    before = await handover_of(tx, case=case)
    if before is not None and before.state != "refused":
        raise Conflict("hall.sent_before", "这个办件已经移交。", "This case was handed over already.")
    receipt = public_token()[:22]
    leaf = await _event(tx, case, "case.handed_over", receipt)
    await tx.insert(
        handovers,
        {
            "id": uuid7(),
            "receipt": receipt,
            "case_id": case.id,
            "hall": case.hall,
            "department": case.department,
            "sent_by": tx.actor.reference(),
            "sent_at": tx.now,
            "sent_leaf": leaf,
        },
    )
    return await _newest(tx, case)


async def receive(tx: Tx, *, case: Case) -> Handover:
    """The department confirms that it has the case: the receipt. Raises Conflict `hall.nothing_to_receive`."""
    found = await _to_answer(tx, case)
    leaf = await _event(tx, case, "case.received", found.receipt)
    values = {"received_at": tx.now, "received_by": tx.actor.reference(), "answered_leaf": leaf}
    return await _answer(tx, case, found, values)


async def refuse(tx: Tx, *, case: Case, reason: str) -> Handover:
    """The department sends the case back to the hall, and says why. The hall mends it and hands it over again.

    Raises Conflict `hall.nothing_to_receive`, Unprocessable `hall.reason_missing`.
    """
    words = reason.strip()
    if not 1 <= len(words) <= 1000:
        raise Unprocessable(
            "hall.reason_missing",
            "退回须写明原因，最多 1000 字。",
            "Say why it is sent back, in at most 1000 characters.",
        )
    found = await _to_answer(tx, case)
    leaf = await _event(tx, case, "case.handover_refused", found.receipt)
    sealed = await tx.vault.seal_for(tx, case.applicant, words.encode(), bound_to=found.id.bytes)
    values = {"refused_at": tx.now, "refused_by": tx.actor.reference(), "answered_leaf": leaf}
    return await _answer(tx, case, found, values | {"sealed_reason": sealed})


async def handover_of(view: View, *, case: Case) -> Handover | None:
    """The newest hand-over of a case, if there was one."""
    found = await handovers_of(view, case=case)
    return found[-1] if found else None


async def handovers_of(view: View, *, case: Case) -> list[Handover]:
    """Every hand-over of a case, oldest first."""
    row = handovers.c
    rows = await view.all(sa.select(handovers).where(row.case_id == case.id).order_by(row.id))
    return [await _handover(view, case, one) for one in rows]


async def waiting_for(view: View, *, department: str, limit: int = 100) -> list[Case]:
    """What halls have handed over to a department and it has not answered yet, the oldest first."""
    row = handovers.c
    rows = await view.all(
        sa.select(cases)
        .join(handovers, row.case_id == cases.c.id)
        .where(row.department == department, row.received_at.is_(None), row.refused_at.is_(None))
        .order_by(row.sent_at)
        .limit(limit)
    )
    return [from_row(one) for one in rows]


async def of_halls(view: View, *, halls: Collection[str], limit: int = 100) -> list[Case]:
    """The newest cases that these halls took in."""
    rows = await view.all(
        sa.select(cases).where(cases.c.hall.in_(list(halls))).order_by(cases.c.id.desc()).limit(limit)
    )
    return [from_row(one) for one in rows]


async def _to_answer(tx: Tx, case: Case) -> Handover:
    if tx.actor.department != case.department or not any(
        may(tx.actor.roles, act) for act in ("cases.open", "cases.decide")
    ):
        raise Forbidden("hall.not_yours", "这个办件不是移交给本部门的。", "It is not handed over to you.")
    found = await handover_of(tx, case=case)
    if found is None or found.state != "sent":
        raise _nothing()
    return found


async def _answer(tx: Tx, case: Case, found: Handover, values: Mapping[str, Any]) -> Handover:
    """Of two officers who answer at the same moment, one does."""
    row = handovers.c
    taken = await tx.run(
        handovers.update()
        .where(row.id == found.id, row.received_at.is_(None), row.refused_at.is_(None))
        .values(**values)
    )
    if taken != 1:
        raise _nothing()
    return await _newest(tx, case)


async def _newest(view: View, case: Case) -> Handover:
    found = await handover_of(view, case=case)
    if found is None:
        raise _nothing()
    return found


async def _handover(view: View, case: Case, row: Any) -> Handover:
    reason = None
    if row.sealed_reason is not None:
        opened = await view.vault.open_for(view, case.applicant, row.sealed_reason, bound_to=row.id.bytes)
        reason = opened.decode()
    return Handover(
        row.id, row.receipt, row.case_id, row.hall, row.department, row.sent_at, row.received_at, row.refused_at,
        reason, row.sent_leaf, row.answered_leaf,
    )  # fmt: skip


async def _event(tx: Tx, case: Case, kind: str, receipt: str) -> bytes:
    body = {"event": kind, "case": case.public_id, "hall": case.hall, "department": case.department}
    more = {"receipt": receipt, "by": tx.actor.reference(), "at": seconds(tx.now)}
    return (await commit_event(tx, kind=kind, subject_id=case.applicant, body=body | more)).leaf_hash


def _nothing() -> Conflict:
    return Conflict("hall.nothing_to_receive", "没有待接收的移交。", "Nothing waits to be received.")


def _invalid(name: str, fault: Exception) -> Malformed:
    return Malformed("hall.file_invalid", f"大厅文件无效：{name}", f"invalid hall file {name}: {fault}")


def _parse(raw: dict[str, Any]) -> Hall:
    if raw["level"] not in ("city", "town", "village"):
        raise ValueError("a hall belongs to the city, a town or a village")
    return Hall(raw["code"], raw["level"], display(raw["display"]), frozenset(raw["accepts"]))

"""Open a case with nothing but who you are, and find it again."""

from collections.abc import Set
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from hub.actor import ActorKind
from hub.cases.model import CaseOutcome, CaseState, cases
from hub.catalogue.items import ServiceItem, require_complete
from hub.clock import seconds
from hub.consent.model import CaseFacts
from hub.errors import Forbidden, NotFound
from hub.ids import public_token, uuid7
from hub.ledger.append import commit_event
from hub.registry.model import may
from hub.store.statement import Statement
from hub.store.tx import Tx, View


@dataclass(frozen=True, slots=True)
class Case:
    """One application: what for, by whom, for whom, and which department handles it."""

    id: UUID
    public_id: str
    item_code: str
    item_version: int
    department: str
    applicant: UUID
    beneficiary: UUID | None
    state: CaseState
    opened_at: datetime
    closed_at: datetime | None
    hall: str | None = None
    outcome: CaseOutcome | None = None
    accepted_at: datetime | None = None
    decided_at: datetime | None = None

    @property
    def in_hand(self) -> bool:
        """Whether its department still works on it: not closed, not rejected, not withdrawn."""
        return _in_hand(self.state, self.outcome)

    def facts(self) -> CaseFacts:
        """What consent and verification must know of it."""
        return _facts(self)


def _facts(one: Any) -> CaseFacts:
    """Of a case, or of its row."""
    return CaseFacts(
        one.public_id,
        one.item_code,
        one.department,
        one.applicant,
        one.beneficiary,
        _in_hand(one.state, one.outcome),
    )


def _in_hand(state: str, outcome: str | None) -> bool:
    return state != CaseState.CLOSED and outcome not in (CaseOutcome.REJECTED, CaseOutcome.WITHDRAWN)


async def open_case(
    tx: Tx, *, item: ServiceItem, applicant: UUID, beneficiary: UUID | None = None, hall: str | None = None,
    public_id: str | None = None,
) -> Case:  # fmt: skip
    """Open a case for the applicant: by the citizen, by the handling department, or by a clerk of it.

    `hall`: by a clerk in a hall that accepts this item, whichever department decides it; the door has made sure
    that the clerk works there (`hub.cases.halls.halls_of`). `public_id`: a fresh random one that is spoken of already.

    Raises Unprocessable `item.not_catalogued` for an item whose materials nobody has catalogued yet.
    """
    actor = tx.actor
    require_complete(item)
    by_citizen = actor.kind is ActorKind.CITIZEN and actor.subject_id == applicant
    by_department = actor.kind is ActorKind.DEPARTMENT and actor.department == item.department
    by_clerk = (
        actor.kind is ActorKind.OFFICER
        and (actor.department == item.department or hall is not None)
        and may(actor.roles, "cases.open")
    )
    if not (by_citizen or by_department or by_clerk):
        raise Forbidden(
            "case.not_yours_to_open",
            "只有申请人本人或办理该事项的部门可以开立办件。",
            "Only the applicant or the department that handles this item may open a case.",
        )
    case = Case(
        id=uuid7(),
        public_id=public_id or public_token(),
        item_code=item.code,
        item_version=item.version,
        department=item.department,
        applicant=applicant,
        beneficiary=beneficiary,
        state=CaseState.OPEN,
        opened_at=tx.now,
        closed_at=None,
        hall=hall,
    )
    await tx.insert(
        cases,
        {
            "id": case.id,
            "public_id": case.public_id,
            "item_code": case.item_code,
            "item_version": case.item_version,
            "department": case.department,
            "applicant": applicant,
            "beneficiary": beneficiary,
            "opened_by": actor.reference(),
            "state": case.state,
            "opened_at": tx.now,
            "hall": hall,
        },
    )
    await commit_event(
        tx,
        kind="case.opened",
        subject_id=applicant,
        body={
            "event": "case.opened",
            "case": case.public_id,
            "item": item.code,
            "department": item.department,
            "at": seconds(tx.now),
        },
    )
    return case


async def by_public_id(view: View, public_id: str) -> Case:
    """The case with this public id; whether the caller may see it is `readable`'s question."""
    row = await view.first(sa.select(cases).where(cases.c.public_id == public_id))
    if row is None:
        raise unknown_case()
    return from_row(row)


FACTS = Statement(
    lambda _: sa.select(
        cases.c.public_id, cases.c.item_code, cases.c.department, cases.c.applicant, cases.c.beneficiary,
        cases.c.state, cases.c.outcome,
    ).where(cases.c.public_id == sa.bindparam("case"))
)


async def facts_of(view: View, public_ids: Set[str]) -> dict[str, CaseFacts]:
    """What consent must know of many cases; one that does not exist is left out."""
    rows = await view.each(FACTS, [{"case": public_id} for public_id in sorted(public_ids)])
    return {row.public_id: _facts(row) for row in rows}


async def readable(view: View, public_id: str) -> Case:
    """The case, if the acting citizen or department is part of it; NotFound alike otherwise."""
    case = await by_public_id(view, public_id)
    actor = view.actor
    if actor.kind is ActorKind.CITIZEN and actor.subject_id == case.applicant:
        return case
    if actor.kind in (ActorKind.DEPARTMENT, ActorKind.OFFICER) and actor.department == case.department:
        return case
    raise unknown_case()


async def of_applicant(view: View, *, subject_id: UUID) -> list[Case]:
    """A citizen's own cases, newest first."""
    rows = await view.all(sa.select(cases).where(cases.c.applicant == subject_id).order_by(cases.c.id.desc()))
    return [from_row(row) for row in rows]


async def of_department(
    view: View, *, department: str, before: Case | None = None, limit: int = 100
) -> list[Case]:
    """The cases that a department handles, newest first; `before` continues after the last one seen."""
    query = sa.select(cases).where(cases.c.department == department)
    if before is not None:
        query = query.where(cases.c.id < before.id)
    rows = await view.all(query.order_by(cases.c.id.desc()).limit(limit))
    return [from_row(row) for row in rows]


def from_row(row: Any) -> Case:
    """The case of a row that selects all columns."""
    return Case(
        id=row.id,
        public_id=row.public_id,
        item_code=row.item_code,
        item_version=row.item_version,
        department=row.department,
        applicant=row.applicant,
        beneficiary=row.beneficiary,
        state=CaseState(row.state),
        opened_at=row.opened_at,
        closed_at=row.closed_at,
        hall=row.hall,
        outcome=CaseOutcome(row.outcome) if row.outcome else None,
        accepted_at=row.accepted_at,
        decided_at=row.decided_at,
    )


def unknown_case() -> NotFound:
    """The same answer for a case that does not exist and for somebody else's."""
    return NotFound(
        "case.unknown",
        "没有这个办件，或者您无权查看。",
        "There is no such case, or it is not yours to see.",
    )

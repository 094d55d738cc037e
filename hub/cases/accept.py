"""Accept a case: from here on the departments' clocks run, all at once.

容缺受理: what is lacking may follow by a promised day, if it is named; nothing is silently left out.
"""

from collections.abc import Mapping
from datetime import date
from typing import Any

from hub.cases import workdays
from hub.cases.model import CaseState, StepState, case_lacking, case_steps, cases
from hub.cases.open import Case, by_public_id
from hub.cases.prereview import PreReview
from hub.cases.procedure import Procedure
from hub.cases.scope import Scope
from hub.catalogue.items import ServiceItem
from hub.clock import civil_day, seconds
from hub.errors import Conflict, Forbidden, Unprocessable
from hub.ids import uuid7
from hub.ledger.append import commit_event
from hub.registry.model import may
from hub.store.tx import Tx


async def accept(
    tx: Tx,
    *,
    case: Case,
    scope: Scope,
    procedure: Procedure,
    review: PreReview,
    lacking: Mapping[str, date] | None = None,
) -> Case:
    """Accept an open case and start every step.

    1. A clerk or decider of the handling department, or a clerk of the accepting hall. 2. Every required material (of
    alternatives one) is there, or promised by a day to come; 3. exactly once, also when two clerks press at the same
    moment.

    Raises Forbidden `case.not_yours_to_accept`, Unprocessable `case.material_missing`, Conflict `case.accepted_before`.
    """
    roles = tx.actor.roles
    if not scope.may_accept or not (may(roles, "cases.open") or may(roles, "cases.decide")):  # 1
        raise Forbidden(
            "case.not_yours_to_accept",
            "只有办理部门或受理大厅的工作人员可以受理。",
            "Only officers of the handling department or the accepting hall may accept a case.",
        )
    today, promised = civil_day(tx.now), dict(lacking or {})
    missing = {code for any_of in review.lacking for code in any_of}
    unnamed = [any_of for any_of in review.lacking if promised.keys().isdisjoint(any_of)]  # 2
    if unnamed or promised.keys() - missing or any(day <= today for day in promised.values()):
        raise Unprocessable(
            "case.material_missing",
            "有必需材料未到，也没有写明补交日期。",
            "A required material is missing, and no day is promised for it.",
            next_zh="请上传或带来，或对可以后补的材料写明补交日期（容缺受理）。",
            next_en="Upload or bring it, or name the day by which it follows.",
            materials=sorted(code for any_of in unnamed for code in any_of),
        )
    taken = await tx.run(  # 3
        cases.update()
        .where(
            cases.c.id == case.id,
            cases.c.state.in_((CaseState.OPEN, CaseState.GATHERED, CaseState.SCORED)),
            cases.c.outcome.is_(None),
            cases.c.accepted_at.is_(None),
        )
        .values(state=CaseState.ACCEPTED, accepted_at=tx.now, steps_open=len(procedure.steps))
    )
    if taken != 1:
        raise Conflict("case.accepted_before", "这个办件已经受理。", "This case was accepted already.")
    await tx.insert(case_steps, [_step(tx, case, step) for step in procedure.steps])
    await tx.insert(
        case_lacking,
        [{"case_id": case.id, "material": code, "promised_by": day} for code, day in promised.items()],
    )
    await commit_event(
        tx,
        kind="case.accepted",
        subject_id=case.applicant,
        body={
            "event": "case.accepted",
            "case": case.public_id,
            "department": case.department,
            "hall": case.hall,
            "steps": {step.code: step.days for step in procedure.steps},
            "lacking": {code: day.isoformat() for code, day in promised.items()},
            "at": seconds(tx.now),
        },
    )
    return await by_public_id(tx, case.public_id)


def _step(tx: Tx, case: Case, step: Any) -> dict[str, Any]:
    return {
        "id": uuid7(),
        "case_id": case.id,
        "code": step.code,
        "department": step.department,
        "state": StepState.RUNNING,
        "days": step.days,
        "days_unconfirmed": step.unconfirmed,
        "calendar": workdays.VERSION,
        "started_at": tx.now,
    }


async def came(tx: Tx, *, case: Case, item: ServiceItem, code: str) -> None:
    """A material came that was to follow, or an alternative to one: nothing more is owed for it."""
    lacking = case_lacking.c
    await tx.run(
        case_lacking.update()
        .where(
            lacking.case_id == case.id,
            lacking.material.in_(item.alternatives(code)),
            lacking.fulfilled_at.is_(None),
        )
        .values(fulfilled_at=tx.now)
    )

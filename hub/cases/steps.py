"""Departments decide their steps side by side: each decision once, and one final state when the last is made.

Two statements guard everything. A step is taken by an UPDATE that repeats its state, so that of two officers who
decide at the same moment one is told that it was decided. The case counts the steps left in its own row: that UPDATE
makes deciders wait for each other for a moment, and whoever brings it to zero writes the final state.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from hub.actor import ActorKind
from hub.cases.clock import Clock, read_clock
from hub.cases.evidence import cited
from hub.cases.model import (
    CaseOutcome,
    CaseState,
    StepState,
    case_steps,
    cases,
    step_pauses,
)
from hub.cases.open import Case, by_public_id, from_row
from hub.cases.procedure import Procedure
from hub.clock import civil_day, seconds
from hub.errors import Conflict, Forbidden, NotFound, Unprocessable
from hub.ids import uuid7
from hub.ledger.append import commit_event
from hub.registry.model import may
from hub.store.outbox import emit
from hub.store.tx import Tx, View

WORDS_AT_MOST = 1000


@dataclass(frozen=True, slots=True)
class Pause:
    """Something to be mended: what, since when, until when."""

    reason_code: str
    ask: str
    asked_at: datetime
    answered_at: datetime | None


@dataclass(frozen=True, slots=True)
class Step:
    """One department's part as it stands, with its clock. `note` are the officer's words to the applicant."""

    id: UUID
    code: str
    department: str
    state: StepState
    clock: Clock
    days_unconfirmed: bool
    started_at: datetime
    pauses: tuple[Pause, ...]
    passed: bool | None
    reason_code: str | None
    evidence: Sequence[str]
    note: str | None
    decided_at: datetime | None
    decided_by: str | None
    leaf_hash: bytes | None


async def decide(
    tx: Tx, *, case: Case, procedure: Procedure, code: str, passed: bool, reason_code: str, note: str = ""
) -> Case:
    """Decide one step: officer, reason code and evidence are recorded with it.

    1. A decider of the step's own department. 2. The reason is one of the list for this kind of decision. 3. The step
    runs and nobody decided it (one guarded statement). 4. The case has no final state yet; the last step gives it:
    rejected when any step was rejected, passed otherwise.

    Raises Forbidden `step.not_yours`, Conflict `step.decided_before`, `step.paused`, `case.final`.
    """
    step = _one(await steps_of(tx, case=case), code)
    if tx.actor.department != step.department or not may(tx.actor.roles, "cases.decide"):  # 1
        raise _not_yours()
    reason = procedure.reason(reason_code, passed=passed)  # 2
    evidence = await cited(tx, case=case, types=procedure.step(code).reads)
    words = _words(note, required=not passed)
    leaf = await commit_event(
        tx,
        kind="step.decided",
        subject_id=case.applicant,
        body={
            "event": "step.decided",
            "case": case.public_id,
            "step": code,
            "department": step.department,
            "officer": tx.actor.reference(),
            "passed": passed,
            "reason": reason.code,
            "evidence": list(evidence),
            "ours": step.clock.ours,
            "theirs": step.clock.theirs,
            "limit": step.clock.limit,
            "at": seconds(tx.now),
        },
    )
    row = case_steps.c
    taken = await tx.run(  # 3
        case_steps.update()
        .where(row.id == step.id, row.state == StepState.RUNNING)
        .values(
            state=StepState.DECIDED,
            decided_at=tx.now,
            decided_by=tx.actor.reference(),
            passed=passed,
            reason_code=reason.code,
            evidence=list(evidence),
            sealed_note=await tx.vault.seal_for(tx, case.applicant, words.encode(), bound_to=step.id.bytes),
            leaf_hash=leaf.leaf_hash,
        )
    )
    if taken != 1:
        raise _lost(await _state(tx, step.id))
    left = cases.c.steps_open  # 4
    counted = await tx.run(
        cases.update().where(cases.c.id == case.id, cases.c.outcome.is_(None)).values(steps_open=left - 1)
    )
    if counted != 1:
        raise _final()
    if await tx.value(sa.select(left).where(cases.c.id == case.id)) == 0:
        await _finish(tx, case)
    return await by_public_id(tx, case.public_id)


async def withdraw(tx: Tx, *, case: Case) -> Case:
    """The applicant takes the application back, as long as it has no final state. Conflict `case.final`."""
    if tx.actor.kind is not ActorKind.CITIZEN or tx.actor.subject_id != case.applicant:
        raise _not_yours()
    await _end(tx, case, CaseOutcome.WITHDRAWN)
    return await by_public_id(tx, case.public_id)


async def pause(tx: Tx, *, case: Case, code: str, reason_code: str, ask: str) -> None:
    """补正: the applicant must mend something; the clock is theirs from the next working day on.

    Raises Forbidden `step.not_yours`, Conflict as `decide`, Unprocessable `step.words_missing`.
    """
    step = _one(await steps_of(tx, case=case), code)
    if tx.actor.department != step.department or not may(tx.actor.roles, "cases.decide"):
        raise _not_yours()
    words, row, pause_id = _words(ask, required=True), case_steps.c, uuid7()
    taken = await tx.run(
        case_steps.update()
        .where(row.id == step.id, row.state == StepState.RUNNING)
        .values(state=StepState.PAUSED)
    )
    if taken != 1:
        raise _lost(await _state(tx, step.id))
    await tx.insert(
        step_pauses,
        {
            "id": pause_id,
            "step_id": step.id,
            "reason_code": reason_code[:48],
            "sealed_ask": await tx.vault.seal_for(
                tx, case.applicant, words.encode(), bound_to=pause_id.bytes
            ),
            "asked_by": tx.actor.reference(),
            "asked_at": tx.now,
        },
    )
    await _event(tx, case, "step.paused", code, {"reason": reason_code[:48]})
    await emit(tx, kind="step.paused", case=case.public_id)


async def resume(tx: Tx, *, case: Case, code: str) -> None:
    """The applicant says that it is mended, or an officer of the step's department takes the mended paper.

    Conflict `step.not_paused` when the clock runs already.
    """
    step, actor = _one(await steps_of(tx, case=case), code), tx.actor
    mine = actor.kind is ActorKind.CITIZEN and actor.subject_id == case.applicant
    if not mine and actor.department not in (step.department, case.department):
        raise _not_yours()
    row = case_steps.c
    taken = await tx.run(
        case_steps.update()
        .where(row.id == step.id, row.state == StepState.PAUSED)
        .values(state=StepState.RUNNING)
    )
    if taken != 1:
        raise Conflict(
            "step.not_paused", "这个环节没有等待补正。", "Nothing of this step waits to be mended."
        )
    open_ = step_pauses.c
    await tx.run(
        step_pauses.update()
        .where(open_.step_id == step.id, open_.answered_at.is_(None))
        .values(answered_at=tx.now)
    )
    await _event(tx, case, "step.resumed", code, {})


async def steps_of(view: View, *, case: Case) -> list[Step]:
    """Every step of a case with its clock, in the order of the procedure."""
    rows = await view.all(
        sa.select(case_steps).where(case_steps.c.case_id == case.id).order_by(case_steps.c.id)
    )
    asked = await view.all(
        sa.select(step_pauses)
        .where(step_pauses.c.step_id.in_([row.id for row in rows]))
        .order_by(step_pauses.c.asked_at)
    )
    return [await _step(view, case, row, [one for one in asked if one.step_id == row.id]) for row in rows]


async def waiting(
    view: View, *, department: str, limit: int = 200
) -> list[tuple[Case, str, StepState, datetime]]:
    """What a department has to decide, oldest first: the case, the step, its state, since when."""
    rows = await view.all(
        sa.select(cases, case_steps.c.code, case_steps.c.state.label("step_state"), case_steps.c.started_at)
        .join(case_steps, case_steps.c.case_id == cases.c.id)
        .where(
            case_steps.c.department == department,
            case_steps.c.state != StepState.DECIDED,
            cases.c.outcome.is_(None),
        )
        .order_by(case_steps.c.started_at)
        .limit(limit)
    )
    return [(from_row(row), row.code, StepState(row.step_state), row.started_at) for row in rows]


async def _finish(tx: Tx, case: Case) -> None:
    """The last decision is made: one rejected step rejects the case."""
    row = case_steps.c
    against = await tx.value(sa.select(sa.func.count()).where(row.case_id == case.id, row.passed.is_(False)))
    await _end(tx, case, CaseOutcome.REJECTED if against else CaseOutcome.PASSED)


async def _end(tx: Tx, case: Case, outcome: CaseOutcome) -> None:
    ended = await tx.run(
        cases.update()
        .where(cases.c.id == case.id, cases.c.outcome.is_(None), cases.c.state != CaseState.CLOSED)
        .values(outcome=outcome, state=CaseState.DECIDED, decided_at=tx.now)
    )
    if ended != 1:
        raise _final()
    body = {"event": "case.decided", "case": case.public_id, "department": case.department}
    more = {"outcome": outcome, "at": seconds(tx.now)}
    await commit_event(tx, kind="case.decided", subject_id=case.applicant, body=body | more)
    await emit(tx, kind="case.decided", case=case.public_id)


async def _step(view: View, case: Case, row: Any, asked: Sequence[Any]) -> Step:
    pauses = []
    for one in asked:
        ask = await view.vault.open_for(view, case.applicant, one.sealed_ask, bound_to=one.id.bytes)
        pauses.append(Pause(one.reason_code, ask.decode(), one.asked_at, one.answered_at))
    note = None
    if row.sealed_note is not None:
        note = (
            await view.vault.open_for(view, case.applicant, row.sealed_note, bound_to=row.id.bytes)
        ).decode()
    return Step(
        id=row.id,
        code=row.code,
        department=row.department,
        state=StepState(row.state),
        clock=read_clock(
            limit=row.days,
            started=civil_day(row.started_at),
            pauses=[(civil_day(p.asked_at), _day(p.answered_at)) for p in pauses],
            today=civil_day(view.now),
            ended=_day(row.decided_at),
        ),
        days_unconfirmed=row.days_unconfirmed,
        started_at=row.started_at,
        pauses=tuple(pauses),
        passed=row.passed,
        reason_code=row.reason_code,
        evidence=tuple(row.evidence or ()),
        note=note or None,
        decided_at=row.decided_at,
        decided_by=row.decided_by,
        leaf_hash=row.leaf_hash,
    )


def _day(moment: datetime | None) -> date | None:
    return civil_day(moment) if moment else None


async def _state(tx: Tx, step_id: UUID) -> str:
    return str(await tx.value(sa.select(case_steps.c.state).where(case_steps.c.id == step_id)))


async def _event(tx: Tx, case: Case, kind: str, code: str, more: dict[str, Any]) -> None:
    body = {"event": kind, "case": case.public_id, "step": code, **more, "at": seconds(tx.now)}
    await commit_event(tx, kind=kind, subject_id=case.applicant, body=body)


def _one(found: Sequence[Step], code: str) -> Step:
    for step in found:
        if step.code == code:
            return step
    raise NotFound("step.not_started", "这个环节还没有开始。", "This step has not begun.")


def _words(text: str, *, required: bool) -> str:
    words = text.strip()
    if len(words) > WORDS_AT_MOST or (required and not words):
        raise Unprocessable(
            "step.words_missing",
            f"请用申请人看得懂的话写明，最多 {WORDS_AT_MOST} 字。",
            f"Say it in words that the applicant understands, at most {WORDS_AT_MOST} characters.",
        )
    return words


def _lost(state: str) -> Conflict:
    if state == StepState.PAUSED:
        return Conflict(
            "step.paused",
            "这个环节正在等申请人补正。",
            "This step waits for the applicant to mend something.",
            next_zh="补正完成后再决定。",
            next_en="Decide when it is mended.",
        )
    return Conflict(
        "step.decided_before",
        "这个环节已经决定，每个环节只决定一次。",
        "This step is decided; each is decided once.",
        next_zh="请刷新页面查看决定。",
        next_en="Reload to see the decision.",
    )


def _final() -> Conflict:
    return Conflict(
        "case.final", "这个办件已有最终结果。", "This case has its final state.",
        next_zh="请刷新页面查看结果。", next_en="Reload to see it.",
    )  # fmt: skip


def _not_yours() -> Forbidden:
    return Forbidden(
        "step.not_yours",
        "只有该环节部门的审批人员可以决定，只有申请人可以撤回。",
        "Only a decider of the step's department decides it, and only the applicant withdraws.",
    )

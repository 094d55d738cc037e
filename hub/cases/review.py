"""Review (复核) of a score: the applicant asks once for each score, another officer than who scored answers.

The answer is either "upheld", and then the hub has computed the score again from the evidence kept with it and got
the same total, or "changed", and then a newer score stands. Both are told with reasons.
"""

from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

import sqlalchemy as sa

from hub.actor import ActorKind
from hub.cases import workdays
from hub.cases.model import ReviewState, cases, score_reviews
from hub.cases.open import Case, from_row
from hub.cases.publish import scheme_at
from hub.cases.score import again, by_id, latest
from hub.clock import civil_day, seconds
from hub.errors import Conflict, Forbidden, NotFound, Unprocessable
from hub.ids import public_token, uuid7
from hub.ledger.append import commit_event
from hub.registry.model import may
from hub.store.tx import Tx, View

REVIEW_DAYS = 5
"""Working days to answer. No published figure: a rule of this hub until the scheme's text names one."""
WORDS_AT_MOST = 1000


@dataclass(frozen=True, slots=True)
class Review:
    """One review as its applicant and its department see it; `due_on` None: that year has no calendar yet."""

    id: UUID
    public_id: str
    score_id: UUID
    department: str
    reason: str
    state: ReviewState
    asked_at: datetime
    due_on: date | None
    answer: str | None
    answered_at: datetime | None
    new_score_id: UUID | None


async def ask_review(tx: Tx, *, case: Case, reason: str) -> Review:
    """The applicant asks for a review of the score that stands.

    Raises Unprocessable `review.no_score`, `review.reason_missing`; Conflict `review.asked_before` for the same score.
    """
    if tx.actor.kind is not ActorKind.CITIZEN or tx.actor.subject_id != case.applicant:
        raise _not_yours()
    score = await latest(tx, case=case)
    if score is None:
        raise Unprocessable("review.no_score", "还没有评分，不能复核。", "There is no score to review yet.")
    words = _words(reason)
    row_id, public_id = uuid7(), public_token()
    inserted = await tx.insert_new(
        score_reviews,
        {
            "id": row_id,
            "public_id": public_id,
            "case_id": case.id,
            "score_id": score.id,
            "department": case.department,
            "sealed_reason": await tx.vault.seal_for(
                tx, case.applicant, words.encode(), bound_to=row_id.bytes
            ),
            "state": ReviewState.OPEN,
            "asked_at": tx.now,
            "due_on": workdays.due_or_none(civil_day(tx.now), REVIEW_DAYS),
            "calendar": workdays.VERSION,
        },
    )
    if not inserted:
        raise Conflict(
            "review.asked_before",
            "这个评分已经申请过复核。",
            "A review of this score was asked for before.",
            next_zh="请等待答复，或查看已有的答复。",
            next_en="Wait for the answer, or read the one there is.",
        )
    await _event(tx, case, "score.review_asked", public_id)
    return await review(tx, case=case, public_id=public_id)


async def answer_review(tx: Tx, *, case: Case, public_id: str, answer: str) -> Review:
    """A decider answers: changed when a newer score stands, upheld when the same evidence gives the same total.

    1. A decider of the handling department, and not the officer who scored. 2. Upheld only if the hub computes the
    score again, under the version of then, and it is equal. 3. Answered once.

    Raises Conflict `review.does_not_hold` (score anew first), `review.answered`.
    """
    actor, found = tx.actor, await review(tx, case=case, public_id=public_id)
    if actor.department != case.department or not may(actor.roles, "cases.decide"):  # 1
        raise _not_yours()
    kept = await by_id(tx, case=case, score_id=found.score_id)
    if kept.scored_by == actor.reference():
        raise Forbidden(
            "review.own_score",
            "评分的人不能复核自己的评分。",
            "Whoever scored does not review it.",
            next_zh="请由另一名审批人员答复。",
            next_en="Another decider answers.",
        )
    now = await latest(tx, case=case)
    changed = now is not None and now.id != kept.id
    if not changed:  # 2
        computed = again(kept, await scheme_at(tx, code=kept.scheme, version=kept.scheme_version))
        if computed.total != kept.total:
            raise Conflict(
                "review.does_not_hold",
                "按同一依据重算的结果与原评分不同，不能维持。",
                "Computed again from the same evidence the score differs, so it cannot be upheld.",
                next_zh="请重新评分后再答复。",
                next_en="Score anew, then answer.",
            )
    words = _words(answer)
    row = score_reviews.c
    answered = await tx.run(  # 3
        score_reviews.update()
        .where(row.id == found.id, row.state == ReviewState.OPEN)
        .values(
            state=ReviewState.CHANGED if changed else ReviewState.UPHELD,
            answered_at=tx.now,
            answered_by=actor.reference(),
            sealed_answer=await tx.vault.seal_for(
                tx, case.applicant, words.encode(), bound_to=b"answer:" + found.id.bytes
            ),
            new_score_id=now.id if changed and now else None,
        )
    )
    if answered != 1:
        raise Conflict("review.answered", "这个复核已经答复。", "This review was answered already.")
    await _event(tx, case, "score.review_changed" if changed else "score.review_upheld", public_id)
    return await review(tx, case=case, public_id=public_id)


async def review(view: View, *, case: Case, public_id: str) -> Review:
    """One review of a case. NotFound `review.unknown`."""
    found = [one for one in await reviews_of(view, case=case) if one.public_id == public_id]
    if not found:
        raise NotFound("review.unknown", "没有这个复核申请。", "There is no such review.")
    return found[0]


async def reviews_of(view: View, *, case: Case) -> list[Review]:
    """The reviews of a case, newest first."""
    rows = await view.all(
        sa.select(score_reviews).where(score_reviews.c.case_id == case.id).order_by(score_reviews.c.id.desc())
    )
    found = []
    for row in rows:
        open_for = view.vault.open_for
        reason = await open_for(view, case.applicant, row.sealed_reason, bound_to=row.id.bytes)
        answer = None
        if row.sealed_answer is not None:
            bound = b"answer:" + row.id.bytes
            answer = (await open_for(view, case.applicant, row.sealed_answer, bound_to=bound)).decode()
        found.append(
            Review(
                id=row.id,
                public_id=row.public_id,
                score_id=row.score_id,
                department=row.department,
                reason=reason.decode(),
                state=ReviewState(row.state),
                asked_at=row.asked_at,
                due_on=row.due_on,
                answer=answer,
                answered_at=row.answered_at,
                new_score_id=row.new_score_id,
            )
        )
    return found


async def waiting_reviews(view: View, *, department: str, limit: int = 100) -> list[tuple[Case, date | None]]:
    """The cases whose review waits for this department, oldest first, with the last day to answer."""
    rows = await view.all(
        sa.select(cases, score_reviews.c.due_on)
        .join(score_reviews, score_reviews.c.case_id == cases.c.id)
        .where(score_reviews.c.department == department, score_reviews.c.state == ReviewState.OPEN)
        .order_by(score_reviews.c.asked_at)
        .limit(limit)
    )
    return [(from_row(row), row.due_on) for row in rows]


async def _event(tx: Tx, case: Case, kind: str, public_id: str) -> None:
    body = {"event": kind, "case": case.public_id, "review": public_id, "department": case.department}
    await commit_event(tx, kind=kind, subject_id=case.applicant, body=body | {"at": seconds(tx.now)})


def _words(text: str) -> str:
    words = text.strip()
    if not 1 <= len(words) <= WORDS_AT_MOST:
        raise Unprocessable(
            "review.reason_missing",
            f"请写明理由，最多 {WORDS_AT_MOST} 字。",
            f"Say why, in at most {WORDS_AT_MOST} characters.",
        )
    return words


def _not_yours() -> Forbidden:
    return Forbidden(
        "review.not_yours",
        "只有申请人可以申请复核，只有办理部门的审批人员可以答复。",
        "Only the applicant asks for a review, and only a decider of the handling department answers.",
    )

"""How people found it (好差评): one rating for each finished step, by its applicant; a low one opens a reply task.

A rating is a personal event in the ledger, so that a department can neither add to its own nor lose one. Not rating
says nothing, and counts as nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from hub.actor import ActorKind
from hub.cases import workdays
from hub.cases.model import StepState, case_steps
from hub.cases.open import Case, unknown_case
from hub.clock import civil_day, seconds
from hub.errors import Conflict, Forbidden, NotFound, Unprocessable
from hub.ids import public_token, uuid7
from hub.ledger.append import commit_event
from hub.oversight.model import step_ratings
from hub.registry.model import may
from hub.store.tx import Tx, View

LOW = 2
"""A score up to this asks for a reply."""
SATISFIED = 4
REPLY_DAYS = 5
"""Working days in which a low rating is answered; our own rule, no law's."""
MAX_WORDS = 1000


@dataclass(frozen=True, slots=True)
class Rating:
    """One rating, opened for those who may read it. `due_on`: a reply is owed until then; None when none is owed."""

    public_id: str
    department: str
    step: str
    score: int
    words: str
    rated_at: datetime
    due_on: date | None
    reply: str | None
    replied_at: datetime | None


async def rate(tx: Tx, *, case: Case, step: str, score: int, words: str) -> Rating:
    """The applicant rates a decided step, once.

    Raises NotFound `case.unknown`, Unprocessable `rating.invalid`, Conflict `rating.not_decided`, `rating.once`.
    """
    if tx.actor.kind is not ActorKind.CITIZEN or tx.actor.subject_id != case.applicant:
        raise unknown_case()
    said = words.strip()
    if not 1 <= score <= 5 or len(said) > MAX_WORDS:
        raise Unprocessable(
            "rating.invalid",
            "请选1至5分，留言最多1000字。",
            "A rating is 1 to 5, with at most 1000 characters.",
        )
    table = case_steps.c
    row = await tx.first(sa.select(case_steps).where(table.case_id == case.id, table.code == step))
    if row is None or row.state != StepState.DECIDED:
        raise Conflict(
            "rating.not_decided",
            "这个环节还没有办完，办完后再评。",
            "This step is not finished; rate it afterwards.",
        )
    leaf = await commit_event(
        tx,
        kind="step.rated",
        subject_id=case.applicant,
        body={
            "event": "step.rated", "case": case.public_id, "step": step, "department": row.department,
            "score": score, "at": seconds(tx.now),
        },
    )  # fmt: skip
    row_id, public_id, low = uuid7(), public_token(), score <= LOW
    won = await tx.insert_new(
        step_ratings,
        {
            "id": row_id, "public_id": public_id, "step_id": row.id, "case_id": case.id,
            "department": row.department, "step": step, "subject_id": case.applicant, "score": score,
            "sealed_words": await tx.vault.seal_for(tx, case.applicant, said.encode(), bound_to=row_id.bytes),
            "rated_at": tx.now, "owes_reply": low,
            "due_on": workdays.due_or_none(civil_day(tx.now), REPLY_DAYS) if low else None,
            "leaf_hash": leaf.leaf_hash,
        },
    )  # fmt: skip
    if not won:
        raise Conflict("rating.once", "这个环节您已经评过了。", "You have rated this step already.")
    return await _open(tx, await _row(tx, public_id))


async def reply(tx: Tx, *, public_id: str, words: str) -> Rating:
    """A complaint handler of the rated department answers a low rating, once.

    Raises NotFound `rating.unknown`, Conflict `rating.replied`, Unprocessable `rating.reply_empty`.
    """
    row, said = await _row(tx, public_id), words.strip()
    if tx.actor.department != row.department or not may(tx.actor.roles, "complaints.handle"):
        raise _unknown()
    if not 1 <= len(said) <= MAX_WORDS:
        raise Unprocessable(
            "rating.reply_empty", "请写答复，最多1000字。", "Write a reply of at most 1000 characters."
        )
    table = step_ratings.c
    won = await tx.run(
        step_ratings.update()
        .where(table.id == row.id, table.owes_reply, table.replied_at.is_(None))
        .values(
            sealed_reply=await tx.vault.seal_for(tx, row.subject_id, said.encode(), bound_to=row.id.bytes),
            replied_at=tx.now,
            replied_by=tx.actor.reference(),
        )
    )
    if not won:
        raise Conflict(
            "rating.replied", "已经答复过，或不需要答复。", "It is answered already, or needs no answer."
        )
    await commit_event(
        tx,
        kind="rating.replied",
        subject_id=row.subject_id,
        body={
            "event": "rating.replied",
            "rating": public_id,
            "department": row.department,
            "at": seconds(tx.now),
        },
    )
    return await _open(tx, await _row(tx, public_id))


async def of_case(view: View, *, case: Case) -> Mapping[str, Rating]:
    """The ratings of a case by step code, for its applicant."""
    if view.actor.subject_id != case.applicant:
        raise unknown_case()
    rows = await view.all(sa.select(step_ratings).where(step_ratings.c.case_id == case.id))
    return {row.step: await _open(view, row) for row in rows}


async def queue_of(view: View, *, limit: int = 100) -> list[Rating]:
    """The low ratings that the acting handler's department still owes a reply, the oldest first."""
    if not may(view.actor.roles, "complaints.handle"):
        raise Forbidden(
            "rating.not_yours", "只有投诉处理人员可以查看。", "Only complaint handlers can see these."
        )
    table = step_ratings.c
    rows = await view.all(
        sa.select(step_ratings)
        .where(table.department == view.actor.department, table.owes_reply, table.replied_at.is_(None))
        .order_by(table.id)
        .limit(limit)
    )
    return [await _open(view, row) for row in rows]


async def scores(view: View, start: datetime, end: datetime) -> dict[str, list[int]]:
    """For the board: the scores given in [start, end), by department."""
    table = step_ratings.c
    rows = await view.all(
        sa.select(table.department, table.score).where(table.rated_at >= start, table.rated_at < end)
    )
    found: dict[str, list[int]] = {}
    for row in rows:
        found.setdefault(row.department, []).append(row.score)
    return found


async def _row(view: View, public_id: str) -> Any:
    row = await view.first(sa.select(step_ratings).where(step_ratings.c.public_id == public_id))
    if row is None:
        raise _unknown()
    return row


async def _open(view: View, row: Any) -> Rating:
    return Rating(
        public_id=row.public_id,
        department=row.department,
        step=row.step,
        score=row.score,
        words=await _unsealed(view, row.subject_id, row.sealed_words, row.id) or "",
        rated_at=row.rated_at,
        due_on=row.due_on,
        reply=await _unsealed(view, row.subject_id, row.sealed_reply, row.id),
        replied_at=row.replied_at,
    )


async def _unsealed(view: View, subject: UUID, sealed: bytes | None, row_id: UUID) -> str | None:
    if sealed is None:
        return None
    return (await view.vault.open_for(view, subject, sealed, bound_to=row_id.bytes)).decode()


def _unknown() -> NotFound:
    return NotFound(
        "rating.unknown", "没有这条评价，或者不归您处理。", "There is no such rating, or it is not yours."
    )

"""Objections (异议) to certificates and complaints (投诉举报) about looks: a queue with a deadline for whoever answers.

A wrong certificate is answered by its issuer: superseded, revoked, or explained. The hub checks the first two against
what was registered; it never changes a certificate itself. A look is answered by the department that looked.
Unanswered ones show on the board (`standing_of`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from hub.access.model import Outcome, accesses
from hub.actor import ActorKind
from hub.cases import workdays
from hub.certificates.find import by_public_id, holders_of
from hub.certificates.model import Certificate, CertificateState
from hub.clock import civil_day, seconds
from hub.consent.represent import children_of
from hub.errors import Conflict, Forbidden, NotFound, Unprocessable
from hub.ids import bucket_of, public_token, uuid7
from hub.ledger.append import commit_event
from hub.oversight.model import ObjectionState, objections
from hub.oversight.reliance import successor, tell_who_relied
from hub.registry.model import may
from hub.store.outbox import emit
from hub.store.tx import Tx, View

ANSWER_DAYS = 15
"""Working days to answer: a rule of this hub; no published figure was found."""
WORDS_AT_MOST = 2000
OPEN_AT_MOST = 20
"""What one filer may have unanswered at one department at once."""


@dataclass(frozen=True, slots=True)
class Objection:
    """One objection or complaint, opened for those who may read it."""

    id: UUID
    public_id: str
    department: str
    subject_id: UUID
    filed_by: str
    certificate: str | None
    access: str | None
    type_code: str | None
    words: str
    filed_at: datetime
    due_on: date | None
    state: ObjectionState
    answer: str | None
    answered_at: datetime | None
    new_certificate: str | None

    def overdue(self, today: date) -> bool:
        """Whether its last day has passed without an answer."""
        return self.state is ObjectionState.OPEN and self.due_on is not None and self.due_on < today


async def object_to_certificate(tx: Tx, *, certificate: str, words: str) -> Objection:
    """Say that a certificate is wrong: its holder, a guardian, or a department that was shown it.

    NotFound `certificate.unknown` alike for one that does not exist and one that is nobody's business of theirs.
    """
    found = await by_public_id(tx, certificate)
    subject = await _about(tx, found)
    return await _file(
        tx, department=found.department, subject=subject, words=words,
        certificate=found.public_id, access=None, type_code=found.type_code,
    )  # fmt: skip


async def complain_of_access(tx: Tx, *, subject_id: UUID, access: str, words: str) -> Objection:
    """Complain of a look at oneself or at one's child; the department that looked answers.

    NotFound `access.unknown` for a look at somebody else.
    """
    actor = tx.actor
    mine = actor.kind is ActorKind.CITIZEN and actor.subject_id is not None
    family = {actor.subject_id, *(await children_of(tx, guardian=actor.subject_id))} if actor.subject_id else set()
    row = accesses.c
    look = await tx.first(
        sa.select(row.department, row.type_code).where(
            row.bucket == bucket_of(subject_id), row.subject_id == subject_id, row.public_id == access
        )
    )
    if not mine or subject_id not in family or look is None:
        raise NotFound("access.unknown", "没有这条记录。", "There is no such record.")
    return await _file(
        tx, department=look.department, subject=subject_id, words=words,
        certificate=None, access=access, type_code=look.type_code,
    )  # fmt: skip


async def answer(
    tx: Tx, *, public_id: str, outcome: ObjectionState, words: str, new_certificate: str | None = None
) -> Objection:
    """A complaint handler of the department answers, once.

    1. Superseded and revoked must be so already: the department's agent signed and registered it. 2. One guarded
    statement. 3. Whoever relied on the old version is told, and their cases are flagged, in the same commit.

    Raises NotFound `objection.unknown`, Forbidden `objection.not_yours`, Conflict `objection.answered`,
    Unprocessable `objection.not_so`.
    """
    row = await _row(tx, public_id)
    if tx.actor.department != row.department:  # another department's is told like one that does not exist
        raise _unknown()
    if not may(tx.actor.roles, "complaints.handle"):
        raise _not_yours()
    new = await _checked(tx, row, outcome, new_certificate)  # 1
    said = _words(words)
    taken = await tx.run(  # 2
        objections.update()
        .where(objections.c.id == row.id, objections.c.state == ObjectionState.OPEN)
        .values(
            state=outcome,
            answered_at=tx.now,
            answered_by=tx.actor.reference(),
            new_certificate=new,
            sealed_answer=await tx.vault.seal_for(
                tx, row.subject_id, said.encode(), bound_to=b"answer:" + row.id.bytes
            ),
        )
    )
    if taken != 1:
        raise Conflict("objection.answered", "这件异议已经答复。", "This was answered already.")
    if row.certificate and outcome in (ObjectionState.SUPERSEDED, ObjectionState.REVOKED):  # 3
        await tell_who_relied(tx, certificate=row.certificate)
    await _event(tx, "objection.answered", row.subject_id, row.public_id, row.department, {"outcome": outcome})
    await emit(tx, kind="objection.answered", objection=row.public_id)
    return await _open(tx, await _row(tx, public_id))


async def queue_of(view: View, *, department: str, limit: int = 200) -> list[Objection]:
    """What a department has to answer and what it answered: open ones first, the oldest of them on top."""
    table = objections.c
    rows = await view.all(
        sa.select(objections)
        .where(table.department == department)
        .order_by(sa.case((table.state == ObjectionState.OPEN, 0), else_=1), table.filed_at)
        .limit(limit)
    )
    return [await _open(view, row) for row in rows]


async def of_subject(view: View, *, subject_id: UUID) -> list[Objection]:
    """What was filed about a person, newest first."""
    table = objections.c
    rows = await view.all(
        sa.select(objections).where(table.subject_id == subject_id).order_by(table.id.desc())
    )
    return [await _open(view, row) for row in rows]


async def standing_of(view: View) -> Mapping[str, tuple[int, int]]:
    """For the board: by department, how many are unanswered, and how many of them are overdue."""
    table, today = objections.c, civil_day(view.now)
    late = sa.func.sum(sa.case((table.due_on < today, 1), else_=0))
    rows = await view.all(
        sa.select(table.department, sa.func.count().label("open"), late.label("overdue"))
        .where(table.state == ObjectionState.OPEN)
        .group_by(table.department)
        .order_by(table.department)
    )
    return {row.department: (row.open, int(row.overdue or 0)) for row in rows}


async def _about(tx: Tx, found: Certificate) -> UUID:
    """Whom an objection of the acting caller is about; NotFound for a stranger."""
    actor, people = tx.actor, [held.subject_id for held in await holders_of(tx, found)]
    if actor.kind is ActorKind.CITIZEN and actor.subject_id is not None:
        family = [actor.subject_id, *await children_of(tx, guardian=actor.subject_id)]
        for one in family:
            if one in people:
                return one
    if actor.department is not None:
        row = accesses.c
        for one in people:
            seen = await tx.first(
                sa.select(row.subject_seq)
                .where(
                    row.bucket == bucket_of(one),
                    row.subject_id == one,
                    row.certificate == found.public_id,
                    row.department == actor.department,
                    row.outcome == Outcome.ACCEPTED,
                )
                .limit(1)
            )
            if seen is not None:
                return one
    raise NotFound(
        "certificate.unknown",
        "没有这份证照，或者它不属于您。",
        "There is no such certificate, or it is not yours.",
    )


async def _file(
    tx: Tx, *, department: str, subject: UUID, words: str, certificate: str | None, access: str | None,
    type_code: str | None,
) -> Objection:  # fmt: skip
    said, row_id, public_id, by = _words(words), uuid7(), public_token(), tx.actor.reference()
    table = objections.c
    open_now = await tx.value(
        sa.select(sa.func.count()).where(
            table.filed_by == by, table.department == department, table.state == ObjectionState.OPEN
        )
    )
    if open_now >= OPEN_AT_MOST:
        raise Conflict(
            "objection.too_many_open",
            "您在这个部门还有很多件没有答复，请等答复后再提。",
            "Many of yours are unanswered at this department; wait for an answer first.",
        )
    leaf = await _event(tx, "objection.filed", subject, public_id, department, {"certificate": certificate})
    await tx.insert(
        objections,
        {
            "id": row_id,
            "public_id": public_id,
            "department": department,
            "subject_id": subject,
            "filed_by": by,
            "certificate": certificate,
            "access": access,
            "type_code": type_code,
            "sealed_words": await tx.vault.seal_for(tx, subject, said.encode(), bound_to=row_id.bytes),
            "filed_at": tx.now,
            "due_on": workdays.due_or_none(civil_day(tx.now), ANSWER_DAYS),
            "calendar": workdays.VERSION,
            "state": ObjectionState.OPEN,
            "leaf_hash": leaf,
        },
    )
    return await _open(tx, await _row(tx, public_id))


async def _checked(tx: Tx, row: Any, outcome: ObjectionState, new: str | None) -> str | None:
    """The new certificate's public id, when the outcome says that there is one and it is so."""
    allowed = (
        (ObjectionState.SUPERSEDED, ObjectionState.REVOKED, ObjectionState.EXPLAINED)
        if row.certificate
        else (ObjectionState.UPHELD, ObjectionState.EXPLAINED)
    )
    if outcome not in allowed:
        raise _not_so()
    if outcome in (ObjectionState.SUPERSEDED, ObjectionState.REVOKED):
        found = await by_public_id(tx, row.certificate)
        if found.state is not CertificateState(outcome.value):
            raise _not_so()
        after = await successor(tx, found) if outcome is ObjectionState.SUPERSEDED else None
        if new is not None and new != after:
            raise _not_so()
        return after
    return None


async def _row(view: View, public_id: str) -> Any:
    row = await view.first(sa.select(objections).where(objections.c.public_id == public_id))
    if row is None:
        raise _unknown()
    return row


async def _open(view: View, row: Any) -> Objection:
    vault = view.vault
    words = await vault.open_for(view, row.subject_id, row.sealed_words, bound_to=row.id.bytes)
    said = None
    if row.sealed_answer is not None:
        bound = b"answer:" + row.id.bytes
        said = (await vault.open_for(view, row.subject_id, row.sealed_answer, bound_to=bound)).decode()
    return Objection(
        id=row.id,
        public_id=row.public_id,
        department=row.department,
        subject_id=row.subject_id,
        filed_by=row.filed_by,
        certificate=row.certificate,
        access=row.access,
        type_code=row.type_code,
        words=words.decode(),
        filed_at=row.filed_at,
        due_on=row.due_on,
        state=ObjectionState(row.state),
        answer=said,
        answered_at=row.answered_at,
        new_certificate=row.new_certificate,
    )


async def _event(
    tx: Tx, kind: str, subject: UUID, public_id: str, department: str, more: dict[str, Any]
) -> bytes:
    body = {"event": kind, "objection": public_id, "department": department, **more, "at": seconds(tx.now)}
    return (await commit_event(tx, kind=kind, subject_id=subject, body=body)).leaf_hash


def _words(text: str) -> str:
    words = text.strip()
    if not 1 <= len(words) <= WORDS_AT_MOST:
        raise Unprocessable(
            "objection.words_missing",
            f"请写明哪里不对，最多 {WORDS_AT_MOST} 字。",
            f"Say what is wrong, in at most {WORDS_AT_MOST} characters.",
        )
    return words


def _unknown() -> NotFound:
    return NotFound("objection.unknown", "没有这件异议。", "There is no such objection.")


def _not_yours() -> Forbidden:
    return Forbidden(
        "objection.not_yours",
        "只有被提异议部门的投诉处理人员可以答复。",
        "Only a complaint handler of the department concerned answers.",
    )


def _not_so() -> Unprocessable:
    return Unprocessable(
        "objection.not_so",
        "答复与证照的现状不符：更正须先由本部门代理签发新版本或撤销。",
        "The answer does not fit how the certificate stands: first let your agent supersede or revoke it.",
        next_zh="请先更正并登记，再答复；或说明为什么没有错。",
        next_en="Correct and register it first, then answer; or explain why it is right.",
    )

"""A disputed guardian: what they gave for the child is frozen, and they can give nothing more, until it is settled.

The child's other guardian raises it, or an officer who handles complaints; only such an officer settles it.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from hub.actor import ActorKind
from hub.clock import seconds
from hub.consent.model import Basis, Grant, GrantState, grants, guardianships
from hub.consent.represent import children_of
from hub.consent.withdraw import by_public_id, end, from_row, unknown_grant
from hub.errors import Conflict, Forbidden
from hub.ids import bucket_of
from hub.ledger.append import commit_event
from hub.registry.model import may
from hub.store.model import idempotent_replies
from hub.store.tx import Tx, View

HANDLES = "complaints.handle"


@dataclass(frozen=True, slots=True)
class Dispute:
    """A guardian whose power for a child is frozen."""

    child: UUID
    guardian: UUID
    since: datetime


async def raise_dispute(tx: Tx, *, grant: str) -> None:
    """Dispute whoever gave this grant for a child: all their grants for the child freeze in this commit.

    NotFound `grant.unknown` unless the actor is the child's other guardian or handles complaints. Twice is once.
    """
    found = await by_public_id(tx, grant)
    if found.basis is not Basis.GUARDIAN or not await _may_raise(tx, found):
        raise unknown_grant()
    pair = {"child": found.holder, "guardian": found.approver, "frozen_at": tx.now}
    if not await tx.insert_new(guardianships, pair):
        await tx.run(_row(found.holder, found.approver).values(frozen_at=tx.now))
    await _move(tx, found.holder, found.approver, GrantState.STANDING, GrantState.FROZEN, "grant.frozen")
    await _tell(tx, found.holder, "guardian.disputed")


async def settle(tx: Tx, *, child: UUID, guardian: UUID, uphold: bool) -> None:
    """Settle a dispute: the guardian may decide again and their grants stand again, or what they gave has ended.

    Raises Forbidden `dispute.not_yours`, Conflict `dispute.none`.
    """
    _require_handler(tx)
    thawed = await tx.run(
        _row(child, guardian)
        .where(guardianships.c.frozen_at.is_not(None))
        .values(frozen_at=None if uphold else guardianships.c.frozen_at)
    )
    if not thawed:
        raise Conflict("dispute.none", "没有待处理的争议。", "There is no such dispute.")
    if uphold:
        await _move(tx, child, guardian, GrantState.FROZEN, GrantState.STANDING, "grant.thawed")
        await _tell(tx, child, "guardian.upheld")
        return
    for row in await tx.all(_theirs(child, guardian, GrantState.FROZEN)):
        await end(tx, from_row(row), by="dispute")
    await _tell(tx, child, "guardian.stopped")


async def open_disputes(view: View) -> list[Dispute]:
    """Every guardian who is frozen now, the oldest dispute first; for officers who handle complaints."""
    _require_handler(view)
    rows = await view.all(
        sa.select(guardianships)
        .where(guardianships.c.frozen_at.is_not(None))
        .order_by(guardianships.c.frozen_at)
    )
    return [Dispute(row.child, row.guardian, row.frozen_at) for row in rows]


async def _may_raise(tx: Tx, found: Grant) -> bool:
    actor = tx.actor
    if actor.kind is ActorKind.OFFICER:
        return may(actor.roles, HANDLES)
    citizen = actor.subject_id
    if citizen is None or citizen == found.approver:
        return False
    return found.holder in await children_of(tx, guardian=citizen)


def _require_handler(view: View) -> None:
    if view.actor.kind is not ActorKind.OFFICER or not may(view.actor.roles, HANDLES):
        raise Forbidden(
            "dispute.not_yours",
            "只有投诉处理人员可以处理监护争议。",
            "Only officers who handle complaints settle disputes about guardians.",
        )


async def _move(
    tx: Tx, child: UUID, guardian: UUID, before: GrantState, after: GrantState, event: str
) -> None:
    """Move a guardian's grants for a child, in id order; each row's lock gives it one order with its uses."""
    for row in await tx.all(_theirs(child, guardian, before)):
        moved = (
            await tx.conn.execute(
                grants.update()
                .where(grants.c.bucket == row.bucket, grants.c.id == row.id, grants.c.state == before)
                .values(state=after, seq=grants.c.seq + 1)
                .returning(grants.c.seq)
            )
        ).first()
        if moved is None:
            continue
        await tx.run(idempotent_replies.delete().where(idempotent_replies.c.grant_row == row.id))
        body = {
            "event": event,
            "grant": row.public_id,
            "grant_seq": moved.seq,
            "department": row.department,
            "at": seconds(tx.now),
        }
        await commit_event(tx, kind=event, subject_id=child, body=body)


def _theirs(child: UUID, guardian: UUID, state: GrantState) -> sa.Select[tuple[object, ...]]:
    return (
        sa.select(grants)
        .where(
            grants.c.bucket == bucket_of(child),
            grants.c.holder == child,
            grants.c.approver == guardian,
            grants.c.basis == Basis.GUARDIAN,
            grants.c.state == state,
        )
        .order_by(grants.c.id)
    )


def _row(child: UUID, guardian: UUID) -> sa.Update:
    return guardianships.update().where(guardianships.c.child == child, guardianships.c.guardian == guardian)


async def _tell(tx: Tx, child: UUID, event: str) -> None:
    body = {"event": event, "by": str(tx.actor.kind), "at": seconds(tx.now)}
    await commit_event(tx, kind=event, subject_id=child, body=body)

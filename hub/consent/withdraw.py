"""Withdraw a grant: from the commit on nobody can use it, and the ledger shows which came first."""

from collections.abc import Collection
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from hub.clock import seconds
from hub.consent.licence import companies_of
from hub.consent.model import Basis, Grant, GrantState, grants
from hub.consent.represent import children_of
from hub.errors import NotFound
from hub.ids import bucket_of
from hub.ledger.append import commit_event
from hub.store.model import idempotent_replies, public_ids
from hub.store.outbox import emit
from hub.store.rows import rows_of
from hub.store.tx import Tx, View


async def withdraw(tx: Tx, *, grant: str) -> Grant:
    """Withdraw the grant with this public id; its holder, its approver, the child's other parent and the company's
    representative may. Twice is the same as once.

    The update takes the grant's row lock, which every use takes too: uses and the withdrawal have one order,
    and `grant_seq` shows it in the ledger. Replies that were kept under this grant die with it.
    """
    found = await by_public_id(tx, grant)
    if not await _may_withdraw(tx, found):
        raise unknown_grant()
    return await end(tx, found)


async def end(tx: Tx, found: Grant, **why: str) -> Grant:
    """End a grant now, whoever asks for it: the caller has made sure that they may. `why` goes into the leaf."""
    row = (
        await tx.conn.execute(
            grants.update()
            .where(
                grants.c.bucket == found.bucket,
                grants.c.id == found.id,
                grants.c.state != GrantState.WITHDRAWN,
            )
            .values(state=GrantState.WITHDRAWN, withdrawn_at=tx.now, seq=grants.c.seq + 1)
            .returning(grants)
        )
    ).first()
    if row is None:
        return await by_public_id(tx, found.public_id)
    await tx.run(idempotent_replies.delete().where(idempotent_replies.c.grant_row == found.id))
    await commit_event(
        tx,
        kind="grant.withdrawn",
        subject_id=found.holder,
        body={
            "event": "grant.withdrawn",
            "grant": found.public_id,
            "grant_seq": row.seq,
            "department": found.department,
            "at": seconds(tx.now),
            **why,
        },
    )
    await emit(tx, kind="grant.withdrawn", grant=found.public_id)
    return from_row(row)


async def end_resting_on(tx: Tx, *, evidence: str) -> int:
    """End every grant whose giver was proved by this certificate or entrustment; returns how many.

    Called in the commit in which the proof itself ends: from then on nobody can use them.
    """
    resting = await tx.all(
        sa.select(grants)
        .where(grants.c.basis_evidence == evidence, grants.c.state != GrantState.WITHDRAWN)
        .order_by(grants.c.id)
    )
    for row in resting:
        await end(tx, from_row(row), by="evidence")
    return len(resting)


async def end_all_resting_on(tx: Tx, *, evidence: Collection[str]) -> int:
    """As `end_resting_on`, of many proofs: few prove a representation, and one look finds those."""
    column = grants.c.basis_evidence
    query = sa.select(column).where(column.is_not(None), grants.c.state != GrantState.WITHDRAWN)
    resting = {row.basis_evidence for row in await rows_of(tx, query, column, evidence)}
    return sum([await end_resting_on(tx, evidence=one) for one in sorted(resting)])


async def _may_withdraw(tx: Tx, found: Grant) -> bool:
    citizen = tx.actor.subject_id
    if citizen is None or found.basis is Basis.OFFICE_POWER:  # not given by anybody, so nobody's to take back
        return False
    if citizen in (found.holder, found.approver):
        return True
    if found.basis is Basis.LEGAL_REPRESENTATIVE:
        return found.holder in await companies_of(tx, person=citizen)
    return found.basis is Basis.GUARDIAN and found.holder in await children_of(tx, guardian=citizen)


async def grants_of(view: View, *, subject_id: UUID) -> list[Grant]:
    """All grants over this person's certificates that they may see now, newest first, ended ones included."""
    rows = await view.all(
        sa.select(grants)
        .where(
            grants.c.bucket == bucket_of(subject_id),
            grants.c.holder == subject_id,
            sa.or_(grants.c.visible_at.is_(None), grants.c.visible_at <= view.now),
        )
        .order_by(grants.c.id.desc())
    )
    return [from_row(row) for row in rows]


async def by_public_id(view: View, public_id: str) -> Grant:
    """The grant with this public id; NotFound `grant.unknown` otherwise."""
    row = await view.first(
        sa.select(grants)
        .join(public_ids, sa.and_(grants.c.bucket == public_ids.c.bucket, grants.c.id == public_ids.c.row_id))
        .where(public_ids.c.token == public_id, public_ids.c.kind == "grant")
    )
    if row is None:
        raise unknown_grant()
    return from_row(row)


def from_row(row: Any) -> Grant:
    """The grant of a row that selects all columns."""
    return Grant(
        bucket=row.bucket,
        id=row.id,
        public_id=row.public_id,
        holder=row.holder,
        approver=row.approver,
        basis=Basis(row.basis),
        department=row.department,
        item_code=row.item_code,
        case_id=row.case_id,
        purpose=row.purpose,
        detail=row.detail,
        valid_until=row.valid_until,
        max_uses=row.max_uses,
        uses=row.uses,
        state=GrantState(row.state),
        seq=row.seq,
        created_at=row.created_at,
        withdrawn_at=row.withdrawn_at,
        assurance=row.assurance,
        visible_at=row.visible_at,
        leaf_hash=row.leaf_hash,
    )


def unknown_grant() -> NotFound:
    """The same answer for a grant that does not exist and for somebody else's."""
    return NotFound(
        "grant.unknown",
        "没有这项授权，或者它不是您的。",
        "There is no such grant, or it is not yours.",
    )

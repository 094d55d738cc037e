"""Who looked: a person's own chain of Accesses, newest first, with any gap shown."""

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from hub.access.model import Access, Look, Outcome, access_chains, accesses
from hub.access.record import FIRST
from hub.ids import bucket_of
from hub.ledger.model import leaves
from hub.store.tx import View


async def of_subject(
    view: View, *, subject_id: UUID, before_seq: int | None = None, limit: int = 50
) -> list[Access]:
    """The person's Accesses below `before_seq`, newest first; `gap` marks a row whose forerunner is missing.

    What a published rule delays is left out until its time has come, and nothing needs to be done for that; the rows
    around it are still compared with it, so that it is no gap (`delayed` counts it). A row is also marked when it does
    not name the commitment of the row before it: then that was changed or replaced. The newest row must be the one that
    the chain ends in.
    """
    found: list[Access] = []
    while len(found) < limit:
        rows = await _older(view, subject_id, before_seq, limit + 1)  # one more: the forerunner of the last one shown
        for position, row in enumerate(rows[:limit]):
            if row.visible_at is None or row.visible_at <= view.now:
                older = rows[position + 1] if position + 1 < len(rows) else None
                found.append(from_row(row, gap=_gap(row, older)))
        if len(rows) <= limit:
            break
        before_seq = rows[limit - 1].subject_seq
    return found[:limit]


async def _older(view: View, subject_id: UUID, before_seq: int | None, limit: int) -> list[Any]:
    bucket = bucket_of(subject_id)
    query = (
        sa.select(accesses, leaves.c.idx)
        .outerjoin(leaves, leaves.c.leaf_hash == accesses.c.leaf_hash)
        .where(accesses.c.bucket == bucket, accesses.c.subject_id == subject_id)
        .order_by(accesses.c.subject_seq.desc())
        .limit(limit)
    )
    if before_seq is not None:
        query = query.where(accesses.c.subject_seq < before_seq)
    return list(await view.all(query))


async def delayed(view: View, *, subject_id: UUID) -> tuple[int, datetime | None]:
    """How many of the person's Accesses a published rule still keeps from them, and when the last of these appears."""
    table = accesses.c
    row = await view.first(
        sa.select(sa.func.count().label("number"), sa.func.max(table.visible_at).label("last")).where(
            table.bucket == bucket_of(subject_id), table.subject_id == subject_id, table.visible_at > view.now
        )
    )
    return (row.number, row.last) if row else (0, None)


async def newest_missing(view: View, *, subject_id: UUID) -> bool:
    """Whether the newest Access of the chain is not among the rows: something at the end was taken away."""
    bucket = bucket_of(subject_id)
    chain = await view.first(
        sa.select(access_chains.c.seq, access_chains.c.commit).where(
            access_chains.c.bucket == bucket, access_chains.c.subject_id == subject_id
        )
    )
    last = await view.first(
        sa.select(accesses.c.subject_seq, accesses.c.commit)
        .where(accesses.c.bucket == bucket, accesses.c.subject_id == subject_id)
        .order_by(accesses.c.subject_seq.desc())
        .limit(1)
    )
    if chain is None or chain.seq == 0:
        return last is not None
    return last is None or (last.subject_seq, last.commit) != (chain.seq, chain.commit)


def _gap(row: Any, older: Any | None) -> bool:
    if older is None:
        return bool(row.subject_seq != 1 or row.previous_commit != FIRST)
    return bool(older.subject_seq != row.subject_seq - 1 or older.commit != row.previous_commit)


def from_row(row: Any, *, gap: bool = False) -> Access:
    """The Access of a row that selects all columns and the leaf's `idx`."""
    return Access(
        public_id=row.public_id,
        subject_seq=row.subject_seq,
        look=Look(
            subject_id=row.subject_id,
            department=row.department,
            item_code=row.item_code,
            case_id=row.case_id,
            purpose=row.purpose,
            basis=row.basis,
            outcome=Outcome(row.outcome),
            reason=row.reason,
            type_code=row.type_code,
            certificate=row.certificate,
            fields=tuple(tuple(path) for path in row.fields),
            predicates=tuple(row.predicates),
            grant_id=row.grant_id,
            officer_id=row.officer_id,
            visible_at=row.visible_at,
        ),
        at=row.at,
        leaf_hash=row.leaf_hash,
        leaf_index=row.idx,
        gap=gap,
    )

"""Record looks: each is a link of its person's chain, committed together with whatever it answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from hub.access.model import Look, access_chains, accesses, anonymous_refusals
from hub.clock import seconds
from hub.ids import bucket_of, public_token, uuid7
from hub.ledger.append import CommittedRef, commit_all, commit_event, seal_event
from hub.store.tx import Tx

FIRST = bytes(32)
"""The commitment that stands before a person's first Access."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """Proof material of one recorded look; durable only once the transaction has committed."""

    public_id: str
    leaf_hash: bytes
    at: datetime


async def record(tx: Tx, looks: Sequence[Look]) -> list[Recorded]:
    """Record looks in the order given; no answer may leave before this transaction is durable (promise 2).

    The chain row of each person is locked first, persons in id order, so two looks never share a number and
    two transactions never wait for each other in a circle. However many looks, the rows go in bulk.
    """
    if not looks:
        return []
    chains = {}
    for subject_id in sorted({look.subject_id for look in looks}):
        chains[subject_id] = await _lock(tx, subject_id)
    events, rows, recorded = [], [], []
    for look in looks:
        seq, previous = chains[look.subject_id]
        public_id = public_token()
        body = _body(tx, look, public_id, seq + 1, previous)
        event = await seal_event(tx, kind="access", subject_id=look.subject_id, body=body)
        chains[look.subject_id] = (seq + 1, event.ref.commit)
        events.append(event)
        rows.append(_row(tx, look, public_id, seq + 1, previous, event.ref))
        recorded.append(Recorded(public_id, event.ref.leaf_hash, tx.now))
    await commit_all(tx, events)
    await tx.insert(accesses, rows)
    for subject_id, (seq, commit) in chains.items():
        await tx.run(
            access_chains.update()
            .where(access_chains.c.bucket == bucket_of(subject_id), access_chains.c.subject_id == subject_id)
            .values(seq=seq, commit=commit)
        )
    return recorded


async def record_anonymous(tx: Tx, *, department: str, reason: str) -> bytes:
    """Record that a known department was refused although no person could be told from what it sent."""
    row_id = uuid7()
    leaf = await commit_event(
        tx,
        kind="access.refused",
        subject_id=None,
        body={"event": "access.refused", "department": department, "reason": reason, "at": seconds(tx.now)},
    )
    await tx.insert(
        anonymous_refusals,
        {"id": row_id, "department": department, "reason": reason, "at": tx.now, "leaf_hash": leaf.leaf_hash},
    )
    return leaf.leaf_hash


async def _lock(tx: Tx, subject_id: UUID) -> tuple[int, bytes]:
    bucket = bucket_of(subject_id)
    await tx.insert_new(
        access_chains, {"bucket": bucket, "subject_id": subject_id, "seq": 0, "commit": FIRST}
    )
    row = await tx.first(
        sa.select(access_chains.c.seq, access_chains.c.commit)
        .where(access_chains.c.bucket == bucket, access_chains.c.subject_id == subject_id)
        .with_for_update()
    )
    if row is None:  # the row was inserted one statement ago
        raise RuntimeError("access chain vanished inside its own transaction")
    return row.seq, row.commit


def _body(tx: Tx, look: Look, public_id: str, seq: int, previous: bytes) -> dict[str, Any]:
    return {
        "event": "access",
        "access": public_id,
        "subject_seq": seq,
        "previous": previous.hex(),
        "department": look.department,
        "officer": str(look.officer_id) if look.officer_id else None,
        "item": look.item_code,
        "case": look.case_id,
        "purpose": look.purpose,
        "basis": look.basis,
        "grant": look.grant_public_id,
        "grant_seq": look.grant_seq,
        "type": look.type_code,
        "certificate": look.certificate,
        "fields": [list(path) for path in look.fields],
        "predicates": [dict(predicate) for predicate in look.predicates],
        "outcome": str(look.outcome),
        "reason": look.reason,
        "at": seconds(tx.now),
    }


def _row(tx: Tx, look: Look, public_id: str, seq: int, previous: bytes, ref: CommittedRef) -> dict[str, Any]:
    return {
        "bucket": bucket_of(look.subject_id),
        "id": uuid7(),
        "public_id": public_id,
        "subject_id": look.subject_id,
        "subject_seq": seq,
        "department": look.department,
        "officer_id": look.officer_id,
        "item_code": look.item_code,
        "case_id": look.case_id,
        "purpose": look.purpose,
        "basis": look.basis,
        "grant_id": look.grant_id,
        "type_code": look.type_code,
        "certificate": look.certificate,
        "fields": [list(path) for path in look.fields],
        "predicates": [dict(predicate) for predicate in look.predicates],
        "outcome": look.outcome,
        "reason": look.reason,
        "at": tx.now,
        "leaf_hash": ref.leaf_hash,
        "commit": ref.commit,
        "previous_commit": previous,
    }

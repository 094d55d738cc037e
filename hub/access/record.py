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
from hub.ledger.append import CommittedRef, commit_all, commit_event, event_under
from hub.store.seal import erased
from hub.store.statement import Statement, insert
from hub.store.tx import Tx

FIRST = bytes(32)
"""The commitment that stands before a person's first Access."""


def _mine() -> sa.ColumnElement[bool]:
    return sa.and_(
        access_chains.c.bucket == sa.bindparam("in_bucket"), access_chains.c.subject_id == sa.bindparam("of")
    )


def _move(_: str) -> sa.Executable:
    values = {"seq": sa.bindparam("to", type_=sa.Integer), "commit": sa.bindparam("as", type_=sa.LargeBinary)}
    return access_chains.update().where(_mine()).values(values)


LOCK = Statement(lambda _: sa.select(*access_chains.c).where(_mine()).with_for_update())
START = insert(access_chains, unless_there=True)
MOVE = Statement(_move)
ACCESS = insert(accesses)


@dataclass(frozen=True, slots=True)
class Recorded:
    """Proof material of one recorded look; durable only once the transaction has committed."""

    public_id: str
    leaf_hash: bytes
    at: datetime


async def record(tx: Tx, looks: Sequence[Look]) -> list[Recorded]:
    """Record looks in the order given; no answer may leave before this transaction is durable (promise 2).

    The chain row of each person is locked first, persons in id order, so two looks never share a number and
    two transactions never wait for each other in a circle. However many looks, each kind of row goes at once.
    Raises Gone `subject.erased` for a person whose key was destroyed.
    """
    if not looks:
        return []
    subjects = sorted({look.subject_id for look in looks})
    chains = await _lock(tx, subjects)
    keys = await tx.vault.person_keys(tx, subjects)
    if len(keys) < len(subjects):
        raise erased()
    events, rows, recorded = [], [], []
    for look in looks:
        seq, previous = chains[look.subject_id]
        public_id = public_token()
        body = _body(tx, look, public_id, seq + 1, previous)
        event = event_under(
            tx, kind="access", subject_id=look.subject_id, key=keys[look.subject_id], body=body
        )
        chains[look.subject_id] = (seq + 1, event.ref.commit)
        events.append(event)
        rows.append(_row(tx, look, public_id, seq + 1, previous, event.ref))
        recorded.append(Recorded(public_id, event.ref.leaf_hash, tx.now))
    await commit_all(tx, events)
    await tx.each(ACCESS, rows)
    await tx.each(
        MOVE,
        [
            {"in_bucket": bucket_of(subject_id), "of": subject_id, "to": seq, "as": commit}
            for subject_id, (seq, commit) in chains.items()
        ],
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


async def _lock(tx: Tx, subjects: Sequence[UUID]) -> dict[UUID, tuple[int, bytes]]:
    """Where each person's chain stands, its row locked until the commit; `subjects` in id order."""
    asked = [{"in_bucket": bucket_of(subject_id), "of": subject_id} for subject_id in subjects]
    rows = await tx.each(LOCK, asked)
    known = {row.subject_id for row in rows}
    new = [one for one in asked if one["of"] not in known]
    if new:
        first = [{"bucket": one["in_bucket"], "subject_id": one["of"], "seq": 0, "commit": FIRST} for one in new]
        await tx.each(START, first)
        rows += await tx.each(LOCK, new)
    return {row.subject_id: (row.seq, row.commit) for row in rows}


def _body(tx: Tx, look: Look, public_id: str, seq: int, previous: bytes) -> dict[str, Any]:
    # In the leaf too: nobody can put the day off later.
    later = {} if look.visible_at is None else {"visible_at": seconds(look.visible_at)}
    return later | {
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
        "visible_at": look.visible_at,
    }

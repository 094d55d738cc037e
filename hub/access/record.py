"""Record looks: each is a link of its person's chain, committed together with whatever it answers."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from hub.access.body import FIRST, salted
from hub.access.model import Look, access_chains, anonymous_refusals, public_id_of
from hub.access.model import rows as access_rows
from hub.access.profiles import ids_of
from hub.clock import seconds
from hub.ids import bucket_of, uuid7
from hub.ledger.append import LEAF, commit_event, leaves_of, ref_of
from hub.store.seal import erased
from hub.store.statement import Statement, insert
from hub.store.tx import Tx


def _mine() -> sa.ColumnElement[bool]:
    return sa.and_(
        access_chains.c.bucket == sa.bindparam("in_bucket"), access_chains.c.subject_id == sa.bindparam("of")
    )


def _move(_: str) -> sa.Executable:
    values = {"seq": sa.bindparam("to", type_=sa.Integer), "commit": sa.bindparam("as", type_=sa.LargeBinary)}
    return access_chains.update().where(_mine()).values(values)


LOCK = Statement(lambda _: sa.select(*access_chains.c).where(_mine()).with_for_update())
START = insert(access_chains, unless_there=True)
MOVE = Statement(_move, unique=("in_bucket", "of"))
ACCESS = insert(
    access_rows,
    only=[column.name for column in access_rows.c if column.name not in ("public_id", "previous_commit")],
)


@dataclass(frozen=True, slots=True)
class Recorded:
    """Proof material of one recorded look; durable only once the transaction has committed."""

    public_id: str
    leaf_hash: bytes
    at: datetime


async def record(
    tx: Tx, looks: Sequence[Look], *, meanwhile: Callable[[list[Recorded]], None] = lambda _: None
) -> list[Recorded]:
    """Record looks in the order given; no answer may leave before this transaction is durable (promise 2).

    The chain row of each person is locked first, persons in id order, so two looks never share a number and
    two transactions never wait for each other in a circle. However many looks, each kind of row goes at once, and
    `meanwhile` is called while the database writes them.
    Raises Gone `subject.erased` for a person whose key was destroyed.
    """
    if not looks:
        meanwhile([])
        return []
    subjects = sorted({look.subject_id for look in looks})
    chains = await _lock(tx, subjects)
    keys = await tx.vault.person_keys(tx, subjects)
    if len(keys) < len(subjects):
        raise erased()
    profiles = await ids_of(tx, looks)
    rows, refs, recorded = [], [], []
    for look, profile in zip(looks, profiles, strict=True):
        seq, previous = chains[look.subject_id]
        commit = salted(keys[look.subject_id], look, seq=seq + 1, previous=previous, at=tx.now).commit
        chains[look.subject_id] = (seq + 1, commit)
        rows.append(_row(tx, look, seq + 1, profile, commit))
        refs.append(ref_of(commit))
        recorded.append(Recorded(public_id_of(commit), refs[-1].leaf_hash, tx.now))
    moves = [
        {"in_bucket": bucket_of(subject_id), "of": subject_id, "to": seq, "as": commit}
        for subject_id, (seq, commit) in chains.items()
    ]
    leaves = leaves_of(tx, kind="access", refs=refs)
    writing = asyncio.ensure_future(tx.all_of((LEAF, leaves), (ACCESS, rows), (MOVE, moves)))
    try:
        await asyncio.sleep(0)  # now it is on its way
        meanwhile(recorded)
    finally:
        await writing
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


def _row(tx: Tx, look: Look, seq: int, profile: int, commit: bytes) -> dict[str, Any]:
    return {
        "bucket": bucket_of(look.subject_id),
        "subject_id": look.subject_id,
        "subject_seq": seq,
        "profile": profile,
        "officer_id": look.officer_id,
        "case_id": look.case_id,
        "grant_public_id": look.grant_public_id,
        "grant_seq": look.grant_seq,
        "certificate": look.certificate,
        "at": tx.now,
        "commit": commit,
        "visible_at": look.visible_at,
    }

"""Put events in the ledger: cleartext for public ones, a salted commitment for everything about a person.

A leaf is a pending row of the caller's own transaction, so event and leaf become durable together; the
sequencer gives it its index a moment later. There is no counter to wait for.
"""

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy.dialects import postgresql, sqlite

from hub.errors import Internal, TooLarge
from hub.formats.jcs import canonical
from hub.formats.merkle import leaf_hash
from hub.formats.tiles import MAX_ENTRY
from hub.ids import bucket_of
from hub.ledger.model import bodies, leaves
from hub.store.seal import seal
from hub.store.tx import Tx

SALT_BYTES = 32
HUB_BODIES = "ledger.body"
"""The purpose of the hub's own key for bodies about no single person."""


@dataclass(frozen=True, slots=True)
class LeafRef:
    """Where an event stands: its leaf hash (32 bytes) names it for ever, `seq` is its place in the queue."""

    leaf_hash: bytes
    seq: int


@dataclass(frozen=True, slots=True)
class CommittedRef(LeafRef):
    """The same for a personal event, with the commitment (32 bytes) that its leaf shows."""

    commit: bytes


async def append(tx: Tx, *, kind: str, event: Mapping[str, Any]) -> LeafRef:
    """Put a public event in the ledger as cleartext JCS. Never for anything about a person.

    An event that reads exactly like one already there gets a member `again` (random), so that both are told.
    Raises Malformed `jcs.*`, TooLarge `ledger.leaf_too_large`.
    """
    data = canonical(event)
    seq = await _insert(tx, kind, data)
    if seq is None:
        data = canonical({**event, "again": secrets.token_hex(8)})
        seq = await _insert(tx, kind, data)
    if seq is None:
        raise Internal(
            "ledger.collision", "账本写入失败。", "The same leaf twice: the random source is broken."
        )
    return LeafRef(leaf_hash(data), seq)


async def commit_event(
    tx: Tx, *, kind: str, subject_id: UUID | None, body: Mapping[str, Any]
) -> CommittedRef:
    """Put a personal event in the ledger: its leaf is a salted commitment and nothing else.

    1. commit = SHA-256(32 random bytes || JCS(body)); the leaf is JCS {"commit": hex, "v": 1}.
    2. salt || body is sealed under the person's own key (the hub's when `subject_id` is None), bound to this
       leaf, and kept erasable. All rows are part of `tx`.

    Raises Malformed `jcs.*`, Gone `subject.erased` for a person without a key.
    """
    salted = secrets.token_bytes(SALT_BYTES) + canonical(body)  # 1
    commit = hashlib.sha256(salted).digest()
    data = commitment_leaf(commit)
    found = leaf_hash(data)
    if subject_id is None:  # 2
        sealed = seal(tx.vault.hub_key(HUB_BODIES), salted, bound_to=found)
    else:
        sealed = await tx.vault.seal_for(tx, subject_id, salted, bound_to=found)
    seq = await _insert(tx, kind, data)
    if seq is None:
        raise Internal(
            "ledger.collision", "账本写入失败。", "The same leaf twice: the random source is broken."
        )
    await tx.insert(
        bodies,
        {
            "bucket": body_bucket(found, subject_id),
            "leaf_hash": found,
            "subject_id": subject_id,
            "sealed": sealed,
        },
    )
    return CommittedRef(found, seq, commit)


def commitment_leaf(commit: bytes) -> bytes:
    """The bytes of the leaf that shows this commitment (DESIGN section 3, rule 6)."""
    return canonical({"v": 1, "commit": commit.hex()})


def body_bucket(leaf: bytes, subject_id: UUID | None) -> int:
    """The partition of a body: its person's, or by leaf hash when it is about nobody in particular."""
    return leaf[-1] if subject_id is None else bucket_of(subject_id)


async def _insert(tx: Tx, kind: str, data: bytes) -> int | None:
    if len(data) > MAX_ENTRY:
        raise TooLarge(
            "ledger.leaf_too_large", "账本条目过大。", f"A ledger leaf is at most {MAX_ENTRY} bytes."
        )
    maker = postgresql.insert if tx.dialect == "postgresql" else sqlite.insert
    statement = (
        maker(leaves)
        .values(kind=kind, data=data, leaf_hash=leaf_hash(data), created_at=tx.now)
        .on_conflict_do_nothing(index_elements=[leaves.c.leaf_hash])
        .returning(leaves.c.seq)
    )
    seq: int | None = await tx.value(statement)
    return seq

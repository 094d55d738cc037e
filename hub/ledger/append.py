"""Put events in the ledger: cleartext for public ones, a salted commitment for everything about a person.

A leaf is a pending row of the caller's own transaction, so event and leaf become durable together; the
sequencer gives it its index a moment later. There is no counter to wait for.
"""

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from hub.errors import TooLarge
from hub.formats.jcs import canonical
from hub.formats.merkle import leaf_hash
from hub.formats.tiles import MAX_ENTRY
from hub.ids import bucket_of
from hub.ledger.model import bodies, leaves
from hub.ledger.press import press
from hub.ledger.rest import RAW, commitment_leaf
from hub.store.rows import add_rows
from hub.store.seal import seal
from hub.store.statement import insert
from hub.store.tx import Tx, View

SALT_BYTES = 32
MANY = 100
"""So many events go by COPY; it costs more round trips than a prepared statement, and less a row."""
HUB_BODIES = "ledger.body"
"""The purpose of the hub's own key for bodies about no single person."""


@dataclass(frozen=True, slots=True)
class LeafRef:
    """An event in the ledger: its leaf hash (32 bytes) names it for ever."""

    leaf_hash: bytes


@dataclass(frozen=True, slots=True)
class CommittedRef(LeafRef):
    """The same for a personal event, with the commitment (32 bytes) that its leaf shows."""

    commit: bytes


@dataclass(frozen=True, slots=True)
class SealedEvent:
    """A personal event made ready by `seal_event`: known by its commitment, not in any table yet."""

    ref: CommittedRef
    kind: str
    subject_id: UUID | None
    data: bytes
    sealed: bytes


async def append(tx: Tx, *, kind: str, event: Mapping[str, Any]) -> LeafRef:
    """Put a public event in the ledger as cleartext JCS. Never for anything about a person.

    An event that reads exactly like one already there gets a member `again` (random), so that both are told.
    Raises Malformed `jcs.*`, TooLarge `ledger.leaf_too_large`.
    """
    data = canonical(event)
    if not await tx.insert_new(leaves, _leaf(tx, kind, data)):
        data = canonical({**event, "again": secrets.token_hex(8)})
        await tx.insert(leaves, _leaf(tx, kind, data))
    return LeafRef(leaf_hash(data))


async def append_all(tx: Tx, *, kind: str, events: Sequence[Mapping[str, Any]]) -> list[LeafRef]:
    """Put many public events in the ledger with one statement, none of which may read like one already there.

    Raises as `append`.
    """
    rows = [_leaf(tx, kind, canonical(event)) for event in events]
    await tx.insert(leaves, rows)
    return [LeafRef(row["leaf_hash"]) for row in rows]


async def commit_event(
    tx: Tx, *, kind: str, subject_id: UUID | None, body: Mapping[str, Any]
) -> CommittedRef:
    """Put a personal event in the ledger: its leaf is a salted commitment and nothing else.

    Raises those of `seal_event`.
    """
    event = await seal_event(tx, kind=kind, subject_id=subject_id, body=body)
    await commit_all(tx, [event])
    return event.ref


async def seal_event(
    view: View, *, kind: str, subject_id: UUID | None, body: Mapping[str, Any]
) -> SealedEvent:
    """Make a personal event ready, so that a next one can name its commitment; `commit_all` writes it.

    Raises Malformed `jcs.*`, Gone `subject.erased` for a person without a key.
    """
    key = None if subject_id is None else await view.vault.person_key(view, subject_id)
    return event_under(view, kind=kind, subject_id=subject_id, key=key, body=body)


def event_under(
    view: View, *, kind: str, subject_id: UUID | None, key: bytes | None, body: Mapping[str, Any]
) -> SealedEvent:
    """As `seal_event`, for a caller who has the person's key at hand already.

    1. commit = SHA-256(32 random bytes || JCS(body)); the leaf is JCS {"commit": hex, "v": 1}.
    2. salt || body (pressed) is sealed under the person's own key (the hub's when `subject_id` is None), bound to
       this leaf, and kept erasable. Raises Malformed `jcs.*`.
    """
    return events_under(view, kind=kind, said=[(subject_id, key, body)])[0]


def events_under(
    view: View, *, kind: str, said: Sequence[tuple[UUID | None, bytes | None, Mapping[str, Any]]]
) -> list[SealedEvent]:
    """`event_under` of many: (subject, their key, body) each, one step for all of them before the next."""
    salted = [(secrets.token_bytes(SALT_BYTES), canonical(body)) for _, _, body in said]  # 1
    commits = [hashlib.sha256(salt + raw).digest() for salt, raw in salted]
    data = [commitment_leaf(commit) for commit in commits]
    refs = [CommittedRef(leaf_hash(one), commit) for one, commit in zip(data, commits, strict=True)]
    plain = [salt + press(raw) for salt, raw in salted]  # 2
    hubs = view.vault.hub_key(HUB_BODIES)
    return [
        SealedEvent(ref, kind, subject_id, leaf, seal(key or hubs, one, bound_to=ref.leaf_hash))
        for (subject_id, key, _), ref, leaf, one in zip(said, refs, data, plain, strict=True)
    ]


_LEAF = ("kind", "data", "leaf_hash", "created_at")
_BODY = ("bucket", "leaf_hash", "subject_id", "sealed")
LEAF = insert(leaves, only=_LEAF)
BODY = insert(bodies, only=_BODY)


async def commit_all(tx: Tx, events: Sequence[SealedEvent]) -> None:
    """Write events, in the order given, as rows of `tx`: two statements however many there are."""
    await _add_leaves(tx, [(event.kind, event.ref) for event in events])
    sealed = [
        (body_bucket(event.ref.leaf_hash, event.subject_id), event.ref.leaf_hash, event.subject_id, event.sealed)
        for event in events
    ]
    if len(events) >= MANY:
        await add_rows(tx, bodies, _BODY, sealed)
    else:
        await tx.each(BODY, [dict(zip(_BODY, row, strict=True)) for row in sealed])


def ref_of(commit: bytes) -> CommittedRef:
    """The leaf that shows a commitment."""
    return CommittedRef(leaf_hash(commitment_leaf(commit)), commit)


async def commit_rested(tx: Tx, *, kind: str, refs: Sequence[CommittedRef]) -> None:
    """Put commitments in the ledger, in the order given, whose bodies rest in rows of the caller (`orders.Shelf`)."""
    await _add_leaves(tx, [(kind, ref) for ref in refs])


async def _add_leaves(tx: Tx, made: Sequence[tuple[str, CommittedRef]]) -> None:
    rows = [_row(tx, kind, ref) for kind, ref in made]
    if len(rows) >= MANY:
        await add_rows(tx, leaves, _LEAF, rows)
    else:
        await tx.each(LEAF, [dict(zip(_LEAF, row, strict=True)) for row in rows])


def leaves_of(tx: Tx, *, kind: str, refs: Sequence[CommittedRef]) -> list[dict[str, Any]]:
    """The rows of LEAF that put commitments in the ledger, in the order given, whose bodies rest with the caller."""
    return [dict(zip(_LEAF, _row(tx, kind, ref), strict=True)) for ref in refs]


def _row(tx: Tx, kind: str, ref: CommittedRef) -> tuple[Any, ...]:
    return kind, RAW + ref.commit, ref.leaf_hash, tx.now


def body_bucket(leaf: bytes, subject_id: UUID | None) -> int:
    """The partition of a body: its person's, or by leaf hash when it is about nobody in particular."""
    return leaf[-1] if subject_id is None else bucket_of(subject_id)


def _leaf(tx: Tx, kind: str, data: bytes) -> dict[str, Any]:
    if len(data) > MAX_ENTRY:
        raise TooLarge(
            "ledger.leaf_too_large", "账本条目过大。", f"A ledger leaf is at most {MAX_ENTRY} bytes."
        )
    return {"kind": kind, "data": data, "leaf_hash": leaf_hash(data), "created_at": tx.now}

"""The sealed bodies behind commitments: opened for those who may read them, destroyed on erasure."""

import hashlib
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from hub.errors import Gone, HubError, Internal, NotFound
from hub.formats import jws
from hub.ids import bucket_of
from hub.ledger.append import HUB_BODIES, SALT_BYTES, body_bucket
from hub.ledger.model import bodies
from hub.ledger.press import unpress
from hub.store.seal import unseal
from hub.store.tx import Tx, View


@dataclass(frozen=True, slots=True)
class Body:
    """What a commitment commits to: `commit` = SHA-256(salt || raw), `raw` being JCS of `event`."""

    salt: bytes
    raw: bytes
    event: dict[str, Any]
    commit: bytes


async def open_body(view: View, *, leaf_hash: bytes, subject_id: UUID | None) -> Body:
    """Open one body. With salt and raw bytes its owner can show to anybody what the leaf commits to.

    Raises NotFound `ledger.no_body`, Gone `ledger.body_erased` or `subject.erased`, Internal `seal.broken`.
    """
    row = await view.first(
        sa.select(bodies.c.sealed).where(
            bodies.c.bucket == body_bucket(leaf_hash, subject_id),
            bodies.c.leaf_hash == leaf_hash,
            bodies.c.subject_id.is_(None) if subject_id is None else bodies.c.subject_id == subject_id,
        )
    )
    if row is None:
        raise NotFound("ledger.no_body", "没有这条记录的内容。", "There is no body for this leaf.")
    if row.sealed is None:
        raise Gone("ledger.body_erased", "内容已依法删除。", "The body was erased.")
    if subject_id is None:
        return unseal_hub_body(view, leaf_hash=leaf_hash, sealed=row.sealed)
    key = await view.vault.person_key(view, subject_id)
    return unseal_body_with(key, leaf_hash=leaf_hash, sealed=row.sealed)


def unseal_body_with(key: bytes, *, leaf_hash: bytes, sealed: bytes) -> Body:
    """Open a body with its person's key. Raises Internal `seal.broken`."""
    salted = unseal(key, sealed, bound_to=leaf_hash)
    salt, raw = salted[:SALT_BYTES], unpress(salted[SALT_BYTES:])
    return Body(salt, raw, jws.loads(raw, max_bytes=len(raw) + 1), hashlib.sha256(salt + raw).digest())


async def erase_bodies(tx: Tx, *, subject_id: UUID) -> int:
    """Destroy the sealed bodies of one person; their leaves stay and keep proving. Returns how many.

    Bodies of looks are not among them: they go with the person's key.
    """
    return await tx.run(
        bodies.update()
        .where(
            bodies.c.bucket == bucket_of(subject_id),
            bodies.c.subject_id == subject_id,
            bodies.c.erased_at.is_(None),
        )
        .values(sealed=None, erased_at=tx.now)
    )


def unseal_hub_body(view: View, *, leaf_hash: bytes, sealed: bytes) -> Body:
    """Open a body about no single person, under whichever key-encryption key was current then."""
    broken: HubError = Internal("seal.broken", "没有可用的密钥。", "No key-encryption key is given in.")
    for kek in (view.vault.current_kek, *view.vault.keks):
        try:
            return unseal_body_with(
                view.vault.hub_key(HUB_BODIES, kek=kek), leaf_hash=leaf_hash, sealed=sealed
            )
        except Internal as refused:
            broken = refused
    raise broken

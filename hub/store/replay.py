"""Things that may be used once: DPoP proofs, client assertions. The store is the database, never a process."""

import hashlib
from datetime import datetime

from hub.store.model import replays
from hub.store.tx import Tx


async def use_once(tx: Tx, *, kind: str, key: str, expires_at: datetime) -> bool:
    """Mark `key` as used, in the caller's own commit; False when it was used before (RFC 9449 section 11.1).

    `key` must name its owner (for DPoP: thumbprint, jti and target together), or one client could burn
    another's. Rows are kept until `expires_at`, which must include the accepted clock skew.
    """
    return await tx.insert_new(
        replays, {"kind": kind, "key": hashlib.sha256(key.encode()).digest(), "expires_at": expires_at}
    )


async def forget_expired(tx: Tx) -> int:
    """Delete what can no longer be replayed; returns how many rows went."""
    return await tx.run(replays.delete().where(replays.c.expires_at < tx.now))

"""Things that may be used once: DPoP proofs, client assertions. The store is the database, never a process.

A row is forgotten after its time, and with it the knowledge that it was used. So that a clock that ran ahead and was
put right again makes nothing usable twice, the time up to which rows were forgotten is kept for each kind: what ran
out before it counts as used.
"""

import hashlib
from datetime import datetime

import sqlalchemy as sa

from hub.store.model import replay_horizons, replays
from hub.store.statement import dialect_insert
from hub.store.tx import Tx


async def use_once(tx: Tx, *, kind: str, key: str, expires_at: datetime) -> bool:
    """Mark `key` as used, in the caller's own commit; False when it was used before (RFC 9449 section 11.1).

    `key` must name its owner (for DPoP: thumbprint, jti and target together), or one client could burn
    another's. Rows are kept until `expires_at`, which must include the accepted clock skew. False too for what ran out
    before the time up to which this kind was forgotten: it may have been used.
    """
    return await once(tx, kind=kind, key=hashlib.sha256(key.encode()).digest(), expires_at=expires_at)


async def once(tx: Tx, *, kind: str, key: bytes, expires_at: datetime) -> bool:
    """As `use_once`, by the hash of what is used."""
    if await tx.value(sa.select(forgotten(kind, expires_at))):
        return False
    return await tx.insert_new(replays, {"kind": kind, "key": key, "expires_at": expires_at})


def forgotten(kind: str, expires_at: datetime | sa.ColumnElement[datetime]) -> sa.Exists:
    """Whether rows of this kind that ran out at `expires_at` were forgotten."""
    return sa.exists().where(replay_horizons.c.kind == kind, replay_horizons.c.until >= expires_at)


async def forget_expired(tx: Tx) -> int:
    """Delete what can no longer be replayed; returns how many rows went.

    1. Only what an earlier call said it would forget: whoever spends at this moment has read that already. 2. Say what
    the next call will forget, up to the newest row that ran out and not up to now: a clock that is ahead must not make
    everything look used.
    """
    table = replays.c
    said = sa.select(replay_horizons.c.until).where(replay_horizons.c.kind == table.kind).scalar_subquery()
    gone = await tx.run(replays.delete().where(table.expires_at <= said))  # 1
    newest = sa.select(table.kind, sa.func.max(table.expires_at).label("until")).where(table.expires_at < tx.now)
    for row in await tx.all(newest.group_by(table.kind)):  # 2
        made = dialect_insert(tx.dialect)(replay_horizons).values(kind=row.kind, until=row.until)
        await tx.run(made.on_conflict_do_update(index_elements=["kind"], set_={"until": row.until}))
    return gone

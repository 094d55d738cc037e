"""The hold after a restore: nothing is written and nothing signed until somebody decides how the ledger goes on.

A database that was put back is older than what the hub may have signed since. A head signed on top of it would be
a fork: two trees of one size under one name. The hold is a blob, because that is what every process of a hub, and
every database that might be put under it, has in common.
"""

import asyncio
import json
from dataclasses import asdict, dataclass

from hub.errors import Conflict, NotFound, Unavailable
from hub.store.blobs import Blobs
from hub.store.memory import Memory
from hub.store.tx import Database

HOLD = "restore/hold"
EVERY_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Hold:
    """Why it stands. `live`: the checkpoint that was published in the blob store when the restore began, if any;
    what the restore itself put there proves nothing."""

    backup: str
    restored_at: int
    origin: str
    log_key: str
    size: int
    root: str
    live: str | None


async def read_hold(blobs: Blobs) -> Hold | None:
    """The hold, or None. A mark that cannot be read holds as well."""
    try:
        data = await blobs.get(HOLD)
    except NotFound:
        return None
    try:
        return Hold(**json.loads(data))
    except (ValueError, TypeError):
        return Hold("?", 0, "", "", 0, "", None)


async def place_hold(blobs: Blobs, hold: Hold) -> None:
    """Durable before anything is put back."""
    await blobs.put(HOLD, json.dumps(asdict(hold), ensure_ascii=False).encode())


async def release_hold(blobs: Blobs) -> None:
    """Let the hub work again: only after it was decided how the ledger goes on."""
    await blobs.delete(HOLD)


async def refuse_while_held(blobs: Blobs) -> None:
    """Raises Conflict `ledger.held` while the hold stands."""
    if await read_hold(blobs) is not None:
        raise held()


async def look_for_hold(db: Database, blobs: Blobs) -> bool:
    """Let the database only be read while the hold stands; a blob store that does not answer changes nothing."""
    try:
        stands = await read_hold(blobs) is not None
    except Unavailable:
        return db.read_only
    if stands != db.read_only:
        db.read_only, db.memory = stands, Memory()  # what was remembered may be of another past
    return stands


async def mind_hold(db: Database, blobs: Blobs, stop: asyncio.Event, *, every: float = EVERY_SECONDS) -> None:
    """Look until told to stop: a hub that runs on when its database is put back under it stops writing, and one
    that waits goes on when it was decided."""
    while not stop.is_set():
        await look_for_hold(db, blobs)
        try:
            async with asyncio.timeout(every):
                await stop.wait()
        except TimeoutError:
            continue


def held() -> Conflict:
    """The error of a hub that was restored and may not write yet."""
    return Conflict(
        "ledger.held",
        "平台刚从备份恢复，尚未决定透明日志如何继续，暂时只读，不签名。",
        "The hub was restored from a backup and nobody has decided yet how its ledger goes on: it only reads, "
        "and signs nothing.",
        next_zh="请运行 yimen ledger resume --help，并看 docs/operations.md 的“恢复以后”。",
        next_en='Run: yimen ledger resume --help, and read "After a restore" in docs/operations.md.',
    )

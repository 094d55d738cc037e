"""Put a backup back where nothing is, and hold the hub until it is decided how its ledger goes on."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from hub.backup import blobs as blob_copies
from hub.backup import keyring as key_files
from hub.backup.create import DATABASE
from hub.backup.folder import BackupFolder, sync_folder
from hub.backup.model import Manifest
from hub.clock import seconds
from hub.errors import Conflict, HubError, NotFound
from hub.formats.note import Vkey, parse, parse_vkey, verify_checkpoint
from hub.ledger.hold import Hold, place_hold, read_hold
from hub.ledger.tileset import CHECKPOINT, PREFIX
from hub.store.blobs import Blobs

RESTORING = ".restoring"


@dataclass(frozen=True, slots=True)
class Place:
    """Where the database goes. `refuse` raises when it is taken; `put` fills it, whole by one rename, and says
    what to do next, or ""."""

    refuse: Callable[[], None]
    put: Callable[[BackupFolder, Manifest], str]


@dataclass(frozen=True, slots=True)
class Restored:
    """What was put back. `lost`: leaves that the store's published checkpoint has and the backup has not."""

    manifest: Manifest
    blobs_written: int
    blobs_there: int
    keys_written: int
    live_size: int | None
    next: str

    @property
    def lost(self) -> int:
        """How many leaves the published ledger has more than the backup is known to hold (on PostgreSQL: at most)."""
        return max((self.live_size or 0) - self.manifest.ledger.size, 0)


async def restore(
    folder: BackupFolder,
    manifest: Manifest,
    *,
    blobs: Blobs,
    keys_dir: Path,
    place: Place,
    now: datetime,
    with_keys: bool = True,
) -> Restored:
    """Put everything back; overwrites nothing, and can be run again after it was killed at any point.

    1. No database is there. 2. Every key that the backup needs is in it or in the key folder. 3. The hold
    is placed, before anything else: from here on no hub signs. 4. Keys. 5. Blobs, hashed; a published ledger that
    is in the store stays. 6. The database last, whole by one rename: before it no hub can start.

    Raises Conflict `restore.database_there`, `restore.keys_differ`, `restore.blob_differs`, NotFound
    `restore.keys_missing`, Internal `backup.broken`.
    """
    place.refuse()  # 1
    if lacking := key_files.missing(manifest, keys_dir, with_keys=with_keys):  # 2
        raise NotFound(
            "restore.keys_missing",
            f"缺少密钥文件：{'、'.join(lacking)}。没有它们，密封的数据永远打不开。",
            f"Key files are missing: {', '.join(lacking)}. Without them what is sealed can never be opened.",
            next_zh=f"请先把密钥目录放回 {keys_dir}。",
            next_en=f"Put the key folder back to {keys_dir} first.",
        )
    await blobs.prepare()  # 3; its bucket may be gone too
    before = await read_hold(blobs)
    live = before.live if before and before.backup == manifest.id else await _live(blobs)
    ledger = manifest.ledger
    await place_hold(
        blobs,
        Hold(manifest.id, seconds(now), ledger.origin, ledger.log_key, ledger.size, ledger.root, live),
    )
    keys = key_files.put_back(manifest, folder, keys_dir) if with_keys else 0  # 4
    written, there = await blob_copies.put_back(blobs, folder, manifest)  # 5
    advice = await asyncio.to_thread(place.put, folder, manifest)  # 6
    size = _size(live, parse_vkey(ledger.log_key)) if live else None
    return Restored(manifest, written, there, keys, size, advice)


def sqlite_place(database: Path) -> Place:
    """The place of a SQLite database: taken when there is one, or what a crashed one left."""

    def refuse() -> None:
        for path in (database, Path(f"{database}-wal")):
            if path.exists():
                raise database_there(path)

    def put(folder: BackupFolder, manifest: Manifest) -> str:
        wanted = next(one for one in manifest.files if one.path == DATABASE)
        database.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = database.with_name(database.name + RESTORING)
        folder.copy_file(manifest, wanted, draft)
        refuse()
        draft.rename(database)
        sync_folder(database.parent)
        return ""

    return Place(refuse, put)


def database_there(path: Path) -> Conflict:
    """The error for a place that is taken."""
    return Conflict(
        "restore.database_there",
        f"{path} 已存在，恢复不覆盖任何东西。",
        f"{path} is there already; a restore overwrites nothing.",
        next_zh="请先把它移到别处保存（可能是证据）。",
        next_en="Move it away first, and keep it: it may be evidence.",
    )


async def _live(blobs: Blobs) -> str | None:
    try:
        return (await blobs.get(PREFIX + CHECKPOINT)).decode(errors="replace")
    except NotFound:
        return None


def _size(text: str, key: Vkey) -> int | None:
    try:
        return verify_checkpoint(parse(text), key).checkpoint.size
    except HubError:
        return None

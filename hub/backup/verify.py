"""Read a backup again in full: every byte, then the database in a scratch place, with its ledger, bodies and blobs."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from hub.access.shelf import every_shelf
from hub.actor import SYSTEM
from hub.backup import facts, sqlite
from hub.backup.blobs import BackedBlobs
from hub.backup.create import DATABASE
from hub.backup.folder import BackupFolder, stored
from hub.backup.model import SQLITE, Manifest
from hub.errors import HubError
from hub.formats.note import parse, parse_vkey, verify_checkpoint
from hub.ledger.check import Report, check
from hub.store.tx import Database

FOR_EVER = timedelta.max
"""In a backup leaves wait for ever: that is no fault of the ledger."""

Scratch = Callable[[BackupFolder, Manifest, Path], AbstractAsyncContextManager[str]]
"""The URL of the backup's database, brought up in a scratch folder that is thrown away."""
OpenDatabase = Callable[[str], Database]


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a backup."""

    code: str
    what: str


@dataclass(slots=True)
class Verified:
    """What was read, and what was found. `unread`: what could not be looked at here, and what it would take."""

    id: str
    files: int = 0
    objects: int = 0
    bytes: int = 0
    leaves: int = 0
    bodies: int = 0
    size: int = 0
    root: str = ""
    problems: list[Problem] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Nothing is wrong with what was read."""
        return not self.problems

    def fail(self, code: str, what: str) -> None:
        """Note a problem; past a hundred the rest is not told."""
        if len(self.problems) < 100:
            self.problems.append(Problem(code, what))


async def verify(
    folder: BackupFolder,
    manifest: Manifest,
    *,
    scratch: Path,
    bring_up: Scratch,
    open_database: OpenDatabase,
    bodies: bool,
) -> Verified:
    """Read everything; changes nothing in the backup.

    1. Every file and every object is there and is what the manifest says. 2. What was missing when it was made.
    3. The database comes up in `scratch`, and SQLite finds its pages sound. 4. The whole ledger is recomputed from
    it: the checkpoint of the manifest, the published one, tiles and (with `bodies`: the keys are at hand) every
    sealed body. 5. Every blob that a row names is in the backup with the hash of the row.
    """
    done = Verified(manifest.id)
    await asyncio.to_thread(_read_all, folder, manifest, done)  # 1
    for one in manifest.missing:  # 2
        done.fail("blob.missing_then", one)
    if any(problem.code == "file" for problem in done.problems):
        done.unread.append("数据库文件已损坏，没有打开 the database's files are damaged: it was not opened")
        return done
    try:
        async with bring_up(folder, manifest, scratch) as url:  # 3
            await _database(folder, manifest, url, open_database, bodies, done)
    except HubError as fault:
        if fault.code != "backup.no_server":
            raise
        done.unread.append(f"数据库没有打开：{fault.zh} The database was not opened: {fault.en}")
    return done


def _read_all(folder: BackupFolder, manifest: Manifest, done: Verified) -> None:
    for one in manifest.files:
        path = folder.file(manifest, one)
        if not path.is_file():
            done.fail("file", f"{one.path} 不在 is not there")
        elif stored(folder.backups / manifest.id, path) != one:
            done.fail("file", f"{one.path} 与清单不符 is not what the manifest says")
        done.files, done.bytes = done.files + 1, done.bytes + one.size
    read: set[str] = set()
    for blob in manifest.blobs:
        if blob.sha256 not in read:
            read.add(blob.sha256)
            try:
                done.bytes += len(folder.read_object(blob.sha256))
            except HubError as fault:
                done.fail("object", f"{blob.key}: {fault.en}")
    done.objects = len(read)


async def _database(
    folder: BackupFolder, manifest: Manifest, url: str, open_database: OpenDatabase, bodies: bool, done: Verified
) -> None:
    if manifest.database == SQLITE:
        faults = await asyncio.to_thread(sqlite.faults, folder.backups / manifest.id / DATABASE)
        for fault in faults:
            done.fail("database.pages", fault)
        if faults:
            return
    db = open_database(url)
    try:
        async with db.view(SYSTEM) as view:
            found = await view.conn.run_sync(facts.look)
            if found.revision != manifest.revision:
                done.fail("database.revision", f"{found.revision}, manifest {manifest.revision}")
            key = parse_vkey(manifest.ledger.log_key)
            pinned = verify_checkpoint(parse(manifest.ledger.checkpoint), key).checkpoint
            report = await check(
                view,
                BackedBlobs(folder, manifest),
                key=key,
                pinned=pinned,
                older_than=FOR_EVER,
                read_bodies=bodies,
                shelves=every_shelf(),
            )
    finally:
        await db.close()
    _ledger(report, done)  # 4
    if not bodies:
        done.unread.append("没有密钥，封存的正文没有打开 the sealed bodies were not opened: their keys are not at hand")
    held = {blob.key: blob.sha256 for blob in manifest.blobs}
    for key_, sha256 in found.named.items():  # 5
        if held.get(key_) != sha256:
            done.fail("blob.absent" if key_ not in held else "blob.differs", key_)


def _ledger(report: Report, done: Verified) -> None:
    """Take over what the ledger check found. A tile that is absent is made again at the first start."""
    done.leaves, done.bodies, done.size, done.root = (
        report.leaves_read,
        report.bodies_read,
        report.size,
        report.root.hex(),
    )
    for failure in report.failures:
        if failure.code != "tile.missing":
            where = "" if failure.index is None else f" @{failure.index}"
            done.fail(f"ledger.{failure.code}", f"{failure.what}{where}")

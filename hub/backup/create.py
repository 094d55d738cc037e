"""Make a backup while the hub works: database, blobs, key inventory, and the manifest that makes it whole."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from hub.backup import blobs as blob_copies
from hub.backup import keyring as key_files
from hub.backup import sqlite
from hub.backup.facts import Facts, look
from hub.backup.folder import BackupFolder, stored
from hub.backup.model import SQLITE, Ledger, Manifest, Stored, code_version, new_id
from hub.store.blobs import Blobs
from keys.files import Keyring

DATABASE = "database.sqlite"


@dataclass(frozen=True, slots=True)
class Copied:
    """A copy of the database in a draft: what the server is, what the copy says of itself, its files."""

    kind: str
    server: str
    source: str
    facts: Facts
    files: list[Stored]
    wal: tuple[str, ...] = ()


CopyDatabase = Callable[[Path], Awaitable[Copied]]
"""Copy the database into the draft folder given."""


@dataclass(frozen=True, slots=True)
class Source:
    """What is backed up. `passphrase` says where the passphrase of the keys is kept, never what it is."""

    copy_database: CopyDatabase
    blobs: Blobs
    keyring: Keyring
    log_key: str
    passphrase: str


@dataclass(frozen=True, slots=True)
class Created:
    """A backup that was made, and the older ones that were thrown away for it."""

    manifest: Manifest
    thrown_away: list[str]


async def create(
    source: Source, folder: BackupFolder, *, now: datetime, with_keys: bool = False, keep: int | None = None
) -> Created:
    """Copy everything; whole and durable on return, or nothing is left.

    1. One maker at a time; what dead makers left is thrown away. 2. The published checkpoint is read before the
    database, so that the copy of the database is never the older one. 3. The database, as of one moment. 4. The
    blobs after it: a blob is in storage before the row that names it. 5. Sealed keys last. 6. The manifest, and
    the rename that makes it a backup. 7. Older ones beyond `keep`.

    Raises Conflict `backup.busy`, Unavailable `backup.no_room`, `backup.no_ledger`, those of the database's copier.
    """
    with folder.making():  # 1
        name = new_id(now)
        with folder.draft(name) as draft:
            checkpoint = await blob_copies.published(source.blobs)  # 2
            copied = await source.copy_database(draft)  # 3
            blobs, missing = await blob_copies.copy(  # 4
                source.blobs,
                folder,
                named=copied.facts.named,
                checkpoint=checkpoint,
                published_size=copied.facts.published_size,
                trusted=folder.referenced(),
            )
            keys = key_files.inventory(source.keyring, included=with_keys)  # 5
            files = [*copied.files, *(key_files.copy_sealed(source.keyring, keys, draft) if with_keys else [])]
            manifest = Manifest(
                id=name,
                made_at=int(now.timestamp()),
                yimen=code_version(),
                database=copied.kind,
                server=copied.server,
                source=copied.source,
                revision=copied.facts.revision,
                rows=copied.facts.rows,
                ledger=_ledger(copied.facts, source.log_key),
                files=tuple(files),
                blobs=tuple(blobs),
                keys=keys,
                passphrase=source.passphrase,
                wal=copied.wal,
                missing=tuple(missing),
            )
            await asyncio.to_thread(folder.finish, draft, manifest)  # 6
        return Created(manifest, folder.prune(keep) if keep else [])  # 7


def copy_sqlite(database: Path) -> CopyDatabase:
    """Copies a SQLite database with its backup API."""

    async def copy(draft: Path) -> Copied:
        def work() -> Copied:
            to = draft / DATABASE
            server = sqlite.copy(database, to)
            with sqlite.looking(to) as connection:
                facts = look(connection)
            return Copied(SQLITE, server, f"sqlite:///{database}", facts, [stored(draft, to)])

        return await asyncio.to_thread(work)

    return copy


def _ledger(facts: Facts, log_key: str) -> Ledger:
    return Ledger(facts.origin, log_key, facts.size, facts.root.hex(), facts.checkpoint)




"""Blobs in a backup: copied once for each content, and read back as the store that a scratch hub is given."""

import asyncio

from hub.backup.folder import BackupFolder
from hub.backup.model import Blob, Manifest
from hub.errors import Conflict, HubError, Malformed, NotFound
from hub.formats.tiles import exists_at, parse_path
from hub.ledger.hold import HOLD
from hub.ledger.tileset import CHECKPOINT, PREFIX
from hub.store.blobs import Blobs, absent, proved

ABREAST = 8
NOT_OURS = ("doctor/", HOLD)
"""Not copied: the doctor's probe, and the mark of a restore."""


async def published(blobs: Blobs) -> bytes | None:
    """The checkpoint that is out, read before the database is copied: so the copy is never older than it."""
    try:
        return await blobs.get(PREFIX + CHECKPOINT)
    except NotFound:
        return None


async def copy(
    blobs: Blobs,
    folder: BackupFolder,
    *,
    named: dict[str, str],
    checkpoint: bytes | None,
    published_size: int,
    trusted: set[str],
) -> tuple[list[Blob], list[str]]:
    """Copy every blob after the database was copied; what a row names was in storage before the row.

    1. The checkpoint as read before. 2. The ledger's tiles of `published_size`; others are made again from the
    database. 3. Everything else; a blob whose hash the database holds, and whose bytes a whole backup has, is
    not read again. Returns the blobs, and what is missing of those that the database names.
    """
    turn = asyncio.Semaphore(ABREAST)

    async def one(key: str) -> Blob | str | None:
        wanted = named.get(key)
        async with turn:
            if wanted in trusted and folder.object(wanted).is_file():
                return Blob(key, folder.object(wanted).stat().st_size, wanted)
            try:
                data = await blobs.get(key)
            except NotFound:  # gone since it was listed: a partial tile, or something missing
                return f"{key}: absent" if wanted else None
            sha256 = await asyncio.to_thread(folder.keep_object, data, trusted=trusted)
        return f"{key}: differs" if wanted and sha256 != wanted else Blob(key, len(data), sha256)

    keys = [key for key in await blobs.list_prefix("") if _wanted(key, published_size)]
    answers = await asyncio.gather(*(one(key) for key in sorted({*keys, *named})))
    found = [answer for answer in answers if isinstance(answer, Blob)]
    if checkpoint is not None:
        sha256 = folder.keep_object(checkpoint, trusted=trusted)
        found.append(Blob(PREFIX + CHECKPOINT, len(checkpoint), sha256))
    return sorted(found, key=lambda blob: blob.key), [one for one in answers if isinstance(one, str)]


def _wanted(key: str, published_size: int) -> bool:
    if key.startswith(NOT_OURS):
        return False
    if not key.startswith(PREFIX):
        return True
    try:
        return exists_at(parse_path(key.removeprefix(PREFIX)), published_size)
    except Malformed:
        return False


class BackedBlobs:
    """The blobs of one backup as a `Blobs` that can only be read; every read proves the hash."""

    def __init__(self, folder: BackupFolder, manifest: Manifest) -> None:
        self._folder = folder
        self._held = {blob.key: blob for blob in manifest.blobs}

    async def get(self, key: str, *, sha256: bytes | None = None) -> bytes:
        """The bytes under `key`; see `Blobs.get`."""
        if key not in self._held:
            raise absent()
        return proved(await asyncio.to_thread(self._folder.read_object, self._held[key].sha256), sha256)

    async def exists(self, key: str) -> bool:
        """Whether the backup has it."""
        return key in self._held

    async def list_prefix(self, prefix: str) -> list[str]:
        """All keys that begin with `prefix`, sorted."""
        return sorted(key for key in self._held if key.startswith(prefix))

    async def prepare(self) -> None:
        """There is nothing to make."""

    async def put(self, key: str, data: bytes) -> bytes:
        """Never: Conflict `backup.read_only`."""
        raise _read_only()

    async def delete(self, key: str) -> None:
        """Never: Conflict `backup.read_only`."""
        raise _read_only()


async def put_back(blobs: Blobs, folder: BackupFolder, manifest: Manifest) -> tuple[int, int]:
    """Put blobs where they are missing; nothing that is there is replaced. (written, found there).

    1. A ledger that is published in the store stays as it is: it may be newer than the backup, and is evidence.
    2. Any other blob that is there must be the same. 3. The checkpoint is put last. Raises Conflict
    `restore.blob_differs`.
    """
    live = await blobs.exists(PREFIX + CHECKPOINT)  # 1
    there = set(await blobs.list_prefix(""))
    turn = asyncio.Semaphore(ABREAST)

    async def one(blob: Blob) -> bool:
        async with turn:
            if blob.key in there:
                if not await _same(blobs, blob):  # 2
                    raise Conflict(
                        "restore.blob_differs",
                        f"文件存储里已有不同的文件 {blob.key}，没有覆盖。",
                        f"The blob store has another file at {blob.key}; it was not overwritten.",
                        next_zh="请查明原因；要完整恢复，请用空的文件存储。",
                        next_en="Find out why; to restore everything, use an empty blob store.",
                    )
                return False
            await blobs.put(blob.key, await asyncio.to_thread(folder.read_object, blob.sha256))
            return True

    wanted = [blob for blob in manifest.blobs if not (live and blob.key.startswith(PREFIX))]
    last = [blob for blob in wanted if blob.key == PREFIX + CHECKPOINT]  # 3
    answers = await asyncio.gather(*(one(blob) for blob in wanted if blob not in last))
    answers += [await one(blob) for blob in last]
    return answers.count(True), answers.count(False)


async def _same(blobs: Blobs, blob: Blob) -> bool:
    try:
        await blobs.get(blob.key, sha256=bytes.fromhex(blob.sha256))
    except HubError as fault:
        if fault.code == "blob.corrupt":
            return False
        raise
    return True


def _read_only() -> Conflict:
    return Conflict("backup.read_only", "备份只读。", "A backup can only be read.")

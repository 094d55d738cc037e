"""The folder that holds backups: one folder each, and below `objects/` the blobs that they share, named by hash.

    backups/ID/manifest.json    whole: the folder got this name only when everything in it was durable
    backups/ID.part/            being made, or its maker died; never listed, never restored
    objects/ab/cdef...          SHA-256 of the bytes; written once, shared by all backups that need them
    wal/                        PostgreSQL: what was written since, for restoring to a moment (hub/backup/wal.py)
"""

import errno
import fcntl
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hub.backup.model import Manifest, Stored, broken, no_room, read_manifest
from hub.errors import Conflict, NotFound, Unavailable

PART, GONE = ".part", ".gone"
MANIFEST = "manifest.json"
CHUNK = 1 << 20
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO}


class BackupFolder:
    """Backups under one folder, readable by this account only. One maker at a time, any number of readers."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.backups = self.path / "backups"
        self.objects = self.path / "objects"
        self.wal = self.path / "wal"

    # -- reading

    def ids(self) -> list[str]:
        """The whole backups, the newest first."""
        if not self.backups.is_dir():
            return []
        whole = [one.name for one in self.backups.iterdir() if one.suffix not in (PART, GONE)]
        return sorted((name for name in whole if (self.backups / name / MANIFEST).is_file()), reverse=True)

    def unfinished(self) -> list[str]:
        """What makers that died have left; the next one throws it away."""
        if not self.backups.is_dir():
            return []
        return sorted(one.name for one in self.backups.iterdir() if one.suffix in (PART, GONE))

    def manifest(self, wanted: str = "latest") -> Manifest:
        """One backup by its id, or the newest.

        Raises NotFound `backup.unknown`, Unavailable `backup.manifest_broken`.
        """
        there = self.ids()
        name = there[0] if wanted == "latest" and there else wanted
        if name not in there:
            raise NotFound(
                "backup.unknown",
                "没有这份备份，或它没有完成。",
                "There is no such backup, or it was never finished.",
                next_zh=f"运行 yimen backup list；备份目录：{self.path}",
                next_en=f"Run: yimen backup list. The folder is {self.path}",
            )
        return read_manifest((self.backups / name / MANIFEST).read_bytes())

    def file(self, manifest: Manifest, stored: Stored) -> Path:
        """Where a file of a backup is; its path is ours and stays inside."""
        found = self.backups / manifest.id / stored.path
        if not found.resolve().is_relative_to((self.backups / manifest.id).resolve()):
            raise broken(stored.path)
        return found

    def object(self, sha256: str) -> Path:
        """Where the bytes of this hash are."""
        return self.objects / sha256[:2] / sha256[2:]

    def readable(self) -> list[Manifest]:
        """The whole backups whose manifests can be read, the newest first."""
        found = []
        for name in self.ids():
            with suppress(Unavailable):  # damaged: told by `list` and `verify`, and in nobody's way
                found.append(self.manifest(name))
        return found

    def referenced(self) -> set[str]:
        """The objects that whole backups name: they are durable."""
        return {blob.sha256 for one in self.readable() for blob in one.blobs}

    # -- writing

    @contextmanager
    def making(self) -> Iterator[None]:
        """Hold the folder against other makers; raises Conflict `backup.busy`. Throws away what dead ones left."""
        for folder in (self.path, self.backups, self.objects):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            raise Conflict(
                "backup.busy",
                "另一个备份正在使用这个目录。",
                "Another backup is being made in this folder.",
                next_zh="请等它结束。",
                next_en="Wait until it has ended.",
            ) from None
        try:
            if left := self.unfinished():
                for name in left:
                    shutil.rmtree(self.backups / name)
                self._sweep()
            yield
        finally:
            os.close(handle)

    @contextmanager
    def draft(self, name: str) -> Iterator[Path]:
        """A folder to fill; gone when anything fails, a disk that is full told as `backup.no_room`."""
        folder = self.backups / (name + PART)
        folder.mkdir(mode=0o700)
        try:
            yield folder
        except BaseException as fault:
            shutil.rmtree(folder, ignore_errors=True)
            self._sweep()
            if isinstance(fault, OSError) and fault.errno in _NO_ROOM:
                raise no_room(self.path) from fault
            raise

    def finish(self, folder: Path, manifest: Manifest) -> None:
        """Make the draft a backup: manifest and folders durable first, then the one rename that makes it whole."""
        write_durably(folder / MANIFEST, manifest.to_bytes())
        for inside in [folder, *(one for one in folder.rglob("*") if one.is_dir())]:
            sync_folder(inside)
        os.rename(folder, self.backups / manifest.id)
        sync_folder(self.backups)

    def keep_object(self, data: bytes, *, trusted: set[str]) -> str:
        """Keep these bytes, durably; returns their hash. Bytes that a whole backup names are there already."""
        sha256 = hashlib.sha256(data).hexdigest()
        path = self.object(sha256)
        if sha256 in trusted and path.is_file() and path.stat().st_size == len(data):
            return sha256
        path.parent.mkdir(exist_ok=True, mode=0o700)
        draft = path.parent / f".{secrets.token_hex(8)}"
        try:
            write_durably(draft, data)
            os.replace(draft, path)
        finally:
            draft.unlink(missing_ok=True)
        sync_folder(path.parent)
        sync_folder(self.objects)
        return sha256

    def prune(self, keep: int) -> list[str]:
        """Throw away all but the newest `keep` whole backups, and the objects that none of those names."""
        old = self.ids()[keep:]
        for name in old:  # renamed first: a backup that is half deleted must not look whole
            os.rename(self.backups / name, self.backups / (name + GONE))
            shutil.rmtree(self.backups / (name + GONE))
        if old:
            self._sweep()
        return old

    def _sweep(self) -> None:
        """Throw away what no backup names; nothing, while a manifest cannot be read: it may name anything."""
        known = self.readable()
        if len(known) < len(self.ids()):
            return
        first = min((name for one in known for name in one.wal), default="")
        for segment in self.wal.glob("[0-9A-F]*"):
            if len(segment.stem) >= 24 and segment.name < first:
                segment.unlink()
        needed = {blob.sha256 for one in known for blob in one.blobs}
        for path in self.objects.glob("*/*"):
            if path.parent.name + path.name not in needed:
                path.unlink()

    # -- bytes out of it, proved

    def read_object(self, sha256: str) -> bytes:
        """The bytes of this hash, and no others. Raises Internal `backup.broken`."""
        try:
            data = self.object(sha256).read_bytes()
        except FileNotFoundError as fault:
            raise broken(f"objects/{sha256[:12]}…") from fault
        if hashlib.sha256(data).hexdigest() != sha256:
            raise broken(f"objects/{sha256[:12]}…")
        return data

    def copy_file(self, manifest: Manifest, stored: Stored, to: Path) -> None:
        """Copy a file out, hashed on the way; a copy that differs is taken back. Raises Internal `backup.broken`."""
        try:
            told = copy_hashed(self.file(manifest, stored), to)
        except FileNotFoundError as fault:
            raise broken(stored.path) from fault
        if told != (stored.size, stored.sha256):
            to.unlink()
            raise broken(stored.path)


def copy_hashed(source: Path, to: Path) -> tuple[int, str]:
    """Copy a file durably, mode 0600; its size and SHA-256 (hex)."""
    digest, size = hashlib.sha256(), 0
    handle = os.open(to, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with source.open("rb") as reading, os.fdopen(handle, "wb") as writing:
        while chunk := reading.read(CHUNK):
            digest.update(chunk)
            size += len(chunk)
            writing.write(chunk)
        writing.flush()
        os.fsync(writing.fileno())
    return size, digest.hexdigest()


def stored(folder: Path, path: Path) -> Stored:
    """A file of a draft as the manifest names it."""
    digest = hashlib.sha256()
    with path.open("rb") as reading:
        while chunk := reading.read(CHUNK):
            digest.update(chunk)
    return Stored(path.relative_to(folder).as_posix(), path.stat().st_size, digest.hexdigest())


def write_durably(path: Path, data: bytes) -> None:
    """Write a file of ours, mode 0600, and have it on the disk."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync_file(path: Path) -> None:
    """Have a file that somebody else wrote on the disk."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on the disk."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

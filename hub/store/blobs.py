"""Where big bytes rest (PDF faces, ledger tiles): files on this machine (here), or any S3 (`s3.py`).

Both keep the same promises. A `put` that returned survives a crash and is never seen half written. A `get`
that is given the SHA-256 it expects returns those bytes or refuses: storage is not trusted to say what it holds.
Keys are our own (random tokens and tile paths, never personal data), so a storage server may log them.

Errors: `Malformed` for a key that breaks the rules, `TooLarge` over `MAX_BYTES`, `NotFound`, and `Unavailable`
for everything that storage does wrong.
"""

import asyncio
import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Callable
from pathlib import Path
from time import time
from typing import Protocol, TypeVar

from hub.errors import Malformed, NotFound, TooLarge, Unavailable

T = TypeVar("T")

MAX_BYTES = 64 * 1024 * 1024
_SEGMENT = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_KEY = re.compile(rf"{_SEGMENT}(?:/{_SEGMENT})*", re.ASCII)
_PREFIX = re.compile(rf"(?:{_SEGMENT}/)*(?:{_SEGMENT})?", re.ASCII)
_DRAFT_SECONDS = 3600


class Blobs(Protocol):
    """Bytes under keys. Keys are ASCII segments joined by "/"; no segment begins with a dot; 512 characters at most."""

    async def prepare(self) -> None:
        """Make the place for everything, unless it is there."""

    async def put(self, key: str, data: bytes) -> bytes:
        """Keep `data` durably under `key`, replacing what was there, and return its SHA-256 (32 bytes)."""

    async def get(self, key: str, *, sha256: bytes | None = None) -> bytes:
        """The bytes under `key`; with `sha256`, those bytes and no others (else `Unavailable`, blob.corrupt)."""

    async def exists(self, key: str) -> bool:
        """Whether something is under `key`."""

    async def list_prefix(self, prefix: str) -> list[str]:
        """All keys that begin with `prefix`, sorted by code point."""

    async def delete(self, key: str) -> None:
        """Remove `key`; that it was not there is no error."""


def checked(key: str) -> str:
    """The key as it is. Raises Malformed `blob.key`."""
    if len(key) > 512 or not _KEY.fullmatch(key):
        raise Malformed("blob.key", "存储键不符合规则", "the storage key breaks the rules")
    return key


def checked_prefix(prefix: str) -> str:
    """The prefix as it is. Raises Malformed `blob.key`."""
    if len(prefix) > 512 or not _PREFIX.fullmatch(prefix):
        raise Malformed("blob.key", "存储键前缀不符合规则", "the storage key prefix breaks the rules")
    return prefix


def bounded(data: bytes) -> bytes:
    """The bytes as they are. Raises TooLarge `blob.too_large`."""
    if len(data) > MAX_BYTES:
        raise TooLarge("blob.too_large", "文件过大", "the file is too large", max_bytes=MAX_BYTES)
    return data


def proved(data: bytes, sha256: bytes | None) -> bytes:
    """The bytes as they are, when they have this hash or none is asked for. Raises Unavailable `blob.corrupt`."""
    if sha256 is not None and not hmac.compare_digest(hashlib.sha256(data).digest(), sha256):
        raise Unavailable(
            "blob.corrupt",
            "存储中的文件与登记的摘要不一致，已拒绝提供",
            "the stored file does not match its recorded hash and is not served",
            next_zh="请联系系统运维人员从备份恢复",
            next_en="ask the operator to restore it from a backup",
        )
    return data


def absent() -> NotFound:
    """Nothing is under the key."""
    return NotFound("blob.absent", "文件不存在", "there is no such file")


def down() -> Unavailable:
    """Storage cannot be reached, or does what it should not."""
    return Unavailable(
        "blob.storage",
        "文件存储暂时不可用",
        "file storage is unavailable at the moment",
        next_zh="请稍后再试",
        next_en="try again later",
    )


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class FileBlobs:
    """Blobs as files under one folder, readable by this account only."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._drafts = folder / ".drafts"  # same file system, so that a rename is atomic; no key can name it
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._drafts.mkdir(exist_ok=True, mode=0o700)
        for draft in self._drafts.iterdir():
            if draft.stat().st_mtime < time() - _DRAFT_SECONDS:  # its writer died; a younger one may be at work
                draft.unlink(missing_ok=True)

    async def prepare(self) -> None:
        """The folder is there already."""

    async def put(self, key: str, data: bytes) -> bytes:
        """Write aside, fsync, rename into place, fsync every folder on the way."""
        path = self._folder / checked(key)
        await self._in_thread(self._write, path, bounded(data))
        return hashlib.sha256(data).digest()

    async def get(self, key: str, *, sha256: bytes | None = None) -> bytes:
        """The file's bytes; see `Blobs.get`."""
        return proved(await self._in_thread(self._read, self._folder / checked(key)), sha256)

    async def exists(self, key: str) -> bool:
        """Whether there is such a file."""
        return await self._in_thread((self._folder / checked(key)).is_file)

    async def list_prefix(self, prefix: str) -> list[str]:
        """Walk the one folder that the prefix points into."""
        return await self._in_thread(self._list, checked_prefix(prefix))

    async def delete(self, key: str) -> None:
        """Unlink, and fsync the folder."""
        await self._in_thread(self._unlink, self._folder / checked(key))

    @staticmethod
    async def _in_thread(do: Callable[..., T], *args: object) -> T:
        try:
            return await asyncio.to_thread(do, *args)
        except OSError as error:  # disk full, read-only, EIO
            raise down() from error

    def _write(self, path: Path, data: bytes) -> None:
        way = [path.parent, *path.parent.parents]
        way = way[: way.index(self._folder) + 1]  # from the file's folder up to ours
        for folder in reversed(way):
            folder.mkdir(exist_ok=True, mode=0o700)
        draft = self._drafts / secrets.token_hex(16)
        try:
            handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with open(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(draft, path)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
        for folder in way:  # all of them: another writer may have made one just now and not synced it yet
            _sync_folder(folder)

    @staticmethod
    def _read(path: Path) -> bytes:
        try:
            with path.open("rb") as file:
                return bounded(file.read(MAX_BYTES + 1))
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            raise absent() from None

    def _list(self, prefix: str) -> list[str]:
        start = self._folder / prefix.rpartition("/")[0]
        found = []
        for folder, folders, files in os.walk(start):
            folders[:] = [name for name in folders if not name.startswith(".")]
            inside = Path(folder).relative_to(self._folder).as_posix()
            found += [name if inside == "." else f"{inside}/{name}" for name in files]
        return sorted(key for key in found if key.startswith(prefix))

    @staticmethod
    def _unlink(path: Path) -> None:
        try:
            path.unlink()
        except (FileNotFoundError, NotADirectoryError):
            return
        _sync_folder(path.parent)

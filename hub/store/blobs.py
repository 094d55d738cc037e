"""Where big bytes rest (PDF faces, ledger tiles): files on this machine, or any S3.

Both keep the same promises. A `put` that returned survives a crash and is never seen half written. A `get`
that is given the SHA-256 it expects returns those bytes or refuses: storage is not trusted to say what it holds.
Keys are our own (random tokens and tile paths, never personal data), so a storage server may log them.

Errors: `Malformed` for a key that breaks the rules, `TooLarge` over `MAX_BYTES`, `NotFound`, and `Unavailable`
for everything that storage does wrong.
"""

import asyncio
import hashlib
import hmac
import io
import os
import re
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import time
from typing import Protocol, TypeVar

import urllib3
from minio import Minio
from minio.error import MinioException, S3Error

from hub.errors import Malformed, NotFound, TooLarge, Unavailable

T = TypeVar("T")

MAX_BYTES = 64 * 1024 * 1024
_SEGMENT = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_KEY = re.compile(rf"{_SEGMENT}(?:/{_SEGMENT})*", re.ASCII)
_PREFIX = re.compile(rf"(?:{_SEGMENT}/)*(?:{_SEGMENT})?", re.ASCII)
_DRAFT_SECONDS = 3600
_OURS_ALREADY = {"BucketAlreadyOwnedByYou", "BucketAlreadyExists"}


class Blobs(Protocol):
    """Bytes under keys. Keys are ASCII segments joined by "/"; no segment begins with a dot; 512 characters at most."""

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


def _checked(key: str) -> str:
    if len(key) > 512 or not _KEY.fullmatch(key):
        raise Malformed("blob.key", "存储键不符合规则", "the storage key breaks the rules")
    return key


def _checked_prefix(prefix: str) -> str:
    if len(prefix) > 512 or not _PREFIX.fullmatch(prefix):
        raise Malformed("blob.key", "存储键前缀不符合规则", "the storage key prefix breaks the rules")
    return prefix


def _bounded(data: bytes) -> bytes:
    if len(data) > MAX_BYTES:
        raise TooLarge("blob.too_large", "文件过大", "the file is too large", max_bytes=MAX_BYTES)
    return data


def _proved(data: bytes, sha256: bytes | None) -> bytes:
    if sha256 is not None and not hmac.compare_digest(hashlib.sha256(data).digest(), sha256):
        raise Unavailable(
            "blob.corrupt",
            "存储中的文件与登记的摘要不一致，已拒绝提供",
            "the stored file does not match its recorded hash and is not served",
            next_zh="请联系系统运维人员从备份恢复",
            next_en="ask the operator to restore it from a backup",
        )
    return data


def _absent() -> NotFound:
    return NotFound("blob.absent", "文件不存在", "there is no such file")


def _down() -> Unavailable:
    return Unavailable(
        "blob.storage",
        "文件存储暂时不可用",
        "file storage is unavailable at the moment",
        next_zh="请稍后再试",
        next_en="try again later",
    )


# ── files ────────────────────────────────────────────────────────────


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

    async def put(self, key: str, data: bytes) -> bytes:
        """Write aside, fsync, rename into place, fsync every folder on the way."""
        path = self._folder / _checked(key)
        await self._in_thread(self._write, path, _bounded(data))
        return hashlib.sha256(data).digest()

    async def get(self, key: str, *, sha256: bytes | None = None) -> bytes:
        """The file's bytes; see `Blobs.get`."""
        return _proved(await self._in_thread(self._read, self._folder / _checked(key)), sha256)

    async def exists(self, key: str) -> bool:
        """Whether there is such a file."""
        return await self._in_thread((self._folder / _checked(key)).is_file)

    async def list_prefix(self, prefix: str) -> list[str]:
        """Walk the one folder that the prefix points into."""
        return await self._in_thread(self._list, _checked_prefix(prefix))

    async def delete(self, key: str) -> None:
        """Unlink, and fsync the folder."""
        await self._in_thread(self._unlink, self._folder / _checked(key))

    @staticmethod
    async def _in_thread(do: Callable[..., T], *args: object) -> T:
        try:
            return await asyncio.to_thread(do, *args)
        except OSError as error:  # disk full, read-only, EIO
            raise _down() from error

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
                return _bounded(file.read(MAX_BYTES + 1))
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            raise _absent() from None

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


# ── S3 ────────────────────────────────────────────────────────────


def open_s3(
    endpoint: str, *, access_key: str, secret_key: str, region: str, secure: bool, deadline: float = 10.0
) -> Minio:
    """A client for any S3 at `endpoint` (host:port) whose every read and connect ends within `deadline` seconds."""
    pool = urllib3.PoolManager(
        maxsize=16,
        timeout=urllib3.Timeout(connect=min(3.0, deadline), read=deadline),
        retries=urllib3.Retry(total=1, backoff_factor=0.1, status_forcelist=[502, 503, 504]),
        cert_reqs="CERT_REQUIRED",
    )
    return Minio(endpoint, access_key, secret_key, region=region, secure=secure, http_client=pool)


class S3Blobs:
    """Blobs as objects of one bucket, under a prefix.

    The client is synchronous, so calls run in threads of their own: a storage server that hangs costs these threads
    and `Unavailable` after `deadline` seconds, not the rest of the hub. Never relies on conditional PUT, which
    servers understand differently.
    """

    def __init__(
        self, client: Minio, bucket: str, *, prefix: str = "", deadline: float = 10.0, region: str | None = None
    ) -> None:
        self._client = client
        self._bucket = bucket
        self._prefix = _checked(prefix.strip("/")) + "/" if prefix.strip("/") else ""
        self._deadline = deadline
        self._region = region
        self._threads = ThreadPoolExecutor(16, thread_name_prefix="s3")

    async def ensure_bucket(self) -> None:
        """Make the bucket unless it is there; servers answer "already yours" in three ways."""

        def make() -> None:
            try:
                self._client.make_bucket(self._bucket, location=self._region)
            except S3Error as error:
                if error.code not in _OURS_ALREADY:
                    raise

        await self._in_thread(make)

    async def put(self, key: str, data: bytes) -> bytes:
        """One PUT; S3 shows an object only when it is whole."""
        name = self._prefix + _checked(key)
        _bounded(data)
        await self._in_thread(lambda: self._client.put_object(self._bucket, name, io.BytesIO(data), len(data)))
        return hashlib.sha256(data).digest()

    async def get(self, key: str, *, sha256: bytes | None = None) -> bytes:
        """The object's bytes; see `Blobs.get`."""
        name = self._prefix + _checked(key)
        return _proved(await self._in_thread(lambda: self._read(name)), sha256)

    async def exists(self, key: str) -> bool:
        """Whether there is such an object."""
        name = self._prefix + _checked(key)
        try:
            await self._in_thread(lambda: self._client.stat_object(self._bucket, name))
        except NotFound:
            return False
        return True

    async def list_prefix(self, prefix: str) -> list[str]:
        """Every page of the listing."""
        full = self._prefix + _checked_prefix(prefix)

        def names() -> list[str]:
            found = self._client.list_objects(self._bucket, prefix=full, recursive=True)
            return sorted(str(thing.object_name).removeprefix(self._prefix) for thing in found)

        return await self._in_thread(names)

    async def delete(self, key: str) -> None:
        """One DELETE, which S3 answers alike whether or not there was an object."""
        name = self._prefix + _checked(key)
        await self._in_thread(lambda: self._client.remove_object(self._bucket, name))

    def close(self) -> None:
        """Give up the threads; calls that still hang end by their own deadlines."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _read(self, name: str) -> bytes:
        answer = self._client.get_object(self._bucket, name)
        try:
            return _bounded(answer.read(MAX_BYTES + 1))
        finally:
            answer.close()
            answer.release_conn()

    async def _in_thread(self, do: Callable[[], T]) -> T:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._deadline):
                return await loop.run_in_executor(self._threads, do)
        except S3Error as error:
            if error.code in {"NoSuchKey", "NoSuchObject", "ResourceNotFound"}:
                raise _absent() from None
            raise _down() from error
        except (MinioException, urllib3.exceptions.HTTPError, OSError, TimeoutError) as error:
            raise _down() from error

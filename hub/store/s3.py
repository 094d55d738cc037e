"""Blobs in any S3. A module of its own: only a hub that is told of a storage server loads the client for it."""

import asyncio
import hashlib
import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import urllib3
from minio import Minio
from minio.error import MinioException, S3Error

from hub.errors import NotFound
from hub.store.blobs import MAX_BYTES, absent, bounded, checked, checked_prefix, down, proved

T = TypeVar("T")

_OURS_ALREADY = {"BucketAlreadyOwnedByYou", "BucketAlreadyExists"}


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
        self._prefix = checked(prefix.strip("/")) + "/" if prefix.strip("/") else ""
        self._deadline = deadline
        self._region = region
        self._threads = ThreadPoolExecutor(16, thread_name_prefix="s3")

    async def prepare(self) -> None:
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
        name = self._prefix + checked(key)
        bounded(data)
        await self._in_thread(lambda: self._client.put_object(self._bucket, name, io.BytesIO(data), len(data)))
        return hashlib.sha256(data).digest()

    async def get(self, key: str, *, sha256: bytes | None = None) -> bytes:
        """The object's bytes; see `Blobs.get`."""
        name = self._prefix + checked(key)
        return proved(await self._in_thread(lambda: self._read(name)), sha256)

    async def exists(self, key: str) -> bool:
        """Whether there is such an object."""
        name = self._prefix + checked(key)
        try:
            await self._in_thread(lambda: self._client.stat_object(self._bucket, name))
        except NotFound:
            return False
        return True

    async def list_prefix(self, prefix: str) -> list[str]:
        """Every page of the listing."""
        full = self._prefix + checked_prefix(prefix)

        def names() -> list[str]:
            found = self._client.list_objects(self._bucket, prefix=full, recursive=True)
            return sorted(str(thing.object_name).removeprefix(self._prefix) for thing in found)

        return await self._in_thread(names)

    async def delete(self, key: str) -> None:
        """One DELETE, which S3 answers alike whether or not there was an object."""
        name = self._prefix + checked(key)
        await self._in_thread(lambda: self._client.remove_object(self._bucket, name))

    def close(self) -> None:
        """Give up the threads; calls that still hang end by their own deadlines."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _read(self, name: str) -> bytes:
        answer = self._client.get_object(self._bucket, name)
        try:
            return bounded(answer.read(MAX_BYTES + 1))
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
                raise absent() from None
            raise down() from error
        except (MinioException, urllib3.exceptions.HTTPError, OSError, TimeoutError) as error:
            raise down() from error

"""A ledger to play with: real database, real files, real keys; and storage that fails exactly when told."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from parts import spoilt

from hub.actor import SYSTEM, Actor
from hub.clock import Clock
from hub.errors import Unavailable
from hub.formats.note import Vkey
from hub.ledger.append import append
from hub.ledger.check import Report, check
from hub.ledger.create import create
from hub.ledger.head import Head, log_key, read_head
from hub.ledger.model import leaves
from hub.ledger.sequence import Sequencer
from hub.ledger.tileset import TileReader
from hub.store.blobs import Blobs, FileBlobs
from hub.store.seal import Vault
from hub.store.tx import Database, Tx
from keys.signer import Signer, generate

ORIGIN = "yimen.example/ledger"
VAULT = Vault({"k1": b"k" * 32}, "k1", {1: b"p" * 32}, 1)


class Crash(BaseException):
    """The process is gone: nothing of ours may catch this."""


class FailingBlobs:
    """Real blobs that fail at a chosen `put`, before or after the bytes are kept."""

    def __init__(self, inner: Blobs) -> None:
        self.inner = inner
        self.puts: list[str] = []
        self.fired = 0
        self.plan: dict[int, tuple[str, BaseException]] = {}

    def fail(self, number: int, when: str, error: BaseException | None = None) -> None:
        """The `number`-th put from now on (0 = next) fails "before" or "after" keeping its bytes."""
        self.plan[len(self.puts) + number] = (when, error or Unavailable("blob.storage", "坏", "down"))

    async def put(self, key: str, data: bytes) -> bytes:
        when, error = self.plan.get(len(self.puts), ("", None))
        self.puts.append(key)
        self.fired += error is not None
        if error and when == "before":
            raise error
        digest = await self.inner.put(key, data)
        if error:
            raise error
        return digest

    async def get(self, key: str, *, sha256: bytes | None = None) -> bytes:
        return await self.inner.get(key, sha256=sha256)

    async def exists(self, key: str) -> bool:
        return await self.inner.exists(key)

    async def list_prefix(self, prefix: str) -> list[str]:
        return await self.inner.list_prefix(prefix)

    async def delete(self, key: str) -> None:
        await self.inner.delete(key)


class FailingDatabase(Database):
    """A real database whose chosen write transaction fails before or after its commit."""

    def __init__(self, url: str, *, clock: Clock) -> None:
        super().__init__(url, clock=clock, vault=VAULT)
        self.count = 0
        self.fired = 0
        self.plan: dict[int, tuple[str, BaseException]] = {}

    def fail(self, number: int, when: str, error: BaseException | None = None) -> None:
        """The `number`-th write transaction from now on (0 = next) fails "before" or "after" its commit."""
        self.plan[self.count + number] = (when, error or Unavailable("store.unavailable", "坏", "down"))

    @asynccontextmanager
    async def tx(self, actor: Actor) -> AsyncIterator[Tx]:
        when, error = self.plan.get(self.count, ("", None))
        self.count += 1
        self.fired += error is not None
        async with super().tx(actor) as tx:
            yield tx
            if error and when == "before":
                raise error
        if error:
            raise error


@dataclass
class Rig:
    """One ledger with everything that it is made of."""

    db: FailingDatabase
    blobs: FailingBlobs
    folder: Path
    signer: Signer
    batch: int = 2048

    @property
    def key(self) -> Vkey:
        return log_key(ORIGIN, self.signer)

    @property
    def reader(self) -> TileReader:
        return TileReader(self.blobs)

    def sequencer(self, batch: int | None = None) -> Sequencer:
        return Sequencer(self.db, self.blobs, origin=ORIGIN, signer=self.signer, batch=batch or self.batch)

    async def create(self) -> None:
        async with self.db.tx(SYSTEM) as tx:
            await create(tx, blobs=self.blobs, origin=ORIGIN, signer=self.signer)

    async def add(self, count: int, *, first: int = 0) -> list[bytes]:
        """Append public events numbered from `first`; their leaf hashes."""
        async with self.db.tx(SYSTEM) as tx:
            return [
                (await append(tx, kind="test", event={"v": 1, "n": number})).leaf_hash
                for number in range(first, first + count)
            ]

    async def head(self) -> Head:
        async with self.db.view(SYSTEM) as view:
            return await read_head(view)

    async def until_published(self, size: int, seconds: float = 20) -> None:
        """Wait until so many leaves are out."""
        async with asyncio.timeout(seconds):
            while (await self.head()).published_size < size:  # noqa: ASYNC110 - another process may publish
                await asyncio.sleep(0.02)

    async def indices(self) -> list[int | None]:
        """The index of every leaf, in the database's order."""
        async with self.db.view(SYSTEM) as view:
            return [row.idx for row in await view.all(sa.select(leaves.c.idx).order_by(leaves.c.seq))]

    async def check(self, **options: Any) -> Report:
        """Recompute everything."""
        async with self.db.view(SYSTEM) as view:
            return await check(view, self.blobs, key=self.key, **options)

    async def sql(self, statement: sa.Executable) -> None:
        """What a database administrator can do behind our back."""
        async with self.db.tx(SYSTEM) as tx:
            await tx.run(statement)

    def flip(self, key: str, at: int = 0) -> None:
        """Flip one bit of a stored file."""
        path = self.folder / key
        path.write_bytes(spoilt(path.read_bytes(), at))


def make_rig(url: str, folder: Path, clock: Clock) -> Rig:
    db = FailingDatabase(url, clock=clock)
    return Rig(db, FailingBlobs(FileBlobs(folder)), folder, generate("EdDSA"))

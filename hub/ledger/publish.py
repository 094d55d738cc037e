"""Put tiles and the checkpoint where everybody can read them: tiles first, the checkpoint that needs them last."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any

import sqlalchemy as sa

from hub.actor import SYSTEM
from hub.errors import Conflict, HubError, Internal, Malformed, NotFound, Unprocessable
from hub.formats.merkle import verify_consistency
from hub.formats.note import Checkpoint, Note, Vkey, parse, verify_checkpoint
from hub.formats.tiles import ENTRIES, WIDTH, Tile, bundle, split_hashes, tiles_at
from hub.ledger.head import Head
from hub.ledger.model import head
from hub.ledger.tileset import CHECKPOINT, PREFIX, TileReader
from hub.ledger.tiling import Edge, read_leaves, tail_tile, tiles_from, tiles_of
from hub.store.blobs import Blobs
from hub.store.statement import Statement
from hub.store.tx import Database, Tx, View

ABREAST = 8
"""Tiles written at the same time."""
PUBLISHED = Statement(
    lambda _: (
        head.update()
        .where(head.c.epoch == sa.bindparam("holder"))
        .values(published_size=sa.bindparam("out"))
        .returning(head.c.published_size)
    )
)


class Publisher:
    """Writes what the head has and the object store has not. One per office; it remembers the tree's edge."""

    def __init__(self, blobs: Blobs, *, key: Vkey, prefix: str = PREFIX) -> None:
        self.blobs = blobs
        self.prefix = prefix
        self.reader = TileReader(blobs, prefix)
        self._key = key
        self._edge: Edge | None = None

    async def write_tiles(self, db: Database, found: Head, fresh: Sequence[Any] = ()) -> list[Tile]:
        """Write the tiles between the published size and the head's, and only then answer; idempotent.

        `fresh`: the rows of the head's last leaves, when the caller has just hashed them from their stored bytes.

        1. The edge comes from memory, else from the tiles that are out, else from the stored leaves.
        2. Leaves are hashed again from their bytes, unless all that are missing are `fresh`. 3. The edge that results
        is the head's, or nothing is published: Internal `ledger.tiles_mismatch`, and the next try begins from the
        stored leaves.
        """
        edge, self._edge = self._edge, None
        if edge is not None and edge.size == found.published_size == found.size - len(fresh):
            tiles = tiles_of(edge, fresh, found.size)
            if edge.frontier() == found.frontier:  # 3
                written = await self._put_all(_one_by_one(tiles))
                self._edge = edge
                return written
            edge = None
        async with db.view(SYSTEM) as view:
            return await self._from_stored(view, edge, found)

    async def _from_stored(self, view: View, edge: Edge | None, found: Head) -> list[Tile]:
        if edge is None or edge.size != found.published_size:  # 1
            edge = await self._load_edge(view, found.published_size)
        written = await self._put_all(tiles_from(view, edge, found.size))  # 2
        right = edge.frontier() == found.frontier
        if not right:  # 3
            edge = Edge()
            written = await self._put_all(tiles_from(view, edge, found.size))
            right = edge.frontier() == found.frontier
        if not right:
            raise Internal(
                "ledger.tiles_mismatch",
                "透明日志的数据块与树头不一致，停止发布。",
                "The stored leaves do not give the signed root; publishing has stopped.",
                next_zh="请运行 yimen ledger check。",
                next_en="Run: yimen ledger check",
            )
        self._edge = edge
        return written

    async def put_checkpoint(self, found: Head, note: Note) -> None:
        """Replace the public checkpoint with the head's own, as `note` carries it with cosignatures."""
        if note.text != found.note.text:
            raise Internal("ledger.wrong_note", "检查点不符。", "The note is not of this head.")
        await self.blobs.put(self.prefix + CHECKPOINT, str(note).encode())

    async def sweep(self, written: Iterable[Tile]) -> None:
        """Remove partial tiles that a full one has replaced; readers fall back to the full one."""
        for tile in written:
            if not tile.partial:
                for key in await self.blobs.list_prefix(f"{self.prefix}{tile.path}.p/"):
                    await self.blobs.delete(key)

    async def published(self) -> Checkpoint | None:
        """The checkpoint that is out, verified; None before the first. Raises as `verify_checkpoint`."""
        try:
            data = await self.blobs.get(self.prefix + CHECKPOINT)
        except NotFound:
            return None
        return verify_checkpoint(parse(data), self._key).checkpoint

    async def repair(self, view: View, found: Head) -> int:
        """Make what is out whole before anything is added; returns how many tiles were missing.

        1. What was published is not ahead of the head. 2. A missing tile is written again from the stored
        leaves. 3. A tile of the right edge, or the last bundle, that differs from the stored leaves is never
        overwritten: somebody may hold the other one.

        Raises Conflict `ledger.rolled_back`, Internal `ledger.tile_differs`, `ledger.leaf_corrupt`.
        """
        old = await self._published_or_refuse()  # 1
        if old and (old.size > found.size or (old.size == found.size and old.root != found.root)):
            raise _rolled_back("the published checkpoint is ahead of the database")
        size = found.published_size
        there = set(await self.blobs.list_prefix(f"{self.prefix}tile/"))
        missing = {self.prefix + tile.path for tile in (*_full_tiles(size), *tiles_at(size))} - there
        if missing:  # 2
            await self._put_all(tiles_from(view, Edge(), size), only=missing)
        await self._compare_last(view, size)  # 3
        if old is None or (await self._load_edge(view, old.size)).frontier().root() != old.root:
            await self._compare_all_edges(view, size)
        return len(missing)

    async def agree_with_published(self, found: Head) -> None:
        """The head extends what was published, or we were rolled back: Conflict `ledger.rolled_back`.

        Run when the tiles of the head are out and before its checkpoint is.
        """
        old = await self._published_or_refuse()
        if old is None or old.size == 0:
            return
        if old.size <= found.size:
            proof = await self.reader.consistency(old.size, found.size, at=found.size)
            if verify_consistency(old.size, found.size, old.root, found.root, proof):
                return
        raise _rolled_back("the published checkpoint is not a prefix of the database")

    async def _published_or_refuse(self) -> Checkpoint | None:
        try:
            return await self.published()
        except (Malformed, Unprocessable) as refused:
            raise _rolled_back(refused.code) from refused

    async def _load_edge(self, view: View, size: int) -> Edge:
        edge = Edge(size)
        level = 0
        while size >> 8 * level:
            tail = tail_tile(size, level)
            if tail is None:
                edge.tails[level] = []
            elif level == 0:
                rows = await read_leaves(view, size // WIDTH * WIDTH, size)
                edge.tails[0] = [row.leaf_hash for row in rows]
                edge.entries = [row.data for row in rows]
            else:
                try:
                    edge.tails[level] = split_hashes(await self.reader.read(tail), tail.width)
                except HubError:  # missing or damaged: the leaves know better
                    return Edge()
            level += 1
        return edge

    async def _compare_last(self, view: View, size: int) -> None:
        start = max(size - 1, 0) // WIDTH * WIDTH
        rows = await read_leaves(view, start, size)
        tile = Tile(0, start // WIDTH, size - start)
        if rows and await self.reader.read(tile) != b"".join(row.leaf_hash for row in rows):
            raise _differs(tile)
        entries = Tile(ENTRIES, tile.index, tile.width)
        if rows and await self.reader.read(entries) != bundle([row.data for row in rows]):
            raise _differs(entries)

    async def _compare_all_edges(self, view: View, size: int) -> None:
        edge = set(tiles_at(size))
        async for tile, data in tiles_from(view, Edge(), size):
            if tile in edge and await self.reader.read(tile) != data:
                raise _differs(tile)

    async def _put_all(
        self, tiles: AsyncIterator[tuple[Tile, bytes]], only: set[str] | None = None
    ) -> list[Tile]:
        written: list[Tile] = []
        batch: list[tuple[Tile, bytes]] = []
        async for tile, data in tiles:
            if only is None or self.prefix + tile.path in only:
                batch.append((tile, data))
            if len(batch) >= ABREAST:
                written += await self._put_batch(batch)
                batch = []
        return written + await self._put_batch(batch)

    async def _put_batch(self, batch: list[tuple[Tile, bytes]]) -> list[Tile]:
        await asyncio.gather(*(self.blobs.put(self.prefix + tile.path, data) for tile, data in batch))
        return [tile for tile, _ in batch]


async def mark_published(tx: Tx, *, size: int, epoch: int) -> None:
    """Remember how far everything is out. Raises Conflict `ledger.fenced` when another holds the office."""
    if not await tx.each(PUBLISHED, [{"holder": epoch, "out": size}]):
        raise fenced()


def fenced() -> Conflict:
    """The error of a sequencer that another one has replaced."""
    return Conflict(
        "ledger.fenced", "另一进程已接管日志排序。", "Another process has taken over sequencing the ledger."
    )


async def _one_by_one(tiles: Sequence[tuple[Tile, bytes]]) -> AsyncIterator[tuple[Tile, bytes]]:
    for one in tiles:
        yield one


def _full_tiles(size: int) -> list[Tile]:
    found: list[Tile] = []
    level, count = 0, size // WIDTH
    while count:
        found += [Tile(level, index) for index in range(count)]
        if level == 0:
            found += [Tile(ENTRIES, index) for index in range(count)]
        level, count = level + 1, count // WIDTH
    return found


def _rolled_back(why: str) -> Conflict:
    return Conflict(
        "ledger.rolled_back",
        "数据库落后于已公布的透明日志，疑似回滚，停止签名。",
        f"The database contradicts what was published; signing has stopped: {why}.",
        next_zh="请勿继续运行，从完整备份恢复后再启动。",
        next_en="Do not go on; restore from a complete backup first.",
    )


def _differs(tile: Tile) -> Internal:
    return Internal(
        "ledger.tile_differs",
        f"已公布的数据块 {tile.path} 与记录不一致，停止签名。",
        f"The published {tile.path} differs from the stored leaves; signing has stopped.",
        next_zh="请运行 yimen ledger check。",
        next_en="Run: yimen ledger check",
        first_index=tile.index * WIDTH,
    )

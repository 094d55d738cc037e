"""Tiles out of stored leaves: the edge of the tree carried along, every leaf re-hashed on the way."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from hub.errors import Internal
from hub.formats.merkle import Frontier, leaf_hash
from hub.formats.tiles import ENTRIES, HEIGHT, WIDTH, Tile, bundle, exists_at
from hub.ledger.model import leaves
from hub.store.tx import View

CHUNK = 16 * WIDTH
"""Leaves read at a time; a whole number of tiles."""


@dataclass(slots=True)
class Edge:
    """The unfinished tile of each level: `tails[level]` holds the hashes that come after the last full tile."""

    size: int = 0
    tails: dict[int, list[bytes]] = field(default_factory=dict)

    def frontier(self) -> Frontier:
        """The same edge as roots of complete subtrees: equal to the head's, or this edge is wrong."""
        peaks: list[bytes] = []
        for level in sorted(self.tails, reverse=True):
            peaks += Frontier.of(self.tails[level]).peaks
        return Frontier(self.size, peaks)


def grow(edge: Edge, entries: list[bytes], hashes: list[bytes]) -> list[tuple[Tile, bytes]]:
    """Advance `edge` over the leaves that begin at its last unfinished tile; the tiles that result, lowest first.

    `entries` and `hashes` repeat the leaves of the unfinished tile, because its bundle is written anew.
    """
    found: list[tuple[Tile, bytes]] = []
    first = edge.size // WIDTH
    for at in range(0, len(entries), WIDTH):
        part = entries[at : at + WIDTH]
        found.append((Tile(ENTRIES, first + at // WIDTH, len(part)), bundle(part)))
    edge.size, below = first * WIDTH + len(hashes), hashes
    level = 0
    while True:
        done = len(below) // WIDTH
        up: list[bytes] = []
        for at in range(0, len(below), WIDTH):
            part = below[at : at + WIDTH]
            found.append((Tile(level, first + at // WIDTH, len(part)), b"".join(part)))
            if len(part) == WIDTH:
                up.append(Frontier.of(part).root())
        edge.tails[level] = below[done * WIDTH :]
        if not up:
            return found
        level += 1
        tail = edge.tails.get(level, [])
        first = (first - len(tail)) // WIDTH  # `first` full tiles below are this level's hashes so far
        below = tail + up


async def tiles_from(view: View, edge: Edge, size: int) -> AsyncIterator[tuple[Tile, bytes]]:
    """The tiles that a log grown from `edge` to `size` has and did not have before, advancing `edge`.

    Each leaf is hashed again from its stored bytes. Raises Internal `ledger.leaf_corrupt` naming the index.
    """
    while edge.size < size:
        start = edge.size // WIDTH * WIDTH
        rows = await read_leaves(view, start, min(start + CHUNK, size))
        for tile, data in grow(edge, [row.data for row in rows], [row.leaf_hash for row in rows]):
            if exists_at(tile, size):
                yield tile, data


async def read_leaves(view: View, start: int, end: int) -> list[sa.Row[Any]]:
    """The rows of the leaves [start, end), each proved by hashing. Raises Internal `ledger.leaf_corrupt`."""
    rows = await view.all(
        sa.select(leaves.c.idx, leaves.c.data, leaves.c.leaf_hash)
        .where(leaves.c.idx >= start, leaves.c.idx < end)
        .order_by(leaves.c.idx)
    )
    for index, row in enumerate(rows, start):
        if row.idx != index or leaf_hash(row.data) != row.leaf_hash:
            raise corrupt_leaf(index)
    if len(rows) != end - start:
        raise corrupt_leaf(start + len(rows))
    return list(rows)


async def read_hashes(view: View, start: int, end: int) -> list[bytes]:
    """The leaf hashes of [start, end), without their bytes. Raises Internal `ledger.leaf_corrupt`."""
    return [row.leaf_hash for row in await read_leaves(view, start, end)]


def tail_tile(edge_size: int, level: int) -> Tile | None:
    """The unfinished tile of this level, or None where the level ends with a full one."""
    index, width = divmod(edge_size >> HEIGHT * level, WIDTH)
    return Tile(level, index, width) if width else None


def corrupt_leaf(index: int) -> Internal:
    """The error for a stored leaf that is missing, or whose bytes are not the ones that were hashed."""
    return Internal(
        "ledger.leaf_corrupt",
        f"透明日志第 {index} 号记录已损坏或缺失，停止签名。",
        f"Leaf {index} of the ledger is missing or damaged; signing has stopped.",
        next_zh="请运行 yimen ledger check 并从备份恢复该记录。",
        next_en="Run: yimen ledger check, and restore this leaf from a backup.",
        index=index,
    )

"""Tiles out of stored leaves: the edge of the tree carried along, every leaf re-hashed on the way."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from hub.errors import Internal
from hub.formats.merkle import Frontier, leaf_hash, node_hash
from hub.formats.tiles import ENTRIES, HEIGHT, WIDTH, Tile, bundle, exists_at
from hub.ledger.model import leaves
from hub.store.statement import Statement
from hub.store.tx import View

CHUNK = 16 * WIDTH
"""Leaves read at a time; a whole number of tiles."""
LEAVES = Statement(
    lambda _: (
        sa.select(leaves.c.idx, leaves.c.data, leaves.c.leaf_hash)
        .where(leaves.c.idx >= sa.bindparam("start"), leaves.c.idx < sa.bindparam("end"))
        .order_by(leaves.c.idx)
    )
)


@dataclass(slots=True)
class Edge:
    """The unfinished tile of each level: `tails[level]` holds the hashes that come after the last full tile."""

    size: int = 0
    tails: dict[int, list[bytes]] = field(default_factory=dict)
    entries: list[bytes] = field(default_factory=list)
    """The leaves whose hashes are `tails[0]`: their bundle is written anew when more come."""

    def frontier(self) -> Frontier:
        """The same edge as roots of complete subtrees: equal to the head's, or this edge is wrong."""
        peaks: list[bytes] = []
        for level in sorted(self.tails, reverse=True):
            peaks += peaks_of(self.tails[level])
        return Frontier(self.size, peaks)


def peaks_of(hashes: list[bytes]) -> list[bytes]:
    """The roots of the complete subtrees that these hashes make up, largest first: as `Frontier.of`, level by level."""
    peaks: list[bytes] = []
    while hashes:
        if len(hashes) & 1:
            peaks.append(hashes[-1])
        hashes = [node_hash(left, right) for left, right in zip(hashes[::2], hashes[1::2], strict=False)]
    return peaks[::-1]


def grow(edge: Edge, entries: list[bytes], hashes: list[bytes]) -> list[tuple[Tile, bytes]]:
    """Advance `edge` over the leaves that come next; the tiles that result, lowest first."""
    found: list[tuple[Tile, bytes]] = []
    first = edge.size // WIDTH
    entries = edge.entries + entries
    for at in range(0, len(entries), WIDTH):
        part = entries[at : at + WIDTH]
        found.append((Tile(ENTRIES, first + at // WIDTH, len(part)), bundle(part)))
    edge.size += len(hashes)
    edge.entries = entries[len(entries) // WIDTH * WIDTH :]
    below = edge.tails.get(0, []) + hashes
    level = 0
    while True:
        done = len(below) // WIDTH
        up: list[bytes] = []
        for at in range(0, len(below), WIDTH):
            part = below[at : at + WIDTH]
            found.append((Tile(level, first + at // WIDTH, len(part)), b"".join(part)))
            if len(part) == WIDTH:
                up += peaks_of(part)
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
        rows = await read_leaves(view, edge.size, min(edge.size // WIDTH * WIDTH + CHUNK, size))
        for one in tiles_of(edge, rows, size):
            yield one


def tiles_of(edge: Edge, rows: Sequence[Any], size: int) -> list[tuple[Tile, bytes]]:
    """Advance `edge` over the leaves that come next; the tiles that result and are part of the tree of `size`."""
    grown = grow(edge, [row.data for row in rows], [row.leaf_hash for row in rows])
    return [(tile, data) for tile, data in grown if exists_at(tile, size)]


async def read_leaves(view: View, start: int, end: int) -> list[Any]:
    """The rows of the leaves [start, end), each proved by hashing. Raises Internal `ledger.leaf_corrupt`."""
    rows = await view.each(LEAVES, [{"start": start, "end": end}])
    for index, row in enumerate(rows, start):
        if row.idx != index or leaf_hash(row.data) != row.leaf_hash:
            raise corrupt_leaf(index)
    if len(rows) != end - start:
        raise corrupt_leaf(start + len(rows))
    return rows


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

"""Reads tiles that are out: the hashes that proofs are made of, at any size, in a handful of small reads."""

from collections import OrderedDict
from collections.abc import Iterable

from hub.errors import Internal, NotFound
from hub.formats.merkle import Frontier, Nodes, Subtree, consistency_ranges, inclusion_ranges, subtrees
from hub.formats.merkle import consistency_proof as prove_consistency
from hub.formats.merkle import inclusion_proof as prove_inclusion
from hub.formats.tiles import ENTRIES, HEIGHT, WIDTH, Tile, bundle, split_hashes, unbundle
from hub.store.blobs import Blobs

PREFIX = "ledger/"
CHECKPOINT = "checkpoint"
CACHED_TILES = 512
"""Full tiles kept in memory: 4 MB."""


class TileReader:
    """Proofs out of published tiles. `size` is always a size whose tiles are out."""

    def __init__(self, blobs: Blobs, prefix: str = PREFIX) -> None:
        self._blobs = blobs
        self._prefix = prefix
        self._full: OrderedDict[Tile, list[bytes]] = OrderedDict()

    async def inclusion(self, index: int, size: int, *, at: int) -> list[bytes]:
        """The audit path of `index` in the tree of `size` <= `at`, the published size whose tiles are read."""
        nodes = await self._nodes(inclusion_ranges(index, size), at)
        return prove_inclusion(index, size, nodes)

    async def consistency(self, size1: int, size2: int, *, at: int) -> list[bytes]:
        """The consistency proof between two sizes <= `at`, the published size whose tiles are read."""
        nodes = await self._nodes(consistency_ranges(size1, size2), at)
        return prove_consistency(size1, size2, nodes)

    async def root(self, size: int, *, at: int) -> bytes:
        """The root of the tree of `size` <= `at`."""
        nodes = await self._nodes([(0, size)], at)
        return Frontier(size, [nodes(*subtree) for subtree in subtrees(0, size)]).root()

    def forget(self) -> None:
        """A proof did not hold: what is kept in memory may have come from storage damaged, so it is read again."""
        self._full.clear()

    async def checkpoint(self) -> bytes:
        """The published checkpoint note. Raises NotFound before the first."""
        return await self._blobs.get(self._prefix + CHECKPOINT)

    async def read(self, tile: Tile) -> bytes:
        """A tile's bytes; a partial one that was swept away is cut from the full one.

        Raises NotFound, Unavailable.
        """
        try:
            return await self._blobs.get(self._prefix + tile.path)
        except NotFound:
            if not tile.partial:
                raise
            whole = await self._blobs.get(self._prefix + Tile(tile.level, tile.index).path)
            if tile.level == ENTRIES:
                return bundle(unbundle(whole, WIDTH)[: tile.width])
            return whole[: len(whole) // WIDTH * tile.width]

    async def _nodes(self, ranges: Iterable[tuple[int, int]], at: int) -> Nodes:
        wanted = [subtree for start, end in ranges for subtree in subtrees(start, end)]
        found: dict[Subtree, bytes] = {}
        for level, index in wanted:
            found[level, index] = await self._node(level, index, at)
        return lambda level, index: found[level, index]

    async def _node(self, level: int, index: int, at: int) -> bytes:
        base, rest = divmod(level, HEIGHT)
        number, offset = divmod(index << rest, WIDTH)
        count = at >> HEIGHT * base
        width = min(count - number * WIDTH, WIDTH)
        if width < offset + (1 << rest):
            raise Internal("ledger.tile_range", "证明所需的数据块不存在。", "A proof asked beyond the tree.")
        hashes = await self._hashes(Tile(base, number, width))
        return Frontier.of(hashes[offset : offset + (1 << rest)]).root()

    async def _hashes(self, tile: Tile) -> list[bytes]:
        kept = self._full.get(tile)
        if kept is not None:
            self._full.move_to_end(tile)
            return kept
        hashes = split_hashes(await self.read(tile), tile.width)
        if not tile.partial:
            self._full[tile] = hashes
            if len(self._full) > CACHED_TILES:
                self._full.popitem(last=False)
        return hashes

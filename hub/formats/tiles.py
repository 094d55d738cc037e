"""Tiles of a transparency log (C2SP tlog-tiles): their paths, which are partial, and entry bundles."""

import re
from dataclasses import dataclass

from hub.errors import Malformed
from hub.formats.merkle import HASH_BYTES, MAX_SIZE

WIDTH = 256
"""Hashes in a full tile: eight tree levels."""
HEIGHT = 8
MAX_ENTRY = 65_535
"""Bytes in one entry: its length is written in two."""

_PATH = re.compile(
    r"tile/(entries|0|[1-9][0-9]?)/((?:x[0-9]{3}/)*[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?", re.ASCII
)


@dataclass(frozen=True, slots=True, order=True)
class Tile:
    """One tile or entry bundle. `level` 0-63, or -1 for entries; `width` 1-256, 256 = full."""

    level: int
    index: int
    width: int = WIDTH

    @property
    def partial(self) -> bool:
        """Whether the tile is not full yet."""
        return self.width < WIDTH

    @property
    def path(self) -> str:
        """`tile/<L>/<N>[.p/<W>]`, N in groups of three digits, all but the last after an x."""
        name = "entries" if self.level < 0 else str(self.level)
        return f"tile/{name}/{_groups(self.index)}" + (f".p/{self.width}" if self.partial else "")


ENTRIES = -1


def parse_path(path: str) -> Tile:
    """The tile that `path` names. Only the one spelling that `Tile.path` writes; else Malformed
    `tile.path`.
    """
    match = _PATH.fullmatch(path)
    if match is None:
        raise _bad_path()
    name, groups, width = match.groups()
    level = ENTRIES if name == "entries" else int(name)
    tile = Tile(level, int(groups.replace("x", "").replace("/", "")), int(width) if width else WIDTH)
    if level > 63 or tile.index > MAX_SIZE or (width and tile.width >= WIDTH) or tile.path != path:
        raise _bad_path()
    return tile


def tiles_at(size: int) -> list[Tile]:
    """The right edge of a tree of `size`: at each level, and for entries, the last tile, partial or full."""
    found: list[Tile] = []
    level, count = 0, size
    while count:
        index, width = divmod(count, WIDTH)
        last = Tile(level, index, width) if width else Tile(level, index - 1)
        found.append(last)
        if level == 0:
            found.append(Tile(ENTRIES, last.index, last.width))
        level, count = level + 1, count // WIDTH
    return sorted(found)


def exists_at(tile: Tile, size: int) -> bool:
    """Whether `tile` is part of the tree of `size`: full, or partial with exactly the width of that edge."""
    count = size >> HEIGHT * max(tile.level, 0)
    whole, rest = divmod(count, WIDTH)
    return tile.index == whole and tile.width == rest if tile.partial else tile.index < whole


def split_hashes(data: bytes, width: int) -> list[bytes]:
    """The `width` hashes of a tile's bytes. Raises Malformed `tile.length`."""
    if len(data) != width * HASH_BYTES:
        raise Malformed("tile.length", "数据块长度不对。", "The tile has the wrong length.")
    return [data[at : at + HASH_BYTES] for at in range(0, len(data), HASH_BYTES)]


def bundle(entries: list[bytes]) -> bytes:
    """An entry bundle: (uint16 big-endian length || entry)*. Raises Malformed `tile.entry_size`."""
    out: list[bytes] = []
    for entry in entries:
        if len(entry) > MAX_ENTRY:
            raise Malformed(
                "tile.entry_size", "账本条目过大。", f"A ledger entry is at most {MAX_ENTRY} bytes."
            )
        out += [len(entry).to_bytes(2, "big"), entry]
    return b"".join(out)


def unbundle(data: bytes, width: int) -> list[bytes]:
    """The `width` entries of a bundle, exactly. Raises Malformed `tile.bundle`."""
    entries: list[bytes] = []
    at = 0
    while at < len(data):
        end = at + 2 + int.from_bytes(data[at : at + 2], "big")
        if at + 2 > len(data) or end > len(data):
            raise _bad_bundle()
        entries.append(data[at + 2 : end])
        at = end
    if len(entries) != width:
        raise _bad_bundle()
    return entries


def _groups(index: int) -> str:
    digits = str(index)
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    parts = [digits[at : at + 3] for at in range(0, len(digits), 3)]
    return "/".join([*(f"x{part}" for part in parts[:-1]), parts[-1]])


def _bad_path() -> Malformed:
    return Malformed("tile.path", "数据块路径不对。", "Not a tile path.")


def _bad_bundle() -> Malformed:
    return Malformed("tile.bundle", "条目包不完整。", "The entry bundle is damaged.")

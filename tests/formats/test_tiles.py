"""Tile paths and bundles: one spelling each, and the sizes of the standard's own example."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.errors import Malformed
from hub.formats import tiles
from hub.formats.tiles import ENTRIES, Tile


@pytest.mark.parametrize(
    ("tile", "path"),
    [
        (Tile(0, 1234067), "tile/0/x001/x234/067"),
        (Tile(0, 0), "tile/0/000"),
        (Tile(0, 273, 112), "tile/0/273.p/112"),
        (Tile(ENTRIES, 1000, 1), "tile/entries/x001/000.p/1"),
        (Tile(63, 999), "tile/63/999"),
    ],
)
def test_paths_of_the_standard(tile: Tile, path: str) -> None:
    assert tile.path == path
    assert tiles.parse_path(path) == tile


@pytest.mark.parametrize(
    "path",
    ["tile/64/000", "tile/00/000", "tile/0/0", "tile/0/0000", "tile/0/x000/001", "tile/0/000.p/0",
     "tile/0/000.p/256", "tile/0/000.p/01", "tile/0/001/x002", "/tile/0/000", "tile/0/000/", "tile/0/٠٠٠",
     "tile/0/000\n", "tile/entries/../000", "tile/-1/000", "", "tile/0/x" + "001/x" * 40 + "001/001"],
)  # fmt: skip
def test_no_other_spelling_is_taken(path: str) -> None:
    with pytest.raises(Malformed, match=r"tile\.path"):
        tiles.parse_path(path)


@given(st.integers(-1, 63), st.integers(0, 10**12), st.integers(1, 256))
def test_paths_read_back(level: int, index: int, width: int) -> None:
    tile = Tile(level, index, width)
    assert tiles.parse_path(tile.path) == tile


def test_the_edge_of_70000_leaves() -> None:
    assert tiles.tiles_at(70_000) == [
        Tile(ENTRIES, 273, 112), Tile(0, 273, 112), Tile(1, 1, 17), Tile(2, 0, 1)
    ]  # fmt: skip
    assert tiles.tiles_at(256) == [Tile(ENTRIES, 0, 256), Tile(0, 0, 256), Tile(1, 0, 1)]
    assert tiles.tiles_at(0) == []


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_bundles_read_back(entries: list[bytes]) -> None:
    assert tiles.unbundle(tiles.bundle(entries), len(entries)) == entries


@given(st.lists(st.binary(max_size=9), min_size=1, max_size=5), st.integers(0, 60))
def test_a_cut_bundle_is_refused(entries: list[bytes], cut: int) -> None:
    data = tiles.bundle(entries)
    with pytest.raises(Malformed, match=r"tile\.bundle"):
        tiles.unbundle(data[: cut % len(data)], len(entries))


def test_sizes_are_exact() -> None:
    with pytest.raises(Malformed, match=r"tile\.entry_size"):
        tiles.bundle([bytes(65_536)])
    with pytest.raises(Malformed, match=r"tile\.length"):
        tiles.split_hashes(bytes(64), 3)
    assert tiles.split_hashes(bytes(64), 2) == [bytes(32), bytes(32)]

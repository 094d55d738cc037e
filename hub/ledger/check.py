"""Recompute the whole ledger from what is stored, and say where it first fails."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import sqlalchemy as sa

from hub.errors import HubError, NotFound
from hub.formats.merkle import Frontier, leaf_hash
from hub.formats.note import Checkpoint, Vkey, parse, verify_checkpoint
from hub.formats.tiles import ENTRIES, HEIGHT, WIDTH, Tile, exists_at, split_hashes, unbundle
from hub.ledger.head import prove_head, read_head
from hub.ledger.model import leaves
from hub.ledger.orders import Orders, Shelf
from hub.ledger.tileset import PREFIX, TileReader
from hub.ledger.tiling import CHUNK, Edge, grow
from hub.store.blobs import Blobs
from hub.store.tx import View

OLD_PENDING = timedelta(seconds=10)
MOST_FAILURES = 100


@dataclass(frozen=True, slots=True)
class Failure:
    """One thing that is wrong. `index`: the first leaf it touches, None where it is not about a leaf."""

    code: str
    index: int | None
    what: str


@dataclass(slots=True)
class Report:
    """What `check` found. `root` is recomputed from the stored leaves, not copied from the head."""

    size: int = 0
    root: bytes = b""
    leaves_read: int = 0
    tiles_read: int = 0
    bodies_read: int = 0
    bodies_erased: int = 0
    pending: int = 0
    failures: list[Failure] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing failed."""
        return not self.failures

    @property
    def first_index(self) -> int | None:
        """The lowest leaf that any failure names."""
        named = [failure.index for failure in self.failures if failure.index is not None]
        return min(named, default=None)

    def fail(self, code: str, index: int | None, what: str) -> None:
        """Note a failure; past a hundred the rest is not told."""
        if len(self.failures) < MOST_FAILURES:
            self.failures.append(Failure(code, index, what))


async def check(
    view: View,
    blobs: Blobs,
    *,
    key: Vkey,
    pinned: Checkpoint | None = None,
    prefix: str = PREFIX,
    older_than: timedelta = OLD_PENDING,
    read_bodies: bool = True,
    shelves: Sequence[Shelf] = (),
) -> Report:
    """Recompute everything from storage; reads all of it, changes nothing.

    1. The head's edge, root, signature and checkpoint agree. 2. Indices run from 0 without a hole, and each
    leaf hash is the hash of the stored bytes. 3. All leaf bytes together give the head's root; the published
    and the `pinned` checkpoint (kept by somebody else) had the roots of their sizes. 4. Every tile and bundle
    that is out equals the recomputed one. 5. Each readable body is what its leaf commits to, and per-grant
    and per-person sequence numbers run in the order of the ledger; `shelves` say where bodies rest that are not in
    `ledger_bodies`, and without them they are missing. 6. No leaf has waited longer than
    `older_than` for its index.

    Raises only when there is no ledger to check (`ledger.absent`) or storage cannot be reached.
    """
    report = Report()
    reader = TileReader(blobs, prefix)
    size, published_size, wanted = await _heads(view, reader, key, pinned, report)  # 1
    orders = Orders(view, report.fail, shelves) if read_bodies else None
    edge, whole = Edge(), Frontier.empty()
    while whole.size < size:
        start = whole.size
        rows = await view.all(
            sa.select(leaves.c.idx, leaves.c.data, leaves.c.leaf_hash, leaves.c.created_at)
            .where(leaves.c.idx >= start, leaves.c.idx < min(start + CHUNK, size))
            .order_by(leaves.c.idx)
        )
        datas: list[bytes] = []
        for index, row in enumerate(rows, start):
            if row.idx != index:  # 2
                break
            datas.append(row.data)
            if leaf_hash(row.data) != row.leaf_hash:
                report.fail("leaf.hash", index, "the stored bytes are not the ones that were hashed")
        hashes = [leaf_hash(data) for data in datas]
        for found in hashes:
            whole.append(found)
            _compare_root(whole, wanted, report)  # 3
        report.leaves_read += len(hashes)
        for tile, data in grow(edge, datas, hashes):  # 4
            if exists_at(tile, published_size):
                await _compare_tile(reader, tile, data, report)
        if orders:  # 5
            await orders.read(start, rows[: len(datas)])
        if len(datas) < min(CHUNK, size - start):
            report.fail("leaf.missing", whole.size, "no leaf has this index")
            break
    report.size, report.root = whole.size, whole.root()
    if orders:
        await orders.close()
        report.bodies_read, report.bodies_erased = orders.opened, orders.erased
    await _pending(view, older_than, report)  # 6
    await _beyond(view, size, report)
    return report


Wanted = dict[int, list[tuple[str, bytes]]]


async def _heads(
    view: View, reader: TileReader, key: Vkey, pinned: Checkpoint | None, report: Report
) -> tuple[int, int, Wanted]:
    """The head's size, the published size, and for each size that somebody signed, its name and root."""
    wanted: Wanted = {}
    try:
        found = await read_head(view)
        prove_head(found, key)
        size, published_size = found.size, found.published_size
        wanted.setdefault(size, []).append(("head", found.root))
    except HubError as refused:
        if refused.code == "ledger.absent":
            raise
        report.fail("head.broken", None, refused.en)
        size = published_size = await view.value(sa.select(sa.func.count(leaves.c.idx)))
    try:
        out = verify_checkpoint(parse(await reader.checkpoint()), key).checkpoint
        wanted.setdefault(out.size, []).append(("published checkpoint", out.root))
    except NotFound:
        if published_size:
            report.fail("checkpoint.missing", None, "no checkpoint is published")
    except HubError as refused:
        report.fail("checkpoint.broken", None, refused.en)
    if pinned is not None:
        wanted.setdefault(pinned.size, []).append(("pinned checkpoint", pinned.root))
    for beyond in [signed for signed in wanted if signed > size]:
        for name, _ in wanted.pop(beyond):
            report.fail("checkpoint.ahead", size, f"the {name} is of size {beyond}, the head of {size}")
    _compare_root(Frontier.empty(), wanted, report)
    return size, published_size, wanted


def _compare_root(whole: Frontier, wanted: Wanted, report: Report) -> None:
    for name, root in wanted.pop(whole.size, ()):
        if whole.root() != root:
            what = f"the leaves below {whole.size} do not give the root of the {name}"
            report.fail("root.differs", None, what)


async def _compare_tile(reader: TileReader, tile: Tile, data: bytes, report: Report) -> None:
    first = tile.index * WIDTH << HEIGHT * max(tile.level, 0)
    try:
        stored = await reader.read(tile)
    except NotFound:
        report.fail("tile.missing", first, f"{tile.path} is not there")
        return
    report.tiles_read += 1
    if stored != data:
        index = first + _first_difference(tile, stored, data)
        span = WIDTH ** max(tile.level, 0)  # a hash of an upper tile stands for this many leaves
        known = [fault.index for fault in report.failures if fault.index is not None]
        inside = min((known_one for known_one in known if index <= known_one < index + span), default=index)
        report.fail("tile.differs", inside, tile.path)


def _first_difference(tile: Tile, stored: bytes, data: bytes) -> int:
    """How many leaves after the tile's first one the first difference is."""
    try:
        if tile.level == ENTRIES:
            pairs: Iterator[tuple[bytes, bytes]] = zip(
                unbundle(stored, tile.width), unbundle(data, tile.width), strict=True
            )
        else:
            pairs = zip(split_hashes(stored, tile.width), split_hashes(data, tile.width), strict=True)
    except HubError:
        return 0
    place = next((at for at, (left, right) in enumerate(pairs) if left != right), 0)
    return place << HEIGHT * max(tile.level, 0)


async def _pending(view: View, older_than: timedelta, report: Report) -> None:
    rows = await view.all(
        sa.select(leaves.c.seq, leaves.c.data, leaves.c.leaf_hash, leaves.c.created_at)
        .where(leaves.c.idx.is_(None))
        .order_by(leaves.c.seq)
        .limit(CHUNK)
    )
    report.pending = len(rows)
    for row in rows:
        if leaf_hash(row.data) != row.leaf_hash:
            report.fail("pending.hash", None, f"pending leaf number {row.seq} is damaged")
    if rows and view.now - rows[0].created_at > older_than:
        report.fail("pending.old", None, f"leaf number {rows[0].seq} still waits for its index")


async def _beyond(view: View, size: int, report: Report) -> None:
    extra = await view.value(sa.select(sa.func.min(leaves.c.idx)).where(leaves.c.idx >= size))
    if extra is not None:
        report.fail("leaf.beyond", extra, "a leaf has an index that no signed head covers")

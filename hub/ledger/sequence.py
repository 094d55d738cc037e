"""The one sequencer: gives pending leaves their indices in batches and signs the head over them.

Crash-safe order: one database transaction (indices, leaf hashes checked, head compared and swapped together with
its signed checkpoint), then tiles, then the checkpoint. A crash anywhere leaves work that the next start finishes.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from hub.actor import SYSTEM
from hub.errors import Conflict, HubError, Internal, Unavailable
from hub.formats.merkle import Frontier, leaf_hash
from hub.formats.note import Checkpoint, Note, sign_checkpoint
from hub.ledger.cosign import Cosigner
from hub.ledger.head import Head, log_key, prove_head, read_head
from hub.ledger.hold import refuse_while_held
from hub.ledger.model import head, leaves
from hub.ledger.publish import Publisher, fenced, mark_published
from hub.ledger.tileset import PREFIX
from hub.store.blobs import Blobs
from hub.store.statement import Statement
from hub.store.tx import Database, Tx
from keys.signer import Signer

BATCH = 2048
"""Leaves sequenced in one transaction: on SQLite it holds the only write lock meanwhile."""
MAX_UNPUBLISHED = 64 * BATCH
"""With the object store away, indices are given out no further than this beyond what is published."""

GIVE = Statement(
    lambda _: (
        leaves.update()
        .where(leaves.c.seq == sa.bindparam("at"), leaves.c.idx.is_(None))
        .values(idx=sa.bindparam("place", type_=sa.BigInteger))
    )
)


def _give_all(_: str) -> sa.Executable:
    pending = sa.bindparam("pending", type_=postgresql.ARRAY(sa.BigInteger))
    place = sa.bindparam("start", type_=sa.BigInteger) + sa.func.array_position(pending, leaves.c.seq) - 1
    return leaves.update().where(leaves.c.seq == sa.any_(pending), leaves.c.idx.is_(None)).values(idx=place)


GIVE_ALL = Statement(_give_all)
"""PostgreSQL: all in one execution."""
WAITING = Statement(lambda _: sa.select(leaves.c.seq).where(leaves.c.idx.is_(None)).limit(1))
PENDING = Statement(
    lambda _: (
        sa.select(leaves.c.seq, leaves.c.data, leaves.c.leaf_hash)
        .where(leaves.c.idx.is_(None))
        .order_by(leaves.c.seq)
        .limit(sa.bindparam("most", type_=sa.Integer))
    )
)
GIVEN = Statement(
    lambda _: sa.select(sa.func.count().label("leaves")).where(leaves.c.idx >= sa.bindparam("start"))
)
NEW = ("size", "root", "frontier", "checkpoint", "signed_at")
SWAP = Statement(
    lambda _: (
        head.update()
        .where(
            head.c.epoch == sa.bindparam("holder"),
            head.c.size == sa.bindparam("old_size"),
            head.c.root == sa.bindparam("old_root"),
        )
        .values({name: sa.bindparam(f"new_{name}", type_=head.c[name].type) for name in NEW})
        .returning(head.c.size)
    )
)


@dataclass(frozen=True, slots=True)
class Sequenced:
    """What one step did: `added` leaves, and the tree's size now."""

    added: int
    size: int


class Sequencer:
    """Holds the office of sequencer for one ledger. Make a new one after any `ledger.fenced`."""

    def __init__(
        self,
        db: Database,
        blobs: Blobs,
        *,
        origin: str,
        signer: Signer,
        prefix: str = PREFIX,
        batch: int = BATCH,
        cosigner: Cosigner | None = None,
    ) -> None:
        self._db = db
        self._cosigner = cosigner
        self._out: Note | None = None
        self._signer = signer
        self._origin = origin
        self._batch = batch
        self._key = log_key(origin, signer)
        self._publisher = Publisher(blobs, key=self._key, prefix=prefix)
        self._epoch: int | None = None
        self._seen = 0
        self._busy = False

    async def take_office(self) -> Head:
        """Fence all others off, repair what a crash left, and publish the head.

        0. No restore waits for a decision. 1. The head is there and its own signature holds. 2. Its epoch is
        raised: whoever held it can write no more. 3. Missing tiles are written again, differing ones refused.
        4. Nothing published contradicts the head. 5. The head's tiles, then its checkpoint, are out.

        Raises Unavailable `ledger.absent`, Internal `ledger.head_broken`, `ledger.tile_differs`,
        `ledger.leaf_corrupt`, Conflict `ledger.held`, `ledger.rolled_back`.
        """
        self._epoch = None
        await refuse_while_held(self._publisher.blobs)  # 0
        async with self._db.tx(SYSTEM) as tx:
            found = await read_head(tx, lock=True)
            prove_head(found, self._key)  # 1
            epoch = found.epoch + 1
            if not await tx.run(head.update().where(head.c.epoch == found.epoch).values(epoch=epoch)):  # 2
                raise fenced()
        async with self._db.view(SYSTEM) as view:
            found = await read_head(view)
            await self._publisher.repair(view, found)  # 3
        self._epoch = epoch
        self._seen = found.size
        await self._publish(found, first=True)  # 4, 5
        return found

    async def step(self) -> Sequenced:
        """Sequence one batch and publish it; also publishes what an earlier step could not.

        Raises Conflict `ledger.fenced`, `ledger.rolled_back`, Unavailable (try again), Internal (call somebody).
        """
        if self._epoch is None:
            raise fenced()
        found, fresh = await self._take(self._epoch)
        self._busy = bool(fresh)
        if found.size < self._seen:
            self._epoch = None
            raise Internal(
                "ledger.shrunk", "透明日志变短了，停止签名。", "The ledger shrank; signing has stopped."
            )
        self._seen = found.size
        if found.published_size != found.size:
            await self._publish(found, fresh)
        else:
            await self._ask_again(found)
        return Sequenced(len(fresh), found.size)

    async def run(
        self,
        stop: asyncio.Event,
        *,
        every: float = 0.5,
        on_trouble: Callable[[HubError], None],
        held: Callable[[], bool] = lambda: True,
    ) -> None:
        """Step until told to stop, until the lock is no longer `held`, or until another takes the office.

        Trouble is told and tried again, slower each time up to 10 s: it recovers without a restart. `every`:
        seconds between looks at the queue while it is empty.
        """
        wait, short = every, False
        while not stop.is_set() and held():
            try:
                if self._epoch is None:
                    await self.take_office()
                done = await self.step()
                wait = 0.0 if done.added == self._batch else every
                if self.short_of_witnesses() and not short:
                    on_trouble(_short())
                short = self.short_of_witnesses()
            except HubError as refused:
                on_trouble(refused)
                if refused.code == "ledger.fenced":
                    return
                wait = min(max(wait * 2, every), 10.0)
            except Exception as error:
                # A surprise must stop neither the business nor the ledger; only its type is told.
                on_trouble(Internal("ledger.unexpected", "日志排序出现意外错误。", type(error).__name__))
                wait = 10.0
            await pause(stop, wait)

    async def _take(self, epoch: int) -> tuple[Head, list[Any]]:
        """The head, and the rows of the leaves that it was just extended by. Where leaves came a moment ago more will
        have come; else it is only looked, which on SQLite holds nobody up."""
        if not self._busy:
            async with self._db.view(SYSTEM) as view:
                found = await read_head(view)
                if found.epoch != epoch:
                    self._epoch = None
                    raise fenced()
                if not await view.each(WAITING, [{}]):
                    return found, []
        async with self._db.tx(SYSTEM) as tx:
            return await self._sequence(tx, epoch)

    async def _sequence(self, tx: Tx, epoch: int) -> tuple[Head, list[Any]]:
        """One transaction of the database: the head after it, and the rows of the leaves that it added.

        1. The head is locked, still ours, not shorter than we have seen, and its own signature holds.
        2. Time has not gone backwards. 3. Pending leaves in the order of the database's number; each is hashed
        again from its stored bytes. 4. Indices. 5. The head is compared and swapped, signed checkpoint included.
        """
        found = await read_head(tx, lock=True)  # 1
        if found.epoch != epoch:
            self._epoch = None
            raise fenced()
        prove_head(found, self._key)
        if found.size < self._seen or found.size - found.published_size >= MAX_UNPUBLISHED:
            return found, []
        if tx.now < found.signed_at:  # 2
            raise Unavailable(
                "ledger.clock_backwards",
                "系统时钟倒退，暂停签名。",
                "The clock went backwards; signing waits until it has caught up.",
                next_zh="请检查时间同步。",
                next_en="Check the time synchronisation.",
            )
        edge, rows = await self._extend(tx, found)  # 3
        if not rows:
            return found, []
        await give(tx, [row.seq for row in rows], first=found.size)  # 4
        if (await tx.each(GIVEN, [{"start": found.size}]))[0].leaves != len(rows):
            raise Internal(
                "ledger.index_taken", "日志序号冲突。", "Indices were given to other leaves before."
            )
        note = str(sign_checkpoint(Checkpoint(self._origin, edge.size, edge.root()), self._signer, self._key))
        old = {"holder": epoch, "old_size": found.size, "old_root": found.root}
        now = (edge.size, edge.root(), edge.to_bytes(), note, tx.now)
        new = {f"new_{name}": value for name, value in zip(NEW, now, strict=True)}
        if not await tx.each(SWAP, [old | new]):  # 5
            self._epoch = None
            raise fenced()
        extended = Head(found.origin, *now[:2], edge, epoch, note, tx.now, found.published_size)
        return extended, rows

    async def _extend(self, tx: Tx, found: Head) -> tuple[Frontier, list[Any]]:
        edge = found.frontier.copy()
        rows = await tx.each(PENDING, [{"most": self._batch}])
        for row in rows:
            if leaf_hash(row.data) != row.leaf_hash:
                raise Internal(
                    "ledger.pending_corrupt",
                    f"待编号记录 {row.seq} 已损坏，停止签名。",
                    f"The pending leaf with number {row.seq} is damaged; signing has stopped.",
                    seq=row.seq,
                )
            edge.append(row.leaf_hash)
        return edge, rows

    async def _publish(self, found: Head, fresh: Sequence[Any] = (), *, first: bool = False) -> None:
        written = await self._publisher.write_tiles(self._db, found, fresh)
        if first:
            await self._publisher.agree_with_published(found)
        if self._epoch is None:
            raise fenced()
        async with self._db.tx(SYSTEM) as tx:
            # Before the checkpoint: a sequencer that lost its office must not put an older one over a newer.
            if (await read_head(tx)).epoch != self._epoch:
                raise fenced()
        note = await self._cosigned(found, found.note)
        await self._publisher.put_checkpoint(found, note)
        self._out = note
        async with self._db.tx(SYSTEM) as tx:
            await mark_published(tx, size=found.size, epoch=self._epoch)
        await self._publisher.sweep(written)

    async def _cosigned(self, found: Head, note: Note) -> Note:
        """The note with the lines that witnesses give now; the tiles of `found` are out already."""
        if self._cosigner is None:
            return note

        async def prove(old: int) -> list[bytes]:
            return await self._publisher.reader.consistency(old, found.size, at=found.size)

        try:
            return await self._cosigner.collect(note, found.size, prove)
        except Conflict:
            self._epoch = None  # a witness has seen more than we have: sign nothing further
            raise

    async def _ask_again(self, found: Head) -> None:
        """While nothing new comes in: ask the witnesses that have not cosigned what is out."""
        if self._out is None or self._out.text != found.note.text:
            return
        note = await self._cosigned(found, self._out)
        if note != self._out:
            await self._publisher.put_checkpoint(found, note)
            self._out = note

    def short_of_witnesses(self) -> bool:
        """Whether what is out carries fewer cosignatures than the quorum: an alarm, never a stop."""
        return bool(self._cosigner and self._out and self._cosigner.short(self._out))


async def give(tx: Tx, pending: Sequence[int], *, first: int) -> None:
    """Give these leaves, named by the database's number, the indices from `first` on, in their order."""
    if tx.dialect == "postgresql":
        await tx.each(GIVE_ALL, [{"pending": pending, "start": first}])
    else:
        await tx.each(GIVE, [{"at": one, "place": place} for place, one in enumerate(pending, first)])


async def pause(stop: asyncio.Event, seconds: float) -> None:
    """Wait so many seconds, or less when told to stop."""
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return


def _short() -> Unavailable:
    return Unavailable(
        "ledger.quorum_missing",
        "见证方不足，检查点暂缺见证签名；业务不受影响。",
        "Too few witnesses answer; checkpoints go out without the quorum. Business goes on.",
        next_zh="请检查见证方的连通性。",
        next_en="Check that the witnesses can be reached.",
    )

"""Reads bodies back in ledger order: each is what its leaf commits to, and no number is out of turn.

Two counters run through the bodies (DESIGN section 3, rule 6): `subject_seq` with `previous`, one chain per
person and their Accesses; and `grant_seq`, one order per grant, so a use stands before the withdrawal or not
at all. A number that is skipped fails unless an unreadable body could hold it.
"""

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncResult

from hub.errors import Gone, HubError
from hub.ledger.bodies import Body, unseal_body_with, unseal_hub_body
from hub.ledger.model import bodies, leaves
from hub.ledger.rest import commitment_leaf, commitment_of
from hub.store.rows import keys_of, one_pass
from hub.store.tx import View

Fail = Callable[[str, int | None, str], None]


class Shelf(Protocol):
    """Where bodies rest that are not in `ledger_bodies`: rooms above say how they are read (`hub.access.shelf`,
    `hub.certificates.shelf`). `differs` is the code of the failure that `compare` finds."""

    differs: str

    async def load(self, view: View, commits: Collection[bytes], since: datetime, until: datetime) -> None:
        """Make ready what rests here of these commitments, made from `since` to `until`; forget what was ready."""

    def whose(self, commit: bytes) -> UUID | None:
        """The person of a commitment whose body rests here; None when it does not."""

    async def open(self, view: View, commit: bytes, key: bytes) -> Body:
        """Its body under the person's key. Raises a HubError when there is none to be had."""

    async def compare(self, view: View, subject_id: UUID, body: Body) -> str | None:
        """What is wrong with the rows that repeat a body of `ledger_bodies` in clear; None when all is well."""


@dataclass(slots=True)
class _Chain:
    seq: int
    commit: str


class Orders:
    """The state of all chains up to some leaf; feed it the ledger from the start."""

    def __init__(self, view: View, fail: Fail, shelves: Sequence[Shelf] = ()) -> None:
        self.opened = 0
        self.erased = 0
        self._view = view
        self._fail = fail
        self._shelves = shelves
        self._people: dict[UUID, _Chain] = {}
        self._grants: dict[str, int] = {}
        self._unread: set[UUID | None] = set()
        self._unread_all = False
        self._keys: dict[UUID, bytes | None] = {}
        self._rows: AsyncResult[Any] | None = None
        self._next: sa.Row[Any] | None = None

    async def read(self, start: int, rows: Sequence[Any]) -> None:
        """Take the leaves that follow, in index order from `start`: rows of `data` and `created_at`."""
        commits = [commitment_of(row.data) for row in rows]
        times, shown = [row.created_at for row in rows], {one for one in commits if one}
        for shelf in self._shelves if rows else ():
            await shelf.load(self._view, shown, min(times), max(times))
        found = [await self._row(index) for index in range(start, start + len(rows))]
        await self._meet(self._named(found, commits))
        for index, (leaf, commit, row) in enumerate(zip(rows, commits, found, strict=True), start):
            if row is not None:
                body = await self._take(index, leaf.data, row.subject_id, self._open(row))
                if body is not None and row.subject_id is not None:
                    await self._compare(index, row.subject_id, body)
            elif commit is None:
                continue
            elif (rests := self._rests(commit)) is not None:
                shelf, who = rests
                await self._take(index, leaf.data, who, self._rebuild(shelf, commit, who))
            else:
                self._fail("body.missing", index, "the body was taken away without a trace of erasure")
                self._unread_all = True

    async def _compare(self, index: int, subject_id: UUID, body: Body) -> None:
        for shelf in self._shelves:
            wrong = await shelf.compare(self._view, subject_id, body)
            if wrong:
                self._fail(shelf.differs, index, wrong)

    def _rests(self, commit: bytes) -> tuple[Shelf, UUID] | None:
        """On which shelf the body of a commitment rests, and whose it is."""
        for shelf in self._shelves:
            if (who := shelf.whose(commit)) is not None:
                return shelf, who
        return None

    def _named(self, found: Sequence[sa.Row[Any] | None], commits: Sequence[bytes | None]) -> set[UUID]:
        """Whose bodies these are."""
        people = {row.subject_id for row in found if row is not None}
        for shelf in self._shelves:
            people |= {shelf.whose(commit) for commit in commits if commit is not None}
        return people - {None}

    async def _meet(self, people: Collection[UUID]) -> None:
        """Have the keys of all of them ready: asked for one by one they would be four fifths of a check's time."""
        new = people - self._keys.keys()
        self._keys |= dict.fromkeys(new) | await keys_of(self._view, new)

    async def _rebuild(self, shelf: Shelf, commit: bytes, who: UUID) -> Body:
        return await shelf.open(self._view, commit, self._key(who))

    async def close(self) -> None:
        """Give the database's cursor back."""
        if self._rows is not None:
            await self._rows.close()

    async def _row(self, index: int) -> sa.Row[Any] | None:
        """The body of leaf `index`, out of one pass over all bodies in ledger order."""
        if self._rows is None:
            query = (
                sa.select(leaves.c.idx, bodies)
                .join(leaves, leaves.c.leaf_hash == bodies.c.leaf_hash)
                .where(leaves.c.idx.is_not(None))
                .order_by(leaves.c.idx)
            )
            self._rows = await one_pass(self._view, query)
            self._next = await self._rows.fetchone()
        while self._next is not None and self._next.idx < index:
            self._next = await self._rows.fetchone()
        if self._next is None or self._next.idx != index:
            return None
        found, self._next = self._next, await self._rows.fetchone()
        return found

    async def _take(
        self, index: int, data: bytes, subject_id: UUID | None, opening: Awaitable[Body]
    ) -> Body | None:
        """The body, counted and in its order; None when it cannot be read or is not what the leaf commits to."""
        try:
            body = await opening
        except Gone:
            self.erased += 1
            self._unread.add(subject_id)
            return None
        except HubError as refused:
            self._fail("body.broken", index, refused.en)
            self._unread.add(subject_id)
            return None
        self.opened += 1
        if data != commitment_leaf(body.commit):
            self._fail("body.differs", index, "the body is not what the leaf commits to")
            return None
        if isinstance(body.event.get("subject_seq"), int) and subject_id is not None:
            self._person(index, subject_id, body)
        if isinstance(body.event.get("grant"), str) and isinstance(body.event.get("grant_seq"), int):
            self._grant(index, body.event["grant"], body.event["grant_seq"])
        return body

    def _person(self, index: int, subject_id: UUID, body: Body) -> None:
        seq, previous = body.event["subject_seq"], body.event.get("previous")
        before = self._people.get(subject_id, _Chain(0, bytes(32).hex()))
        hidden = self._unread_all or subject_id in self._unread
        if seq <= before.seq or (seq > before.seq + 1 and not hidden):
            self._fail("subject_seq.order", index, f"a person's look number {seq} follows {before.seq}")
        elif seq == before.seq + 1 and previous != before.commit:
            self._fail("subject_seq.previous", index, "a look does not name the one before it")
        self._people[subject_id] = _Chain(max(seq, before.seq), body.commit.hex())

    def _grant(self, index: int, grant: str, seq: int) -> None:
        before = self._grants.get(grant, 0)
        # One use may answer for several certificates: the same number again is in order.
        if seq < before or (seq > before + 1 and not (self._unread or self._unread_all)):
            self._fail("grant_seq.order", index, f"a grant's event number {seq} follows {before}")
        self._grants[grant] = max(seq, before)

    async def _open(self, row: sa.Row[Any]) -> Body:
        if row.sealed is None:
            raise Gone("ledger.body_erased", "内容已依法删除。", "The body was erased.")
        if row.subject_id is None:
            return unseal_hub_body(self._view, leaf_hash=row.leaf_hash, sealed=row.sealed)
        return unseal_body_with(self._key(row.subject_id), leaf_hash=row.leaf_hash, sealed=row.sealed)

    def _key(self, subject_id: UUID) -> bytes:
        key = self._keys[subject_id]
        if key is None:
            raise Gone("subject.erased", "此人的数据已删除。", "This person's data was erased.")
        return key

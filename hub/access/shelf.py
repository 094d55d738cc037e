"""Where the bodies of Accesses rest, for whoever reads the whole ledger back: in the rows themselves."""

from collections.abc import Collection
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from hub.access.body import FIRST, body_of, look_of, rebuilt
from hub.access.model import accesses, rows
from hub.certificates.shelf import CertificateShelf
from hub.errors import NotFound
from hub.ids import bucket_of
from hub.ledger.bodies import Body
from hub.ledger.orders import Shelf
from hub.store.tx import View


def every_shelf() -> list[Shelf]:
    """All places where bodies rest outside of `ledger_bodies`, for one reading of the ledger."""
    return [AccessShelf(), CertificateShelf()]


class AccessShelf:
    """One reading of the ledger from its start. Rows are found by the time of their leaves: both were given one."""

    differs = "access.differs"

    def __init__(self) -> None:
        self._ready: dict[bytes, Any] = {}
        self._last: dict[UUID, tuple[int, bytes]] = {}

    async def load(self, view: View, commits: Collection[bytes], since: datetime, until: datetime) -> None:
        """Make ready the looks with these commitments, one pass over the index of their times."""
        self._ready = {}
        if not commits:
            return
        found = await view.conn.stream(
            sa.select(accesses).where(accesses.c.at >= since, accesses.c.at <= until)
        )
        async for row in found:
            if (commit := bytes(row.commit)) in commits:
                self._ready[commit] = row

    def whose(self, commit: bytes) -> UUID | None:
        """The person whose look this is; None for what is no look, and for looks of before 0022."""
        row = self._ready.get(commit)
        return None if row is None or row.previous_commit is not None else row.subject_id

    async def open(self, view: View, commit: bytes, key: bytes) -> Body:
        """The body that the row gives, after the row before it. Raises NotFound `ledger.no_body`."""
        row = self._ready[commit]
        body = rebuilt(key, row, await self._before(view, row))
        self._last[row.subject_id] = (row.subject_seq, commit)
        return body

    async def compare(self, view: View, subject_id: UUID, body: Body) -> str | None:
        """Whether the row of a look of before 0022 says in clear what its sealed body says."""
        if body.event.get("event") != "access" or not isinstance(body.event.get("subject_seq"), int):
            return None
        row = self._ready.get(body.commit)
        if row is None:
            return "the row of this look is gone, or names another commitment or time"
        self._last[row.subject_id] = (row.subject_seq, body.commit)
        said = body_of(look_of(row), seq=row.subject_seq, previous=bytes(row.previous_commit or b""), at=row.at)
        # Those rows have never said which event of the grant they were.
        wanted = {name: value for name, value in body.event.items() if name not in ("access", "grant_seq")}
        del said["grant_seq"]
        if row.subject_id != subject_id or row.public_id != body.event["access"] or said != wanted:
            return "the row of this look does not say what its body says"
        return None

    async def _before(self, view: View, row: Any) -> bytes:
        if row.subject_seq == 1:
            return FIRST
        number, commit = self._last.get(row.subject_id, (0, FIRST))
        if number == row.subject_seq - 1:
            return commit
        found = await view.value(
            sa.select(rows.c.commit).where(
                rows.c.bucket == bucket_of(row.subject_id),
                rows.c.subject_id == row.subject_id,
                rows.c.subject_seq == row.subject_seq - 1,
            )
        )
        if found is None:
            raise NotFound("ledger.no_body", "缺少前一条记录。", "The look before this one is not there.")
        return bytes(found)

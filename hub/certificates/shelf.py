"""Where the bodies of registrations rest, for whoever reads the whole ledger back: in the certificates' rows."""

from collections.abc import Collection
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from hub.certificates.event import REGISTERED, body_of, salted
from hub.certificates.model import certificate_holders, certificates
from hub.ledger.append import ref_of
from hub.ledger.bodies import Body
from hub.store.tx import View


class CertificateShelf:
    """One reading of the ledger from its start. Rows are found by the time of their leaves: both were given one."""

    differs = "certificate.differs"

    def __init__(self) -> None:
        self._read: tuple[datetime, datetime] | None = None
        self._rows: dict[bytes, Any] = {}
        self._ready: dict[bytes, Any] = {}

    async def load(self, view: View, commits: Collection[bytes], since: datetime, until: datetime) -> None:
        """Make ready the certificates that were registered with these commitments, each with its first holder.

        Where thousands have one time they are read once, however often it is asked about.
        """
        if commits and (self._read is None or since < self._read[0] or until > self._read[1]):
            self._rows, self._read = await self._between(view, since, until), (since, until)
        named = ((commit, ref_of(commit).leaf_hash) for commit in commits)
        self._ready = {commit: self._rows[leaf] for commit, leaf in named if leaf in self._rows}

    async def _between(self, view: View, since: datetime, until: datetime) -> dict[bytes, Any]:
        """By leaf hash."""
        one, first = certificates.c, certificate_holders.c
        found = await view.conn.stream(
            sa.select(
                one.id, one.public_id, one.department, one.type_code, one.kid, one.signing_input_hash,
                one.registered_at, one.leaf_hash, first.subject_id,
            )
            .join(
                certificate_holders,
                sa.and_(first.certificate_bucket == one.bucket, first.certificate_id == one.id, first.position == 0),
            )
            .where(one.registered_at >= since, one.registered_at <= until)
        )  # fmt: skip
        return {bytes(row.leaf_hash): row async for row in found}

    def whose(self, commit: bytes) -> UUID | None:
        """The person whose certificate was registered with this commitment; None when it is none."""
        row = self._ready.get(commit)
        return None if row is None else row.subject_id

    async def open(self, view: View, commit: bytes, key: bytes) -> Body:
        """The body that the row gives."""
        row = self._ready[commit]
        return salted(key, row.id, _said(row), at=row.registered_at)

    async def compare(self, view: View, subject_id: UUID, body: Body) -> str | None:
        """Whether the row of a certificate of before 0023 says in clear what its sealed body says."""
        if body.event.get("event") != REGISTERED:
            return None
        row = self._ready.get(body.commit)
        if row is None:
            return "the row of this certificate is gone, or names another leaf or time"
        said = _said(row)
        if row.subject_id != subject_id or any(said.get(name, value) != value for name, value in body.event.items()):
            return "the row of this certificate does not say what its body says"
        return None


def _said(row: Any) -> dict[str, Any]:
    return body_of(
        department=row.department, type_code=row.type_code, public_id=row.public_id,
        signing_input_hash=bytes(row.signing_input_hash), kid=row.kid, at=row.registered_at,
    )  # fmt: skip

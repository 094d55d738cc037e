"""Changed rows of a pass wait here until all of it was read: too many at once are a swapped table, not corrections.

They wait in a scratch file (mode 0700 folder, gone afterwards), so that memory stays small however many there are.
"""

import json
import sqlite3
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from adapters.findings import Finding
from adapters.mapping import Mapped


@dataclass(frozen=True, slots=True)
class Change:
    """What a row says now, whose certificate says something else. `mapped` None: it should end, for `reason`."""

    ref: str
    key: str
    digest: str
    mapped: Mapped | None
    reason: str = ""


class Changes:
    """The changes of one pass, in the order they were met; one for each source key."""

    def __init__(self, folder: Path) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="yimen-pass-", dir=folder)
        self._db = sqlite3.connect(Path(self._folder.name) / "changes.db", isolation_level=None)
        self._db.executescript(
            "pragma journal_mode=off; pragma synchronous=off; create table change (place integer primary key,"
            " ref text unique, key text, digest text, mapped text, reason text); begin"
        )

    def __len__(self) -> int:
        return int(self._db.execute("select count(*) from change").fetchone()[0])

    def add(self, change: Change) -> None:
        """Keep one; a later one of the same key takes its place."""
        self._db.execute(
            "insert or replace into change (ref, key, digest, mapped, reason) values (?, ?, ?, ?, ?)",
            (change.ref, change.key, change.digest, _written(change.mapped), change.reason),
        )

    def drop(self, ref: str) -> None:
        """The row turned out to be unusable."""
        self._db.execute("delete from change where ref = ?", (ref,))

    def take(self) -> Iterator[Change]:
        """All of them."""
        rows = self._db.execute("select ref, key, digest, mapped, reason from change order by place")
        for ref, key, digest, mapped, reason in rows:
            yield Change(ref, key, digest, _restored(mapped), reason)

    def close(self) -> None:
        """Remove the scratch file."""
        self._db.close()
        self._folder.cleanup()


def _written(mapped: Mapped | None) -> str | None:
    if mapped is None:
        return None
    notes = [[note.code, note.where, note.column, note.detail] for note in mapped.notes]
    said = [[dict(one) for one in mapped.holders], dict(mapped.claims), mapped.valid_from, mapped.valid_until]
    return json.dumps([*said, mapped.as_of, notes], ensure_ascii=False)


def _restored(written: str | None) -> Mapped | None:
    if written is None:
        return None
    holders, claims, valid_from, valid_until, as_of, notes = json.loads(written)
    return Mapped(
        tuple(holders), claims, valid_from, valid_until, as_of, tuple(Finding(*note) for note in notes)
    )

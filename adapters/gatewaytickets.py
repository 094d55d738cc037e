"""The gateway's memory: one SQLite file of tickets, mode 0600, from which people are forgotten after some days."""

import os
import secrets
import sqlite3
import threading
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from pathlib import Path

SCHEMA = """
create table if not exists ticket (
    id text primary key, reference text not null unique, service text not null, people text not null,
    state text not null default 'new', code text not null default '', zh text not null default '',
    en text not null default '', code_word text not null, case_id text not null default '',
    asked text not null default '', consent text not null default '', answer text not null default '',
    due text not null, made text not null) without rowid;
create index if not exists ticket_due on ticket (state, due);
"""
WAITING = ("new", "waiting", "hub_away", "clock_wrong")
"""States in which a ticket is still being worked on; all others are final."""
LONGEST = timedelta(minutes=10)
"""Nothing is put off for longer."""
_COLUMNS = "id, reference, service, people, state, code, zh, en, code_word, case_id, asked, consent, answer"


@dataclass(frozen=True, slots=True)
class Ticket:
    """One request of the old system. `people` is empty once they were forgotten; `answer` is JSON of certificates."""

    id: str
    reference: str
    service: str
    people: tuple[str, ...]
    state: str
    code: str
    zh: str
    en: str
    code_word: str
    case_id: str
    asked: str
    consent: str
    answer: str

    @property
    def final(self) -> bool:
        """Whether nothing will change any more."""
        return self.state not in WAITING


class Tickets:
    """The file. Several threads may use it."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        self._lock = threading.RLock()
        self._db = sqlite3.connect(path, isolation_level=None, timeout=30, check_same_thread=False)
        self._db.executescript(f"pragma journal_mode=wal; pragma synchronous=full; {SCHEMA}")

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def add(self, reference: str, service: str, people: Sequence[str], moment: datetime) -> Ticket:
        """A new ticket, due at once. Its code word is shown to the citizen beside the request."""
        ticket, stamp = secrets.token_urlsafe(16), moment.isoformat()
        with self._lock:
            self._db.execute(
                "insert into ticket (id, reference, service, people, code_word, due, made)"
                " values (?, ?, ?, ?, ?, ?, ?)",
                (ticket, reference, service, "|".join(people), secrets.token_hex(3).upper(), stamp, stamp),
            )
        found = self.by_id(ticket)
        assert found is not None  # noqa: S101  # it was written a line before
        return found

    def by_id(self, ticket: str) -> Ticket | None:
        """The ticket of that id."""
        return self._one("id = ?", ticket)

    def by_reference(self, reference: str) -> Ticket | None:
        """The ticket of that reference."""
        return self._one("reference = ?", reference)

    def due(self, moment: datetime, limit: int = 200) -> list[Ticket]:
        """Tickets whose next step may be taken, longest waiting first.

        One that should wait longer than anything waits was put off by a clock that has been set right since.
        """
        marks = ", ".join("?" * len(WAITING))
        return self._many(
            f"state in ({marks}) and (due <= ? or due > ?) order by due limit ?",
            *WAITING, moment.isoformat(), (moment + LONGEST).isoformat(), limit,
        )  # fmt: skip

    def states(self) -> list[tuple[str, str, str]]:
        """(id, state, code) of every ticket, oldest first."""
        with self._lock:
            return [
                tuple(row) for row in self._db.execute("select id, state, code from ticket order by made")
            ]

    def update(self, ticket: str, *, due: datetime | None = None, **members: str) -> None:
        """Write some members; `due` when it is next looked at."""
        known = {item.name for item in fields(Ticket)}
        assert set(members) <= known  # noqa: S101  # names come from our own code only
        values = dict(members)
        if due is not None:
            values["due"] = due.isoformat()
        names = ", ".join(f"{name} = ?" for name in values)
        with self._lock:
            self._db.execute(f"update ticket set {names} where id = ?", (*values.values(), ticket))  # noqa: S608

    def forget(self, before: datetime) -> int:
        """Take people and answers out of tickets that ended long ago."""
        marks = ", ".join("?" * len(WAITING))
        with self._lock:
            return self._db.execute(
                f"update ticket set people = '', answer = '', consent = '', asked = '' where made < ?"  # noqa: S608
                f" and state not in ({marks}) and people != ''",
                (before.isoformat(), *WAITING),
            ).rowcount

    def _one(self, where: str, *values: object) -> Ticket | None:
        return next(iter(self._many(where, *values)), None)

    def _many(self, where: str, *values: object) -> list[Ticket]:
        with self._lock:
            rows = self._db.execute(f"select {_COLUMNS} from ticket where {where}", values).fetchall()  # noqa: S608
        return [_ticket(*row) for row in rows]


def _ticket(ticket: str, reference: str, service: str, people: str, *rest: str) -> Ticket:
    return Ticket(ticket, reference, service, tuple(filter(None, people.split("|"))), *rest)

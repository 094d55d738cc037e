"""SQLite in the event loop's own thread: the one writer of the embedded mode.

aiosqlite sends each cursor, execute, fetch and close to another thread and back, four hops a statement, which costs
more than the statement. The writer has its connection to itself, so nothing it executes waits for a lock except BEGIN
IMMEDIATE (tried again and again, never blocking the loop) and nothing waits for the disk except COMMIT (in a thread).
What was committed goes from the write-ahead log into the database beside the next transactions, and not in a COMMIT.
Readers stay with aiosqlite: a long search of an auditor must not hold everybody up.
"""

import asyncio
import sqlite3
import time
from collections.abc import Iterable, Sequence
from contextlib import closing, suppress
from functools import partial
from typing import Any

BUSY_SECONDS = 30.0
_AGAIN = 0.005
IN_A_THREAD = 200
"""So many rows at once are written in a thread, so that others are served meanwhile."""
CHANGES = 500
"""After so many changed rows the log is copied into the database: four megabytes of it at the most, as SQLite does."""
LOG_PAGES = 16_000
"""Grown to this (64 MB) because readers or the disk kept it from being copied, the log is copied by a COMMIT."""


class Cursor:
    """What SQLAlchemy's adapter wants of an asynchronous cursor, without leaving the thread."""

    arraysize = 1

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._own = connection.cursor()

    async def __aenter__(self) -> "Cursor":
        return self

    @property
    def description(self) -> Any:
        """The columns of the result, or None."""
        return self._own.description

    @property
    def rowcount(self) -> int:
        """How many rows the statement touched."""
        return self._own.rowcount

    @property
    def lastrowid(self) -> int | None:
        """The number that the database gave to the last row."""
        return self._own.lastrowid

    async def execute(self, text: str, values: Any = ()) -> "Cursor":
        """Execute one statement, here and now."""
        self._own.execute(text, values)
        return self

    async def executemany(self, text: str, rows: Iterable[Any]) -> "Cursor":
        """Execute one statement for each row; many rows go to a thread."""
        rows = list(rows)
        if len(rows) >= IN_A_THREAD:
            await asyncio.to_thread(self._own.executemany, text, rows)
        else:
            self._own.executemany(text, rows)
        return self

    async def fetchall(self) -> list[Any]:
        """All rows that are left."""
        return self._own.fetchall()

    async def fetchone(self) -> Any:
        """The next row, or None."""
        return self._own.fetchone()

    async def fetchmany(self, size: int = 1) -> list[Any]:
        """At most `size` rows."""
        return self._own.fetchmany(size)

    async def close(self) -> None:
        """Done with it."""
        self._own.close()


class Writer:
    """The writing connection, as SQLAlchemy's aiosqlite adapter and `hub.store.driver` want it. One task at a time."""

    isolation_level: str | None = None

    def __init__(self, path: str, **options: Any) -> None:
        # Transactions are begun and ended by us; a COMMIT runs in a thread while nobody else touches the connection.
        self._open_another = partial(sqlite3.connect, path, isolation_level=None, timeout=0, **options)
        self.own = self._open_another(check_same_thread=False)
        self._copied = 0
        self._copying: asyncio.Task[None] | None = None
        self._connection: sqlite3.Connection | None = self.own

    def cursor(self) -> Cursor:
        """A cursor of this connection."""
        return Cursor(self.own)

    async def begin(self) -> None:
        """BEGIN IMMEDIATE; waits up to 30 seconds for another process (a backup, a command) to finish its write."""
        end = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                self.own.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as fault:
                if fault.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                    raise
                await asyncio.sleep(_AGAIN)
            else:
                return

    async def commit(self) -> None:
        """COMMIT, synced to disk; elsewhere, so that others are served while the disk works."""
        if self.own.in_transaction:
            await asyncio.to_thread(self.own.execute, "COMMIT")
            if self.own.total_changes - self._copied >= CHANGES and self._copying is None:
                self._copying = asyncio.create_task(self._copy())

    async def _copy(self) -> None:
        """PASSIVE: as much as can be copied while others read and write; whoever cannot now does it the next time."""

        def work() -> None:
            with suppress(sqlite3.Error), closing(self._open_another()) as another:
                another.execute("PRAGMA synchronous=FULL")
                another.execute("PRAGMA wal_checkpoint(PASSIVE)")

        try:
            self._copied = self.own.total_changes
            await asyncio.to_thread(work)
        finally:
            self._copying = None

    async def rollback(self) -> None:
        """Undo what was not committed."""
        if self.own.in_transaction:
            self.own.execute("ROLLBACK")

    async def each(self, text: str, rows: Sequence[Sequence[Any]], *, returns: bool) -> list[Any]:
        """Execute `text` for each row of values, in order; all rows that came back."""
        if len(rows) >= IN_A_THREAD:
            return await asyncio.to_thread(self._each, text, rows, returns)
        return self._each(text, rows, returns)

    def _each(self, text: str, rows: Sequence[Sequence[Any]], returns: bool) -> list[Any]:
        if not returns:
            self.own.executemany(text, rows)
            return []
        found: list[Any] = []
        execute = self.own.execute
        for values in rows:
            found += execute(text, values).fetchall()
        return found

    async def create_function(self, *args: Any, **kwargs: Any) -> None:
        """SQLAlchemy adds its regular expressions."""
        self.own.create_function(*args, **kwargs)

    async def close(self) -> None:
        """Close the connection, once the log is not being copied any more."""
        if self._copying is not None:
            await asyncio.wait({self._copying})
        self._connection = None
        self.own.close()

    def stop(self) -> None:
        """Close the connection, now."""
        self._connection = None
        self.own.close()


async def open_writer(path: str, **options: Any) -> Writer:
    """What `async_creator_fn` of the dialect is."""
    options.pop("check_same_thread", None)
    return Writer(path, **options)

"""An experiment for the embedded mode: SQLite called in the event loop's own thread; only what waits leaves it.

aiosqlite sends each cursor, execute, fetch and close of a statement to another thread and back, four hops a
statement. Here a statement runs where it is (in WAL mode a reader never waits, and a writer only at its BEGIN); the
two calls that may wait, BEGIN IMMEDIATE and COMMIT with its fsync, go to a thread. `./run bench steps --loop-sqlite`.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Iterable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite.aiosqlite import AsyncAdapt_aiosqlite_connection

from hub.store import engine


class Cursor:
    """What SQLAlchemy's adapter wants of an asynchronous cursor, without leaving the thread."""

    arraysize = 1

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.own = connection.cursor()

    async def __aenter__(self) -> "Cursor":
        return self

    @property
    def description(self) -> Any:
        return self.own.description

    @property
    def rowcount(self) -> int:
        return self.own.rowcount

    @property
    def lastrowid(self) -> int | None:
        return self.own.lastrowid

    async def execute(self, text: str, values: Any = ()) -> "Cursor":
        if text.startswith("BEGIN IMMEDIATE"):
            await asyncio.to_thread(self.own.execute, text, values)
        else:
            self.own.execute(text, values)
        return self

    async def executemany(self, text: str, rows: Iterable[Any]) -> "Cursor":
        self.own.executemany(text, rows)
        return self

    async def fetchall(self) -> list[Any]:
        return self.own.fetchall()

    async def close(self) -> None:
        self.own.close()


class Connection:
    """A connection for the adapter; used by one task at a time, as SQLAlchemy's pool sees to it."""

    def __init__(self, path: str) -> None:
        self._conn = self._connection = sqlite3.connect(path, check_same_thread=False, timeout=30)

    def cursor(self) -> Cursor:
        return Cursor(self._conn)

    async def commit(self) -> None:
        await asyncio.to_thread(self._conn.commit)

    async def rollback(self) -> None:
        self._conn.rollback()

    async def close(self) -> None:
        self._conn.close()

    def stop(self) -> None:
        self._conn.close()

    async def create_function(self, *args: Any, **kwargs: Any) -> None:
        self._conn.create_function(*args, **kwargs)


async def _connect(path: str, **_: Any) -> Connection:
    return Connection(path)


def use() -> None:
    """Let every SQLite engine that is opened from now on in this process work this way."""
    names = vars(engine)
    plain: Callable[..., Any] = names["create_async_engine"]

    def opened(url: sa.URL, **options: Any) -> Any:
        if url.get_backend_name() == "sqlite":
            options["connect_args"] = {"async_creator_fn": _connect}
        return plain(url, **options)

    def level(adapted: Any, value: str | None) -> None:
        adapted._connection._conn.isolation_level = value

    names["create_async_engine"] = opened
    own_level = property(lambda adapted: adapted._connection._conn.isolation_level, level)
    AsyncAdapt_aiosqlite_connection.isolation_level = own_level  # type: ignore[method-assign,assignment]

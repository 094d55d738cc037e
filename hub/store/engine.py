"""Opens the database: SQLite with one durable writer, or PostgreSQL with short transactions."""

import asyncio
import sqlite3
import time
from pathlib import Path
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from hub.store.hosts import connect
from hub.store.sqlite import LOG_PAGES, open_writer

BUSY_MILLISECONDS = 30_000


def async_url(url: str) -> sa.URL:
    """The same database with the async driver that this project uses for it."""
    parsed = make_url(url)
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        return parsed.set(drivername="sqlite+aiosqlite")
    if backend == "postgresql":
        return parsed.set(drivername="postgresql+asyncpg")
    raise ValueError(f"database {backend!r} is not supported: use sqlite:/// or postgresql://")


def _as_json(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode()


_OPTIONS: dict[str, Any] = {
    "max_overflow": 0,
    "hide_parameters": True,
    "json_serializer": _as_json,
    "json_deserializer": orjson.loads,
}
"""Of every engine. Parameters are personal data: no fault may repeat them."""


def open_engines(url: str, *, pool_size: int = 16) -> tuple[AsyncEngine, AsyncEngine]:
    """(writer, reader) engines for `url`; on PostgreSQL both are the same engine.

    Transactions are begun and ended by `hub.store.driver`, never by SQLAlchemy. SQLite: WAL with synchronous=FULL, so
    that a commit that was answered survives power loss; the writer has one connection.
    """
    parsed = async_url(url)
    if parsed.get_backend_name() == "postgresql":
        engine = create_async_engine(
            parsed,
            pool_size=pool_size,
            **_OPTIONS,
            isolation_level="AUTOCOMMIT",
            connect_args={"async_creator_fn": connect},
        )
        return engine, engine
    if parsed.database and parsed.database != ":memory:":
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    writer = create_async_engine(
        parsed,
        pool_size=1,
        pool_timeout=60,
        **_OPTIONS,
        connect_args={"async_creator_fn": open_writer},
    )
    reader = create_async_engine(parsed, pool_size=pool_size, **_OPTIONS)
    _tune_sqlite(writer, wait=0)
    _tune_sqlite(reader, wait=BUSY_MILLISECONDS)
    return writer, reader


def _tune_sqlite(engine: AsyncEngine, *, wait: int) -> None:
    @sa.event.listens_for(engine.sync_engine, "connect")
    def tune(connection: Any, _record: Any) -> None:
        if wait:
            connection.isolation_level = None  # we write BEGIN ourselves; the driver must not guess
        _into_wal(connection)
        cursor = connection.cursor()
        for pragma in (
            "synchronous=FULL",
            "foreign_keys=ON",
            f"busy_timeout={wait}",
            "cache_size=-65536",
            *([] if wait else [f"wal_autocheckpoint={LOG_PAGES}"]),
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()


def _into_wal(connection: Any) -> None:
    """Turn a database to WAL, or wait while another connection does.

    The first one to open a new file changes its header under an exclusive lock, and SQLite says "locked" to the others
    at once, whatever their busy_timeout: waiting inside it could deadlock two that both hold a shared lock.
    """
    end = time.monotonic() + BUSY_MILLISECONDS / 1000
    while True:
        cursor = connection.cursor()
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as fault:
            if fault.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                raise
        finally:
            cursor.close()
        connection.run_async(lambda _: asyncio.sleep(0.005))

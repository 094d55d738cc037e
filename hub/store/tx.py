"""Transactions: `View` reads, `Tx` reads and writes; both know the time, the actor and how to unseal.

Commit happens at the end of `async with hub.tx(actor)`, inside the handler, so that an answer is only given
after the commit is durable (a commit after `yield` would answer 200 and fail later).
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from hub.actor import Actor
from hub.clock import Clock
from hub.errors import Unavailable
from hub.store.driver import FAULTS, LOST, Driver, driver_of, out_of_service, undo
from hub.store.engine import open_engines
from hub.store.memory import Memory
from hub.store.seal import Vault
from hub.store.statement import Statement

_LOST_A_RACE = frozenset({"40001", "40P01", "55P03"})
"""PostgreSQL: serialization failure, deadlock detected, lock not available. All were rolled back whole."""


class View:
    """A consistent read of the database at `now`, on behalf of `actor`."""

    def __init__(
        self,
        conn: AsyncConnection,
        driver: Driver,
        *,
        now: datetime,
        actor: Actor,
        vault: Vault,
        memory: Memory,
    ) -> None:
        self.conn = conn
        self.driver = driver
        self.memory = memory
        self.own = Memory()
        """What is remembered for as long as this view lives."""
        self.now = now
        self.actor = actor
        self.vault = vault

    @property
    def dialect(self) -> str:
        """ "sqlite" or "postgresql"."""
        return self.conn.dialect.name

    async def first(self, statement: sa.Executable) -> sa.Row[Any] | None:
        """The first row, or None."""
        return (await self.conn.execute(statement)).first()

    async def all(self, statement: sa.Executable) -> Sequence[sa.Row[Any]]:
        """All rows."""
        return (await self.conn.execute(statement)).all()

    async def value(self, statement: sa.Executable) -> Any:
        """The first column of the first row, or None."""
        return (await self.conn.execute(statement)).scalar()

    async def each(self, statement: Statement, rows: Sequence[Mapping[str, Any]]) -> list[Any]:
        """Execute one prepared statement for each set of parameters, in order and without a round trip for each.

        All rows that came back, in order, as named tuples. A statement that may return nothing for some of the sets
        must return what tells them apart.
        """
        if not rows:
            return []
        return await self.driver.each(statement.form(self.conn.dialect), rows)


class Tx(View):
    """A view that may write; everything in it becomes durable together or not at all."""

    async def all_of(self, *work: tuple[Statement, Sequence[Mapping[str, Any]]]) -> None:
        """Execute several writes, each as `each` does, whose order does not matter; in one round trip if possible."""
        dialect = self.conn.dialect
        await self.driver.all_of([(statement.form(dialect), rows) for statement, rows in work if rows])

    async def run(self, statement: sa.Executable) -> int:
        """Execute a write and say how many rows it touched: the only proof that a condition held."""
        return (await self.conn.execute(statement)).rowcount

    async def insert(self, table: sa.Table, values: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> None:
        """Insert one row or many."""
        if isinstance(values, Mapping):
            await self.conn.execute(table.insert().inline(), dict(values))
        elif values:
            await self.conn.execute(table.insert().inline(), [dict(row) for row in values])

    async def insert_new(self, table: sa.Table, values: Mapping[str, Any]) -> bool:
        """Insert the row unless a row with the same key stands; True when it is ours."""
        maker = postgresql.insert if self.dialect == "postgresql" else sqlite.insert
        return await self.run(maker(table).values(**values).on_conflict_do_nothing()) == 1


class Database:
    """One database, opened; gives transactions."""

    def __init__(self, url: str, *, clock: Clock, vault: Vault, pool_size: int = 16) -> None:
        self.url = url
        self.clock = clock
        self.vault = vault
        self.memory = Memory()
        self.writer, self.reader = open_engines(url, pool_size=pool_size)
        self.read_only = False
        """Set while the hub was restored and nobody has decided how its ledger goes on (hub/ledger/hold.py)."""

    @asynccontextmanager
    async def tx(self, actor: Actor, *, by_key: bool = False) -> AsyncIterator[Tx]:
        """A write transaction; commits at the end of the block, rolls back on any exception.

        `by_key` promises that every statement in it finds its rows by whole keys, so that one plan fits all values;
        PostgreSQL then plans each statement once and not at every execution. Never for searches and ranges.
        Raises Unavailable `store.read_only` while only reading is allowed.
        """
        if self.read_only:
            raise _read_only()
        async with _begin(self.writer, write=True, by_key=by_key) as (conn, driver):
            yield Tx(conn, driver, now=self.clock(), actor=actor, vault=self.vault, memory=self.memory)

    @asynccontextmanager
    async def view(self, actor: Actor) -> AsyncIterator[View]:
        """A read transaction."""
        async with _begin(self.reader, write=False) as (conn, driver):
            yield View(conn, driver, now=self.clock(), actor=actor, vault=self.vault, memory=self.memory)

    async def close(self) -> None:
        """Give all connections back."""
        await self.writer.dispose()
        if self.reader is not self.writer:
            await self.reader.dispose()


@asynccontextmanager
async def _begin(
    engine: AsyncEngine, *, write: bool, by_key: bool = False
) -> AsyncIterator[tuple[AsyncConnection, Driver]]:
    try:
        for tries_left in reversed(range(engine.pool.size() + 1)):  # type: ignore[attr-defined]
            async with engine.connect() as conn:
                driver = driver_of(conn)
                try:
                    try:
                        await driver.begin(write=write, by_key=by_key)
                    except LOST:
                        if not tries_left:
                            raise
                        await conn.invalidate()  # it died in the pool, and so perhaps did others
                        continue
                    yield conn, driver
                    await driver.commit()
                except BaseException:
                    await undo(conn, driver)
                    raise
                return
    except (OperationalError, PoolTimeout, ConnectionError, TimeoutError) as error:
        raise _unavailable() from error
    except DBAPIError as error:
        said = error.orig.__cause__ if error.orig is not None else None
        if error.connection_invalidated or (isinstance(said, FAULTS) and out_of_service(said)):
            raise _unavailable() from error
        if getattr(error.orig, "sqlstate", None) in _LOST_A_RACE:
            raise lost_a_race() from error
        raise
    except FAULTS as error:
        if getattr(error, "sqlstate", None) in _LOST_A_RACE:
            raise lost_a_race() from error
        if out_of_service(error):
            raise _unavailable() from error
        raise


def lost_a_race() -> Unavailable:
    """The refusal when another transaction was faster with the same rows: nothing of this one is kept."""
    return Unavailable(
        "store.try_again",
        "与另一个请求同时处理同一批数据，本次未生效。",
        "Another request worked on the same rows at the same moment; nothing of this one was kept.",
        next_zh="请稍等片刻重试。",
        next_en="Retry in a moment.",
    )


def _read_only() -> Unavailable:
    return Unavailable(
        "store.read_only",
        "平台刚从备份恢复，暂时只读。",
        "The hub was restored from a backup and only reads for now.",
        next_zh="请稍后再试；运维人员请运行 yimen ledger resume。",
        next_en="Try again later. Operators: yimen ledger resume",
    )


def _unavailable() -> Unavailable:
    return Unavailable(
        "store.unavailable",
        "数据库暂时连不上，您的请求没有被处理或结果未知。",
        "The database cannot be reached; your request was not handled, or its outcome is unknown.",
        next_zh="请稍后用同一个幂等键重试。",
        next_en="Retry later with the same idempotency key.",
    )

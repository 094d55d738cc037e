"""What is said to the database without SQLAlchemy in between: begin, commit, and one statement for many values."""

import asyncio
import itertools
import re
import sqlite3
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Protocol

import asyncpg
from sqlalchemy.ext.asyncio import AsyncConnection

from hub.store.sqlite import Writer
from hub.store.statement import Form

FAULTS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, sqlite3.Error)
"""What a driver raises that was not called through SQLAlchemy."""

LOST = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    ConnectionError,
)
"""What PostgreSQL's driver raises at BEGIN when the connection is gone. Nothing was begun: another one may do."""

FEW = 4
BY_KEY = (
    "plan_cache_mode=force_generic_plan", "enable_seqscan=off", "enable_hashjoin=off", "enable_mergejoin=off", "jit=off"
)  # fmt: skip
"""Left alone, PostgreSQL plans a prepared statement over partitions anew at each execution, which takes a millisecond:
a plan for one known bucket always looks cheaper than the one for any bucket, which finds its partition as it runs.
And where a table was small when it was last analysed, it reads all of it and joins, however large it is by now."""
_BEGIN_BY_KEY = "; ".join(["BEGIN", *(f"SET LOCAL {option}" for option in BY_KEY)])
_PARAMETER = re.compile(r"\$(\d+)")

_OUT_OF_SERVICE = frozenset({"08", "53", "57", "58"})
_READ_ONLY = "25006"
"""PostgreSQL: connection, resources, operator and system trouble; a server that became a standby."""


def out_of_service(fault: BaseException) -> bool:
    """Whether a driver's fault means that the database cannot be reached or cannot work, whatever was asked of it."""
    if isinstance(fault, asyncpg.PostgresError):
        return str(fault.sqlstate)[:2] in _OUT_OF_SERVICE or fault.sqlstate == _READ_ONLY
    return not isinstance(fault, sqlite3.Error) or isinstance(fault, sqlite3.OperationalError)


class Taken(Exception):
    """A row with one of these keys stands already: somebody was faster. Go back to the savepoint and look again."""


Work = tuple[Form, Sequence[Mapping[str, Any]]]


class Driver(Protocol):
    """The connection of one transaction."""

    async def begin(self, *, write: bool, by_key: bool = False) -> None:
        """Start the transaction; `by_key`: see `Database.tx`."""
        ...

    async def commit(self) -> None:
        """Durable when this has returned; when it raises, the outcome is unknown."""
        ...

    async def rollback(self) -> None:
        """Undo everything."""
        ...

    async def each(self, form: Form, rows: Sequence[Mapping[str, Any]]) -> list[Any]:
        """Execute `form` for each set of parameters, in order; all rows that came back, in order."""
        ...

    async def all_of(self, work: Sequence[Work]) -> None:
        """Execute several writes, each for its sets of parameters; which of them goes first does not matter."""
        ...

    async def fill(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Insert rows of values as the driver wants them, in order; Taken when a key stands already."""
        ...


class Postgres:
    """asyncpg: many parameter sets of one prepared statement go out together, without waiting for each answer."""

    def __init__(self, own: asyncpg.Connection) -> None:
        self._own = own
        self._by_key = False

    async def begin(self, *, write: bool, by_key: bool = False) -> None:
        """READ COMMITTED: every condition is repeated by the statement that depends on it, never read before."""
        self._by_key = by_key
        await self._own.execute(_BEGIN_BY_KEY if by_key else "BEGIN")

    async def commit(self) -> None:
        """`synchronous_commit` is the server's; `yimen doctor` looks at it."""
        said = await self._own.execute("COMMIT")
        if said != "COMMIT":  # a statement failed and its exception was swallowed: the server rolled back
            raise asyncpg.InFailedSQLTransactionError("the transaction was rolled back")

    async def rollback(self) -> None:
        """Undo everything."""
        if not self._own.is_closed():
            await self._own.execute("ROLLBACK")

    async def each(self, form: Form, rows: Sequence[Mapping[str, Any]]) -> list[Any]:
        """See `Driver.each`. One execution with arrays, where rows are new or a plan by keys is certain; else one for
        each set."""
        if form.at_once is not None and len(rows) > 1 and (self._by_key or not form.searches):
            found = []
            for some in form.rounds(rows):
                found += await self._own.fetch(form.at_once.text, *form.at_once.arrays(some))
        elif len(rows) == 1:
            found = await self._own.fetch(form.text, *form.values(rows[0]))
        elif form.returns:
            found = await self._own.fetchmany(form.text, [form.values(row) for row in rows])
        else:
            await self._own.executemany(form.text, [form.values(row) for row in rows])
            return []
        return form.rows(found)

    async def all_of(self, work: Sequence[Work]) -> None:
        """See `Driver.all_of`. One statement, where a plan by keys is certain: each write is a part of it (WITH)."""
        forms = [form.at_once for form, _ in work]
        if self._by_key and all(form is not None and len(form.rounds(rows)) == 1 for form, rows in work):
            several = [form for form in forms if form is not None]
            given = [form.arrays(rows) for form, (_, rows) in zip(several, work, strict=True)]
            await self._own.fetch(_together(*(form.text for form in several)), *itertools.chain(*given))
            return
        for form, rows in work:
            await self.each(form, rows)

    async def fill(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """See `Driver.fill`. COPY asks for the columns first, which for few rows costs more than it saves."""
        try:
            if len(rows) > FEW:
                await self._own.copy_records_to_table(table, records=rows, columns=columns)
            else:
                cells = [f"${place}" for place, _ in enumerate(columns, 1)]
                await self._own.executemany(_insert(table, columns, cells), rows)
        except asyncpg.UniqueViolationError as fault:
            raise Taken(table) from fault


class Sqlite:
    """The embedded mode's writer."""

    def __init__(self, own: Writer) -> None:
        self._own = own

    async def begin(self, *, write: bool, by_key: bool = False) -> None:
        """The write lock is taken at once: a transaction never fails half way because somebody else began to write."""
        await self._own.begin()

    async def commit(self) -> None:
        """WAL with synchronous=FULL."""
        await self._own.commit()

    async def rollback(self) -> None:
        """Undo everything."""
        await self._own.rollback()

    async def each(self, form: Form, rows: Sequence[Mapping[str, Any]]) -> list[Any]:
        """See `Driver.each`."""
        values = [form.values(row) for row in rows]
        return form.rows(await self._own.each(form.text, values, returns=form.returns))

    async def all_of(self, work: Sequence[Work]) -> None:
        """See `Driver.all_of`."""
        for form, rows in work:
            await self.each(form, rows)

    async def fill(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """See `Driver.fill`."""
        try:
            await self._own.each(_insert(table, columns, ["?"] * len(columns)), rows, returns=False)
        except sqlite3.IntegrityError as fault:
            raise Taken(table) from fault


class Core:
    """A reader of the embedded mode: through SQLAlchemy, in aiosqlite's thread."""

    def __init__(self, conn: AsyncConnection) -> None:
        self._conn = conn

    async def begin(self, *, write: bool, by_key: bool = False) -> None:
        """One snapshot for the whole view."""
        await self._conn.exec_driver_sql("BEGIN")

    async def commit(self) -> None:
        """Ends the snapshot."""
        await self._conn.exec_driver_sql("COMMIT")

    async def rollback(self) -> None:
        """Ends the snapshot."""
        await self._conn.exec_driver_sql("ROLLBACK")

    async def each(self, form: Form, rows: Sequence[Mapping[str, Any]]) -> list[Any]:
        """See `Driver.each`."""
        found: list[Any] = []
        for row in rows:
            found += (await self._conn.execute(form.core, dict(row))).all()
        return found

    async def all_of(self, work: Sequence[Work]) -> None:
        """A reader writes nothing."""
        raise PermissionError("all_of")

    async def fill(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """A reader writes nothing."""
        raise PermissionError(table)


def _insert(table: str, columns: Sequence[str], cells: Sequence[str]) -> str:
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join(cells)})"  # noqa: S608 - our own names


@lru_cache(maxsize=64)
def _together(*texts: str) -> str:
    """Several writes as one statement of PostgreSQL; the parameters of each come after those of the ones before."""
    parts, before = [], 0
    for text in texts:
        numbers = [int(number) for number in _PARAMETER.findall(text)]
        later = {f"${number}": f"${number + before}" for number in numbers}
        parts.append(_PARAMETER.sub(lambda found, later=later: later[found[0]], text))  # type: ignore[misc]
        before += max(numbers, default=0)
    named = ", ".join(f"part_{number} AS ({part})" for number, part in enumerate(parts[:-1]))
    return f"WITH {named} {parts[-1]}"


def driver_of(conn: AsyncConnection) -> Driver:
    """How to speak to the database under `conn`."""
    own = conn.sync_connection.connection.driver_connection  # type: ignore[union-attr]
    if isinstance(own, Writer):
        return Sqlite(own)
    return Postgres(own) if conn.dialect.name == "postgresql" else Core(conn)


async def undo(conn: AsyncConnection, driver: Driver) -> None:
    """Roll back whatever happens: a connection that cannot even do that is thrown away."""

    async def work() -> None:
        try:
            await driver.rollback()
        except Exception:
            await conn.invalidate()

    await asyncio.shield(work())

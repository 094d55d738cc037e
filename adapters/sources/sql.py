"""Rows of a database through SQLAlchemy Core: one read-only snapshot, keyset pages, bisection around bad rows."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import datetime
from typing import Any
from urllib.parse import quote

from sqlalchemy import (
    Connection,
    DateTime,
    Engine,
    Select,
    TextClause,
    and_,
    bindparam,
    column,
    create_engine,
    func,
    literal_column,
    make_url,
    or_,
    select,
    text,
)
from sqlalchemy.exc import ArgumentError, DataError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.sql.selectable import Subquery

from adapters.model import SqlSource
from adapters.source import Row, SourceFault, Unreadable
from adapters.sources.faults import bad_url, moving, no_driver
from adapters.sources.kinds import kinds_of

Match = tuple[tuple[tuple[str, tuple[str, ...]], ...], ...]
"""Alternatives, each of (column, spellings) that must all hold."""
_BAD_ROW = (DataError, ValueError, ArithmeticError)  # one value of one row; everything else breaks the pass
CONNECT_SECONDS = 10
"""A host that does not answer is a source that is down; nobody waits minutes to learn it."""
_PATIENT = frozenset({"psycopg", "psycopg2", "pymysql", "mysqldb"})
_WRITES = ("INSERT", "UPDATE", "DELETE", "DROP", "ALTER", "CREATE", "ALL PRIVILEGES", "SUPER", "TRUNCATE")
_PG_WRITES = """
    select exists (select 1 from pg_roles where rolname = current_user and rolsuper) or exists (
        select 1 from information_schema.role_table_grants
        where privilege_type in ('INSERT', 'UPDATE', 'DELETE', 'TRUNCATE')
        and (grantee = 'PUBLIC' or pg_has_role(current_user, grantee, 'member')))
"""


class SqlRows:
    """See `adapters.source.Source`. Only the declared query runs, wrapped for paging; values are always bound.

    A page that cannot be fetched is halved down to the single row that spoils it; that row is `Unreadable`.
    `since` (column, value) leaves out rows whose column does not lie after the value, `between` (low, high) those
    whose first key column lies below low or not below high; rows without a key belong to the range without a low.
    `match` keeps the rows of which one alternative holds.
    """

    def __init__(
        self,
        source: SqlSource,
        query: str,
        key: tuple[str, ...],
        raw_columns: frozenset[str] = frozenset(),
        *,
        since: tuple[str, Any] | None = None,
        between: tuple[Any, Any] | None = None,
        match: Match = (),
    ) -> None:
        self.complete = False
        self._broken = False
        self._source = source
        self._key = key
        self._raw = raw_columns
        self._engine = _engine(source)
        # A colon in the query is the department's own text (a time, a cast), never one of our parameters.
        wrapped: TextClause = text(query.replace(":", "\\:"))
        asked = [name for one in match for name, _ in one]
        named = dict.fromkeys([*key, *([since[0]] if since else []), *asked])
        self._rows: Subquery = wrapped.columns(*map(column, named)).subquery("q")
        self._after = [] if since is None else [self._rows.c[since[0]] > _bound(since[1])]
        if between is not None:
            self._after += self._within(*between)
        self.kinds: dict[str, str] = {}
        try:
            self._connection = self._engine.connect()
        except SQLAlchemyError as fault:
            self._engine.dispose()
            raise moving(fault) from fault
        try:
            self._connection = self._snapshot(self._connection)
            self._refuse_writable()
            self.columns = self._columns()
            if match:
                self._after.append(or_(*(and_(*(self._is(*part) for part in one)) for one in match)))
        except SQLAlchemyError as fault:
            self.close()
            raise moving(fault) from fault
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Roll back the snapshot and close the connection; one that broke off is let go without a word."""
        if self._broken:
            self._connection.invalidate()
        self._connection.close()
        self._engine.dispose()

    def count(self) -> int | None:
        """`count(*)` of the query in the same snapshot."""
        try:
            counted = select(func.count()).select_from(self._rows).where(*self._after)
            return int(self._connection.execute(counted).scalar_one())
        except SQLAlchemyError as fault:
            raise moving(fault) from fault

    def rows(self) -> Iterator[Row | Unreadable]:
        """All rows; those without a key first, then in key order."""
        expected, read = self.count(), 0
        try:
            for found in self._all():
                read += 1
                yield found
        except SQLAlchemyError as fault:
            self._broken = True
            raise moving(fault) from fault
        self.complete = read == expected

    def bounds(self, parts: int) -> list[Any]:
        """Values of the first key column that cut the rows into about equal ranges; fewer where keys repeat."""
        first, rows = self._rows.c[self._key[0]], self.count() or 0
        found: list[Any] = []
        for part in range(1, parts):
            cut = select(first).select_from(self._rows).where(first.is_not(None)).order_by(first).limit(1)
            for row in self._fetch(cut.offset(rows * part // parts)):
                value = next(iter(row.values()))
                if value not in found:
                    found.append(value)
        return found

    def _is(self, name: str, spellings: tuple[str, ...]) -> Any:
        """One of these spellings stands in the column; a column of numbers is asked for numbers."""
        kind = self.kinds.get(name, "").lower()
        if any(word in kind for word in ("int", "decimal", "numeric", "number")):
            return self._rows.c[name].in_([int(one) for one in spellings if one.isascii() and one.isdigit()])
        return self._rows.c[name].in_(list(spellings))

    def _within(self, low: Any, high: Any) -> list[Any]:
        first = self._rows.c[self._key[0]]
        if low is None:
            return [] if high is None else [or_(first.is_(None), first < high)]
        return [first >= low] if high is None else [first >= low, first < high]

    def _all(self) -> Iterator[Row | Unreadable]:
        keys = [self._rows.c[name] for name in self._key]
        keyless: Select[Any] = (
            select(text("q.*"))
            .select_from(self._rows)
            .where(or_(*(key.is_(None) for key in keys)), *self._after)
        )
        yield from self._fetch(keyless)
        last: tuple[Any, ...] | None = None
        size = self._source.page_size
        while True:
            started = time.monotonic()
            try:
                page = self._fetch(self._page(text("q.*"), last, size))
            except _BAD_ROW:
                if size > 1:
                    size = max(1, size // 2)
                    continue
                last = self._next_key(last)
                if last is None:
                    return
                yield Unreadable(last, "fetch_failed")
                continue
            yield from page
            if len(page) < size:
                return
            last = tuple(page[-1][name] for name in self._key)
            size = min(self._source.page_size, size * 2)
            self._throttle(len(page), started)

    def _page(self, wanted: Any, last: tuple[Any, ...] | None, size: int) -> Select[Any]:
        """Keyset paging spelled out: row values `(a, b) > (?, ?)` are not understood by every engine."""
        keys = [self._rows.c[name] for name in self._key]
        condition = and_(*(key.is_not(None) for key in keys), *self._after)
        if last is not None:
            steps = [
                and_(*(keys[before] == last[before] for before in range(place)), keys[place] > last[place])
                for place in range(len(keys))
            ]
            condition = and_(condition, or_(*steps))
        columns = wanted if isinstance(wanted, list) else [wanted]
        return select(*columns).select_from(self._rows).where(condition).order_by(*keys).limit(size)

    def _fetch(self, statement: Select[Any]) -> list[dict[str, Any]]:
        # PostgreSQL refuses everything after an error unless a savepoint stood before it.
        guard = nullcontext() if self._engine.dialect.name == "sqlite" else self._connection.begin_nested()
        with guard:
            found = self._connection.execute(statement)
            names = tuple(found.keys())
            rows = [dict(zip(names, row, strict=True)) for row in found.all()]
            return [self._decoded(row) for row in rows] if self._engine.dialect.name == "sqlite" else rows

    def _next_key(self, last: tuple[Any, ...] | None) -> tuple[Any, ...] | None:
        found = self._fetch(self._page([self._rows.c[name] for name in self._key], last, 1))
        return tuple(found[0][name] for name in self._key) if found else None

    def _decoded(self, row: dict[str, Any]) -> dict[str, Any]:
        """SQLite hands over text as bytes here: UTF-8 becomes text, other bytes stay for `bytes_as`."""
        for name, cell in row.items():
            if isinstance(cell, bytes) and name not in self._raw:
                try:
                    row[name] = cell.decode("utf-8")
                except UnicodeDecodeError:
                    continue
        return row

    def _columns(self) -> tuple[str, ...]:
        empty = self._connection.execute(
            select(text("q.*")).select_from(self._rows).where(literal_column("1") == literal_column("0"))
        )
        names = tuple(empty.keys())
        self.kinds = kinds_of(
            self._engine.dialect.name, empty.cursor.description if empty.cursor is not None else None
        )
        if len(set(names)) != len(names):
            raise SourceFault(
                "source.repeated_column",
                "查询里有重名的列。",
                "Two columns of the query share a name.",
                next_zh="请用 as 改名。",
                next_en="Rename one with as.",
            )
        return names

    def _snapshot(self, connection: Connection) -> Connection:
        """One connection and one read-only transaction for the whole pass, where the engine has it."""
        seconds = self._source.statement_timeout
        match self._engine.dialect.name:
            case "sqlite":
                connection.exec_driver_sql("BEGIN")
            case "postgresql":
                connection = connection.execution_options(
                    isolation_level="REPEATABLE READ", postgresql_readonly=True
                )
                connection.exec_driver_sql(f"SET LOCAL statement_timeout = {seconds * 1000:d}")
            case "mysql" | "mariadb":
                mariadb = getattr(self._engine.dialect, "is_mariadb", False)
                limit = (
                    f"max_statement_time={seconds:d}" if mariadb else f"max_execution_time={seconds * 1000:d}"
                )
                connection.exec_driver_sql(f"SET SESSION {limit}")
                connection.exec_driver_sql("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
        return connection

    def _refuse_writable(self) -> None:
        """The account must not be able to write: probed, because a promise is no lock."""
        if self._source.allow_writable or not _may_write(self._connection):
            return
        raise SourceFault(
            "source.writable",
            "数据库账号有写权限，代理不用这样的账号。",
            "The database account may write: the agent does not use it.",
            next_zh="请换只读账号；确有必要时写 allow_writable: true。",
            next_en="Use a read-only account, or set allow_writable: true if there is no other way.",
        )

    def _throttle(self, rows: int, started: float) -> None:
        if self._source.max_rows_per_second:
            time.sleep(max(0.0, rows / self._source.max_rows_per_second - (time.monotonic() - started)))


def _engine(source: SqlSource) -> Engine:
    try:
        url = make_url(source.url)
        if url.get_backend_name() != "sqlite":
            patience = {"connect_timeout": min(CONNECT_SECONDS, source.statement_timeout)}
            known = url.get_driver_name() in _PATIENT
            return create_engine(
                url, pool_size=1, max_overflow=0, pool_pre_ping=False, connect_args=patience if known else {}
            )
    except (NoSuchModuleError, ImportError) as fault:
        raise no_driver(source.url) from fault
    except ArgumentError as fault:
        raise bad_url() from fault

    def connect() -> sqlite3.Connection:
        # Opened read-only by the file system, not by promise.
        found = sqlite3.connect(f"file:{quote(url.database or '')}?mode=ro", uri=True, isolation_level=None)
        found.text_factory = bytes
        return found

    return create_engine("sqlite://", creator=connect)


def _bound(value: Any) -> Any:
    """An instant must not lose its zone on the way into the statement."""
    if isinstance(value, datetime) and value.tzinfo is not None:
        return bindparam("since", value, type_=DateTime(timezone=True))
    return value


def _may_write(connection: Connection) -> bool:
    match connection.dialect.name:
        case "postgresql":
            return bool(connection.exec_driver_sql(_PG_WRITES).scalar())
        case "mysql" | "mariadb":
            grants = [
                str(row[0]).upper().partition(" ON ")[0] for row in connection.exec_driver_sql("SHOW GRANTS")
            ]
            return any(word in grant for grant in grants for word in _WRITES)
    return False

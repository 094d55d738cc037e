"""Many rows at once: COPY on PostgreSQL, one INSERT for all on SQLite; and many keys looked up in one statement."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncResult

from hub.ids import bucket_of
from hub.store.driver import Taken
from hub.store.model import person_keys
from hub.store.statement import array_of, binder, for_each
from hub.store.tx import Tx, View

__all__ = ["Taken", "add_rows", "among", "keys_of", "one_by_one", "one_pass", "rows_of"]

KEYS_A_STATEMENT = 512

Bind = Callable[[Any], Any] | None


async def add_rows(tx: Tx, table: sa.Table, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Insert `rows` in their order, each the values of `columns`. Raises Taken when a key of one stands already."""
    if not rows:
        return
    if tx.dialect == "sqlite":  # asyncpg takes Python's values as they are
        binders = [binder(table.c[name].type, tx.conn.dialect) for name in columns]
        by_column = zip(*rows, strict=True)
        rows = list(zip(*map(_bound, binders, by_column), strict=True))
    await tx.driver.fill(table.name, columns, rows)


async def one_pass(view: View, query: sa.Select[Any]) -> AsyncResult[Any]:
    """The rows of `query`, which joins whole tables, as they come; the caller closes it.

    PostgreSQL may not look up row by row here. Where its statistics are of before an import it takes a table for nearly
    empty, and reads all of the other one for each of its rows: a million leaves would be checked for days.
    """
    postgres = view.dialect == "postgresql"
    if postgres:
        await view.conn.exec_driver_sql("SET LOCAL enable_nestloop = off")
    found: AsyncResult[Any] = await view.conn.stream(query)
    if postgres:
        await view.conn.exec_driver_sql("SET LOCAL enable_nestloop TO DEFAULT")
    return found


async def rows_of(
    view: View, query: sa.Select[Any], key: sa.ColumnElement[Any], keys: Collection[Any]
) -> list[sa.Row[Any]]:
    """The rows of `query` whose `key` (a column, or a tuple of columns) is one of `keys`; in no order."""
    if view.dialect == "postgresql":
        return list(await view.all(one_by_one(query, key, keys))) if keys else []
    found: list[sa.Row[Any]] = []
    for condition in among(view.dialect, key, keys):
        found.extend(await view.all(query.where(condition)))
    return found


async def keys_of(view: View, people: Collection[UUID]) -> dict[UUID, bytes]:
    """As `Vault.person_keys`, for thousands: a few statements on both databases, and nobody is remembered."""
    table = person_keys.c
    query = sa.select(table.subject_id, table.wrapped, table.kek).where(table.wrapped.is_not(None))
    places = [(bucket_of(one), one) for one in people]
    rows = await rows_of(view, query, sa.tuple_(table.bucket, table.subject_id), places)
    return {row.subject_id: view.vault.unwrap(row.subject_id, row.wrapped, row.kek) for row in rows}


def one_by_one(query: sa.Select[Any], key: sa.ColumnElement[Any], keys: Collection[Any]) -> sa.Select[Any]:
    """Each key looked up by itself in one statement (PostgreSQL; see `for_each`)."""
    columns = list(key.clauses) if isinstance(key, sa.Tuple) else [key]
    lists = zip(*set(keys), strict=True) if isinstance(key, sa.Tuple) else [set(keys)]
    values = [_array(column, list(some)) for column, some in zip(columns, lists, strict=True)]
    wanted = sa.select(*(sa.func.unnest(some).label(f"k{n}") for n, some in enumerate(values))).subquery("wanted")
    mine = [column == same for column, same in zip(columns, wanted.c, strict=True)]
    return for_each(query.where(*mine), wanted)


def among(
    dialect: str, key: sa.ColumnElement[Any], keys: Collection[Any]
) -> Iterator[sa.ColumnElement[bool]]:
    """The condition that `key` is one of `keys`; several where the database takes only so many values at once.

    On PostgreSQL, where `key` is one column, all values go as one array: one text for lists of every length, prepared
    once, and no list of a thousand conditions to be planned.
    """
    if not keys:
        return
    if dialect == "postgresql":
        yield key == sa.any_(_array(key, list(keys)))
    else:
        for some in in_steps(keys):
            yield key.in_(some)


def _array(column: Any, values: list[Any]) -> sa.BindParameter[Any]:
    return array_of(column.type, values=values)


def in_steps(keys: Iterable[Any], most: int = KEYS_A_STATEMENT) -> Iterator[list[Any]]:
    """The keys by at most `most`, each list filled up to a power of two by repeating its last key.

    So a few texts serve lists of every length, and each is prepared once.
    """
    every = list(keys)
    for begin in range(0, len(every), most):
        some = every[begin : begin + most]
        yield some + some[-1:] * ((1 << (len(some) - 1).bit_length()) - len(some))


def _bound(bind: Bind, values: Sequence[Any]) -> Sequence[Any]:
    """A column as the driver takes it. The moment of the transaction stands in many rows and is written out once."""
    if bind is None:
        return values
    bound: list[Any] = []
    before, written = None, bind(None)
    for value in values:
        if value is not before:
            before, written = value, bind(value)
        bound.append(written)
    return bound

"""Many keys looked up by one statement that is compiled once: `rows_of` for what is looked up all the time."""

from collections.abc import Callable, Collection
from typing import Any

import orjson
import sqlalchemy as sa

from hub.store.statement import Statement, array_of, binder, for_each
from hub.store.tx import View


class Lookup:
    """The rows of a query whose `key` (one column or several) is one of many; all keys go as one list.

    `build` is given the name of the database, once for each. On SQLite the list is JSON: no column of the key may be
    kept as bytes there.
    """

    def __init__(self, build: Callable[[str], sa.Select[Any]], *key: sa.ColumnElement[Any]) -> None:
        self._build = build
        self._key = key
        self.statement = Statement(self._made)

    async def rows(self, view: View, keys: Collection[Any]) -> list[Any]:
        """The rows with these keys (tuples, where the key has several columns), in no order."""
        if not keys:
            return []
        once = set(keys)
        columns = list(zip(*once, strict=True)) if len(self._key) > 1 else [tuple(once)]
        if view.dialect == "postgresql":
            given: dict[str, Any] = {f"k{place}": list(values) for place, values in enumerate(columns)}
        else:
            given = {"keys": self._as_json(columns, view.conn.dialect)}
        return await view.each(self.statement, [given])

    def _as_json(self, columns: list[tuple[Any, ...]], dialect: sa.Dialect) -> str:
        bound = []
        for column, values in zip(self._key, columns, strict=True):
            bind = binder(column.type, dialect)
            bound.append(values if bind is None else [bind(value) for value in values])
        return orjson.dumps(list(zip(*bound, strict=True))).decode()

    def _made(self, dialect: str) -> sa.Executable:
        postgres = dialect == "postgresql"
        wanted = self._arrays() if postgres else self._json()
        query = self._build(dialect).where(*(mine == same for mine, same in zip(self._key, wanted.c, strict=True)))
        return for_each(query, wanted) if postgres else query

    def _arrays(self) -> sa.Subquery:
        lists = [sa.func.unnest(array_of(column.type, f"k{place}")) for place, column in enumerate(self._key)]
        return sa.select(*(one.label(f"c{place}") for place, one in enumerate(lists))).subquery("wanted")

    def _json(self) -> sa.Subquery:
        given = sa.func.json_each(sa.bindparam("keys", type_=sa.Text)).table_valued("value", name="given")
        cells = [sa.func.json_extract(given.c.value, f"$[{place}]") for place, _ in enumerate(self._key)]
        return sa.select(*(cell.label(f"c{place}") for place, cell in enumerate(cells))).subquery("wanted")

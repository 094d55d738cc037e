"""Statements of the hot path: built once from the tables, compiled once for each database, sent straight to it.

SQLAlchemy builds and executes a statement anew at each call, which costs five times what the driver does
(docs/performance.md). Here the SQL text still comes from the tables, so a renamed column cannot be missed, but a call
only puts the parameters in order, hands text and values to the driver, and names the columns of what comes back.
"""

import re
from collections import namedtuple
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

Convert = Callable[[Any], Any] | None


@dataclass(frozen=True, slots=True)
class Form:
    """A statement as one database wants it: text, the order of its parameters, and what values become on the way."""

    core: sa.Executable
    text: str
    parameters: tuple[tuple[str, Convert], ...]
    constants: Mapping[str, Any]
    returns: bool
    _row: Callable[[Iterable[Any]], Any]
    _columns: tuple[Convert, ...]
    _plain: bool

    def values(self, row: Mapping[str, Any]) -> list[Any]:
        """The parameters of one execution, in the driver's order; KeyError when one is missing."""
        if self.constants:
            row = {**self.constants, **row}
        return [row[name] if convert is None else convert(row[name]) for name, convert in self.parameters]

    def rows(self, found: Iterable[Sequence[Any]]) -> list[Any]:
        """What came back, as named tuples of Python values."""
        if self._plain:
            return [self._row(one) for one in found]
        return [
            self._row(
                [
                    value if convert is None else convert(value)
                    for value, convert in zip(one, self._columns, strict=True)
                ]
            )
            for one in found
        ]


class Statement:
    """One Core statement with named bind parameters; `build` is given the name of the database, once for each.

    Its parameters are the names of its `bindparam`s; what it returns comes as named tuples of its columns.
    """

    def __init__(self, build: Callable[[str], sa.Executable]) -> None:
        self._build = build
        self._forms: dict[str, Form] = {}

    def form(self, dialect: sa.Dialect) -> Form:
        """The statement for this database."""
        found = self._forms.get(dialect.name)
        if found is None:
            found = self._forms[dialect.name] = _compile(self._build(dialect.name), dialect)
        return found


def insert(
    table: sa.Table, *, only: Sequence[str] = (), unless_there: bool = False, returning: Sequence[str] = ()
) -> Statement:
    """One row of `table`; its parameters are all columns but those that the database numbers itself, or `only` those.

    `unless_there`: a row whose key stands already is left alone, and returns nothing.
    """

    def build(dialect: str) -> sa.Executable:
        columns = [table.c[name] for name in only] or [column for column in table.c if not _numbered(column)]
        values = {column.name: sa.bindparam(column.name, type_=column.type) for column in columns}
        made = dialect_insert(dialect)(table).values(values)
        if unless_there:
            made = made.on_conflict_do_nothing()
        done: sa.Executable = made.returning(*(table.c[name] for name in returning)) if returning else made.inline()
        return done

    return Statement(build)


def dialect_insert(dialect: str) -> Callable[[sa.Table], Any]:
    """The INSERT that knows ON CONFLICT on this database."""
    return postgresql.insert if dialect == "postgresql" else sqlite.insert


def _numbered(column: sa.Column[Any]) -> bool:
    return column.autoincrement is True


def _compile(core: sa.Executable, dialect: sa.Dialect) -> Form:
    compiled: Any = core.compile(dialect=dialect)  # type: ignore[attr-defined]
    if compiled.literal_execute_params or compiled.post_compile_params:
        raise ValueError("a hot statement has a fixed text: no expanding IN, no literals at run time")
    binds = compiled.binds
    parameters = tuple((name, _binder(binds[name].type, dialect)) for name in compiled.positiontup or ())
    constants = {name: binds[name].value for name, _ in parameters if not binds[name].required}
    returns = isinstance(core, sa.SelectBase) or bool(compiled.effective_returning)
    columns = list(core.exported_columns) if returns else []  # type: ignore[attr-defined]
    readers = tuple(_reader(column.type, dialect) for column in columns)
    names = [re.sub(r"\W", "_", str(column.key)) for column in columns]
    row: Callable[[Iterable[Any]], Any] = namedtuple("Row", names, rename=True)._make if names else tuple  # type: ignore[attr-defined]
    plain = all(convert is None for convert in readers)
    return Form(core, str(compiled), parameters, constants, returns, row, readers, plain)


def _binder(kind: sa.types.TypeEngine[Any], dialect: sa.Dialect) -> Convert:
    return kind.dialect_impl(dialect).bind_processor(dialect)


def _reader(kind: sa.types.TypeEngine[Any], dialect: sa.Dialect) -> Convert:
    return kind.dialect_impl(dialect).result_processor(dialect, None)

"""Statements of the hot path: built once from the tables, compiled once for each database, sent straight to it.

SQLAlchemy builds and executes a statement anew at each call, which costs five times what the driver does
(docs/performance.md). Here the SQL text still comes from the tables, so a renamed column cannot be missed, but a call
only puts the parameters in order, hands text and values to the driver, and names the columns of what comes back.
"""

import re
from collections import namedtuple
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.visitors import replacement_traverse

Convert = Callable[[Any], Any] | None


@dataclass(frozen=True, slots=True)
class Form:
    """A statement as one database wants it: text, the order of its parameters, and what values become on the way.

    `at_once` is the same statement for many sets of parameters, which it takes as one array for each parameter;
    `unique` names those parameters that no two of its sets may have alike; `searches` says that it finds rows, so that
    it is one execution for many sets only where a plan by keys is certain.
    """

    core: sa.Executable
    text: str
    parameters: tuple[tuple[str, Convert], ...]
    constants: Mapping[str, Any]
    kinds: Mapping[str, sa.types.TypeEngine[Any]]
    returns: bool
    at_once: "Form | None"
    unique: tuple[str, ...]
    searches: bool
    _row: Callable[[Iterable[Any]], Any]
    _readers: tuple[tuple[int, Callable[[Any], Any]], ...]

    def values(self, row: Mapping[str, Any]) -> list[Any]:
        """The parameters of one execution, in the driver's order; KeyError when one is missing."""
        if self.constants:
            row = {**self.constants, **row}
        return [row[name] if convert is None else convert(row[name]) for name, convert in self.parameters]

    def arrays(self, rows: Sequence[Mapping[str, Any]]) -> list[Any]:
        """The parameters of one execution for many sets: an array for each, and what is the same for all of them."""
        made = []
        for name, convert in self.parameters:
            if name in self.constants:
                value = self.constants[name]
                made.append(value if convert is None else convert(value))
            else:
                made.append([row[name] if convert is None else convert(row[name]) for row in rows])
        return made

    def rounds(self, rows: Sequence[Mapping[str, Any]]) -> list[Sequence[Mapping[str, Any]]]:
        """The sets in their order, cut so that no two of a round are about one row: a statement changes it once."""
        if not self.unique:
            return [rows]
        cut: list[list[Mapping[str, Any]]] = [[]]
        seen: set[tuple[Any, ...]] = set()
        for row in rows:
            whose = tuple(row[name] for name in self.unique)
            if whose in seen:
                cut.append([])
                seen.clear()
            seen.add(whose)
            cut[-1].append(row)
        return list(cut)

    def rows(self, found: Iterable[Sequence[Any]]) -> list[Any]:
        """What came back, as named tuples of Python values."""
        if not self._readers:
            return [self._row(one) for one in found]
        return [self._row(self._read(one)) for one in found]

    def _read(self, found: Sequence[Any]) -> list[Any]:
        row = list(found)
        for place, convert in self._readers:
            row[place] = convert(row[place])
        return row


class Statement:
    """One Core statement with named bind parameters; `build` is given the name of the database, once for each.

    Its parameters are the names of its `bindparam`s; what it returns comes as named tuples of its columns.
    `unique`: those of its parameters by which an UPDATE finds its row. Without it PostgreSQL executes an UPDATE once
    for each set of parameters, and not once for many. `of_rows` builds an INSERT of many rows out of a selectable with
    a column for each parameter.
    """

    def __init__(
        self,
        build: Callable[[str], sa.Executable],
        *,
        unique: Sequence[str] = (),
        of_rows: Callable[[sa.Subquery], sa.Executable] | None = None,
    ) -> None:
        self._build = build
        self._unique = tuple(unique)
        self._of_rows = of_rows
        self._forms: dict[str, Form] = {}

    def form(self, dialect: sa.Dialect) -> Form:
        """The statement for this database."""
        found = self._forms.get(dialect.name)
        if found is None:
            found = self._forms[dialect.name] = _compile(
                self._build(dialect.name), dialect, self._unique, self._of_rows
            )
        return found


def insert(
    table: sa.Table, *, only: Sequence[str] = (), unless_there: bool = False, returning: Sequence[str] = ()
) -> Statement:
    """One row of `table`; its parameters are all columns but those that the database numbers itself, or `only` those.

    `unless_there`: a row whose key stands already is left alone, and returns nothing.
    """

    def columns() -> list[sa.Column[Any]]:
        return [table.c[name] for name in only] or [column for column in table.c if not _numbered(column)]

    def ended(made: Any) -> sa.Executable:
        if unless_there:
            made = made.on_conflict_do_nothing()
        done: sa.Executable = made.returning(*(table.c[name] for name in returning)) if returning else made.inline()
        return done

    def build(dialect: str) -> sa.Executable:
        values = {column.name: sa.bindparam(column.name, type_=column.type) for column in columns()}
        return ended(dialect_insert(dialect)(table).values(values))

    def of_rows(wanted: sa.Subquery) -> sa.Executable:
        names = [column.name for column in columns()]
        return ended(postgresql.insert(table).from_select(names, sa.select(*(wanted.c[name] for name in names))))

    return Statement(build, of_rows=of_rows)


def dialect_insert(dialect: str) -> Callable[[sa.Table], Any]:
    """The INSERT that knows ON CONFLICT on this database."""
    return postgresql.insert if dialect == "postgresql" else sqlite.insert


def _numbered(column: sa.Column[Any]) -> bool:
    return column.autoincrement is True


def _compile(
    core: sa.Executable,
    dialect: sa.Dialect,
    unique: tuple[str, ...],
    of_rows: Callable[[sa.Subquery], sa.Executable] | None,
) -> Form:
    form = _form(core, dialect)
    given = {name: form.kinds[name] for name, _ in form.parameters if name not in form.constants}
    if dialect.name != "postgresql" or not given or any(isinstance(kind, sa.ARRAY) for kind in given.values()):
        return form
    values = (sa.func.unnest(array_of(kind, name)).label(name) for name, kind in given.items())
    wanted = sa.select(*values).subquery("wanted")
    many = of_rows(wanted) if of_rows is not None else _of_each(core, wanted, unique)
    if many is None:
        return form
    return replace(form, at_once=_form(many, dialect, arrays=True), unique=unique, searches=of_rows is None)


def _form(core: sa.Executable, dialect: sa.Dialect, *, arrays: bool = False) -> Form:
    compiled: Any = core.compile(dialect=dialect)  # type: ignore[attr-defined]
    if compiled.literal_execute_params or compiled.post_compile_params:
        raise ValueError("a hot statement has a fixed text: no expanding IN, no literals at run time")
    kinds = {name: bind.type for name, bind in compiled.binds.items()}
    constants = {name: bind.value for name, bind in compiled.binds.items() if not bind.required}
    parameters = []
    for name in compiled.positiontup or ():
        item = arrays and name not in constants
        parameters.append((name, binder(kinds[name].item_type if item else kinds[name], dialect)))
    returns = isinstance(core, sa.SelectBase) or bool(compiled.effective_returning)
    columns = list(core.exported_columns) if returns else []  # type: ignore[attr-defined]
    each = ((place, _reader(column.type, dialect)) for place, column in enumerate(columns))
    readers = tuple((place, convert) for place, convert in each if convert is not None)
    names = [re.sub(r"\W", "_", str(column.key)) for column in columns]
    row: Callable[[Iterable[Any]], Any] = namedtuple("Row", names, rename=True)._make if names else tuple  # type: ignore[attr-defined]
    return Form(
        core, str(compiled), tuple(parameters), constants, kinds, returns, None, (), True, row, readers
    )


def _of_each(core: Any, wanted: sa.Subquery, unique: tuple[str, ...]) -> sa.Executable | None:
    """What `core` does for one set of parameters, for each row of `wanted` (PostgreSQL). None where one statement would
    not come to the same: an UPDATE without `unique`, an INSERT of values.
    """

    def of_the_row(element: Any, **_: Any) -> Any:
        given = isinstance(element, sa.BindParameter) and element.key in wanted.c
        return wanted.c[element.key] if given else None

    whole = unique if isinstance(core, sa.Update) else isinstance(core, sa.Select) or core.select is not None
    if not whole:
        return None
    made: Any = replacement_traverse(core, {}, of_the_row)
    done: sa.Executable = for_each(made, wanted) if isinstance(core, sa.Select) else made
    return done


def for_each(query: sa.Select[Any], wanted: sa.Subquery) -> sa.Select[Any]:
    """`query`, which names columns of `wanted`, looked up by itself for each row of it (PostgreSQL), in their order.

    Else, when it has not yet learned how much fits the other conditions, PostgreSQL reads all that does, and goes
    through `wanted` for each row of it. OFFSET keeps it from joining the two.
    """
    found = query.offset(0).lateral("found")
    return sa.select(*found.c).select_from(wanted.join(found, sa.true()))


def array_of(kind: sa.types.TypeEngine[Any], name: str | None = None, values: Any = None) -> sa.BindParameter[Any]:
    """A bind parameter for an array of values of this type.

    Text has no length there: an explicit cast to VARCHAR(n)[] would cut a longer text, and find what it begins with.
    """
    item = sa.String() if isinstance(kind, sa.String) and not isinstance(kind, sa.Enum) else kind
    array = postgresql.ARRAY(item)
    if values is None:
        return sa.bindparam(name, type_=array)
    return sa.bindparam(name, values, type_=array, unique=True)


def binder(kind: sa.types.TypeEngine[Any], dialect: sa.Dialect) -> Convert:
    """What turns a value of this type into what the driver takes; None where it takes the value as it is."""
    return kind.dialect_impl(dialect).bind_processor(dialect)


def _reader(kind: sa.types.TypeEngine[Any], dialect: sa.Dialect) -> Convert:
    return kind.dialect_impl(dialect).result_processor(dialect, None)

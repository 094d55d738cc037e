"""Foreign keys follow the same stairs as imports: a row may only depend on rows of its own room or of one below."""

import importlib

import sqlalchemy as sa
from plan import ROOT, floors

from hub.schema import metadata


def _rooms() -> dict[str, str]:
    """Table -> the room whose model.py makes it."""
    found = {}
    for path in (ROOT / "hub").glob("*/model.py"):
        model = importlib.import_module(f"hub.{path.parent.name}.model")
        tables = [thing for thing in vars(model).values() if isinstance(thing, sa.Table)]
        source = path.read_text()
        for table in tables:
            if f'"{table.name}",' in source:  # made here, not imported from another model
                found[table.name] = path.parent.name
    return found


def test_every_table_belongs_to_one_room():
    assert set(_rooms()) == set(metadata.tables)


def test_foreign_keys_go_downstairs():
    rooms, floor = _rooms(), floors()
    upstairs = [
        f"{table.name} ({rooms[table.name]}) -> {key.column.table.name} ({rooms[key.column.table.name]})"
        for table in metadata.tables.values()
        for key in table.foreign_keys
        if floor[rooms[table.name]] > floor[rooms[key.column.table.name]]
    ]
    assert upstairs == []


def test_big_tables_carry_the_bucket_in_every_unique_key():
    """Otherwise PostgreSQL could not partition them by it (DESIGN section 4)."""
    without = []
    for table in metadata.tables.values():
        if "bucket" not in table.primary_key.columns:
            continue
        uniques = [c for c in table.constraints if isinstance(c, sa.UniqueConstraint)]
        uniques += [i for i in table.indexes if i.unique]
        without += [f"{table.name}: {u.name}" for u in uniques if "bucket" not in u.columns]
    assert without == []


def test_no_column_holds_a_name_or_number_in_clear():
    """Persons are found by blind index and read from sealed bodies only. Departments and officers are public roles."""
    personal = {"id_no", "id_number", "holder_name", "person_name", "mobile", "phone", "address", "birth_date"}
    assert [str(c) for t in metadata.tables.values() for c in t.columns if c.name in personal] == []

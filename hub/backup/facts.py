"""What a database says of itself: its revision, its ledger's head, how many rows, and which blobs it names."""

from collections.abc import Iterator
from dataclasses import dataclass

import sqlalchemy as sa

from hub.errors import Unavailable
from hub.ledger.head import ONLY
from hub.ledger.model import head
from hub.store.base import metadata


@dataclass(frozen=True, slots=True)
class Facts:
    """A look at a database. `named`: blob key -> SHA-256 (hex) that the database holds of it."""

    revision: str
    origin: str
    size: int
    root: bytes
    checkpoint: str
    published_size: int
    rows: dict[str, int]
    named: dict[str, str]


def look(connection: sa.Connection) -> Facts:
    """Read the facts in one transaction of the caller. Raises Unavailable `backup.no_ledger`."""
    there = set(sa.inspect(connection).get_table_names())
    if head.name not in there or "alembic_version" not in there:
        raise _nothing()
    row = connection.execute(sa.select(head).where(head.c.id == ONLY)).first()
    if row is None:
        raise _nothing()
    return Facts(
        revision(connection),
        row.origin,
        row.size,
        row.root,
        row.checkpoint,
        row.published_size,
        rows(connection),
        dict(named(connection)),
    )


def revision(connection: sa.Connection) -> str:
    """The revision of the tables; "" where no migration ever ran."""
    if "alembic_version" not in sa.inspect(connection).get_table_names():
        return ""
    column: sa.ColumnClause[str] = sa.column("version_num")
    return connection.execute(sa.select(column).select_from(sa.table("alembic_version"))).scalar() or ""


def rows(connection: sa.Connection) -> dict[str, int]:
    """How many rows each table has that is there."""
    there = set(sa.inspect(connection).get_table_names())
    counted = sa.select(sa.func.count())
    return {
        name: connection.execute(counted.select_from(sa.table(name))).scalar_one()
        for name in sorted(metadata.tables)
        if name in there
    }


def named(connection: sa.Connection) -> Iterator[tuple[str, str]]:
    """Every blob that a row names: a column `x_key` with `x_sha256` beside it."""
    there = set(sa.inspect(connection).get_table_names())
    for key, digest in blob_columns():
        if key.table.name in there:
            for row in connection.execute(sa.select(key, digest).where(key.is_not(None))):
                yield row[0], bytes(row[1]).hex()


def blob_columns() -> list[tuple[sa.Column[str], sa.Column[bytes]]]:
    """The pairs of columns that name a blob and hold its hash."""
    return [
        (column, table.c[column.name.removesuffix("_key") + "_sha256"])
        for table in metadata.tables.values()
        for column in table.c
        if column.name.endswith("_key") and column.name.removesuffix("_key") + "_sha256" in table.c
    ]


def _nothing() -> Unavailable:
    return Unavailable(
        "backup.no_ledger",
        "数据库里没有表或没有透明日志，没有可备份的内容。",
        "The database has no tables, or no ledger: there is nothing to back up.",
        next_zh="请检查 YIMEN_DATABASE_URL：yimen config show",
        next_en="Is it the right database? yimen config show",
    )

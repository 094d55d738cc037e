"""The tables that grow with the people of a city become partitioned by bucket on PostgreSQL; SQLite stays as it is.

Each table is made anew beside the old one with the same columns, keys and indexes, and its rows are copied: no
reader sees a half of it, since all of it is one transaction. Needs room for the largest of these tables once more.

Revision ID: 0012
Revises: 0011
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0012"
down_revision: str | Sequence[str] | None = "0011"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

TABLES = (
    "certificates",
    "certificate_holders",
    "accesses",
    "access_chains",
    "grants",
    "ledger_bodies",
    "subjects",
    "person_keys",
)
PARTITIONS = 8


KEYS = sa.text(
    "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint"
    " WHERE conrelid = CAST(:t AS regclass) AND contype IN ('p', 'u', 'f') ORDER BY contype, conname"
)
INDEXES = sa.text(
    "SELECT i.relname, replace(pg_get_indexdef(i.oid), ' ON ONLY ', ' ON ') FROM pg_index x"
    " JOIN pg_class i ON i.oid = x.indexrelid WHERE x.indrelid = CAST(:t AS regclass) AND NOT EXISTS"
    " (SELECT 1 FROM pg_constraint c WHERE c.conindid = i.oid AND c.contype IN ('p', 'u')) ORDER BY i.relname"
)


def upgrade() -> None:
    for table in TABLES:
        _make_anew(table, " PARTITION BY RANGE (bucket)", PARTITIONS)


def downgrade() -> None:
    for table in TABLES:
        _make_anew(table, "", 0)


def _make_anew(table: str, how: str, partitions: int) -> None:
    connection = op.get_bind()
    if connection.dialect.name != "postgresql":
        return
    keys, indexes = _rows(KEYS, table), _rows(INDEXES, table)
    old = f"{table}_old"
    op.execute(f"ALTER TABLE {table} RENAME TO {old}")
    for name, _ in keys:
        op.execute(f"ALTER TABLE {old} RENAME CONSTRAINT {name} TO {name[:55]}_old")
    for name, _ in indexes:
        op.execute(f"ALTER INDEX {name} RENAME TO {name[:55]}_old")
    op.execute(
        f"CREATE TABLE {table} (LIKE {old} INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING COMMENTS){how}"
    )
    for name, definition in keys:
        op.execute(f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition}")
    for _, definition in indexes:
        op.execute(definition)
    for number in range(partitions):
        first, end = number * 256 // partitions, (number + 1) * 256 // partitions
        op.execute(
            f"CREATE TABLE {table}_p{number} PARTITION OF {table} FOR VALUES FROM ({first}) TO ({end})"
        )
    op.execute(f"INSERT INTO {table} TABLE {old}")
    op.execute(f"DROP TABLE {old}")


def _rows(query: sa.TextClause, table: str) -> list[sa.Row[tuple[str, str]]]:
    return list(op.get_bind().execute(query, {"t": table}).all())

"""The one `metadata` of all tables, and the column types that mean the same on SQLite and PostgreSQL."""

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class Instant(sa.types.TypeDecorator[datetime]):
    """An aware UTC instant with microseconds. A naive datetime is refused: nobody knows what it means."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """Store UTC; SQLite keeps text without an offset, which then still sorts by time."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a naive datetime has no meaning here: use hub.clock")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """Give back an aware instant on both databases."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


BigSerial = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
"""A growing number given by the database; SQLite only counts in INTEGER primary keys."""

Json: sa.types.TypeEngine[Any] = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
"""A JSON document that no query looks into on the hot path."""


def key_columns() -> tuple[sa.Column[int], sa.Column[Any]]:
    """The primary key of every big table: (bucket, UUIDv7). See DESIGN section 3, rule 1."""
    return (
        sa.Column("bucket", sa.SmallInteger, primary_key=True),
        sa.Column("id", sa.Uuid, primary_key=True),
    )


BUCKETS = 256
"""For ever: a person's bucket is decided by their subject id (`hub.ids.bucket_of`) and is part of every big key."""
PARTITIONS = 8
"""How many partitions share the buckets on PostgreSQL. More can be made of one later (`DETACH`, then two of half its
range): keys and statements name the bucket and do not change."""
BY_BUCKET = "RANGE (bucket)"
"""How a table is partitioned that grows with the people of a city; each of its keys has `bucket` in it."""


@sa.event.listens_for(sa.Table, "after_create")
def _make_partitions(table: sa.Table, connection: sa.Connection, **_options: object) -> None:
    if connection.dialect.name == "postgresql" and table.dialect_options["postgresql"]["partition_by"]:
        for number in range(PARTITIONS):
            first, end = number * BUCKETS // PARTITIONS, (number + 1) * BUCKETS // PARTITIONS
            connection.exec_driver_sql(
                f"CREATE TABLE {table.name}_p{number} PARTITION OF {table.name} FOR VALUES FROM ({first}) TO ({end})"
            )

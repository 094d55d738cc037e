"""Ledger tables: leaves (pending until they have an index), sealed event bodies, and the one signed head."""

import sqlalchemy as sa

from hub.ledger.rest import LeafBytes
from hub.store.base import BY_BUCKET, BigSerial, Instant, metadata

leaves = sa.Table(
    "ledger_leaves",
    metadata,
    # The order of the ledger is this number, given by the database, never a clock or a UUIDv7.
    sa.Column("seq", BigSerial, primary_key=True, autoincrement=True),
    sa.Column("kind", sa.String(32), nullable=False),
    sa.Column("data", LeafBytes, nullable=False, comment="the bytes that are hashed, at most 65,535"),
    sa.Column("leaf_hash", sa.LargeBinary, nullable=False, unique=True),
    sa.Column("idx", sa.BigInteger, unique=True, comment="null while pending"),
    sa.Column("created_at", Instant, nullable=False),
    sqlite_autoincrement=True,
)
sa.Index(
    "ix_ledger_leaves_pending",
    leaves.c.seq,
    postgresql_where=leaves.c.idx.is_(None),
    sqlite_where=leaves.c.idx.is_(None),
)

bodies = sa.Table(
    "ledger_bodies",
    metadata,
    sa.Column("bucket", sa.SmallInteger, primary_key=True),
    sa.Column("leaf_hash", sa.LargeBinary, primary_key=True),
    sa.Column("subject_id", sa.Uuid, comment="null: sealed under the hub's own key"),
    sa.Column("sealed", sa.LargeBinary, comment="salt || JCS body, sealed; null once erased"),
    sa.Column("erased_at", Instant),
    sa.Index("ix_ledger_bodies_subject", "bucket", "subject_id"),
    postgresql_partition_by=BY_BUCKET,
)

head = sa.Table(
    "ledger_head",
    metadata,
    sa.Column("id", sa.SmallInteger, primary_key=True),
    sa.Column("origin", sa.String(255), nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("root", sa.LargeBinary, nullable=False),
    sa.Column("frontier", sa.LargeBinary, nullable=False),
    sa.Column("epoch", sa.BigInteger, nullable=False, comment="fencing: who may write the next head"),
    sa.Column("checkpoint", sa.Text, nullable=False),
    sa.Column("signed_at", Instant, nullable=False),
    sa.Column("published_size", sa.BigInteger, nullable=False, comment="tiles and checkpoint are out"),
)

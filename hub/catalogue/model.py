"""Catalogue tables: every published version of every service item, kept for ever."""

import sqlalchemy as sa

from hub.store.base import Instant, Json, metadata

service_items = sa.Table(
    "service_items",
    metadata,
    sa.Column("code", sa.String(64), primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True),
    sa.Column("department", sa.String(32), nullable=False),
    sa.Column("document", Json, nullable=False),
    sa.Column("sha256", sa.LargeBinary, nullable=False),
    sa.Column("current", sa.Boolean, nullable=False),
    sa.Column("published_at", Instant, nullable=False),
    sa.Column("leaf_hash", sa.LargeBinary, nullable=False),
)

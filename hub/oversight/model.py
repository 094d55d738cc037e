"""What auditors did: every search is kept, because watching the watchers has no top floor."""

import sqlalchemy as sa

from hub.store.base import Instant, Json, metadata

audit_searches = sa.Table(
    "audit_searches",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("officer_id", sa.Uuid, nullable=False),
    sa.Column("query", Json, nullable=False),
    sa.Column("found", sa.Integer, nullable=False),
    sa.Column("at", Instant, nullable=False, index=True),
    sa.Column("leaf_hash", sa.LargeBinary, nullable=False),
)

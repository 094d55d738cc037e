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

board_publications = sa.Table(
    "board_publications",
    metadata,
    # The public board of each finished month, as it was published: a later correction is a later publication.
    sa.Column("period", sa.String(7), primary_key=True, comment="the month it tells of, 2026-11"),
    sa.Column("document", Json, nullable=False),
    sa.Column("sha256", sa.LargeBinary, nullable=False),
    sa.Column("published_at", Instant, nullable=False),
    sa.Column("leaf_hash", sa.LargeBinary, nullable=False),
)

"""Tables that belong to storage itself: person keys, public ids, replays, idempotent replies, the outbox."""

import sqlalchemy as sa

from hub.store.base import BY_BUCKET, BigSerial, Instant, Json, metadata

person_keys = sa.Table(
    "person_keys",
    metadata,
    sa.Column("bucket", sa.SmallInteger, primary_key=True),
    sa.Column("subject_id", sa.Uuid, primary_key=True),
    sa.Column("wrapped", sa.LargeBinary, nullable=True, comment="null once the person was erased"),
    sa.Column("kek", sa.String(32), nullable=False, comment="which key-encryption key wraps it"),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("erased_at", Instant),
    postgresql_partition_by=BY_BUCKET,
)

public_ids = sa.Table(
    "public_ids",
    metadata,
    sa.Column("token", sa.String(43), primary_key=True, comment="random, shown outside"),
    sa.Column("kind", sa.String(24), nullable=False),
    sa.Column("bucket", sa.SmallInteger, nullable=False),
    sa.Column("row_id", sa.Uuid, nullable=False),
)

replays = sa.Table(
    "replays",
    metadata,
    sa.Column("kind", sa.String(16), primary_key=True, comment="dpop, assertion, ..."),
    sa.Column("key", sa.LargeBinary, primary_key=True, comment="SHA-256 of what may be used once"),
    sa.Column("expires_at", Instant, nullable=False, index=True),
)

replay_horizons = sa.Table(
    "replay_horizons",
    metadata,
    # What was forgotten: a thing of this kind that ran out no later than `until` may have been used before.
    sa.Column("kind", sa.String(16), primary_key=True),
    sa.Column("until", Instant, nullable=False),
)

idempotent_replies = sa.Table(
    "idempotent_replies",
    metadata,
    sa.Column("caller", sa.String(80), primary_key=True),
    sa.Column("key", sa.String(128), primary_key=True),
    sa.Column("request_hash", sa.LargeBinary, nullable=False),
    sa.Column("status", sa.SmallInteger, nullable=False),
    sa.Column("sealed", sa.LargeBinary, nullable=False),
    sa.Column("grant_row", sa.Uuid, comment="a reply made under a grant dies with it"),
    sa.Column("expires_at", Instant, nullable=False, index=True),
)

outbox = sa.Table(
    "outbox",
    metadata,
    # What happened and somebody must be told of; taken out in the commit that writes down whom and how.
    sa.Column("seq", BigSerial, primary_key=True, autoincrement=True),
    sa.Column("kind", sa.String(32), nullable=False),
    sa.Column("facts", Json, nullable=False, comment="ids and codes only"),
    sa.Column("at", Instant, nullable=False),
    sqlite_autoincrement=True,
)

"""Catalogue tables: items as published for ever, drafts and who made and reviewed them, waivers over time, sources."""

from enum import StrEnum

import sqlalchemy as sa

from hub.store.base import Instant, Json, metadata


class DraftState(StrEnum):
    """A draft is made by one officer, reviewed by another, then published; or it is refused. Both ends are final."""

    DRAFT = "draft"
    REVIEWED = "reviewed"
    PUBLISHED = "published"
    REFUSED = "refused"


class WaiverState(StrEnum):
    """How far a waiver has come. Only one in force spares anybody anything."""

    ANNOUNCED = "announced"
    CONNECTED = "connected"
    IN_FORCE = "in_force"
    SUSPENDED = "suspended"


WAIVER_STEPS: frozenset[tuple[WaiverState, WaiverState]] = frozenset(
    {
        (WaiverState.ANNOUNCED, WaiverState.CONNECTED),
        (WaiverState.CONNECTED, WaiverState.IN_FORCE),
        (WaiverState.IN_FORCE, WaiverState.SUSPENDED),
        (WaiverState.SUSPENDED, WaiverState.IN_FORCE),
        (WaiverState.SUSPENDED, WaiverState.ANNOUNCED),
        (WaiverState.CONNECTED, WaiverState.ANNOUNCED),
    }
)
"""The only allowed steps; nothing comes into force without having been connected."""

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

catalogue_drafts = sa.Table(
    "catalogue_drafts",
    metadata,
    # The history of a change: who made, reviewed and published or refused it, and when. Rows are never deleted.
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("public_id", sa.String(43), nullable=False, unique=True),
    sa.Column("kind", sa.String(8), nullable=False, comment="item or waiver"),
    sa.Column("code", sa.String(64), nullable=False, index=True, comment="of the item, or of the material"),
    sa.Column("version", sa.Integer, comment="of the item"),
    sa.Column(
        "department", sa.String(32), nullable=False, index=True, comment="the owner, who alone may change it"
    ),
    sa.Column("document", Json, nullable=False),
    sa.Column("state", sa.String(12), nullable=False),
    sa.Column("made_by", sa.Uuid, nullable=False),
    sa.Column("made_at", Instant, nullable=False),
    sa.Column("reviewed_by", sa.Uuid, comment="another officer than the maker"),
    sa.Column("reviewed_at", Instant),
    sa.Column("ended_by", sa.Uuid, comment="who published or refused it"),
    sa.Column("ended_at", Instant),
)

waivers = sa.Table(
    "waivers",
    metadata,
    # Every state that a material's waiver ever had; the newest is current. Without a row it is as announced in data.
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("material", sa.String(48), nullable=False),
    sa.Column("item", sa.String(64), nullable=False, server_default="", comment="for this item only; empty: for all"),
    sa.Column("kind", sa.String(12), nullable=False),
    sa.Column("state", sa.String(12), nullable=False),
    sa.Column("basis", sa.String(32), nullable=False, comment="code of the legal basis"),
    sa.Column("check_days", sa.SmallInteger, comment="a promise is checked within so many days"),
    sa.Column("reason", sa.String(200), nullable=False),
    sa.Column("current", sa.Boolean, nullable=False),
    sa.Column("since", Instant, nullable=False),
    sa.Column("made_by", sa.Uuid, comment="null: the hub itself, when the source fell silent"),
    sa.Column("confirmed_by", sa.Uuid),
    sa.Column("leaf_hash", sa.LargeBinary, nullable=False),
    sa.Index("ix_waivers_material", "material"),
)

source_coverage = sa.Table(
    "source_coverage",
    metadata,
    # What a department says of its own source: what is in it, and until when it answers pulls.
    sa.Column("type_code", sa.String(48), primary_key=True),
    sa.Column("department", sa.String(32), primary_key=True),
    sa.Column("covers_from", sa.Date, comment="earlier facts are on paper only"),
    sa.Column("gaps_zh", sa.String(200), nullable=False, server_default=""),
    sa.Column("gaps_en", sa.String(200), nullable=False, server_default=""),
    sa.Column("pulls_until", Instant, comment="its agent is connected and answers pulls until then"),
    sa.Column("declared_at", Instant, nullable=False),
    # The circuit breaker of this source: after some pulls in a row that came to nothing it is left alone for a while.
    sa.Column("pull_failures", sa.Integer, nullable=False, server_default="0", comment="in a row"),
    sa.Column("pull_rests_until", Instant, comment="open until then; afterwards one pull may try"),
    sa.Column("pull_tried_at", Instant, comment="when the one pull of a half-open breaker was let through"),
)

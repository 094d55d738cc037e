"""Accesses (one look or one refusal), and each person's unbroken chain of them."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from hub.store.base import BY_BUCKET, Instant, Json, key_columns, metadata


class Outcome(StrEnum):
    """The result of one look. Undecided is not refused: "cannot reach the source" is never "no record"."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    UNDECIDED = "undecided"
    NO_RECORD = "no_record"


@dataclass(frozen=True, slots=True)
class Look:
    """What is recorded of one look: who, for what, on which basis, which claim names, and how it ended.

    Claim values are never part of it. `visible_at`: a published rule keeps it from the citizen until then.
    """

    subject_id: UUID
    department: str
    item_code: str
    case_id: str
    purpose: str
    basis: str
    outcome: Outcome
    reason: str
    type_code: str | None = None
    certificate: str | None = None
    fields: tuple[tuple[str | int | None, ...], ...] = ()
    predicates: tuple[dict[str, Any], ...] = ()
    grant_id: UUID | None = None
    grant_public_id: str | None = None
    grant_seq: int | None = None
    officer_id: UUID | None = None
    visible_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Access:
    """A recorded look, as its person sees it. `gap` says that the record before it is missing."""

    public_id: str
    subject_seq: int
    look: Look
    at: datetime
    leaf_hash: bytes
    leaf_index: int | None
    gap: bool


accesses = sa.Table(
    "accesses",
    metadata,
    *key_columns(),
    sa.Column("public_id", sa.String(43), nullable=False),
    sa.Column("subject_id", sa.Uuid, nullable=False),
    sa.Column("subject_seq", sa.Integer, nullable=False),
    sa.Column("department", sa.String(32), nullable=False),
    sa.Column("officer_id", sa.Uuid),
    sa.Column("item_code", sa.String(64), nullable=False),
    sa.Column("case_id", sa.String(64), nullable=False),
    sa.Column("purpose", sa.String(48), nullable=False),
    sa.Column("basis", sa.String(24), nullable=False),
    sa.Column("grant_id", sa.Uuid),
    sa.Column("type_code", sa.String(48)),
    sa.Column("certificate", sa.String(43), comment="public id"),
    sa.Column("fields", Json, nullable=False, comment="claim paths that left, names only, never values"),
    sa.Column("predicates", Json, nullable=False),
    sa.Column("outcome", sa.String(12), nullable=False),
    sa.Column("reason", sa.String(64), nullable=False, comment="code of the deciding check"),
    sa.Column("at", Instant, nullable=False),
    sa.Column("leaf_hash", sa.LargeBinary, nullable=False),
    sa.Column("commit", sa.LargeBinary, nullable=False),
    sa.Column("previous_commit", sa.LargeBinary, nullable=False),
    sa.Column("visible_at", Instant, comment="null: at once; else a published rule delays it for the citizen"),
    sa.UniqueConstraint("bucket", "subject_id", "subject_seq"),
    sa.Index("ix_accesses_at", "at"),
    sa.Index("ix_accesses_department", "department", "at"),
    postgresql_partition_by=BY_BUCKET,
)

access_chains = sa.Table(
    "access_chains",
    metadata,
    sa.Column("bucket", sa.SmallInteger, primary_key=True),
    sa.Column("subject_id", sa.Uuid, primary_key=True),
    sa.Column("seq", sa.Integer, nullable=False),
    sa.Column("commit", sa.LargeBinary, nullable=False, comment="commitment of the newest Access"),
    postgresql_partition_by=BY_BUCKET,
)

anonymous_refusals = sa.Table(
    "anonymous_refusals",
    metadata,
    # An authenticated department tried, but no person could be resolved (a foreign or broken token).
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("department", sa.String(32), nullable=False),
    sa.Column("reason", sa.String(64), nullable=False),
    sa.Column("at", Instant, nullable=False, index=True),
    sa.Column("leaf_hash", sa.LargeBinary, nullable=False),
)

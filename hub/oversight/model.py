"""What auditors did, what people object to, and who was told that something they relied on has changed."""

from enum import StrEnum

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


class ObjectionState(StrEnum):
    """An objection is answered once. Superseded, revoked: the record was wrong; explained: it is right, and why."""

    OPEN = "open"
    SUPERSEDED = "superseded"
    REVOKED = "revoked"
    EXPLAINED = "explained"
    UPHELD = "upheld"


objections = sa.Table(
    "objections",
    metadata,
    # 异议: a certificate is wrong. 投诉举报: a look was not right. The department that answers is whose it is.
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("public_id", sa.String(43), nullable=False, unique=True),
    sa.Column("department", sa.String(32), nullable=False, comment="who answers"),
    sa.Column("subject_id", sa.Uuid, nullable=False, comment="whom it is about; sealed for them"),
    sa.Column("filed_by", sa.String(96), nullable=False, comment="the person themselves, a guardian, or a department"),
    sa.Column("certificate", sa.String(43), comment="public id of what is said to be wrong"),
    sa.Column("access", sa.String(43), comment="public id of the look that is complained of"),
    sa.Column("type_code", sa.String(48)),
    sa.Column("sealed_words", sa.LargeBinary, nullable=False),
    sa.Column("filed_at", Instant, nullable=False),
    sa.Column("due_on", sa.Date, comment="null: that year's calendar is not published yet"),
    sa.Column("calendar", sa.String(48), nullable=False),
    sa.Column("state", sa.String(12), nullable=False),
    sa.Column("answered_at", Instant),
    sa.Column("answered_by", sa.String(96)),
    sa.Column("sealed_answer", sa.LargeBinary),
    sa.Column("new_certificate", sa.String(43)),
    sa.Column("leaf_hash", sa.LargeBinary, nullable=False),
    sa.Index("ix_objections_department", "department", "state", "filed_at"),
    sa.Index("ix_objections_subject", "subject_id"),
)

reliance_notices = sa.Table(
    "reliance_notices",
    metadata,
    # One for each department that had relied on a certificate, and for each event of it.
    sa.Column("certificate", sa.String(43), primary_key=True),
    sa.Column("event", sa.String(12), primary_key=True),
    sa.Column("department", sa.String(32), primary_key=True),
    sa.Column("type_code", sa.String(48), nullable=False),
    sa.Column("new_certificate", sa.String(43)),
    sa.Column("cases", Json, nullable=False, comment="public ids of this department's cases that relied on it"),
    sa.Column("told_at", Instant, nullable=False),
    sa.Column("seen_at", Instant),
    sa.Column("seen_by", sa.String(96)),
    sa.Index("ix_reliance_notices_department", "department", "told_at"),
)

step_ratings = sa.Table(
    "step_ratings",
    metadata,
    # 好差评: one for each finished step. Words and reply are sealed for the applicant.
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("public_id", sa.String(43), nullable=False, unique=True),
    sa.Column("step_id", sa.Uuid, nullable=False, unique=True),
    sa.Column("case_id", sa.Uuid, nullable=False, index=True),
    sa.Column("department", sa.String(32), nullable=False),
    sa.Column("step", sa.String(48), nullable=False),
    sa.Column("subject_id", sa.Uuid, nullable=False),
    sa.Column("score", sa.SmallInteger, nullable=False),
    sa.Column("sealed_words", sa.LargeBinary, nullable=False),
    sa.Column("rated_at", Instant, nullable=False),
    sa.Column("owes_reply", sa.Boolean, nullable=False),
    sa.Column("due_on", sa.Date, comment="null: no reply is owed, or that year's calendar is not published yet"),
    sa.Column("sealed_reply", sa.LargeBinary),
    sa.Column("replied_at", Instant),
    sa.Column("replied_by", sa.String(96)),
    sa.Column("leaf_hash", sa.LargeBinary, nullable=False),
    sa.Index("ix_step_ratings_department", "department", "rated_at"),
)

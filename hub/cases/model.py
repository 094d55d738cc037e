"""Case tables: one application, and the score that came out of it."""

from enum import StrEnum

import sqlalchemy as sa

from hub.store.base import Instant, metadata


class CaseState(StrEnum):
    """One final state."""

    OPEN = "open"
    GATHERED = "gathered"
    SCORED = "scored"
    CLOSED = "closed"


cases = sa.Table(
    "cases",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("public_id", sa.String(43), nullable=False, unique=True),
    sa.Column("item_code", sa.String(64), nullable=False),
    sa.Column("item_version", sa.Integer, nullable=False),
    sa.Column("department", sa.String(32), nullable=False),
    sa.Column("applicant", sa.Uuid, nullable=False, comment="who applies: the parent whose points count"),
    sa.Column("beneficiary", sa.Uuid, comment="for whom: the child"),
    sa.Column("opened_by", sa.String(96), nullable=False),
    sa.Column("state", sa.String(12), nullable=False),
    sa.Column("opened_at", Instant, nullable=False),
    sa.Column("closed_at", Instant),
    sa.Index("ix_cases_applicant", "applicant"),
    sa.Index("ix_cases_department", "department", "opened_at"),
)

case_scores = sa.Table(
    "case_scores",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("case_id", sa.Uuid, sa.ForeignKey("cases.id"), nullable=False, index=True),
    sa.Column("scheme", sa.String(64), nullable=False),
    sa.Column("scheme_version", sa.Integer, nullable=False),
    sa.Column("total", sa.Numeric(8, 2), nullable=False),
    sa.Column("sealed", sa.LargeBinary, nullable=False, comment="the explained lines, sealed for the applicant"),
    sa.Column("leaf_hash", sa.LargeBinary, nullable=False),
    sa.Column("scored_at", Instant, nullable=False),
)

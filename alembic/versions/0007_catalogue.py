"""Catalogue: drafts by two officers, waivers over time, what sources cover; visits by appointment; the board.

Revision ID: 0007
Revises: 0008
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0007"
down_revision: str | Sequence[str] | None = "0008"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "catalogue_drafts",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("public_id", sa.String(length=43), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False, comment="item or waiver"),
        sa.Column("code", sa.String(length=64), nullable=False, comment="of the item, or of the material"),
        sa.Column("version", sa.Integer(), nullable=True, comment="of the item"),
        sa.Column("department", sa.String(length=32), nullable=False, comment="the owner, who alone may change it"),
        sa.Column("document", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("made_by", sa.Uuid(), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reviewed_by", sa.Uuid(), nullable=True, comment="another officer than the maker"),
        sa.Column("reviewed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_by", sa.Uuid(), nullable=True, comment="who published or refused it"),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_catalogue_drafts")),
        sa.UniqueConstraint("public_id", name=op.f("uq_catalogue_drafts_public_id")),
    )
    op.create_index(op.f("ix_catalogue_drafts_code"), "catalogue_drafts", ["code"], unique=False)
    op.create_index(op.f("ix_catalogue_drafts_department"), "catalogue_drafts", ["department"], unique=False)
    op.create_table(
        "waivers",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("material", sa.String(length=48), nullable=False),
        sa.Column("kind", sa.String(length=12), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("basis", sa.String(length=32), nullable=False, comment="code of the legal basis"),
        sa.Column("check_days", sa.SmallInteger(), nullable=True, comment="a promise is checked within so many days"),
        sa.Column("reason", sa.String(length=200), nullable=False),
        sa.Column("current", sa.Boolean(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("made_by", sa.Uuid(), nullable=False),
        sa.Column("confirmed_by", sa.Uuid(), nullable=False),
        sa.Column("leaf_hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_waivers")),
    )
    op.create_index("ix_waivers_material", "waivers", ["material"], unique=False)
    op.create_table(
        "source_coverage",
        sa.Column("type_code", sa.String(length=48), nullable=False),
        sa.Column("department", sa.String(length=32), nullable=False),
        sa.Column("covers_from", sa.Date(), nullable=True, comment="earlier facts are on paper only"),
        sa.Column("gaps_zh", sa.String(length=200), server_default="", nullable=False),
        sa.Column("gaps_en", sa.String(length=200), server_default="", nullable=False),
        sa.Column(
            "pulls_until",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="its agent is connected and answers pulls until then",
        ),
        sa.Column("declared_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("type_code", "department", name=op.f("pk_source_coverage")),
    )
    op.create_table(
        "visit_slots",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("public_id", sa.String(length=43), nullable=False),
        sa.Column("department", sa.String(length=32), nullable=False),
        sa.Column("place_zh", sa.String(length=120), nullable=False),
        sa.Column("place_en", sa.String(length=120), nullable=False),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("minutes", sa.SmallInteger(), nullable=False),
        sa.Column("capacity", sa.SmallInteger(), nullable=False),
        sa.Column("taken", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("made_by", sa.Uuid(), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True, comment="no more bookings; those made stand"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_visit_slots")),
        sa.UniqueConstraint(
            "department", "place_zh", "starts_at", name=op.f("uq_visit_slots_department_place_zh_starts_at")
        ),
        sa.UniqueConstraint("public_id", name=op.f("uq_visit_slots_public_id")),
    )
    op.create_table(
        "visits",
        sa.Column("bucket", sa.SmallInteger(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("public_id", sa.String(length=43), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("slot_id", sa.Uuid(), nullable=False),
        sa.Column("item_code", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("booked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("bucket", "id", name=op.f("pk_visits")),
    )
    op.create_index("ix_visits_subject", "visits", ["bucket", "subject_id"], unique=False)
    op.create_index("ix_visits_slot", "visits", ["slot_id"], unique=False)
    op.create_table(
        "board_publications",
        sa.Column("period", sa.String(length=7), nullable=False, comment="the month it tells of, 2026-11"),
        sa.Column("document", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("leaf_hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("period", name=op.f("pk_board_publications")),
    )


def downgrade() -> None:
    op.drop_table("board_publications")
    op.drop_table("visits")
    op.drop_table("visit_slots")
    op.drop_table("source_coverage")
    op.drop_table("waivers")
    op.drop_table("catalogue_drafts")

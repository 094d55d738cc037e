"""use codes, the guard against misuse, and looks that a published rule delays

Revision ID: 0017
Revises: 0019
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0017"
down_revision = "0019"


def upgrade() -> None:
    op.create_table(
        "guard_counts",
        sa.Column("code", sa.String(length=32), nullable=False, comment="of the limit"),
        sa.Column("key", sa.String(length=96), nullable=False, comment="department, or department:officer"),
        sa.Column(
            "span", sa.String(length=16), nullable=False, comment="2026-11-23T09, 2026-11-23 or 2026-11, Shanghai"
        ),
        sa.Column("department", sa.String(length=32), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("released", sa.Integer(), nullable=False, comment="how often another officer vouched"),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("alarmed_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("code", "key", "span", name=op.f("pk_guard_counts")),
    )
    op.create_index(op.f("ix_guard_counts_department"), "guard_counts", ["department"], unique=False)
    op.create_index(op.f("ix_guard_counts_ends_at"), "guard_counts", ["ends_at"], unique=False)
    op.create_table(
        "guard_persons",
        sa.Column("code", sa.String(length=32), nullable=False),
        sa.Column("key", sa.String(length=96), nullable=False),
        sa.Column("span", sa.String(length=16), nullable=False),
        sa.Column("person", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("code", "key", "span", "person", name=op.f("pk_guard_persons")),
    )
    op.create_table(
        "use_codes",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("public_id", sa.String(length=43), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False, comment="who chose, and shows it"),
        sa.Column("applicant", sa.Uuid(), nullable=False, comment="whose matter it is"),
        sa.Column("beneficiary", sa.Uuid(), nullable=True, comment="the child applied for"),
        sa.Column("item_code", sa.String(length=64), nullable=False),
        sa.Column(
            "details",
            sa.JSON().with_variant(postgresql.JSONB(), "postgresql"),
            nullable=False,
            comment="what was ticked; the case is not known yet",
        ),
        sa.Column("long_hash", sa.LargeBinary(), nullable=True, comment="keyed hash of what the QR code says"),
        sa.Column("short_hash", sa.LargeBinary(), nullable=True, comment="keyed hash of the eight characters"),
        sa.Column("code_expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False, comment="no new code after this"),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("department", sa.String(length=32), nullable=True, comment="who used it"),
        sa.Column("case_id", sa.String(length=64), nullable=True, comment="for which case"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_use_codes")),
        sa.UniqueConstraint("long_hash", name=op.f("uq_use_codes_long_hash")),
        sa.UniqueConstraint("public_id", name=op.f("uq_use_codes_public_id")),
        sa.UniqueConstraint("short_hash", name=op.f("uq_use_codes_short_hash")),
    )
    op.create_index(op.f("ix_use_codes_ends_at"), "use_codes", ["ends_at"], unique=False)
    op.create_index(op.f("ix_use_codes_subject_id"), "use_codes", ["subject_id"], unique=False)
    for table in ("accesses", "grants"):
        with op.batch_alter_table(table, schema=None) as batch_op:
            batch_op.add_column(
                sa.Column(
                    "visible_at",
                    sa.DateTime(timezone=True),
                    nullable=True,
                    comment="null: at once; else a published rule delays it for the citizen",
                )
            )


def downgrade() -> None:
    for table in ("grants", "accesses"):
        with op.batch_alter_table(table, schema=None) as batch_op:
            batch_op.drop_column("visible_at")
    op.drop_table("use_codes")
    op.drop_table("guard_persons")
    op.drop_table("guard_counts")

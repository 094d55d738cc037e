"""objections and who relied

Revision ID: 0082
Revises: 0010
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0082"
down_revision = "0010"


def upgrade() -> None:
    op.create_table(
        "objections",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("public_id", sa.String(length=43), nullable=False),
        sa.Column("department", sa.String(length=32), nullable=False, comment="who answers"),
        sa.Column("subject_id", sa.Uuid(), nullable=False, comment="whom it is about; sealed for them"),
        sa.Column(
            "filed_by",
            sa.String(length=96),
            nullable=False,
            comment="the person themselves, a guardian, or a department",
        ),
        sa.Column(
            "certificate",
            sa.String(length=43),
            nullable=True,
            comment="public id of what is said to be wrong",
        ),
        sa.Column(
            "access",
            sa.String(length=43),
            nullable=True,
            comment="public id of the look that is complained of",
        ),
        sa.Column("type_code", sa.String(length=48), nullable=True),
        sa.Column("sealed_words", sa.LargeBinary(), nullable=False),
        sa.Column("filed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "due_on", sa.Date(), nullable=True, comment="null: that year's calendar is not published yet"
        ),
        sa.Column("calendar", sa.String(length=48), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("answered_by", sa.String(length=96), nullable=True),
        sa.Column("sealed_answer", sa.LargeBinary(), nullable=True),
        sa.Column("new_certificate", sa.String(length=43), nullable=True),
        sa.Column("leaf_hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_objections")),
        sa.UniqueConstraint("public_id", name=op.f("uq_objections_public_id")),
    )
    with op.batch_alter_table("objections", schema=None) as batch_op:
        batch_op.create_index("ix_objections_department", ["department", "state", "filed_at"], unique=False)
        batch_op.create_index("ix_objections_subject", ["subject_id"], unique=False)

    op.create_table(
        "reliance_notices",
        sa.Column("certificate", sa.String(length=43), nullable=False),
        sa.Column("event", sa.String(length=12), nullable=False),
        sa.Column("department", sa.String(length=32), nullable=False),
        sa.Column("type_code", sa.String(length=48), nullable=False),
        sa.Column("new_certificate", sa.String(length=43), nullable=True),
        sa.Column(
            "cases",
            sa.JSON().with_variant(postgresql.JSONB(), "postgresql"),
            nullable=False,
            comment="public ids of this department's cases that relied on it",
        ),
        sa.Column("told_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("seen_by", sa.String(length=96), nullable=True),
        sa.PrimaryKeyConstraint("certificate", "event", "department", name=op.f("pk_reliance_notices")),
    )
    with op.batch_alter_table("reliance_notices", schema=None) as batch_op:
        batch_op.create_index("ix_reliance_notices_department", ["department", "told_at"], unique=False)

    with op.batch_alter_table("source_coverage", schema=None) as batch_op:
        batch_op.alter_column(
            "gaps_zh", existing_type=sa.VARCHAR(length=200), server_default="", existing_nullable=False
        )
        batch_op.alter_column(
            "gaps_en", existing_type=sa.VARCHAR(length=200), server_default="", existing_nullable=False
        )



def downgrade() -> None:
    with op.batch_alter_table("source_coverage", schema=None) as batch_op:
        batch_op.alter_column(
            "gaps_en",
            existing_type=sa.VARCHAR(length=200),
            server_default=sa.text("('')"),
            existing_nullable=False,
        )
        batch_op.alter_column(
            "gaps_zh",
            existing_type=sa.VARCHAR(length=200),
            server_default=sa.text("('')"),
            existing_nullable=False,
        )

    with op.batch_alter_table("reliance_notices", schema=None) as batch_op:
        batch_op.drop_index("ix_reliance_notices_department")

    op.drop_table("reliance_notices")
    with op.batch_alter_table("objections", schema=None) as batch_op:
        batch_op.drop_index("ix_objections_subject")
        batch_op.drop_index("ix_objections_department")

    op.drop_table("objections")

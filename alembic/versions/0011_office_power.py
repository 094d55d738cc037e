"""office power

Revision ID: 0011
Revises: 0082
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0082"


def upgrade() -> None:
    op.create_table(
        "alarms",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(length=48), nullable=False),
        sa.Column("department", sa.String(length=32), nullable=False),
        sa.Column("officer_id", sa.Uuid(), nullable=True),
        sa.Column("rule", sa.String(length=64), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("leaf_hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alarms")),
    )
    with op.batch_alter_table("alarms", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_alarms_at"), ["at"], unique=False)

    op.create_table(
        "office_counts",
        sa.Column("scope", sa.String(length=12), nullable=False),
        sa.Column("key", sa.String(length=96), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("persons", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("scope", "key", "day", name=op.f("pk_office_counts")),
    )
    op.create_table(
        "office_looks",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("public_id", sa.String(length=43), nullable=False),
        sa.Column("rule", sa.String(length=64), nullable=False),
        sa.Column("rule_version", sa.Integer(), nullable=False),
        sa.Column("department", sa.String(length=32), nullable=False),
        sa.Column("officer", sa.Uuid(), nullable=False),
        sa.Column(
            "second", sa.Uuid(), nullable=True, comment="who agreed or refused; null where none was needed"
        ),
        sa.Column("case_id", sa.String(length=64), nullable=False),
        sa.Column("holder", sa.Uuid(), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column(
            "why_second",
            sa.String(length=16),
            nullable=True,
            comment="why a second officer was needed: many, hours",
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_office_looks")),
        sa.UniqueConstraint("public_id", name=op.f("uq_office_looks_public_id")),
    )
    with op.batch_alter_table("office_looks", schema=None) as batch_op:
        batch_op.create_index("ix_office_looks_department", ["department", "state"], unique=False)

    op.create_table(
        "office_persons",
        sa.Column("scope", sa.String(length=12), nullable=False, comment="officer, item or department"),
        sa.Column("key", sa.String(length=96), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("person", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("scope", "key", "day", "person", name=op.f("pk_office_persons")),
    )
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

    op.drop_table("office_persons")
    with op.batch_alter_table("office_looks", schema=None) as batch_op:
        batch_op.drop_index("ix_office_looks_department")

    op.drop_table("office_looks")
    op.drop_table("office_counts")
    with op.batch_alter_table("alarms", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_alarms_at"))

    op.drop_table("alarms")

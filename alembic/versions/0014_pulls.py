"""Pulls: orders to agents, the breaker of each source, the leaf of each grant, numbers sealed for their person

Revision ID: 0014
Revises: 0017
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0014"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "pulls",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("public_id", sa.String(length=43), nullable=False, comment="jti of the order, for ever"),
        sa.Column("department", sa.String(length=32), nullable=False, comment="who is asked"),
        sa.Column("type_code", sa.String(length=48), nullable=False),
        sa.Column("verifier", sa.String(length=32), nullable=False),
        sa.Column("grant_public_id", sa.String(length=43), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column(
            "fields",
            sa.JSON().with_variant(postgresql.JSONB(), "postgresql"),
            nullable=False,
            comment="claim paths of the grant",
        ),
        sa.Column("access", sa.String(length=43), nullable=False, comment="the look recorded before anything left"),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deadline", sa.DateTime(timezone=True), nullable=False, comment="how long the verifier waits"),
        sa.Column(
            "taken_until", sa.DateTime(timezone=True), nullable=True, comment="an agent that is silent by then has lost it"
        ),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("outcome", sa.String(length=16), nullable=True),
        sa.Column("reason", sa.String(length=64), nullable=True),
        sa.Column("certificate", sa.String(length=43), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pulls")),
        sa.UniqueConstraint("public_id", name=op.f("uq_pulls_public_id")),
    )
    with op.batch_alter_table("pulls", schema=None) as batch_op:
        batch_op.create_index("ix_pulls_ended", ["ended_at"], unique=False)
        batch_op.create_index("ix_pulls_grant", ["grant_public_id", "type_code"], unique=False)
        batch_op.create_index("ix_pulls_open", ["department", "state"], unique=False)
    op.add_column(
        "grants",
        sa.Column(
            "leaf_hash",
            sa.LargeBinary(),
            nullable=True,
            comment="of the leaf that says it was given: the evidence of a pull",
        ),
    )
    op.add_column(
        "subject_identifiers",
        sa.Column(
            "sealed",
            sa.LargeBinary(),
            nullable=True,
            comment="the number, sealed for the person; null where a face has it",
        ),
    )
    op.add_column(
        "source_coverage",
        sa.Column("pull_failures", sa.Integer(), server_default="0", nullable=False, comment="in a row"),
    )
    op.add_column(
        "source_coverage",
        sa.Column(
            "pull_rests_until",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="open until then; afterwards one pull may try",
        ),
    )
    op.add_column(
        "source_coverage",
        sa.Column(
            "pull_tried_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when the one pull of a half-open breaker was let through",
        ),
    )


def downgrade() -> None:
    for name in ("pull_tried_at", "pull_rests_until", "pull_failures"):
        op.drop_column("source_coverage", name)
    op.drop_column("subject_identifiers", "sealed")
    op.drop_column("grants", "leaf_hash")
    with op.batch_alter_table("pulls", schema=None) as batch_op:
        batch_op.drop_index("ix_pulls_open")
        batch_op.drop_index("ix_pulls_grant")
        batch_op.drop_index("ix_pulls_ended")

    op.drop_table("pulls")

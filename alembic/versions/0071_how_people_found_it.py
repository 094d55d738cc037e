"""How people found it: one rating for each finished step.

Revision ID: 0071
Revises: 0012
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0071"
down_revision: str | Sequence[str] | None = "0012"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "step_ratings",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("public_id", sa.String(length=43), nullable=False),
        sa.Column("step_id", sa.Uuid(), nullable=False),
        sa.Column("case_id", sa.Uuid(), nullable=False),
        sa.Column("department", sa.String(length=32), nullable=False),
        sa.Column("step", sa.String(length=48), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("score", sa.SmallInteger(), nullable=False),
        sa.Column("sealed_words", sa.LargeBinary(), nullable=False),
        sa.Column("rated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("owes_reply", sa.Boolean(), nullable=False),
        sa.Column(
            "due_on",
            sa.Date(),
            nullable=True,
            comment="null: no reply is owed, or that year's calendar is not published yet",
        ),
        sa.Column("sealed_reply", sa.LargeBinary(), nullable=True),
        sa.Column("replied_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("replied_by", sa.String(length=96), nullable=True),
        sa.Column("leaf_hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_step_ratings")),
        sa.UniqueConstraint("public_id", name=op.f("uq_step_ratings_public_id")),
        sa.UniqueConstraint("step_id", name=op.f("uq_step_ratings_step_id")),
    )
    op.create_index(op.f("ix_step_ratings_case_id"), "step_ratings", ["case_id"], unique=False)
    op.create_index("ix_step_ratings_department", "step_ratings", ["department", "rated_at"], unique=False)


def downgrade() -> None:
    op.drop_table("step_ratings")

"""archives of cases: which are still to be made, and which were destroyed after their retention period

Revision ID: 0019
Revises: 0013
"""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0013"

ENDED = "outcome IS NOT NULL AND closed_at IS NULL"
UNKEPT = "closed_at IS NOT NULL AND archived_at IS NULL"


def upgrade() -> None:
    with op.batch_alter_table("cases", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column(
                "archived_at",
                sa.DateTime(timezone=True),
                nullable=True,
                comment="its package is kept, or there is nothing to keep any more",
            )
        )
    for name, column, where in (("ix_cases_ended", "decided_at", ENDED), ("ix_cases_unkept", "closed_at", UNKEPT)):
        op.create_index(
            name, "cases", [column], postgresql_where=sa.text(where), sqlite_where=sa.text(where)
        )
    with op.batch_alter_table("case_archives", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column(
                "destroyed_at",
                sa.DateTime(timezone=True),
                nullable=True,
                comment="after its retention period",
            )
        )
        batch_op.create_index(batch_op.f("ix_case_archives_keep_until"), ["keep_until"], unique=False)
        batch_op.alter_column(
            "blob_sha256",
            existing_type=sa.LargeBinary(),
            existing_nullable=False,
            comment="of the sealed parts, 32 bytes each",
            existing_comment="of the sealed bytes",
        )


def downgrade() -> None:
    with op.batch_alter_table("case_archives", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_case_archives_keep_until"))
        batch_op.drop_column("destroyed_at")
    op.drop_index("ix_cases_unkept", table_name="cases")
    op.drop_index("ix_cases_ended", table_name="cases")
    with op.batch_alter_table("cases", schema=None) as batch_op:
        batch_op.drop_column("archived_at")

"""public ids: they are always looked up by their token

Revision ID: 0021
Revises: 0172
"""

from alembic import op

revision = "0021"
down_revision = "0172"


def upgrade() -> None:
    op.drop_index("ix_public_ids_row", table_name="public_ids")


def downgrade() -> None:
    op.create_index("ix_public_ids_row", "public_ids", ["bucket", "row_id"], unique=False)

"""whose passkey it is

Revision ID: 0172
Revises: 0171
"""

import sqlalchemy as sa
from alembic import op

revision = "0172"
down_revision = "0171"


def upgrade() -> None:
    with op.batch_alter_table("passkeys", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column(
                "owner", sa.String(length=43), nullable=True, comment="commitment to the person, as the public leaf shows it"
            )
        )
        batch_op.add_column(
            sa.Column(
                "sealed_owner", sa.LargeBinary(), nullable=True, comment="what opens that leaf, sealed for the person"
            )
        )
    with op.batch_alter_table("passkey_challenges", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column(
                "salt",
                sa.LargeBinary(),
                nullable=True,
                comment="of the owner's commitment, while a passkey is being bound",
            )
        )


def downgrade() -> None:
    with op.batch_alter_table("passkey_challenges", schema=None) as batch_op:
        batch_op.drop_column("salt")
    with op.batch_alter_table("passkeys", schema=None) as batch_op:
        batch_op.drop_column("sealed_owner")
        batch_op.drop_column("owner")

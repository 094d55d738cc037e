"""What the ledger says of a registration is what the certificate's row says: no sealed copy of it any more

Certificates of before keep theirs, and it is compared with their rows. Whoever reads the ledger back finds rows by time.
A downgrade is refused once a certificate was registered in the new form: its body would be missing.

Revision ID: 0023
Revises: 0022
"""

import sqlalchemy as sa
from alembic import context, op

revision = "0023"
down_revision = "0022"

NEW_FORM = (
    "SELECT 1 FROM certificates WHERE NOT EXISTS "
    "(SELECT 1 FROM ledger_bodies WHERE ledger_bodies.leaf_hash = certificates.leaf_hash) LIMIT 1"
)


def upgrade() -> None:
    op.create_index("ix_certificates_registered_at", "certificates", ["registered_at"], unique=False)


def downgrade() -> None:
    if not context.is_offline_mode() and op.get_bind().scalar(sa.text(NEW_FORM)):
        raise RuntimeError("certificates were registered since revision 0023: go back to the backup of before")
    op.drop_index("ix_certificates_registered_at", table_name="certificates")

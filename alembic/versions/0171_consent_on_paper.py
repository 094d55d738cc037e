"""consent on paper, and how far the guard has watched

Revision ID: 0171
Revises: 0020
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0171"
down_revision = "0020"


def upgrade() -> None:
    op.create_table(
        "paper_consents",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("public_id", sa.String(length=43), nullable=False),
        sa.Column("slip", sa.String(length=10), nullable=False, comment="number on the form and on the slip"),
        sa.Column("case_id", sa.String(length=64), nullable=False),
        sa.Column("department", sa.String(length=32), nullable=False),
        sa.Column("applicant", sa.Uuid(), nullable=False),
        sa.Column("beneficiary", sa.Uuid(), nullable=True),
        sa.Column("item_code", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("document_type", sa.String(length=16), nullable=False, comment="which identity document was seen"),
        sa.Column(
            "details",
            sa.JSON().with_variant(postgresql.JSONB(), "postgresql"),
            nullable=False,
            comment="as printed; once scanned, as ticked",
        ),
        sa.Column("officer", sa.Uuid(), nullable=False, comment="who saw the document and the signature"),
        sa.Column("second", sa.Uuid(), nullable=True, comment="who compared scan and ticks; never the same"),
        sa.Column(
            "request_id", sa.String(length=43), nullable=True, comment="public id of the consent request that came of it"
        ),
        sa.Column("kind", sa.String(length=8), nullable=True),
        sa.Column("sha256", sa.LargeBinary(), nullable=True),
        sa.Column("blob", sa.String(length=128), nullable=True),
        sa.Column("blob_sha256", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("scanned_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "ends_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="a form that is not confirmed by then is nothing",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_paper_consents")),
        sa.UniqueConstraint("public_id", name=op.f("uq_paper_consents_public_id")),
        sa.UniqueConstraint("slip", name=op.f("uq_paper_consents_slip")),
    )
    op.create_table(
        "guard_watch",
        sa.Column("id", sa.SmallInteger(), nullable=False),
        sa.Column("counted_to", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_guard_watch")),
    )
    op.create_index(op.f("ix_paper_consents_applicant"), "paper_consents", ["applicant"], unique=False)
    op.create_index(op.f("ix_paper_consents_case_id"), "paper_consents", ["case_id"], unique=False)
    op.create_index("ix_paper_consents_department", "paper_consents", ["department", "state"], unique=False)


def downgrade() -> None:
    op.drop_table("guard_watch")
    op.drop_table("paper_consents")

"""who decides for another

Revision ID: 0010
Revises: 0081
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0010"
down_revision = "0081"


def upgrade() -> None:
    op.create_table(
        "entrustments",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("public_id", sa.String(length=43), nullable=False),
        sa.Column(
            "principal", sa.Uuid(), nullable=False, comment="whose certificates: a person or a company"
        ),
        sa.Column(
            "made_by", sa.Uuid(), nullable=False, comment="the principal, or a company's representative"
        ),
        sa.Column("delegate", sa.Uuid(), nullable=True, comment="null until somebody took it"),
        sa.Column(
            "code_hash", sa.LargeBinary(), nullable=True, comment="SHA-256 of the code; null once taken"
        ),
        sa.Column("code_expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "items",
            sa.JSON().with_variant(postgresql.JSONB(), "postgresql"),
            nullable=False,
            comment="codes of the service items it is good for",
        ),
        sa.Column(
            "types",
            sa.JSON().with_variant(postgresql.JSONB(), "postgresql"),
            nullable=False,
            comment="certificate types it is good for",
        ),
        sa.Column("valid_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_entrustments")),
        sa.UniqueConstraint("code_hash", name=op.f("uq_entrustments_code_hash")),
        sa.UniqueConstraint("public_id", name=op.f("uq_entrustments_public_id")),
    )
    with op.batch_alter_table("entrustments", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_entrustments_delegate"), ["delegate"], unique=False)
        batch_op.create_index(batch_op.f("ix_entrustments_made_by"), ["made_by"], unique=False)
        batch_op.create_index(batch_op.f("ix_entrustments_principal"), ["principal"], unique=False)

    with op.batch_alter_table("grants", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column(
                "evidence_bucket",
                sa.SmallInteger(),
                nullable=True,
                comment="the row of that certificate: a use needs it current",
            )
        )
        batch_op.add_column(sa.Column("evidence_id", sa.Uuid(), nullable=True))
        batch_op.create_index(
            "ix_grants_evidence",
            ["basis_evidence"],
            unique=False,
            postgresql_where=sa.text("basis_evidence IS NOT NULL"),
            sqlite_where=sa.text("basis_evidence IS NOT NULL"),
        )

    # what stood before is looked at in the same way from now on
    op.execute(
        "UPDATE grants SET "
        "evidence_bucket = (SELECT bucket FROM public_ids p WHERE p.token = basis_evidence AND p.kind = 'certificate'), "
        "evidence_id = (SELECT row_id FROM public_ids p WHERE p.token = basis_evidence AND p.kind = 'certificate') "
        "WHERE basis_evidence IS NOT NULL"
    )


def downgrade() -> None:
    with op.batch_alter_table("grants", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_grants_evidence",
            postgresql_where=sa.text("basis_evidence IS NOT NULL"),
            sqlite_where=sa.text("basis_evidence IS NOT NULL"),
        )
        batch_op.drop_column("evidence_id")
        batch_op.drop_column("evidence_bucket")

    with op.batch_alter_table("entrustments", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_entrustments_principal"))
        batch_op.drop_index(batch_op.f("ix_entrustments_made_by"))
        batch_op.drop_index(batch_op.f("ix_entrustments_delegate"))

    op.drop_table("entrustments")

"""hand-overs are answered with receipts, waivers for one item, promises and their checks

Revision ID: 0020
Revises: 0018
"""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0018"


def upgrade() -> None:
    with op.batch_alter_table("handovers", schema=None) as batch_op:
        for name, kind in (
            ("sent_leaf", sa.LargeBinary()),
            ("refused_by", sa.String(length=96)),
            ("refused_at", sa.DateTime(timezone=True)),
            ("sealed_reason", sa.LargeBinary()),
            ("answered_leaf", sa.LargeBinary()),
        ):
            batch_op.add_column(sa.Column(name, kind, nullable=True))
    with op.batch_alter_table("waivers", schema=None) as batch_op:
        batch_op.add_column(sa.Column("item", sa.String(length=64), server_default="", nullable=False))
        batch_op.alter_column("made_by", existing_type=sa.Uuid(), nullable=True)
        batch_op.alter_column("confirmed_by", existing_type=sa.Uuid(), nullable=True)
    op.create_table(
        "case_promises",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("public_id", sa.String(length=43), nullable=False),
        sa.Column("case_id", sa.Uuid(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("material", sa.String(length=64), nullable=False),
        sa.Column("department", sa.String(length=32), nullable=False),
        sa.Column("basis", sa.String(length=32), nullable=False),
        sa.Column("sealed_text", sa.LargeBinary(), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("check_by", sa.Date(), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("checked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("checked_by", sa.String(length=96), nullable=True),
        sa.Column("sealed_note", sa.LargeBinary(), nullable=True),
        sa.Column("leaf_hash", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["case_id"], ["cases.id"], name=op.f("fk_case_promises_case_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_case_promises")),
        sa.UniqueConstraint("case_id", "material", name=op.f("uq_case_promises_case_id_material")),
        sa.UniqueConstraint("public_id", name=op.f("uq_case_promises_public_id")),
    )
    with op.batch_alter_table("case_promises", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_case_promises_case_id"), ["case_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_case_promises_subject_id"), ["subject_id"], unique=False)
        batch_op.create_index("ix_case_promises_department", ["department", "state", "check_by"], unique=False)


def downgrade() -> None:
    op.drop_table("case_promises")
    op.execute("DELETE FROM waivers WHERE made_by IS NULL")  # the hub's own suspensions: nobody could hold them then
    with op.batch_alter_table("waivers", schema=None) as batch_op:
        batch_op.alter_column("confirmed_by", existing_type=sa.Uuid(), nullable=False)
        batch_op.alter_column("made_by", existing_type=sa.Uuid(), nullable=False)
        batch_op.drop_column("item")
    with op.batch_alter_table("handovers", schema=None) as batch_op:
        for name in ("answered_leaf", "sealed_reason", "refused_at", "refused_by", "sent_leaf"):
            batch_op.drop_column(name)

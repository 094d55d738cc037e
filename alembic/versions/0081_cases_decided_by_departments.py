"""cases decided by departments

Revision ID: 0081
Revises: 0007
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0081"
down_revision = "0007"


def upgrade() -> None:
    op.create_table(
        "case_archives",
        sa.Column("case_id", sa.Uuid(), nullable=False),
        sa.Column("blob", sa.String(length=80), nullable=False),
        sa.Column("blob_sha256", sa.LargeBinary(), nullable=False, comment="of the sealed bytes"),
        sa.Column("sha256", sa.LargeBinary(), nullable=False, comment="of the package"),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("keep_until", sa.Date(), nullable=False),
        sa.Column("leaf_hash", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["case_id"], ["cases.id"], name=op.f("fk_case_archives_case_id")),
        sa.PrimaryKeyConstraint("case_id", name=op.f("pk_case_archives")),
    )
    op.create_table(
        "case_evidence",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("case_id", sa.Uuid(), nullable=False),
        sa.Column("type_code", sa.String(length=48), nullable=False),
        sa.Column(
            "certificate",
            sa.String(length=43),
            nullable=True,
            comment="public id: who relied on it, seen from the other end",
        ),
        sa.Column(
            "grant_public_id", sa.String(length=43), nullable=False, comment="once withdrawn, this is silent"
        ),
        sa.Column("access", sa.String(length=43), nullable=False, comment="the record of this look"),
        sa.Column("leaf_hash", sa.LargeBinary(), nullable=False, comment="of that record"),
        sa.Column("outcome", sa.String(length=12), nullable=False),
        sa.Column("reason", sa.String(length=64), nullable=False),
        sa.Column("issuer", sa.String(length=32), nullable=True),
        sa.Column("checks", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.Column(
            "sealed",
            sa.LargeBinary(),
            nullable=True,
            comment="the SD-JWT with what was granted, sealed for the applicant",
        ),
        sa.Column("gathered_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("replaced_by", sa.Uuid(), nullable=True, comment="a later look at the same type"),
        sa.ForeignKeyConstraint(["case_id"], ["cases.id"], name=op.f("fk_case_evidence_case_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_case_evidence")),
    )
    with op.batch_alter_table("case_evidence", schema=None) as batch_op:
        batch_op.create_index("ix_case_evidence_case", ["case_id", "type_code"], unique=False)
        batch_op.create_index(batch_op.f("ix_case_evidence_certificate"), ["certificate"], unique=False)

    op.create_table(
        "case_flags",
        sa.Column("case_id", sa.Uuid(), nullable=False),
        sa.Column("certificate", sa.String(length=43), nullable=False),
        sa.Column("event", sa.String(length=16), nullable=False),
        sa.Column("raised_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("cleared_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cleared_by", sa.String(length=96), nullable=True),
        sa.Column(
            "conclusion", sa.String(length=48), nullable=True, comment="reason code of whoever looked again"
        ),
        sa.ForeignKeyConstraint(["case_id"], ["cases.id"], name=op.f("fk_case_flags_case_id")),
        sa.PrimaryKeyConstraint("case_id", "certificate", name=op.f("pk_case_flags")),
    )
    op.create_table(
        "case_lacking",
        sa.Column("case_id", sa.Uuid(), nullable=False),
        sa.Column("material", sa.String(length=64), nullable=False),
        sa.Column("promised_by", sa.Date(), nullable=False),
        sa.Column("fulfilled_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["case_id"], ["cases.id"], name=op.f("fk_case_lacking_case_id")),
        sa.PrimaryKeyConstraint("case_id", "material", name=op.f("pk_case_lacking")),
    )
    op.create_table(
        "case_steps",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("case_id", sa.Uuid(), nullable=False),
        sa.Column("code", sa.String(length=48), nullable=False),
        sa.Column("department", sa.String(length=32), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("days", sa.Integer(), nullable=False, comment="the legal clock, in working days"),
        sa.Column("days_unconfirmed", sa.Boolean(), nullable=False),
        sa.Column("calendar", sa.String(length=48), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("decided_by", sa.String(length=96), nullable=True),
        sa.Column("passed", sa.Boolean(), nullable=True),
        sa.Column("reason_code", sa.String(length=48), nullable=True),
        sa.Column(
            "evidence",
            sa.JSON().with_variant(postgresql.JSONB(), "postgresql"),
            nullable=True,
            comment="public ids of the looks and uploads that the decision rests on",
        ),
        sa.Column(
            "sealed_note",
            sa.LargeBinary(),
            nullable=True,
            comment="the officer's words, sealed for the applicant",
        ),
        sa.Column("leaf_hash", sa.LargeBinary(), nullable=True),
        sa.ForeignKeyConstraint(["case_id"], ["cases.id"], name=op.f("fk_case_steps_case_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_case_steps")),
        sa.UniqueConstraint("case_id", "code", name=op.f("uq_case_steps_case_id_code")),
    )
    with op.batch_alter_table("case_steps", schema=None) as batch_op:
        batch_op.create_index("ix_case_steps_department", ["department", "state", "started_at"], unique=False)

    op.create_table(
        "handovers",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("receipt", sa.String(length=22), nullable=False),
        sa.Column("case_id", sa.Uuid(), nullable=False),
        sa.Column("hall", sa.String(length=32), nullable=False),
        sa.Column("department", sa.String(length=32), nullable=False),
        sa.Column("sent_by", sa.String(length=96), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("received_by", sa.String(length=96), nullable=True),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["case_id"], ["cases.id"], name=op.f("fk_handovers_case_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_handovers")),
        sa.UniqueConstraint("receipt", name=op.f("uq_handovers_receipt")),
    )
    with op.batch_alter_table("handovers", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_handovers_case_id"), ["case_id"], unique=False)
        batch_op.create_index("ix_handovers_department", ["department", "received_at"], unique=False)

    op.create_table(
        "materials",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("public_id", sa.String(length=43), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("material", sa.String(length=64), nullable=False),
        sa.Column("case_id", sa.Uuid(), nullable=False, comment="first brought for"),
        sa.Column(
            "kind",
            sa.String(length=8),
            nullable=False,
            comment="pdf or image, as the limited child process read it",
        ),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False, comment="of the file"),
        sa.Column("blob", sa.String(length=80), nullable=False),
        sa.Column("blob_sha256", sa.LargeBinary(), nullable=False, comment="of the sealed bytes"),
        sa.Column(
            "level",
            sa.String(length=1),
            nullable=False,
            comment="C: uploaded; B: a clerk compared the original",
        ),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("reason_code", sa.String(length=48), nullable=True),
        sa.Column("sealed_note", sa.LargeBinary(), nullable=True),
        sa.Column("uploaded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reviewed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reviewed_by", sa.String(length=96), nullable=True),
        sa.Column("compared_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("compared_by", sa.String(length=96), nullable=True),
        sa.Column("expires_on", sa.Date(), nullable=False),
        sa.Column("replaced_by", sa.Uuid(), nullable=True),
        sa.Column("leaf_hash", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["case_id"], ["cases.id"], name=op.f("fk_materials_case_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_materials")),
        sa.UniqueConstraint("public_id", name=op.f("uq_materials_public_id")),
    )
    with op.batch_alter_table("materials", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_materials_case_id"), ["case_id"], unique=False)
        batch_op.create_index("ix_materials_subject", ["subject_id", "material"], unique=False)

    op.create_table(
        "hall_officers",
        sa.Column("officer_id", sa.Uuid(), nullable=False),
        sa.Column("hall", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(["officer_id"], ["officers.id"], name=op.f("fk_hall_officers_officer_id")),
        sa.PrimaryKeyConstraint("officer_id", "hall", name=op.f("pk_hall_officers")),
    )
    op.create_table(
        "step_pauses",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("step_id", sa.Uuid(), nullable=False),
        sa.Column("reason_code", sa.String(length=48), nullable=False),
        sa.Column(
            "sealed_ask",
            sa.LargeBinary(),
            nullable=False,
            comment="what is to be mended, sealed for the applicant",
        ),
        sa.Column("asked_by", sa.String(length=96), nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["step_id"], ["case_steps.id"], name=op.f("fk_step_pauses_step_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_step_pauses")),
    )
    with op.batch_alter_table("step_pauses", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_step_pauses_step_id"), ["step_id"], unique=False)

    with op.batch_alter_table("cases", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column(
                "hall",
                sa.String(length=32),
                nullable=True,
                comment="where it was accepted; null: online, or by its own department",
            )
        )
        batch_op.add_column(
            sa.Column(
                "outcome", sa.String(length=12), nullable=True, comment="the one final state; null until then"
            )
        )
        batch_op.add_column(
            sa.Column(
                "steps_open",
                sa.Integer(),
                server_default="0",
                nullable=False,
                comment="parts not decided yet",
            )
        )
        batch_op.add_column(sa.Column("accepted_at", sa.DateTime(timezone=True), nullable=True))
        batch_op.add_column(sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True))



def downgrade() -> None:
    with op.batch_alter_table("cases", schema=None) as batch_op:
        batch_op.drop_column("decided_at")
        batch_op.drop_column("accepted_at")
        batch_op.drop_column("steps_open")
        batch_op.drop_column("outcome")
        batch_op.drop_column("hall")

    with op.batch_alter_table("step_pauses", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_step_pauses_step_id"))

    op.drop_table("step_pauses")
    op.drop_table("hall_officers")
    with op.batch_alter_table("materials", schema=None) as batch_op:
        batch_op.drop_index("ix_materials_subject")
        batch_op.drop_index(batch_op.f("ix_materials_case_id"))

    op.drop_table("materials")
    with op.batch_alter_table("handovers", schema=None) as batch_op:
        batch_op.drop_index("ix_handovers_department")
        batch_op.drop_index(batch_op.f("ix_handovers_case_id"))

    op.drop_table("handovers")
    with op.batch_alter_table("case_steps", schema=None) as batch_op:
        batch_op.drop_index("ix_case_steps_department")

    op.drop_table("case_steps")
    op.drop_table("case_lacking")
    op.drop_table("case_flags")
    with op.batch_alter_table("case_evidence", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_case_evidence_certificate"))
        batch_op.drop_index("ix_case_evidence_case")

    op.drop_table("case_evidence")
    op.drop_table("case_archives")

"""notices

Revision ID: 0016
Revises: 0014
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0016"
down_revision = "0014"


def upgrade() -> None:
    op.create_table(
        "contact_codes",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("contact_id", sa.Uuid(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("blind", sa.LargeBinary(), nullable=False, comment="keyed hash of the address"),
        sa.Column("code_hash", sa.LargeBinary(), nullable=False, comment="keyed hash of the code"),
        sa.Column("tries", sa.SmallInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_contact_codes")),
    )
    with op.batch_alter_table("contact_codes", schema=None) as batch_op:
        batch_op.create_index("ix_contact_codes_blind", ["blind", "created_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_contact_codes_contact_id"), ["contact_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_contact_codes_created_at"), ["created_at"], unique=False)
        batch_op.create_index("ix_contact_codes_subject", ["subject_id", "created_at"], unique=False)

    op.create_table(
        "contacts",
        sa.Column("bucket", sa.SmallInteger(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("public_id", sa.String(length=43), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("channel", sa.String(length=8), nullable=False),
        sa.Column(
            "sealed",
            sa.LargeBinary(),
            nullable=True,
            comment="the address, under the person's key; null once removed",
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("verified_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("removed_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("bucket", "id", name=op.f("pk_contacts")),
        postgresql_partition_by="RANGE (bucket)",
    )
    with op.batch_alter_table("contacts", schema=None) as batch_op:
        batch_op.create_index("ix_contacts_subject", ["bucket", "subject_id"], unique=False)

    op.create_table(
        "deliveries",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("public_id", sa.String(length=43), nullable=False),
        sa.Column("channel", sa.String(length=8), nullable=False),
        sa.Column("purpose", sa.String(length=8), nullable=False),
        sa.Column("bucket", sa.SmallInteger(), nullable=True),
        sa.Column("subject_id", sa.Uuid(), nullable=True),
        sa.Column("notice_id", sa.Uuid(), nullable=True),
        sa.Column("contact_id", sa.Uuid(), nullable=True),
        sa.Column("endpoint_id", sa.Uuid(), nullable=True),
        sa.Column(
            "payload",
            sa.LargeBinary(),
            nullable=True,
            comment="of an event: its JSON; of a code: sealed for the person, until sent",
        ),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("attempts", sa.SmallInteger(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "expires_at", sa.DateTime(timezone=True), nullable=False, comment="from here on it is given up"
        ),
        sa.Column("lease", sa.Uuid(), nullable=True, comment="which deliverer has it, until lease_until"),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "fault", sa.String(length=48), nullable=True, comment="why the last attempt failed: a code"
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deliveries")),
        sa.UniqueConstraint("public_id", name=op.f("uq_deliveries_public_id")),
    )
    with op.batch_alter_table("deliveries", schema=None) as batch_op:
        batch_op.create_index(
            "ix_deliveries_due",
            ["due_at"],
            unique=False,
            postgresql_where=sa.text("state = 'waiting'"),
            sqlite_where=sa.text("state = 'waiting'"),
        )
        batch_op.create_index("ix_deliveries_ended", ["state", "ended_at"], unique=False)
        batch_op.create_index("ix_deliveries_endpoint", ["endpoint_id", "created_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_deliveries_notice_id"), ["notice_id"], unique=False)

    op.create_table(
        "notice_cursor",
        sa.Column("id", sa.SmallInteger(), nullable=False),
        sa.Column("idx", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notice_cursor")),
    )
    op.create_table(
        "notice_wishes",
        sa.Column("bucket", sa.SmallInteger(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("language", sa.String(length=5), nullable=False),
        sa.Column(
            "quiet_from",
            sa.SmallInteger(),
            nullable=True,
            comment="minute of the day in Shanghai; null: no quiet hours",
        ),
        sa.Column("quiet_to", sa.SmallInteger(), nullable=True),
        sa.Column(
            "silenced",
            sa.JSON().with_variant(postgresql.JSONB(), "postgresql"),
            nullable=False,
            comment="kinds that stay in the wallet",
        ),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("bucket", "subject_id", name=op.f("pk_notice_wishes")),
        postgresql_partition_by="RANGE (bucket)",
    )
    op.create_table(
        "notices",
        sa.Column("bucket", sa.SmallInteger(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("public_id", sa.String(length=43), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False, comment="who is told"),
        sa.Column(
            "about",
            sa.Uuid(),
            nullable=True,
            comment="whose data, when it is not their own: a child, a principal, a company",
        ),
        sa.Column("kind", sa.String(length=12), nullable=False),
        sa.Column("source", sa.LargeBinary(), nullable=False, comment="SHA-256 of what happened: told once"),
        sa.Column("ref", sa.String(length=43), nullable=True, comment="public id of what it is about"),
        sa.Column(
            "facts",
            sa.JSON().with_variant(postgresql.JSONB(), "postgresql"),
            nullable=False,
            comment="department, item, types: codes only",
        ),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False, comment="when it happened"),
        sa.Column(
            "shown_from",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="the same, unless a published rule delays it",
        ),
        sa.Column("read_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("bucket", "id", name=op.f("pk_notices")),
        sa.UniqueConstraint(
            "bucket", "subject_id", "source", name=op.f("uq_notices_bucket_subject_id_source")
        ),
        postgresql_partition_by="RANGE (bucket)",
    )
    with op.batch_alter_table("notices", schema=None) as batch_op:
        batch_op.create_index("ix_notices_ref", ["ref"], unique=False)
        batch_op.create_index("ix_notices_subject", ["bucket", "subject_id", "shown_from"], unique=False)

    op.create_table(
        "outbox",
        sa.Column(
            "seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column(
            "facts",
            sa.JSON().with_variant(postgresql.JSONB(), "postgresql"),
            nullable=False,
            comment="ids and codes only",
        ),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_outbox")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "webhook_endpoints",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("public_id", sa.String(length=43), nullable=False),
        sa.Column("department", sa.String(length=32), nullable=False),
        sa.Column("url", sa.String(length=400), nullable=False),
        sa.Column(
            "events",
            sa.JSON().with_variant(postgresql.JSONB(), "postgresql"),
            nullable=False,
            comment="types that are wanted",
        ),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "failing_since",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="null: the newest attempt succeeded",
        ),
        sa.Column("disabled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("fault", sa.String(length=48), nullable=True, comment="why it fails, or was disabled"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_endpoints")),
        sa.UniqueConstraint("public_id", name=op.f("uq_webhook_endpoints_public_id")),
    )
    with op.batch_alter_table("webhook_endpoints", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_webhook_endpoints_department"), ["department"], unique=False)

    # A hub that is already at work tells of what happens from now on, not of everything that ever happened.
    op.execute("INSERT INTO notice_cursor (id, idx) SELECT 1, size FROM ledger_head")


def downgrade() -> None:
    with op.batch_alter_table("webhook_endpoints", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_webhook_endpoints_department"))

    op.drop_table("webhook_endpoints")
    op.drop_table("outbox")
    with op.batch_alter_table("notices", schema=None) as batch_op:
        batch_op.drop_index("ix_notices_subject")
        batch_op.drop_index("ix_notices_ref")

    op.drop_table("notices")
    op.drop_table("notice_wishes")
    op.drop_table("notice_cursor")
    with op.batch_alter_table("deliveries", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_deliveries_notice_id"))
        batch_op.drop_index("ix_deliveries_endpoint")
        batch_op.drop_index("ix_deliveries_ended")
        batch_op.drop_index(
            "ix_deliveries_due",
            postgresql_where=sa.text("state = 'waiting'"),
            sqlite_where=sa.text("state = 'waiting'"),
        )

    op.drop_table("deliveries")
    with op.batch_alter_table("contacts", schema=None) as batch_op:
        batch_op.drop_index("ix_contacts_subject")

    op.drop_table("contacts")
    with op.batch_alter_table("contact_codes", schema=None) as batch_op:
        batch_op.drop_index("ix_contact_codes_subject")
        batch_op.drop_index(batch_op.f("ix_contact_codes_created_at"))
        batch_op.drop_index(batch_op.f("ix_contact_codes_contact_id"))
        batch_op.drop_index("ix_contact_codes_blind")

    op.drop_table("contact_codes")

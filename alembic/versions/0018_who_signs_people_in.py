"""who signs people in, and what may have been forgotten about replays

Revision ID: 0018
Revises: 0016
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0018"
down_revision = "0016"


def upgrade() -> None:
    op.create_table(
        "replay_horizons",
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("kind", name=op.f("pk_replay_horizons")),
    )
    op.create_table(
        "interrupted_forms",
        sa.Column("ticket", sa.String(length=43), nullable=False),
        sa.Column("session", sa.String(length=43), nullable=False, comment="public id of the session"),
        sa.Column("path", sa.String(length=400), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("ticket", name=op.f("pk_interrupted_forms")),
    )
    with op.batch_alter_table("interrupted_forms", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_interrupted_forms_expires_at"), ["expires_at"], unique=False)

    op.create_table(
        "login_attempts",
        sa.Column("state_hash", sa.LargeBinary(), nullable=False),
        sa.Column("provider", sa.String(length=32), nullable=False),
        sa.Column("browser", sa.LargeBinary(), nullable=False, comment="hash of the browser's own token"),
        sa.Column("following", sa.String(length=400), nullable=False),
        sa.Column(
            "session_hash",
            sa.LargeBinary(),
            nullable=True,
            comment="the session that proves itself anew; null for a sign-in",
        ),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("state_hash", name=op.f("pk_login_attempts")),
    )
    with op.batch_alter_table("login_attempts", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_login_attempts_expires_at"), ["expires_at"], unique=False)

    op.create_table(
        "identity_providers",
        sa.Column("code", sa.String(length=32), nullable=False),
        sa.Column("issuer", sa.String(length=255), nullable=False),
        sa.Column(
            "department", sa.String(length=32), nullable=True, comment="whose officers; null: citizens"
        ),
        sa.Column("client_id", sa.String(length=255), nullable=False),
        sa.Column(
            "method",
            sa.String(length=24),
            nullable=False,
            comment="how the hub proves itself at the token endpoint",
        ),
        sa.Column(
            "secret_file",
            sa.String(length=512),
            nullable=True,
            comment="where the client secret is; never the secret itself",
        ),
        sa.Column("name_zh", sa.String(length=64), nullable=False),
        sa.Column("name_en", sa.String(length=64), nullable=False),
        sa.Column("scope", sa.String(length=255), nullable=False),
        sa.Column(
            "claims",
            sa.JSON().with_variant(postgresql.JSONB(), "postgresql"),
            nullable=False,
            comment="which claim says what",
        ),
        sa.Column(
            "levels",
            sa.JSON().with_variant(postgresql.JSONB(), "postgresql"),
            nullable=False,
            comment="acr -> level; empty: every sign-in has `level`",
        ),
        sa.Column(
            "level", sa.String(length=16), nullable=False, comment="the most that this provider may assure"
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("disabled_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["department"], ["departments.slug"], name=op.f("fk_identity_providers_department")
        ),
        sa.PrimaryKeyConstraint("code", name=op.f("pk_identity_providers")),
        sa.UniqueConstraint("issuer", name=op.f("uq_identity_providers_issuer")),
    )
    op.create_table(
        "identities",
        sa.Column("provider", sa.String(length=32), nullable=False),
        sa.Column("account", sa.LargeBinary(), nullable=False, comment="HMAC of `sub`"),
        sa.Column("subject_id", sa.Uuid(), nullable=True),
        sa.Column("officer_id", sa.Uuid(), nullable=True),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["officer_id"], ["officers.id"], name=op.f("fk_identities_officer_id")),
        sa.ForeignKeyConstraint(
            ["provider"], ["identity_providers.code"], name=op.f("fk_identities_provider")
        ),
        sa.PrimaryKeyConstraint("provider", "account", name=op.f("pk_identities")),
        sa.UniqueConstraint("provider", "officer_id", name=op.f("uq_identities_provider_officer_id")),
    )
    with op.batch_alter_table("identities", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_identities_subject_id"), ["subject_id"], unique=False)

    # A session says how its person got in, which no session of before can say: everybody signs in once more.
    op.execute("DELETE FROM sessions")
    with op.batch_alter_table("sessions", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column(
                "public_id", sa.String(length=43), nullable=False, comment="names it on the list of devices"
            )
        )
        batch_op.add_column(
            sa.Column(
                "provider",
                sa.String(length=32),
                nullable=True,
                comment="who signed them in; null: a one-time link",
            )
        )
        batch_op.add_column(
            sa.Column("account", sa.LargeBinary(), nullable=True, comment="HMAC of the provider's `sub`")
        )
        batch_op.add_column(
            sa.Column(
                "provider_session", sa.LargeBinary(), nullable=True, comment="HMAC of the provider's `sid`"
            )
        )
        batch_op.add_column(sa.Column("acr", sa.String(length=255), nullable=True))
        batch_op.add_column(
            sa.Column("amr", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=True)
        )
        batch_op.add_column(
            sa.Column(
                "proved_at",
                sa.DateTime(timezone=True),
                nullable=False,
                comment="when the person last proved who they are",
            )
        )
        batch_op.add_column(
            sa.Column("device", sa.String(length=48), nullable=False, comment="coarse: browser and system")
        )
        batch_op.add_column(sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False))
        batch_op.create_index("ix_sessions_account", ["provider", "account"], unique=False)
        batch_op.create_index(batch_op.f("ix_sessions_officer_id"), ["officer_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_sessions_subject_id"), ["subject_id"], unique=False)
        batch_op.create_unique_constraint(batch_op.f("uq_sessions_public_id"), ["public_id"])


def downgrade() -> None:
    with op.batch_alter_table("sessions", schema=None) as batch_op:
        batch_op.drop_constraint(batch_op.f("uq_sessions_public_id"), type_="unique")
        batch_op.drop_index(batch_op.f("ix_sessions_subject_id"))
        batch_op.drop_index(batch_op.f("ix_sessions_officer_id"))
        batch_op.drop_index("ix_sessions_account")
        batch_op.drop_column("seen_at")
        batch_op.drop_column("device")
        batch_op.drop_column("proved_at")
        batch_op.drop_column("amr")
        batch_op.drop_column("acr")
        batch_op.drop_column("provider_session")
        batch_op.drop_column("account")
        batch_op.drop_column("provider")
        batch_op.drop_column("public_id")

    with op.batch_alter_table("identities", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_identities_subject_id"))

    op.drop_table("identities")
    op.drop_table("identity_providers")
    with op.batch_alter_table("login_attempts", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_login_attempts_expires_at"))

    op.drop_table("login_attempts")
    with op.batch_alter_table("interrupted_forms", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_interrupted_forms_expires_at"))

    op.drop_table("interrupted_forms")
    op.drop_table("replay_horizons")

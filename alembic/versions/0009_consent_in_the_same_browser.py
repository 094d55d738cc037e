"""consent in the same browser

Revision ID: 0009
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "pushed_requests",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("uri_hash", sa.LargeBinary(), nullable=False, comment="SHA-256 of request_uri"),
        sa.Column("uri_expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("applicant", sa.Uuid(), nullable=False, comment="who must sign in"),
        sa.Column("redirect_uri", sa.String(length=512), nullable=False),
        sa.Column(
            "client_state", sa.String(length=512), nullable=True, comment="`state`, given back as it came"
        ),
        sa.Column("code_challenge", sa.String(length=43), nullable=False, comment="S256"),
        sa.Column("jkt", sa.String(length=43), nullable=False, comment="key that the code is bound to"),
        sa.Column(
            "opened_by", sa.LargeBinary(), nullable=True, comment="SHA-256 of the browser that opened it"
        ),
        sa.Column("code_hash", sa.LargeBinary(), nullable=True, comment="SHA-256 of the code"),
        sa.Column("code_expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("code_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "token_jti",
            sa.String(length=43),
            nullable=True,
            comment="what the code gave, to be revoked if it comes again",
        ),
        sa.Column("token_expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["request_id"], ["consent_requests.id"], name=op.f("fk_pushed_requests_request_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pushed_requests")),
        sa.UniqueConstraint("code_hash", name=op.f("uq_pushed_requests_code_hash")),
        sa.UniqueConstraint("request_id", name=op.f("uq_pushed_requests_request_id")),
        sa.UniqueConstraint("uri_hash", name=op.f("uq_pushed_requests_uri_hash")),
    )
    with op.batch_alter_table("pushed_requests", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_pushed_requests_created_at"), ["created_at"], unique=False)

    op.create_table(
        "redirect_uris",
        sa.Column("department", sa.String(length=32), nullable=False),
        sa.Column("uri", sa.String(length=512), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["department"], ["departments.slug"], name=op.f("fk_redirect_uris_department")
        ),
        sa.PrimaryKeyConstraint("department", "uri", name=op.f("pk_redirect_uris")),
    )


def downgrade() -> None:
    op.drop_table("redirect_uris")
    with op.batch_alter_table("pushed_requests", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_pushed_requests_created_at"))

    op.drop_table("pushed_requests")

"""the first schema

Revision ID: 0001
Revises: nothing
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "access_chains",
        sa.Column("bucket", sa.SmallInteger(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("commit", sa.LargeBinary(), nullable=False, comment="commitment of the newest Access"),
        sa.PrimaryKeyConstraint("bucket", "subject_id", name=op.f("pk_access_chains")),
    )
    op.create_table(
        "accesses",
        sa.Column("bucket", sa.SmallInteger(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("public_id", sa.String(length=43), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("subject_seq", sa.Integer(), nullable=False),
        sa.Column("department", sa.String(length=32), nullable=False),
        sa.Column("officer_id", sa.Uuid(), nullable=True),
        sa.Column("item_code", sa.String(length=64), nullable=False),
        sa.Column("case_id", sa.String(length=64), nullable=False),
        sa.Column("purpose", sa.String(length=48), nullable=False),
        sa.Column("basis", sa.String(length=24), nullable=False),
        sa.Column("grant_id", sa.Uuid(), nullable=True),
        sa.Column("type_code", sa.String(length=48), nullable=True),
        sa.Column("certificate", sa.String(length=43), nullable=True, comment="public id"),
        sa.Column(
            "fields",
            sa.JSON().with_variant(postgresql.JSONB(), "postgresql"),
            nullable=False,
            comment="claim paths that left, names only, never values",
        ),
        sa.Column("predicates", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.Column("outcome", sa.String(length=12), nullable=False),
        sa.Column("reason", sa.String(length=64), nullable=False, comment="code of the deciding check"),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("leaf_hash", sa.LargeBinary(), nullable=False),
        sa.Column("commit", sa.LargeBinary(), nullable=False),
        sa.Column("previous_commit", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("bucket", "id", name=op.f("pk_accesses")),
        sa.UniqueConstraint(
            "bucket", "subject_id", "subject_seq", name=op.f("uq_accesses_bucket_subject_id_subject_seq")
        ),
    )
    op.create_index("ix_accesses_at", "accesses", ["at"], unique=False)
    op.create_index("ix_accesses_department", "accesses", ["department", "at"], unique=False)
    op.create_table(
        "anonymous_refusals",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("department", sa.String(length=32), nullable=False),
        sa.Column("reason", sa.String(length=64), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("leaf_hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_anonymous_refusals")),
    )
    op.create_index(op.f("ix_anonymous_refusals_at"), "anonymous_refusals", ["at"], unique=False)
    op.create_table(
        "audit_searches",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("officer_id", sa.Uuid(), nullable=False),
        sa.Column("query", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.Column("found", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("leaf_hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_searches")),
    )
    op.create_index(op.f("ix_audit_searches_at"), "audit_searches", ["at"], unique=False)
    op.create_table(
        "cases",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("public_id", sa.String(length=43), nullable=False),
        sa.Column("item_code", sa.String(length=64), nullable=False),
        sa.Column("item_version", sa.Integer(), nullable=False),
        sa.Column("department", sa.String(length=32), nullable=False),
        sa.Column(
            "applicant", sa.Uuid(), nullable=False, comment="who applies: the parent whose points count"
        ),
        sa.Column("beneficiary", sa.Uuid(), nullable=True, comment="for whom: the child"),
        sa.Column("opened_by", sa.String(length=96), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_cases")),
        sa.UniqueConstraint("public_id", name=op.f("uq_cases_public_id")),
    )
    op.create_index("ix_cases_applicant", "cases", ["applicant"], unique=False)
    op.create_index("ix_cases_department", "cases", ["department", "opened_at"], unique=False)
    op.create_table(
        "certificate_holders",
        sa.Column("bucket", sa.SmallInteger(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("certificate_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.SmallInteger(), nullable=False, comment="index in holders[]"),
        sa.Column("certificate_bucket", sa.SmallInteger(), nullable=False),
        sa.Column("type_code", sa.String(length=48), nullable=False),
        sa.Column("role", sa.String(length=24), nullable=False),
        sa.Column(
            "wrapped_key",
            sa.LargeBinary(),
            nullable=True,
            comment="the body key, sealed for this holder; null once erased",
        ),
        sa.PrimaryKeyConstraint(
            "bucket", "subject_id", "certificate_id", "position", name=op.f("pk_certificate_holders")
        ),
    )
    op.create_index(
        "ix_certificate_holders_certificate",
        "certificate_holders",
        ["certificate_bucket", "certificate_id"],
        unique=False,
    )
    op.create_table(
        "certificate_jtis",
        sa.Column("department", sa.String(length=32), nullable=False),
        sa.Column("jti", sa.String(length=64), nullable=False),
        sa.Column("bucket", sa.SmallInteger(), nullable=False),
        sa.Column("certificate_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("department", "jti", name=op.f("pk_certificate_jtis")),
    )
    op.create_table(
        "certificate_sources",
        sa.Column("department", sa.String(length=32), nullable=False),
        sa.Column("dataset", sa.String(length=64), nullable=False),
        sa.Column("ref", sa.String(length=64), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("claims_hash", sa.LargeBinary(), nullable=False),
        sa.Column("bucket", sa.SmallInteger(), nullable=False),
        sa.Column("certificate_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint(
            "department", "dataset", "ref", "generation", name=op.f("pk_certificate_sources")
        ),
    )
    op.create_table(
        "certificate_types",
        sa.Column("code", sa.String(length=48), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("vct", sa.String(length=255), nullable=False),
        sa.Column("document", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("loaded_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("code", "version", name=op.f("pk_certificate_types")),
        sa.UniqueConstraint("vct", name=op.f("uq_certificate_types_vct")),
    )
    op.create_table(
        "certificates",
        sa.Column("bucket", sa.SmallInteger(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("public_id", sa.String(length=43), nullable=False),
        sa.Column("department", sa.String(length=32), nullable=False),
        sa.Column("type_code", sa.String(length=48), nullable=False),
        sa.Column("type_version", sa.Integer(), nullable=False),
        sa.Column("jti", sa.String(length=64), nullable=False),
        sa.Column("kid", sa.String(length=64), nullable=False),
        sa.Column("signing_input_hash", sa.LargeBinary(), nullable=False),
        sa.Column("iat", sa.DateTime(timezone=True), nullable=False),
        sa.Column("valid_from", sa.DateTime(timezone=True), nullable=True),
        sa.Column("valid_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("as_of", sa.Date(), nullable=True),
        sa.Column("status_uri", sa.String(length=255), nullable=True),
        sa.Column("status_idx", sa.Integer(), nullable=True),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("state_since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state_reason", sa.String(length=48), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("supersedes", sa.Uuid(), nullable=True),
        sa.Column("superseded_by", sa.Uuid(), nullable=True),
        sa.Column("sealed_body", sa.LargeBinary(), nullable=False),
        sa.Column("face_key", sa.String(length=128), nullable=True, comment="blob of the PDF face"),
        sa.Column("face_sha256", sa.LargeBinary(), nullable=True),
        sa.Column("registered_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("leaf_hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("bucket", "id", name=op.f("pk_certificates")),
    )
    op.create_table(
        "consent_requests",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("public_id", sa.String(length=43), nullable=False, comment="shown to the citizen"),
        sa.Column("secret_hash", sa.LargeBinary(), nullable=False, comment="SHA-256 of auth_req_id"),
        sa.Column("department", sa.String(length=32), nullable=False),
        sa.Column("approver", sa.Uuid(), nullable=True, comment="null: nobody we know; answered alike"),
        sa.Column("item_code", sa.String(length=64), nullable=False),
        sa.Column("case_id", sa.String(length=64), nullable=False),
        sa.Column(
            "details",
            sa.JSON().with_variant(postgresql.JSONB(), "postgresql"),
            nullable=False,
            comment="authorization_details as asked, capped by the item",
        ),
        sa.Column(
            "holders",
            sa.JSON().with_variant(postgresql.JSONB(), "postgresql"),
            nullable=False,
            comment="subject id of each detail's holder, in order",
        ),
        sa.Column("binding_message", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("interval", sa.SmallInteger(), nullable=False),
        sa.Column("polled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_consent_requests")),
        sa.UniqueConstraint("public_id", name=op.f("uq_consent_requests_public_id")),
        sa.UniqueConstraint("secret_hash", name=op.f("uq_consent_requests_secret_hash")),
    )
    op.create_index(op.f("ix_consent_requests_approver"), "consent_requests", ["approver"], unique=False)
    op.create_table(
        "departments",
        sa.Column("slug", sa.String(length=32), nullable=False),
        sa.Column("uscc", sa.String(length=18), nullable=False, comment="GB 32100"),
        sa.Column("name_zh", sa.String(length=128), nullable=False),
        sa.Column("name_en", sa.String(length=128), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("continued_by", sa.String(length=32), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["continued_by"], ["departments.slug"], name=op.f("fk_departments_continued_by")
        ),
        sa.PrimaryKeyConstraint("slug", name=op.f("pk_departments")),
        sa.UniqueConstraint("uscc", name=op.f("uq_departments_uscc")),
    )
    op.create_table(
        "grants",
        sa.Column("bucket", sa.SmallInteger(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("public_id", sa.String(length=43), nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=True),
        sa.Column("position", sa.SmallInteger(), nullable=False, comment="which detail of the request"),
        sa.Column("holder", sa.Uuid(), nullable=False),
        sa.Column("approver", sa.Uuid(), nullable=False),
        sa.Column("basis", sa.String(length=24), nullable=False),
        sa.Column(
            "basis_evidence",
            sa.String(length=43),
            nullable=True,
            comment="certificate that proves the representation",
        ),
        sa.Column("assurance", sa.String(length=16), nullable=False, comment="login or passkey"),
        sa.Column("department", sa.String(length=32), nullable=False),
        sa.Column("item_code", sa.String(length=64), nullable=False),
        sa.Column("case_id", sa.String(length=64), nullable=False),
        sa.Column("purpose", sa.String(length=48), nullable=False),
        sa.Column(
            "detail",
            sa.JSON().with_variant(postgresql.JSONB(), "postgresql"),
            nullable=False,
            comment="authorization_details element as granted",
        ),
        sa.Column("valid_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("max_uses", sa.Integer(), nullable=False),
        sa.Column("uses", sa.Integer(), server_default="0", nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False, comment="grant_seq: events of this grant in order"),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("withdrawn_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("uses <= max_uses", name=op.f("ck_grants_uses_within_limit")),
        sa.PrimaryKeyConstraint("bucket", "id", name=op.f("pk_grants")),
    )
    op.create_index("ix_grants_holder", "grants", ["bucket", "holder"], unique=False)
    op.create_index(op.f("ix_grants_request_id"), "grants", ["request_id"], unique=False)
    op.create_table(
        "guardianships",
        sa.Column("child", sa.Uuid(), nullable=False),
        sa.Column("guardian", sa.Uuid(), nullable=False),
        sa.Column("frozen_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("child", "guardian", name=op.f("pk_guardianships")),
    )
    op.create_table(
        "idempotent_replies",
        sa.Column("caller", sa.String(length=80), nullable=False),
        sa.Column("key", sa.String(length=128), nullable=False),
        sa.Column("request_hash", sa.LargeBinary(), nullable=False),
        sa.Column("status", sa.SmallInteger(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("grant_row", sa.Uuid(), nullable=True, comment="a reply made under a grant dies with it"),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("caller", "key", name=op.f("pk_idempotent_replies")),
    )
    op.create_index(
        op.f("ix_idempotent_replies_expires_at"), "idempotent_replies", ["expires_at"], unique=False
    )
    op.create_table(
        "ledger_bodies",
        sa.Column("bucket", sa.SmallInteger(), nullable=False),
        sa.Column("leaf_hash", sa.LargeBinary(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=True, comment="null: sealed under the hub's own key"),
        sa.Column(
            "sealed", sa.LargeBinary(), nullable=True, comment="salt || JCS body, sealed; null once erased"
        ),
        sa.Column("erased_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("bucket", "leaf_hash", name=op.f("pk_ledger_bodies")),
    )
    op.create_index("ix_ledger_bodies_subject", "ledger_bodies", ["bucket", "subject_id"], unique=False)
    op.create_table(
        "ledger_head",
        sa.Column("id", sa.SmallInteger(), nullable=False),
        sa.Column("origin", sa.String(length=255), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("root", sa.LargeBinary(), nullable=False),
        sa.Column("frontier", sa.LargeBinary(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False, comment="fencing: who may write the next head"),
        sa.Column("checkpoint", sa.Text(), nullable=False),
        sa.Column("signed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("published_size", sa.BigInteger(), nullable=False, comment="tiles and checkpoint are out"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger_head")),
    )
    op.create_table(
        "ledger_leaves",
        sa.Column(
            "seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column(
            "data", sa.LargeBinary(), nullable=False, comment="the bytes that are hashed, at most 65,535"
        ),
        sa.Column("leaf_hash", sa.LargeBinary(), nullable=False),
        sa.Column("idx", sa.BigInteger(), nullable=True, comment="null while pending"),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_ledger_leaves")),
        sa.UniqueConstraint("idx", name=op.f("uq_ledger_leaves_idx")),
        sa.UniqueConstraint("leaf_hash", name=op.f("uq_ledger_leaves_leaf_hash")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_ledger_leaves_pending",
        "ledger_leaves",
        ["seq"],
        unique=False,
        postgresql_where=sa.text("idx IS NULL"),
        sqlite_where=sa.text("idx IS NULL"),
    )
    op.create_table(
        "person_keys",
        sa.Column("bucket", sa.SmallInteger(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=True, comment="null once the person was erased"),
        sa.Column("kek", sa.String(length=32), nullable=False, comment="which key-encryption key wraps it"),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("erased_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("bucket", "subject_id", name=op.f("pk_person_keys")),
    )
    op.create_table(
        "public_ids",
        sa.Column("token", sa.String(length=43), nullable=False, comment="random, shown outside"),
        sa.Column("kind", sa.String(length=24), nullable=False),
        sa.Column("bucket", sa.SmallInteger(), nullable=False),
        sa.Column("row_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("token", name=op.f("pk_public_ids")),
    )
    op.create_index("ix_public_ids_row", "public_ids", ["bucket", "row_id"], unique=False)
    op.create_table(
        "replays",
        sa.Column("kind", sa.String(length=16), nullable=False, comment="dpop, assertion, ..."),
        sa.Column("key", sa.LargeBinary(), nullable=False, comment="SHA-256 of what may be used once"),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("kind", "key", name=op.f("pk_replays")),
    )
    op.create_index(op.f("ix_replays_expires_at"), "replays", ["expires_at"], unique=False)
    op.create_table(
        "service_items",
        sa.Column("code", sa.String(length=64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("department", sa.String(length=32), nullable=False),
        sa.Column("document", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("current", sa.Boolean(), nullable=False),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("leaf_hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("code", "version", name=op.f("pk_service_items")),
    )
    op.create_table(
        "sessions",
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False, comment="citizen or officer"),
        sa.Column("subject_id", sa.Uuid(), nullable=True),
        sa.Column("officer_id", sa.Uuid(), nullable=True),
        sa.Column("assurance", sa.String(length=16), nullable=False),
        sa.Column("csrf", sa.String(length=43), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("pk_sessions")),
    )
    op.create_table(
        "status_indices",
        sa.Column("uri", sa.String(length=255), nullable=False),
        sa.Column("idx", sa.Integer(), nullable=False),
        sa.Column("reserved_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("uri", "idx", name=op.f("pk_status_indices")),
    )
    op.create_table(
        "status_list_tokens",
        sa.Column("uri", sa.String(length=255), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("token", sa.Text(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("iat", sa.DateTime(timezone=True), nullable=False),
        sa.Column("exp", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kid", sa.String(length=64), nullable=False),
        sa.Column("leaf_hash", sa.LargeBinary(), nullable=False),
        sa.Column("stored_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("uri", "seq", name=op.f("pk_status_list_tokens")),
    )
    op.create_table(
        "status_lists",
        sa.Column("uri", sa.String(length=255), nullable=False),
        sa.Column("department", sa.String(length=32), nullable=False),
        sa.Column("bits", sa.SmallInteger(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("open", sa.Boolean(), nullable=False, comment="still gives new indices"),
        sa.Column("taken", sa.Integer(), server_default="0", nullable=False),
        sa.Column("seq", sa.Integer(), server_default="0", nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=True),
        sa.Column("iat", sa.DateTime(timezone=True), nullable=True),
        sa.Column("exp", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("uri", name=op.f("pk_status_lists")),
    )
    op.create_index(op.f("ix_status_lists_department"), "status_lists", ["department"], unique=False)
    op.create_table(
        "subject_identifiers",
        sa.Column("blind", sa.LargeBinary(), nullable=False, comment="HMAC of type and normal form"),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("pepper", sa.SmallInteger(), nullable=False),
        sa.Column("id_type", sa.String(length=16), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("blind", "subject_id", name=op.f("pk_subject_identifiers")),
    )
    op.create_index("ix_subject_identifiers_subject", "subject_identifiers", ["subject_id"], unique=False)
    op.create_table(
        "subjects",
        sa.Column("bucket", sa.SmallInteger(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column(
            "sealed_face",
            sa.LargeBinary(),
            nullable=True,
            comment="name and identifiers as last signed, sealed for the person",
        ),
        sa.Column("merged_into", sa.Uuid(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("erased_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("bucket", "id", name=op.f("pk_subjects")),
    )
    op.create_table(
        "work_orders",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("public_id", sa.String(length=43), nullable=False),
        sa.Column("department", sa.String(length=32), nullable=False),
        sa.Column("type_code", sa.String(length=48), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("blob_key", sa.String(length=128), nullable=False),
        sa.Column("blob_sha256", sa.LargeBinary(), nullable=False, comment="of the sealed bytes"),
        sa.Column("made_by", sa.Uuid(), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("confirmed_by", sa.Uuid(), nullable=True, comment="another officer than the maker"),
        sa.Column("confirmed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("fetched_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("signed", sa.Integer(), nullable=True, comment="how many rows became certificates"),
        sa.Column(
            "quarantined",
            sa.Integer(),
            nullable=True,
            comment="how many could not, with reasons at the agent",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_work_orders")),
        sa.UniqueConstraint("public_id", name=op.f("uq_work_orders_public_id")),
    )
    op.create_index(op.f("ix_work_orders_department"), "work_orders", ["department"], unique=False)
    op.create_table(
        "case_scores",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("case_id", sa.Uuid(), nullable=False),
        sa.Column("scheme", sa.String(length=64), nullable=False),
        sa.Column("scheme_version", sa.Integer(), nullable=False),
        sa.Column("total", sa.Numeric(precision=8, scale=2), nullable=False),
        sa.Column(
            "sealed",
            sa.LargeBinary(),
            nullable=False,
            comment="the explained lines, sealed for the applicant",
        ),
        sa.Column("leaf_hash", sa.LargeBinary(), nullable=False),
        sa.Column("scored_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["case_id"], ["cases.id"], name=op.f("fk_case_scores_case_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_case_scores")),
    )
    op.create_index(op.f("ix_case_scores_case_id"), "case_scores", ["case_id"], unique=False)
    op.create_table(
        "department_keys",
        sa.Column("kid", sa.String(length=64), nullable=False, comment="RFC 7638 thumbprint"),
        sa.Column("department", sa.String(length=32), nullable=False),
        sa.Column("purpose", sa.String(length=16), nullable=False),
        sa.Column("alg", sa.String(length=16), nullable=False),
        sa.Column("jwk", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.Column("not_before", sa.DateTime(timezone=True), nullable=False),
        sa.Column("not_after", sa.DateTime(timezone=True), nullable=True),
        sa.Column("registered_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("retired_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "distrusted_from",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="compromised: what came later does not count",
        ),
        sa.Column("leaf_hash", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["department"], ["departments.slug"], name=op.f("fk_department_keys_department")
        ),
        sa.PrimaryKeyConstraint("kid", name=op.f("pk_department_keys")),
    )
    op.create_index(op.f("ix_department_keys_department"), "department_keys", ["department"], unique=False)
    op.create_table(
        "enrolment_codes",
        sa.Column("code_hash", sa.LargeBinary(), nullable=False),
        sa.Column("department", sa.String(length=32), nullable=False),
        sa.Column("made_by", sa.String(length=96), nullable=False),
        sa.Column("approved_by", sa.String(length=96), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["department"], ["departments.slug"], name=op.f("fk_enrolment_codes_department")
        ),
        sa.PrimaryKeyConstraint("code_hash", name=op.f("pk_enrolment_codes")),
    )
    op.create_table(
        "officers",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("department", sa.String(length=32), nullable=False),
        sa.Column("login", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("disabled_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["department"], ["departments.slug"], name=op.f("fk_officers_department")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_officers")),
        sa.UniqueConstraint("department", "login", name=op.f("uq_officers_department_login")),
    )
    op.create_table(
        "type_issuers",
        sa.Column("code", sa.String(length=48), nullable=False),
        sa.Column("department", sa.String(length=32), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["department"], ["departments.slug"], name=op.f("fk_type_issuers_department")
        ),
        sa.PrimaryKeyConstraint("code", "department", name=op.f("pk_type_issuers")),
    )
    op.create_table(
        "officer_roles",
        sa.Column("officer_id", sa.Uuid(), nullable=False),
        sa.Column("role", sa.String(length=24), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["officer_id"], ["officers.id"], name=op.f("fk_officer_roles_officer_id")),
        sa.PrimaryKeyConstraint("officer_id", "role", name=op.f("pk_officer_roles")),
    )
    op.create_table(
        "one_time_links",
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("officer_id", sa.Uuid(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["officer_id"], ["officers.id"], name=op.f("fk_one_time_links_officer_id")),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("pk_one_time_links")),
    )


def downgrade() -> None:
    op.drop_table("one_time_links")
    op.drop_table("officer_roles")
    op.drop_table("type_issuers")
    op.drop_table("officers")
    op.drop_table("enrolment_codes")
    op.drop_index(op.f("ix_department_keys_department"), table_name="department_keys")
    op.drop_table("department_keys")
    op.drop_index(op.f("ix_case_scores_case_id"), table_name="case_scores")
    op.drop_table("case_scores")
    op.drop_index(op.f("ix_work_orders_department"), table_name="work_orders")
    op.drop_table("work_orders")
    op.drop_table("subjects")
    op.drop_index("ix_subject_identifiers_subject", table_name="subject_identifiers")
    op.drop_table("subject_identifiers")
    op.drop_index(op.f("ix_status_lists_department"), table_name="status_lists")
    op.drop_table("status_lists")
    op.drop_table("status_list_tokens")
    op.drop_table("status_indices")
    op.drop_table("sessions")
    op.drop_table("service_items")
    op.drop_index(op.f("ix_replays_expires_at"), table_name="replays")
    op.drop_table("replays")
    op.drop_index("ix_public_ids_row", table_name="public_ids")
    op.drop_table("public_ids")
    op.drop_table("person_keys")
    op.drop_index(
        "ix_ledger_leaves_pending",
        table_name="ledger_leaves",
        postgresql_where=sa.text("idx IS NULL"),
        sqlite_where=sa.text("idx IS NULL"),
    )
    op.drop_table("ledger_leaves")
    op.drop_table("ledger_head")
    op.drop_index("ix_ledger_bodies_subject", table_name="ledger_bodies")
    op.drop_table("ledger_bodies")
    op.drop_index(op.f("ix_idempotent_replies_expires_at"), table_name="idempotent_replies")
    op.drop_table("idempotent_replies")
    op.drop_table("guardianships")
    op.drop_index(op.f("ix_grants_request_id"), table_name="grants")
    op.drop_index("ix_grants_holder", table_name="grants")
    op.drop_table("grants")
    op.drop_table("departments")
    op.drop_index(op.f("ix_consent_requests_approver"), table_name="consent_requests")
    op.drop_table("consent_requests")
    op.drop_table("certificates")
    op.drop_table("certificate_types")
    op.drop_table("certificate_sources")
    op.drop_table("certificate_jtis")
    op.drop_index("ix_certificate_holders_certificate", table_name="certificate_holders")
    op.drop_table("certificate_holders")
    op.drop_index("ix_cases_department", table_name="cases")
    op.drop_index("ix_cases_applicant", table_name="cases")
    op.drop_table("cases")
    op.drop_index(op.f("ix_audit_searches_at"), table_name="audit_searches")
    op.drop_table("audit_searches")
    op.drop_index(op.f("ix_anonymous_refusals_at"), table_name="anonymous_refusals")
    op.drop_table("anonymous_refusals")
    op.drop_index("ix_accesses_department", table_name="accesses")
    op.drop_index("ix_accesses_at", table_name="accesses")
    op.drop_table("accesses")
    op.drop_table("access_chains")

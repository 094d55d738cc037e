"""Certificate tables and the states of a certificate."""

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from uuid import UUID

import sqlalchemy as sa

from hub.store.base import BY_BUCKET, Instant, key_columns, metadata


class CertificateState(StrEnum):
    """What the hub knows of a certificate; the department's signed status list may only be stricter with it."""

    CURRENT = "current"
    SUSPENDED = "suspended"
    SUPERSEDED = "superseded"
    REVOKED = "revoked"


class StatusEvent(StrEnum):
    """What a department can do to a certificate that it signed; SUPERSEDE comes with the one that takes its place."""

    REVOKE = "revoke"
    SUSPEND = "suspend"
    REINSTATE = "reinstate"
    SUPERSEDE = "supersede"


FOLLOWS: dict[tuple[CertificateState, StatusEvent], CertificateState] = {
    (CertificateState.CURRENT, StatusEvent.REVOKE): CertificateState.REVOKED,
    (CertificateState.SUSPENDED, StatusEvent.REVOKE): CertificateState.REVOKED,
    (CertificateState.CURRENT, StatusEvent.SUSPEND): CertificateState.SUSPENDED,
    (CertificateState.SUSPENDED, StatusEvent.REINSTATE): CertificateState.CURRENT,
    (CertificateState.CURRENT, StatusEvent.SUPERSEDE): CertificateState.SUPERSEDED,
    (CertificateState.SUSPENDED, StatusEvent.SUPERSEDE): CertificateState.SUPERSEDED,
}
"""The only allowed steps; revoked and superseded are final."""


@dataclass(frozen=True, slots=True)
class CertificateRef:
    """Where a certificate's row is; never shown outside."""

    bucket: int
    id: UUID


@dataclass(frozen=True, slots=True)
class Certificate:
    """One registered certificate without its sealed body."""

    ref: CertificateRef
    public_id: str
    department: str
    type_code: str
    jti: str
    kid: str
    signing_input_hash: bytes
    iat: datetime
    valid_from: datetime | None
    valid_until: datetime | None
    as_of: date | None
    status_uri: str | None
    status_idx: int | None
    state: CertificateState
    version: int
    registered_at: datetime
    state_since: datetime
    leaf_hash: bytes


certificates = sa.Table(
    "certificates",
    metadata,
    *key_columns(),
    sa.Column("public_id", sa.String(43), nullable=False),
    sa.Column("department", sa.String(32), nullable=False),
    sa.Column("type_code", sa.String(48), nullable=False),
    sa.Column("type_version", sa.Integer, nullable=False),
    sa.Column("jti", sa.String(64), nullable=False),
    sa.Column("kid", sa.String(64), nullable=False),
    sa.Column("signing_input_hash", sa.LargeBinary, nullable=False),
    sa.Column("iat", Instant, nullable=False),
    sa.Column("valid_from", Instant),
    sa.Column("valid_until", Instant),
    sa.Column("as_of", sa.Date),
    sa.Column("status_uri", sa.String(255)),
    sa.Column("status_idx", sa.Integer),
    sa.Column("state", sa.String(12), nullable=False),
    sa.Column("state_since", Instant, nullable=False),
    sa.Column("state_reason", sa.String(48)),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("supersedes", sa.Uuid),
    sa.Column("superseded_by", sa.Uuid),
    sa.Column("sealed_body", sa.LargeBinary, nullable=False),
    sa.Column("face_key", sa.String(128), comment="blob of the PDF face"),
    sa.Column("face_sha256", sa.LargeBinary),
    sa.Column("registered_at", Instant, nullable=False),
    sa.Column("leaf_hash", sa.LargeBinary, nullable=False),
    # What its leaf commits to is what this row says; who reads the ledger back finds rows by the time of their leaves.
    sa.Index("ix_certificates_registered_at", "registered_at"),
    postgresql_partition_by=BY_BUCKET,
)

certificate_holders = sa.Table(
    "certificate_holders",
    metadata,
    # bucket of the holder, so that one person's wallet is one partition
    sa.Column("bucket", sa.SmallInteger, primary_key=True),
    sa.Column("subject_id", sa.Uuid, primary_key=True),
    sa.Column("certificate_id", sa.Uuid, primary_key=True),
    sa.Column("position", sa.SmallInteger, primary_key=True, comment="index in holders[]"),
    sa.Column("certificate_bucket", sa.SmallInteger, nullable=False),
    sa.Column("type_code", sa.String(48), nullable=False),
    sa.Column("role", sa.String(24), nullable=False),
    sa.Column(
        "wrapped_key", sa.LargeBinary, comment="the body key, sealed for this holder; null once erased"
    ),
    sa.Index("ix_certificate_holders_certificate", "certificate_bucket", "certificate_id"),
    postgresql_partition_by=BY_BUCKET,
)

certificate_jtis = sa.Table(
    "certificate_jtis",
    metadata,
    sa.Column("department", sa.String(32), primary_key=True),
    sa.Column("jti", sa.String(64), primary_key=True),
    sa.Column("bucket", sa.SmallInteger, nullable=False),
    sa.Column("certificate_id", sa.Uuid, nullable=False),
)

certificate_sources = sa.Table(
    "certificate_sources",
    metadata,
    sa.Column("department", sa.String(32), primary_key=True),
    sa.Column("dataset", sa.String(64), primary_key=True),
    sa.Column("ref", sa.String(64), primary_key=True),
    sa.Column("generation", sa.Integer, primary_key=True),
    sa.Column("claims_hash", sa.LargeBinary, nullable=False),
    sa.Column("bucket", sa.SmallInteger, nullable=False),
    sa.Column("certificate_id", sa.Uuid, nullable=False),
)

status_lists = sa.Table(
    "status_lists",
    metadata,
    sa.Column("uri", sa.String(255), primary_key=True),
    sa.Column("department", sa.String(32), nullable=False, index=True),
    sa.Column("bits", sa.SmallInteger, nullable=False),
    sa.Column("size", sa.Integer, nullable=False),
    sa.Column("open", sa.Boolean, nullable=False, comment="still gives new indices"),
    sa.Column("taken", sa.Integer, nullable=False, server_default="0"),
    sa.Column("seq", sa.Integer, nullable=False, server_default="0"),
    sa.Column("sha256", sa.LargeBinary),
    sa.Column("iat", Instant),
    sa.Column("exp", Instant),
    sa.Column("created_at", Instant, nullable=False),
)

status_list_tokens = sa.Table(
    "status_list_tokens",
    metadata,
    sa.Column("uri", sa.String(255), primary_key=True),
    sa.Column("seq", sa.Integer, primary_key=True),
    sa.Column("token", sa.Text, nullable=False),
    sa.Column("sha256", sa.LargeBinary, nullable=False),
    sa.Column("iat", Instant, nullable=False),
    sa.Column("exp", Instant, nullable=False),
    sa.Column("kid", sa.String(64), nullable=False),
    sa.Column("leaf_hash", sa.LargeBinary, nullable=False),
    sa.Column("stored_at", Instant, nullable=False),
)

status_indices = sa.Table(
    "status_indices",
    metadata,
    sa.Column("uri", sa.String(255), primary_key=True),
    sa.Column("idx", sa.Integer, primary_key=True),
    sa.Column("reserved_at", Instant, nullable=False),
    sa.Column("used_at", Instant),
)


work_orders = sa.Table(
    "work_orders",
    metadata,
    # What an officer hands in for signing. The hub cannot sign: the department's agent fetches, checks and signs.
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("public_id", sa.String(43), nullable=False, unique=True),
    sa.Column("department", sa.String(32), nullable=False, index=True),
    sa.Column("type_code", sa.String(48), nullable=False),
    sa.Column("state", sa.String(12), nullable=False),
    sa.Column("rows", sa.Integer, nullable=False),
    sa.Column("blob_key", sa.String(128), nullable=False),
    sa.Column("blob_sha256", sa.LargeBinary, nullable=False, comment="of the sealed bytes"),
    sa.Column("made_by", sa.Uuid, nullable=False),
    sa.Column("made_at", Instant, nullable=False),
    sa.Column("confirmed_by", sa.Uuid, comment="another officer than the maker"),
    sa.Column("confirmed_at", Instant),
    sa.Column("fetched_at", Instant),
    sa.Column("ended_at", Instant),
    sa.Column("signed", sa.Integer, comment="how many rows became certificates"),
    sa.Column("quarantined", sa.Integer, comment="how many could not, with reasons at the agent"),
)

"""Grants and the requests they come from. A Grant names verifier, item, case, fields, uses and end."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from hub.errors import Unprocessable
from hub.store.base import BY_BUCKET, Instant, Json, key_columns, metadata


class Basis(StrEnum):
    """Why a look is lawful (DESIGN section 3, rule 9). A use code is a channel, not a basis."""

    HOLDER = "holder"
    DELEGATE = "delegate"
    GUARDIAN = "guardian"
    LEGAL_REPRESENTATIVE = "legal_representative"
    OFFICE_POWER = "office_power"


class GrantState(StrEnum):
    """Standing may be used; a frozen one may stand again, a withdrawn one never. Spent and expired are also
    conditions of each use."""

    STANDING = "standing"
    FROZEN = "frozen"
    WITHDRAWN = "withdrawn"


class EntrustmentState(StrEnum):
    """Offered to whoever has the code; standing for one person; ended for good."""

    OFFERED = "offered"
    STANDING = "standing"
    ENDED = "ended"


class RequestState(StrEnum):
    """Where a consent request stands; an expired one is seen by its time, not by its state."""

    PENDING = "pending"
    APPROVED = "approved"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Grant:
    """One recorded permission: this verifier, for this item and case, may see these fields of this holder."""

    bucket: int
    id: UUID
    public_id: str
    holder: UUID
    approver: UUID
    basis: Basis
    department: str
    item_code: str
    case_id: str
    purpose: str
    detail: dict[str, Any]
    valid_until: datetime
    max_uses: int
    uses: int
    state: GrantState
    seq: int
    created_at: datetime
    withdrawn_at: datetime | None
    assurance: str = "login"
    visible_at: datetime | None = None
    leaf_hash: bytes | None = None


@dataclass(frozen=True, slots=True)
class CaseFacts:
    """What consent must know of an application: whose it is, for whom, and which department handles it."""

    public_id: str
    item_code: str
    department: str
    applicant: UUID
    beneficiary: UUID | None
    open: bool

    def holder_for(self, basis: Basis) -> UUID:
        """Whose certificates a basis speaks of: the applicant's own, or those of the child applied for."""
        if basis is not Basis.GUARDIAN:
            return self.applicant  # whoever acts for them decides, over the same certificates
        if basis is Basis.GUARDIAN and self.beneficiary is not None:
            return self.beneficiary
        raise Unprocessable(
            "consent.basis_without_holder",
            "该办件中没有可由监护人代为授权的孩子。",
            "This case names no child for whom a guardian could consent.",
            next_zh="请在办件中登记孩子，或改用本人授权。",
            next_en="Name the child in the case, or ask for the holder's own consent.",
        )


consent_requests = sa.Table(
    "consent_requests",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("public_id", sa.String(43), nullable=False, unique=True, comment="shown to the citizen"),
    sa.Column("secret_hash", sa.LargeBinary, nullable=False, unique=True, comment="SHA-256 of auth_req_id"),
    sa.Column("department", sa.String(32), nullable=False),
    sa.Column("approver", sa.Uuid, comment="null: nobody we know; answered alike", index=True),
    sa.Column("item_code", sa.String(64), nullable=False),
    sa.Column("case_id", sa.String(64), nullable=False),
    sa.Column("details", Json, nullable=False, comment="authorization_details as asked, capped by the item"),
    sa.Column("holders", Json, nullable=False, comment="subject id of each detail's holder, in order"),
    sa.Column("binding_message", sa.String(64), nullable=False),
    sa.Column("state", sa.String(12), nullable=False),
    sa.Column("interval", sa.SmallInteger, nullable=False),
    sa.Column("polled_at", Instant),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("expires_at", Instant, nullable=False),
    sa.Column("decided_at", Instant),
)

pushed_requests = sa.Table(
    "pushed_requests",
    metadata,
    # One authorization request of a browser (RFC 9126): which consent request it leads to, and where it goes back.
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("request_id", sa.Uuid, sa.ForeignKey("consent_requests.id"), nullable=False, unique=True),
    sa.Column("uri_hash", sa.LargeBinary, nullable=False, unique=True, comment="SHA-256 of request_uri"),
    sa.Column("uri_expires_at", Instant, nullable=False),
    sa.Column("applicant", sa.Uuid, nullable=False, comment="who must sign in"),
    sa.Column("redirect_uri", sa.String(512), nullable=False),
    sa.Column("client_state", sa.String(512), comment="`state`, given back as it came"),
    sa.Column("code_challenge", sa.String(43), nullable=False, comment="S256"),
    sa.Column("jkt", sa.String(43), nullable=False, comment="key that the code is bound to"),
    sa.Column("opened_by", sa.LargeBinary, comment="SHA-256 of the browser that opened it"),
    sa.Column("code_hash", sa.LargeBinary, unique=True, comment="SHA-256 of the code"),
    sa.Column("code_expires_at", Instant),
    sa.Column("code_used_at", Instant),
    sa.Column("token_jti", sa.String(43), comment="what the code gave, to be revoked if it comes again"),
    sa.Column("token_expires_at", Instant),
    sa.Column("created_at", Instant, nullable=False, index=True),
)

grants = sa.Table(
    "grants",
    metadata,
    *key_columns(),
    sa.Column("public_id", sa.String(43), nullable=False),
    sa.Column("request_id", sa.Uuid, index=True),
    sa.Column("position", sa.SmallInteger, nullable=False, comment="which detail of the request"),
    sa.Column("holder", sa.Uuid, nullable=False),
    sa.Column("approver", sa.Uuid, nullable=False),
    sa.Column("basis", sa.String(24), nullable=False),
    sa.Column("basis_evidence", sa.String(43), comment="certificate or entrustment that proves the representation"),
    sa.Column("evidence_bucket", sa.SmallInteger, comment="the row of that certificate: a use needs it current"),
    sa.Column("evidence_id", sa.Uuid),
    sa.Column("assurance", sa.String(16), nullable=False, comment="passkey, login, use_code, paper or office"),
    sa.Column("department", sa.String(32), nullable=False),
    sa.Column("item_code", sa.String(64), nullable=False),
    sa.Column("case_id", sa.String(64), nullable=False),
    sa.Column("purpose", sa.String(48), nullable=False),
    sa.Column("detail", Json, nullable=False, comment="authorization_details element as granted"),
    sa.Column("valid_until", Instant, nullable=False),
    sa.Column("max_uses", sa.Integer, nullable=False),
    sa.Column("uses", sa.Integer, nullable=False, server_default="0"),
    sa.Column("state", sa.String(12), nullable=False),
    sa.Column("seq", sa.Integer, nullable=False, comment="grant_seq: events of this grant in order"),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("withdrawn_at", Instant),
    sa.Column("visible_at", Instant, comment="null: at once; else a published rule delays it for the citizen"),
    sa.Column("leaf_hash", sa.LargeBinary, comment="of the leaf that says it was given: the evidence of a pull"),
    sa.CheckConstraint("uses <= max_uses", name="uses_within_limit"),
    sa.Index("ix_grants_holder", "bucket", "holder"),
    sa.Index(
        "ix_grants_evidence",
        "basis_evidence",
        postgresql_where=sa.text("basis_evidence IS NOT NULL"),
        sqlite_where=sa.text("basis_evidence IS NOT NULL"),
    ),
    postgresql_partition_by=BY_BUCKET,
)

guardianships = sa.Table(
    "guardianships",
    metadata,
    # A dispute freezes a guardian; the proof itself is read from certificates each time, never stored here.
    sa.Column("child", sa.Uuid, primary_key=True),
    sa.Column("guardian", sa.Uuid, primary_key=True),
    sa.Column("frozen_at", Instant),
)

entrustments = sa.Table(
    "entrustments",
    metadata,
    # A principal entrusts somebody: offered with a code, standing once the other took it, ended by either.
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("public_id", sa.String(43), nullable=False, unique=True),
    sa.Column("principal", sa.Uuid, nullable=False, index=True, comment="whose certificates: a person or a company"),
    sa.Column("made_by", sa.Uuid, nullable=False, index=True, comment="the principal, or a company's representative"),
    sa.Column("delegate", sa.Uuid, index=True, comment="null until somebody took it"),
    sa.Column("code_hash", sa.LargeBinary, unique=True, comment="SHA-256 of the code; null once taken"),
    sa.Column("code_expires_at", Instant, nullable=False),
    sa.Column("items", Json, nullable=False, comment="codes of the service items it is good for"),
    sa.Column("types", Json, nullable=False, comment="certificate types it is good for"),
    sa.Column("valid_until", Instant, nullable=False),
    sa.Column("state", sa.String(12), nullable=False),
    sa.Column("seq", sa.Integer, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("ended_at", Instant),
)

office_looks = sa.Table(
    "office_looks",
    metadata,
    # One look by office power: asked by an officer, where needed agreed to by a second one, made once.
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("public_id", sa.String(43), nullable=False, unique=True),
    sa.Column("rule", sa.String(64), nullable=False),
    sa.Column("rule_version", sa.Integer, nullable=False),
    sa.Column("department", sa.String(32), nullable=False),
    sa.Column("officer", sa.Uuid, nullable=False),
    sa.Column("second", sa.Uuid, comment="who agreed or refused; null where none was needed"),
    sa.Column("case_id", sa.String(64), nullable=False),
    sa.Column("holder", sa.Uuid, nullable=False),
    sa.Column("state", sa.String(12), nullable=False),
    sa.Column("why_second", sa.String(16), comment="why a second officer was needed: many, hours, delay"),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("ended_at", Instant),
    sa.Index("ix_office_looks_department", "department", "state"),
)

office_persons = sa.Table(
    "office_persons",
    metadata,
    # Whom an officer, an item, a department looked at on a day of Shanghai: each person counts once.
    sa.Column("scope", sa.String(12), primary_key=True, comment="officer, item or department"),
    sa.Column("key", sa.String(96), primary_key=True),
    sa.Column("day", sa.Date, primary_key=True),
    sa.Column("person", sa.Uuid, primary_key=True),
)

office_counts = sa.Table(
    "office_counts",
    metadata,
    sa.Column("scope", sa.String(12), primary_key=True),
    sa.Column("key", sa.String(96), primary_key=True),
    sa.Column("day", sa.Date, primary_key=True),
    sa.Column("persons", sa.Integer, nullable=False),
)

guard_counts = sa.Table(
    "guard_counts",
    metadata,
    # How often a limit against misuse was counted in one span: by officer, by department, whoever's process it was.
    sa.Column("code", sa.String(32), primary_key=True, comment="of the limit"),
    sa.Column("key", sa.String(96), primary_key=True, comment="department, or department:officer"),
    sa.Column("span", sa.String(16), primary_key=True, comment="2026-11-23T09, 2026-11-23 or 2026-11, Shanghai"),
    sa.Column("department", sa.String(32), nullable=False, index=True),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("released", sa.Integer, nullable=False, comment="how often another officer vouched"),
    sa.Column("ends_at", Instant, nullable=False, index=True),
    sa.Column("alarmed_at", Instant),
)

guard_persons = sa.Table(
    "guard_persons",
    metadata,
    # Whom a count has counted already: each person counts once in a span.
    sa.Column("code", sa.String(32), primary_key=True),
    sa.Column("key", sa.String(96), primary_key=True),
    sa.Column("span", sa.String(16), primary_key=True),
    sa.Column("person", sa.Uuid, primary_key=True),
)

guard_watch = sa.Table(
    "guard_watch",
    metadata,
    # One row: up to when the Accesses were counted (`hub/oversight/watch.py`), by whichever process.
    sa.Column("id", sa.SmallInteger, primary_key=True),
    sa.Column("counted_to", Instant, nullable=False),
)

use_codes = sa.Table(
    "use_codes",
    metadata,
    # 用证码: what a citizen chose to open, and the code of this minute, known here as a keyed hash only. Spent once.
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("public_id", sa.String(43), nullable=False, unique=True),
    sa.Column("subject_id", sa.Uuid, nullable=False, index=True, comment="who chose, and shows it"),
    sa.Column("applicant", sa.Uuid, nullable=False, comment="whose matter it is"),
    sa.Column("beneficiary", sa.Uuid, comment="the child applied for"),
    sa.Column("item_code", sa.String(64), nullable=False),
    sa.Column("details", Json, nullable=False, comment="what was ticked; the case is not known yet"),
    sa.Column("long_hash", sa.LargeBinary, unique=True, comment="keyed hash of what the QR code says"),
    sa.Column("short_hash", sa.LargeBinary, unique=True, comment="keyed hash of the eight characters"),
    sa.Column("code_expires_at", Instant),
    sa.Column("ends_at", Instant, nullable=False, index=True, comment="no new code after this"),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("used_at", Instant),
    sa.Column("department", sa.String(32), comment="who used it"),
    sa.Column("case_id", sa.String(64), comment="for which case"),
)

paper_consents = sa.Table(
    "paper_consents",
    metadata,
    # A consent on paper, for somebody without a phone: printed here, signed, scanned, confirmed by a second officer.
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("public_id", sa.String(43), nullable=False, unique=True),
    sa.Column("slip", sa.String(10), nullable=False, unique=True, comment="number on the form and on the slip"),
    sa.Column("case_id", sa.String(64), nullable=False, index=True),
    sa.Column("department", sa.String(32), nullable=False),
    sa.Column("applicant", sa.Uuid, nullable=False, index=True),
    sa.Column("beneficiary", sa.Uuid),
    sa.Column("item_code", sa.String(64), nullable=False),
    sa.Column("state", sa.String(12), nullable=False),
    sa.Column("document_type", sa.String(16), nullable=False, comment="which identity document was seen"),
    sa.Column("details", Json, nullable=False, comment="as printed; once scanned, as ticked"),
    sa.Column("officer", sa.Uuid, nullable=False, comment="who saw the document and the signature"),
    sa.Column("second", sa.Uuid, comment="who compared scan and ticks; never the same"),
    sa.Column("request_id", sa.String(43), comment="public id of the consent request that came of it"),
    sa.Column("kind", sa.String(8)),
    sa.Column("sha256", sa.LargeBinary),
    sa.Column("blob", sa.String(128)),
    sa.Column("blob_sha256", sa.LargeBinary),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("scanned_at", Instant),
    sa.Column("decided_at", Instant),
    sa.Column("ends_at", Instant, nullable=False, comment="a form that is not confirmed by then is nothing"),
    sa.Index("ix_paper_consents_department", "department", "state"),
)

alarms = sa.Table(
    "alarms",
    metadata,
    # What auditors must see: a limit that was met, with who met it and never with whom they looked for.
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("kind", sa.String(48), nullable=False),
    sa.Column("department", sa.String(32), nullable=False),
    sa.Column("officer_id", sa.Uuid),
    sa.Column("rule", sa.String(64), nullable=False),
    sa.Column("at", Instant, nullable=False, index=True),
    sa.Column("leaf_hash", sa.LargeBinary, nullable=False),
)

passkeys = sa.Table(
    "passkeys",
    metadata,
    sa.Column("credential_id", sa.String(400), primary_key=True),
    sa.Column("public_id", sa.String(43), nullable=False, unique=True),
    sa.Column("subject_id", sa.Uuid, nullable=False, index=True),
    sa.Column("public_key", sa.LargeBinary, nullable=False, comment="COSE; bound to the person in the ledger"),
    sa.Column("sign_count", sa.BigInteger, nullable=False),
    sa.Column("owner", sa.String(43), comment="commitment to the person, as the public leaf shows it"),
    sa.Column("sealed_owner", sa.LargeBinary, comment="what opens that leaf, sealed for the person"),
    sa.Column("label", sa.String(40), nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("last_used_at", Instant),
    sa.Column("removed_at", Instant),
)

passkey_challenges = sa.Table(
    "passkey_challenges",
    metadata,
    # A ceremony between two pages: what the authenticator was asked to sign, and what had been ticked. Spent once.
    sa.Column("ticket", sa.String(43), primary_key=True),
    sa.Column("subject_id", sa.Uuid, nullable=False),
    sa.Column("challenge", sa.LargeBinary, nullable=False),
    sa.Column("request", sa.String(43)),
    sa.Column("signed", sa.Text, comment="the canonical request; no personal values"),
    sa.Column("salt", sa.LargeBinary, comment="of the owner's commitment, while a passkey is being bound"),
    sa.Column("ticked", Json),
    sa.Column("expires_at", Instant, nullable=False, index=True),
    sa.Column("used_at", Instant),
)

approvals = sa.Table(
    "approvals",
    metadata,
    # The evidence that a passkey approved a request, sealed for whoever approved it.
    sa.Column("request_id", sa.Uuid, sa.ForeignKey("consent_requests.id"), primary_key=True),
    sa.Column("approver", sa.Uuid, nullable=False),
    sa.Column("sealed", sa.LargeBinary, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
)

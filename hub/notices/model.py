"""Notices, the contacts and wishes of people, the endpoints of departments, and what is on its way to either."""

from enum import StrEnum

import sqlalchemy as sa

from hub.store.base import BY_BUCKET, Instant, Json, key_columns, metadata


class NoticeKind(StrEnum):
    """What a citizen is told of. All of it always stands in the wallet; `LOUD` is also sent out."""

    ASKED = "asked"
    USED = "used"
    TRIED = "tried"
    OFFICE = "office"
    GIVEN = "given"
    WITHDRAWN = "withdrawn"
    CERTIFICATE = "certificate"
    ANSWERED = "answered"
    DECIDED = "decided"
    MEND = "mend"
    CONTACT = "contact"


LOUD = frozenset(NoticeKind) - {NoticeKind.TRIED}
"""Sent to verified contacts. A try that saw nothing only stands in the wallet: else anybody could make phones ring."""
OPTIONAL = LOUD - {NoticeKind.OFFICE, NoticeKind.CONTACT}
"""What people may leave to the wallet alone. Looks without their consent, and changes of contacts, always go out."""


class Channel(StrEnum):
    """How a message leaves: mail, text message, or a call of a department's endpoint."""

    EMAIL = "email"
    SMS = "sms"
    WEBHOOK = "webhook"


class Purpose(StrEnum):
    """What a message is for."""

    NOTICE = "notice"
    CODE = "code"
    EVENT = "event"


class DeliveryState(StrEnum):
    """Waiting until sent; dead when given up; dropped when there is nobody left to tell."""

    WAITING = "waiting"
    SENT = "sent"
    DEAD = "dead"
    DROPPED = "dropped"


class EndpointState(StrEnum):
    """Disabled by the hub after long failure, and enabled again by the department; removed for good."""

    ACTIVE = "active"
    DISABLED = "disabled"
    REMOVED = "removed"


notices = sa.Table(
    "notices",
    metadata,
    *key_columns(),
    sa.Column("public_id", sa.String(43), nullable=False),
    sa.Column("subject_id", sa.Uuid, nullable=False, comment="who is told"),
    sa.Column("about", sa.Uuid, comment="whose data, when it is not their own: a child, a principal, a company"),
    sa.Column("kind", sa.String(12), nullable=False),
    sa.Column("source", sa.LargeBinary, nullable=False, comment="SHA-256 of what happened: told once"),
    sa.Column("ref", sa.String(43), comment="public id of what it is about"),
    sa.Column("facts", Json, nullable=False, comment="department, item, types: codes only"),
    sa.Column("at", Instant, nullable=False, comment="when it happened"),
    sa.Column("shown_from", Instant, nullable=False, comment="the same, unless a published rule delays it"),
    sa.Column("read_at", Instant),
    sa.UniqueConstraint("bucket", "subject_id", "source"),
    sa.Index("ix_notices_subject", "bucket", "subject_id", "shown_from"),
    sa.Index("ix_notices_ref", "ref"),
    postgresql_partition_by=BY_BUCKET,
)

notice_wishes = sa.Table(
    "notice_wishes",
    metadata,
    # How somebody wants to be told; without a row: in Chinese, at any hour, everything.
    sa.Column("bucket", sa.SmallInteger, primary_key=True),
    sa.Column("subject_id", sa.Uuid, primary_key=True),
    sa.Column("language", sa.String(5), nullable=False),
    sa.Column("quiet_from", sa.SmallInteger, comment="minute of the day in Shanghai; null: no quiet hours"),
    sa.Column("quiet_to", sa.SmallInteger),
    sa.Column("silenced", Json, nullable=False, comment="kinds that stay in the wallet"),
    sa.Column("changed_at", Instant, nullable=False),
    postgresql_partition_by=BY_BUCKET,
)

contacts = sa.Table(
    "contacts",
    metadata,
    *key_columns(),
    sa.Column("public_id", sa.String(43), nullable=False),
    sa.Column("subject_id", sa.Uuid, nullable=False),
    sa.Column("channel", sa.String(8), nullable=False),
    sa.Column("sealed", sa.LargeBinary, comment="the address, under the person's key; null once removed"),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("verified_at", Instant),
    sa.Column("removed_at", Instant),
    sa.Index("ix_contacts_subject", "bucket", "subject_id"),
    postgresql_partition_by=BY_BUCKET,
)

contact_codes = sa.Table(
    "contact_codes",
    metadata,
    # Codes that prove a contact. Kept for a day, so that nobody is sent, and nobody can try, more than a few.
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("contact_id", sa.Uuid, nullable=False, index=True),
    sa.Column("subject_id", sa.Uuid, nullable=False),
    sa.Column("blind", sa.LargeBinary, nullable=False, comment="keyed hash of the address"),
    sa.Column("code_hash", sa.LargeBinary, nullable=False, comment="keyed hash of the code"),
    sa.Column("tries", sa.SmallInteger, nullable=False),
    sa.Column("created_at", Instant, nullable=False, index=True),
    sa.Column("expires_at", Instant, nullable=False),
    sa.Column("used_at", Instant),
    sa.Index("ix_contact_codes_subject", "subject_id", "created_at"),
    sa.Index("ix_contact_codes_blind", "blind", "created_at"),
)

deliveries = sa.Table(
    "deliveries",
    metadata,
    # One message to one address. `public_id` is its id outside (Message-ID, webhook-id) and stays through retries.
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("public_id", sa.String(43), nullable=False, unique=True),
    sa.Column("channel", sa.String(8), nullable=False),
    sa.Column("purpose", sa.String(8), nullable=False),
    sa.Column("bucket", sa.SmallInteger),
    sa.Column("subject_id", sa.Uuid),
    sa.Column("notice_id", sa.Uuid, index=True),
    sa.Column("contact_id", sa.Uuid),
    sa.Column("endpoint_id", sa.Uuid),
    sa.Column("payload", sa.LargeBinary, comment="of an event: its JSON; of a code: sealed for the person, until sent"),
    sa.Column("state", sa.String(8), nullable=False),
    sa.Column("attempts", sa.SmallInteger, nullable=False),
    sa.Column("due_at", Instant, nullable=False),
    sa.Column("expires_at", Instant, nullable=False, comment="from here on it is given up"),
    sa.Column("lease", sa.Uuid, comment="which deliverer has it, until lease_until"),
    sa.Column("lease_until", Instant),
    sa.Column("fault", sa.String(48), comment="why the last attempt failed: a code"),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("ended_at", Instant),
    sa.Index(
        "ix_deliveries_due",
        "due_at",
        postgresql_where=sa.text("state = 'waiting'"),
        sqlite_where=sa.text("state = 'waiting'"),
    ),
    sa.Index("ix_deliveries_ended", "state", "ended_at"),
    sa.Index("ix_deliveries_endpoint", "endpoint_id", "created_at"),
)

webhook_endpoints = sa.Table(
    "webhook_endpoints",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("public_id", sa.String(43), nullable=False, unique=True),
    sa.Column("department", sa.String(32), nullable=False, index=True),
    sa.Column("url", sa.String(400), nullable=False),
    sa.Column("events", Json, nullable=False, comment="types that are wanted"),
    sa.Column("state", sa.String(8), nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("failing_since", Instant, comment="null: the newest attempt succeeded"),
    sa.Column("disabled_at", Instant),
    sa.Column("fault", sa.String(48), comment="why it fails, or was disabled"),
)

notice_cursor = sa.Table(
    "notice_cursor",
    metadata,
    # Up to which leaf of the ledger the looks were told. One row.
    sa.Column("id", sa.SmallInteger, primary_key=True),
    sa.Column("idx", sa.BigInteger, nullable=False),
)

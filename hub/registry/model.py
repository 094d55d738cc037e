"""Registry tables, and the one role table: who may do what, and what nobody may be both of."""

from enum import StrEnum

import sqlalchemy as sa

from hub.store.base import BY_BUCKET, Instant, Json, metadata


class DepartmentState(StrEnum):
    """A suspended department can neither register nor verify; what it signed before stays verifiable."""

    ACTIVE = "active"
    SUSPENDED = "suspended"


class KeyPurpose(StrEnum):
    """One key serves one purpose, so that a signature can never be taken for another kind of statement."""

    CERTIFICATE = "certificate"
    STATUS = "status"
    CLIENT = "client"


class SubjectKind(StrEnum):
    """A natural person or an organisation."""

    NATURAL = "natural"
    LEGAL = "legal"


class Role(StrEnum):
    """What an officer may do. One table for the whole hub: doors ask `may()`, nobody compares strings."""

    ISSUING = "issuing_officer"
    SECOND = "second_approver"
    CLERK = "clerk"
    DECIDER = "decider"
    COMPLAINTS = "complaint_handler"
    AUDITOR = "auditor"
    OPERATOR = "operator"
    ADMINISTRATOR = "administrator"


ROLE_LABELS: dict[Role, tuple[str, str]] = {
    Role.ISSUING: ("发证人员", "Issuing officer"),
    Role.SECOND: ("复核人员", "Second approver"),
    Role.CLERK: ("窗口工作人员", "Counter clerk"),
    Role.DECIDER: ("审批人员", "Decider"),
    Role.COMPLAINTS: ("投诉处理人员", "Complaint handler"),
    Role.AUDITOR: ("审计人员", "Auditor"),
    Role.OPERATOR: ("运维人员", "Operator"),
    Role.ADMINISTRATOR: ("平台管理员", "Administrator"),
}

MAY: dict[str, frozenset[Role]] = {
    "certificates.upload": frozenset({Role.ISSUING}),
    "certificates.approve": frozenset({Role.SECOND}),
    "catalogue.draft": frozenset({Role.ISSUING, Role.ADMINISTRATOR}),
    "catalogue.review": frozenset({Role.SECOND, Role.ADMINISTRATOR}),
    "counter.verify": frozenset({Role.CLERK, Role.DECIDER}),
    "cases.open": frozenset({Role.CLERK}),
    "cases.decide": frozenset({Role.DECIDER}),
    "complaints.handle": frozenset({Role.COMPLAINTS}),
    "accesses.search": frozenset({Role.AUDITOR}),
    "system.operate": frozenset({Role.OPERATOR, Role.ADMINISTRATOR}),
    "registry.administer": frozenset({Role.ADMINISTRATOR}),
}

APART: tuple[frozenset[Role], ...] = (
    frozenset({Role.OPERATOR, Role.AUDITOR}),
    frozenset({Role.ADMINISTRATOR, Role.AUDITOR}),
    frozenset({Role.ISSUING, Role.SECOND}),
)
"""Pairs that one person must never hold together: whoever runs the hub does not audit it."""


class Level(StrEnum):
    """How sure a sign-in is that this is the person: low, substantial, high (as eIDAS has them; 实名等级)."""

    LOW = "low"
    SUBSTANTIAL = "substantial"
    HIGH = "high"


def reaches(held: str, wanted: Level) -> bool:
    """Whether a level is at least `wanted`; a word that is no level reaches nothing."""
    order = list(Level)
    return held in order and order.index(Level(held)) >= order.index(wanted)


def may(roles: frozenset[str], act: str) -> bool:
    """Whether someone with these roles may do `act`; an unknown act is a programming error (KeyError)."""
    return any(role in roles for role in MAY[act])


departments = sa.Table(
    "departments",
    metadata,
    sa.Column("slug", sa.String(32), primary_key=True),
    sa.Column("uscc", sa.String(18), nullable=False, unique=True, comment="GB 32100"),
    sa.Column("name_zh", sa.String(128), nullable=False),
    sa.Column("name_en", sa.String(128), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("continued_by", sa.String(32), sa.ForeignKey("departments.slug")),
    sa.Column("created_at", Instant, nullable=False),
)

department_keys = sa.Table(
    "department_keys",
    metadata,
    sa.Column("kid", sa.String(64), primary_key=True, comment="RFC 7638 thumbprint"),
    sa.Column("department", sa.String(32), sa.ForeignKey("departments.slug"), nullable=False, index=True),
    sa.Column("purpose", sa.String(16), nullable=False),
    sa.Column("alg", sa.String(16), nullable=False),
    sa.Column("jwk", Json, nullable=False),
    sa.Column("not_before", Instant, nullable=False),
    sa.Column("not_after", Instant),
    sa.Column("registered_at", Instant, nullable=False),
    sa.Column("retired_at", Instant),
    sa.Column("distrusted_from", Instant, comment="compromised: what came later does not count"),
    sa.Column("leaf_hash", sa.LargeBinary, nullable=False),
)

redirect_uris = sa.Table(
    "redirect_uris",
    metadata,
    # Where a department's own pages take a browser back after consent; compared character by character.
    sa.Column("department", sa.String(32), sa.ForeignKey("departments.slug"), primary_key=True),
    sa.Column("uri", sa.String(512), primary_key=True),
    sa.Column("since", Instant, nullable=False),
)

enrolment_codes = sa.Table(
    "enrolment_codes",
    metadata,
    sa.Column("code_hash", sa.LargeBinary, primary_key=True),
    sa.Column("department", sa.String(32), sa.ForeignKey("departments.slug"), nullable=False),
    sa.Column("made_by", sa.String(96), nullable=False),
    sa.Column("approved_by", sa.String(96), nullable=False),
    sa.Column("expires_at", Instant, nullable=False),
    sa.Column("used_at", Instant),
)

certificate_types = sa.Table(
    "certificate_types",
    metadata,
    sa.Column("code", sa.String(48), primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True),
    sa.Column("vct", sa.String(255), nullable=False, unique=True),
    sa.Column("document", Json, nullable=False),
    sa.Column("sha256", sa.LargeBinary, nullable=False),
    sa.Column("loaded_at", Instant, nullable=False),
)

type_issuers = sa.Table(
    "type_issuers",
    metadata,
    sa.Column("code", sa.String(48), primary_key=True),
    sa.Column("department", sa.String(32), sa.ForeignKey("departments.slug"), primary_key=True),
    sa.Column("since", Instant, nullable=False),
    sa.Column("until", Instant),
)

subjects = sa.Table(
    "subjects",
    metadata,
    sa.Column("bucket", sa.SmallInteger, primary_key=True),
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("kind", sa.String(8), nullable=False),
    sa.Column(
        "sealed_face", sa.LargeBinary, comment="name and identifiers as last signed, sealed for the person"
    ),
    sa.Column("merged_into", sa.Uuid),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("erased_at", Instant),
    postgresql_partition_by=BY_BUCKET,
)

subject_identifiers = sa.Table(
    "subject_identifiers",
    metadata,
    sa.Column("blind", sa.LargeBinary, primary_key=True, comment="HMAC of type and normal form"),
    sa.Column("subject_id", sa.Uuid, primary_key=True),
    sa.Column("pepper", sa.SmallInteger, nullable=False),
    sa.Column("id_type", sa.String(16), nullable=False),
    sa.Column("sealed", sa.LargeBinary, comment="the number, sealed for the person; null where a face has it"),
    sa.Column("since", Instant, nullable=False),
    sa.Column("until", Instant),
    sa.Index("ix_subject_identifiers_subject", "subject_id"),
)

officers = sa.Table(
    "officers",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("department", sa.String(32), sa.ForeignKey("departments.slug"), nullable=False),
    sa.Column("login", sa.String(64), nullable=False),
    sa.Column("name", sa.String(64), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("disabled_at", Instant),
    sa.UniqueConstraint("department", "login"),
)

officer_roles = sa.Table(
    "officer_roles",
    metadata,
    sa.Column("officer_id", sa.Uuid, sa.ForeignKey("officers.id"), primary_key=True),
    sa.Column("role", sa.String(24), primary_key=True),
    sa.Column("since", Instant, nullable=False),
)

one_time_links = sa.Table(
    "one_time_links",
    metadata,
    sa.Column("token_hash", sa.LargeBinary, primary_key=True),
    sa.Column("officer_id", sa.Uuid, sa.ForeignKey("officers.id"), nullable=False),
    sa.Column("expires_at", Instant, nullable=False),
    sa.Column("used_at", Instant),
)

identity_providers = sa.Table(
    "identity_providers",
    metadata,
    # Who signs people in (OpenID Connect). Officers enter through their department's own provider, once it has one.
    sa.Column("code", sa.String(32), primary_key=True),
    sa.Column("issuer", sa.String(255), nullable=False, unique=True),
    sa.Column("department", sa.String(32), sa.ForeignKey("departments.slug"), comment="whose officers; null: citizens"),
    sa.Column("client_id", sa.String(255), nullable=False),
    sa.Column("method", sa.String(24), nullable=False, comment="how the hub proves itself at the token endpoint"),
    sa.Column("secret_file", sa.String(512), comment="where the client secret is; never the secret itself"),
    sa.Column("name_zh", sa.String(64), nullable=False),
    sa.Column("name_en", sa.String(64), nullable=False),
    sa.Column("scope", sa.String(255), nullable=False),
    sa.Column("claims", Json, nullable=False, comment="which claim says what"),
    sa.Column("levels", Json, nullable=False, comment="acr -> level; empty: every sign-in has `level`"),
    sa.Column("level", sa.String(16), nullable=False, comment="the most that this provider may assure"),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("disabled_at", Instant),
)

identities = sa.Table(
    "identities",
    metadata,
    # Which person or officer an account of a provider is, as first seen: an account never changes hands silently.
    sa.Column("provider", sa.String(32), sa.ForeignKey("identity_providers.code"), primary_key=True),
    sa.Column("account", sa.LargeBinary, primary_key=True, comment="HMAC of `sub`"),
    sa.Column("subject_id", sa.Uuid, index=True),
    sa.Column("officer_id", sa.Uuid, sa.ForeignKey("officers.id")),
    sa.Column("since", Instant, nullable=False),
    sa.UniqueConstraint("provider", "officer_id"),
)

login_attempts = sa.Table(
    "login_attempts",
    metadata,
    # A browser that was sent to a provider and is not back yet. Nonce and PKCE verifier are derived, not stored.
    sa.Column("state_hash", sa.LargeBinary, primary_key=True),
    sa.Column("provider", sa.String(32), nullable=False),
    sa.Column("browser", sa.LargeBinary, nullable=False, comment="hash of the browser's own token"),
    sa.Column("following", sa.String(400), nullable=False),
    sa.Column("session_hash", sa.LargeBinary, comment="the session that proves itself anew; null for a sign-in"),
    sa.Column("started_at", Instant, nullable=False),
    sa.Column("expires_at", Instant, nullable=False, index=True),
    sa.Column("used_at", Instant),
)

sessions = sa.Table(
    "sessions",
    metadata,
    sa.Column("token_hash", sa.LargeBinary, primary_key=True),
    sa.Column("public_id", sa.String(43), nullable=False, unique=True, comment="names it on the list of devices"),
    sa.Column("kind", sa.String(16), nullable=False, comment="citizen or officer"),
    sa.Column("subject_id", sa.Uuid, index=True),
    sa.Column("officer_id", sa.Uuid, index=True),
    sa.Column("assurance", sa.String(16), nullable=False, comment="a level"),
    sa.Column("provider", sa.String(32), comment="who signed them in; null: a one-time link"),
    sa.Column("account", sa.LargeBinary, comment="HMAC of the provider's `sub`"),
    sa.Column("provider_session", sa.LargeBinary, comment="HMAC of the provider's `sid`"),
    sa.Column("acr", sa.String(255)),
    sa.Column("amr", Json),
    sa.Column("proved_at", Instant, nullable=False, comment="when the person last proved who they are"),
    sa.Column("device", sa.String(48), nullable=False, comment="coarse: browser and system"),
    sa.Column("csrf", sa.String(43), nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("seen_at", Instant, nullable=False),
    sa.Column("expires_at", Instant, nullable=False),
    sa.Column("ended_at", Instant),
    sa.Index("ix_sessions_account", "provider", "account"),
)

interrupted_forms = sa.Table(
    "interrupted_forms",
    metadata,
    # What was sent before the person had to prove themselves anew: sealed, for this session, for a few minutes.
    sa.Column("ticket", sa.String(43), primary_key=True),
    sa.Column("session", sa.String(43), nullable=False, comment="public id of the session"),
    sa.Column("path", sa.String(400), nullable=False),
    sa.Column("sealed", sa.LargeBinary, nullable=False),
    sa.Column("expires_at", Instant, nullable=False, index=True),
)

trust_epoch = sa.Table(
    "trust_epoch",
    metadata,
    # One row. Whatever changes whom we trust raises it, in the same commit; read with each request of the hot path.
    sa.Column("id", sa.SmallInteger, primary_key=True),
    sa.Column("epoch", sa.BigInteger, nullable=False),
)

_RAISE = "BEGIN UPDATE trust_epoch SET epoch = epoch + 1; END"
TRUSTED = ("departments", "department_keys", "type_issuers")
"""The tables whose rows are remembered by processes between requests (`hub.registry.trust`)."""


def epoch_triggers(dialect: str) -> list[str]:
    """DDL: the database itself raises the epoch, so that a change by whatever hand makes every process read again."""
    made = ["INSERT INTO trust_epoch (id, epoch) VALUES (1, 1)"]
    if dialect == "postgresql":
        made.append(
            "CREATE FUNCTION raise_trust_epoch() RETURNS trigger LANGUAGE plpgsql AS "
            "$$BEGIN UPDATE trust_epoch SET epoch = epoch + 1; RETURN NULL; END$$"
        )
        return made + [
            f"CREATE TRIGGER raise_trust_epoch AFTER INSERT OR UPDATE OR DELETE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION raise_trust_epoch()"
            for table in TRUSTED
        ]
    return made + [
        f"CREATE TRIGGER raise_trust_epoch_{table}_{act} AFTER {act} ON {table} {_RAISE}"
        for table in TRUSTED
        for act in ("insert", "update", "delete")
    ]


@sa.event.listens_for(metadata, "after_create")
def _watch_trust(_target: object, connection: sa.Connection, **_options: object) -> None:
    for statement in epoch_triggers(connection.dialect.name):
        connection.exec_driver_sql(statement)

"""Accesses (one look or one refusal), and each person's unbroken chain of them."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from hub.store.base import BY_BUCKET, Instant, Json, metadata
from hub.store.small import SmallInstant, SmallUuid, Token, token_bytes, token_text
from keys import base64url


class Outcome(StrEnum):
    """The result of one look. Undecided is not refused: "cannot reach the source" is never "no record"."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    UNDECIDED = "undecided"
    NO_RECORD = "no_record"


@dataclass(frozen=True, slots=True)
class Look:
    """What is recorded of one look: who, for what, on which basis, which claim names, and how it ended.

    Claim values are never part of it. `visible_at`: a published rule keeps it from the citizen until then.
    """

    subject_id: UUID
    department: str
    item_code: str
    case_id: str
    purpose: str
    basis: str
    outcome: Outcome
    reason: str
    type_code: str | None = None
    certificate: str | None = None
    fields: tuple[tuple[str | int | None, ...], ...] = ()
    predicates: tuple[dict[str, Any], ...] = ()
    grant_public_id: str | None = None
    grant_seq: int | None = None
    officer_id: UUID | None = None
    visible_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Access:
    """A recorded look, as its person sees it. `gap` says that the record before it is missing."""

    public_id: str
    subject_seq: int
    look: Look
    at: datetime
    leaf_hash: bytes
    leaf_index: int | None
    gap: bool


profiles = sa.Table(
    "access_profiles",
    metadata,
    # What thousands of looks say alike is kept once. A row is never changed: it is found by the hash of what it says.
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("hash", sa.LargeBinary, nullable=False, unique=True, comment="SHA-256 of the JCS of the columns below"),
    sa.Column("department", sa.String(32), nullable=False),
    sa.Column("item_code", sa.String(64), nullable=False),
    sa.Column("purpose", sa.String(48), nullable=False),
    sa.Column("basis", sa.String(24), nullable=False),
    sa.Column("type_code", sa.String(48)),
    sa.Column("fields", Json, nullable=False, comment="claim paths that left, names only, never values"),
    sa.Column("predicates", Json, nullable=False),
    sa.Column("outcome", sa.String(12), nullable=False),
    sa.Column("reason", sa.String(64), nullable=False, comment="code of the deciding check"),
)

rows = sa.Table(
    "accesses",
    metadata,
    # One row for every look there ever was: what can be computed is not kept, and wide columns stand first, unpadded.
    sa.Column("at", SmallInstant, nullable=False),
    sa.Column("visible_at", SmallInstant, comment="null: at once; else a published rule delays it for the citizen"),
    sa.Column("subject_seq", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("profile", sa.Integer, nullable=False, comment="access_profiles.id"),
    sa.Column("grant_seq", sa.Integer, comment="the grant's event number, where a use was taken"),
    sa.Column("bucket", sa.SmallInteger, primary_key=True, autoincrement=False),
    sa.Column("subject_id", SmallUuid, primary_key=True),
    sa.Column("commit", sa.LargeBinary, nullable=False, comment="its leaf and its public id come from this"),
    sa.Column("case_id", Token, nullable=False),
    sa.Column("certificate", Token, comment="public id"),
    sa.Column("grant_public_id", Token),
    sa.Column("officer_id", SmallUuid),
    sa.Column("public_id", Token, comment="of a look before revision 0022, whose body rests in ledger_bodies"),
    sa.Column("previous_commit", sa.LargeBinary, comment="of a look before revision 0022"),
    sa.PrimaryKeyConstraint("bucket", "subject_id", "subject_seq"),
    sa.Index("ix_accesses_at", "at"),
    postgresql_partition_by=BY_BUCKET,
    sqlite_with_rowid=False,
)


class PublicId(sa.types.TypeDecorator[str]):
    """The id by which a look is known outside: base64url of its commitment, or what it was given before 0022."""

    impl = sa.LargeBinary
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> bytes | None:
        """Either form; a commitment has 32 bytes and the other never has."""
        return None if value is None else commit_named(value) or token_bytes(value)

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> str | None:
        """As it is shown."""
        if value is None:
            return None
        return public_id_of(value) if len(value) == COMMIT_BYTES else token_text(bytes(value))


COMMIT_BYTES = 32


def public_id_of(commit: bytes) -> str:
    """The public id of the look with this commitment: 43 letters that nobody can guess beforehand."""
    return base64url.encode(bytes(commit))


def commit_named(public_id: str) -> bytes | None:
    """The commitment that a public id spells; None for the shorter ids of before 0022, and for nonsense."""
    try:
        found = base64url.decode(public_id)
    except ValueError:
        return None
    return found if len(found) == COMMIT_BYTES else None


_said = profiles.c
accesses = (
    sa.select(
        *(rows.c[name] for name in ("bucket", "subject_id", "subject_seq", "at", "visible_at", "case_id", "profile")),
        *(rows.c[name] for name in ("certificate", "grant_public_id", "grant_seq", "officer_id", "commit")),
        rows.c.previous_commit,
        sa.type_coerce(sa.func.coalesce(rows.c.public_id, rows.c.commit), PublicId()).label("public_id"),
        *(column for column in _said if column.name not in ("id", "hash")),
    )
    .join_from(rows, profiles, _said.id == rows.c.profile)
    .subquery("looks")
)
"""Looks as they are read: each row with the words of its profile. A database flattens this; conditions reach the
indexes of `rows`. A look whose profile is gone is not among them, which its person sees as a gap."""

access_chains = sa.Table(
    "access_chains",
    metadata,
    sa.Column("bucket", sa.SmallInteger, primary_key=True),
    sa.Column("subject_id", sa.Uuid, primary_key=True),
    sa.Column("seq", sa.Integer, nullable=False),
    sa.Column("commit", sa.LargeBinary, nullable=False, comment="commitment of the newest Access"),
    postgresql_partition_by=BY_BUCKET,
)

anonymous_refusals = sa.Table(
    "anonymous_refusals",
    metadata,
    # An authenticated department tried, but no person could be resolved (a foreign or broken token).
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("department", sa.String(32), nullable=False),
    sa.Column("reason", sa.String(64), nullable=False),
    sa.Column("at", Instant, nullable=False, index=True),
    sa.Column("leaf_hash", sa.LargeBinary, nullable=False),
)

"""Looks in fewer bytes: words that thousands share are kept once, what can be computed is not kept

The rows of before keep their public id, their link to the row before and their sealed body; new ones need none of these.
Leaves of before stay as they are; new commitments rest as 33 bytes, and a downgrade writes those out again. A downgrade
is refused once a look was recorded in the new form: nobody could seal its body without the person's key.

Revision ID: 0022
Revises: 0021
"""

import base64
import hashlib
import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from alembic import context, op
from sqlalchemy.dialects import postgresql

revision = "0022"
down_revision = "0021"

AT_ONCE = 2_000
PARTITIONS = 8
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
MOMENT = sa.DateTime(timezone=True).with_variant(sa.BigInteger(), "sqlite")
SMALL_UUID = sa.Uuid().with_variant(sa.LargeBinary(), "sqlite")
WORDS = (
    "department",
    "item_code",
    "purpose",
    "basis",
    "type_code",
    "fields",
    "predicates",
    "outcome",
    "reason",
)


def _profiles() -> tuple[sa.Column[Any], ...]:
    return (
        sa.Column("id", sa.Integer(), nullable=False, autoincrement=True),
        sa.Column(
            "hash", sa.LargeBinary(), nullable=False, comment="SHA-256 of the JCS of the columns below"
        ),
        sa.Column("department", sa.String(length=32), nullable=False),
        sa.Column("item_code", sa.String(length=64), nullable=False),
        sa.Column("purpose", sa.String(length=48), nullable=False),
        sa.Column("basis", sa.String(length=24), nullable=False),
        sa.Column("type_code", sa.String(length=48), nullable=True),
        sa.Column("fields", JSON, nullable=False, comment="claim paths that left, names only, never values"),
        sa.Column("predicates", JSON, nullable=False),
        sa.Column("outcome", sa.String(length=12), nullable=False),
        sa.Column("reason", sa.String(length=64), nullable=False, comment="code of the deciding check"),
    )


def _new() -> tuple[sa.Column[Any], ...]:
    return (
        sa.Column("at", MOMENT, nullable=False),
        sa.Column(
            "visible_at", MOMENT, comment="null: at once; else a published rule delays it for the citizen"
        ),
        sa.Column("subject_seq", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("profile", sa.Integer(), nullable=False, comment="access_profiles.id"),
        sa.Column("grant_seq", sa.Integer(), comment="the grant's event number, where a use was taken"),
        sa.Column("bucket", sa.SmallInteger(), nullable=False, autoincrement=False),
        sa.Column("subject_id", SMALL_UUID, nullable=False),
        sa.Column(
            "commit", sa.LargeBinary(), nullable=False, comment="its leaf and its public id come from this"
        ),
        sa.Column("case_id", sa.LargeBinary(), nullable=False),
        sa.Column("certificate", sa.LargeBinary(), comment="public id"),
        sa.Column("grant_public_id", sa.LargeBinary()),
        sa.Column("officer_id", SMALL_UUID),
        sa.Column(
            "public_id",
            sa.LargeBinary(),
            comment="of a look before revision 0022, whose body rests in ledger_bodies",
        ),
        sa.Column("previous_commit", sa.LargeBinary(), comment="of a look before revision 0022"),
    )


def _old() -> tuple[sa.Column[Any], ...]:
    return (
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
        sa.Column("fields", JSON, nullable=False, comment="claim paths that left, names only, never values"),
        sa.Column("predicates", JSON, nullable=False),
        sa.Column("outcome", sa.String(length=12), nullable=False),
        sa.Column("reason", sa.String(length=64), nullable=False, comment="code of the deciding check"),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("leaf_hash", sa.LargeBinary(), nullable=False),
        sa.Column("commit", sa.LargeBinary(), nullable=False),
        sa.Column("previous_commit", sa.LargeBinary(), nullable=False),
        sa.Column(
            "visible_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="null: at once; else a published rule delays it for the citizen",
        ),
    )


def upgrade() -> None:
    _set_aside(["ix_accesses_at", "ix_accesses_department"], ["uq_accesses_bucket_subject_id_subject_seq"])
    op.create_table(
        "access_profiles",
        *_profiles(),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_access_profiles")),
        sa.UniqueConstraint("hash", name=op.f("uq_access_profiles_hash")),
    )
    _make(_new(), sa.PrimaryKeyConstraint("bucket", "subject_id", "subject_seq", name=op.f("pk_accesses")))
    if not context.is_offline_mode():
        _copy(_as_new)
    op.drop_table("accesses_old")
    op.create_index("ix_accesses_at", "accesses", ["at"], unique=False)


def downgrade() -> None:
    if not context.is_offline_mode():
        if op.get_bind().scalar(sa.text("SELECT count(*) FROM accesses WHERE previous_commit IS NULL")):
            raise RuntimeError("looks were recorded since revision 0022: go back to the backup of before")
        _write_out_leaves()
    _set_aside(["ix_accesses_at"], [])
    _make(
        _old(),
        sa.PrimaryKeyConstraint("bucket", "id", name=op.f("pk_accesses")),
        sa.UniqueConstraint(
            "bucket", "subject_id", "subject_seq", name=op.f("uq_accesses_bucket_subject_id_subject_seq")
        ),
    )
    if not context.is_offline_mode():
        _copy(_as_old)
    op.drop_table("accesses_old")
    op.drop_table("access_profiles")
    op.create_index("ix_accesses_at", "accesses", ["at"], unique=False)
    op.create_index("ix_accesses_department", "accesses", ["department", "at"], unique=False)


def _postgresql() -> bool:
    return op.get_context().dialect.name == "postgresql"


def _set_aside(indexes: list[str], keys: list[str]) -> None:
    """The table under another name, so that the names of its keys and indexes are free."""
    for name in indexes:
        op.drop_index(name, table_name="accesses")
    op.rename_table("accesses", "accesses_old")
    if _postgresql():
        for key in ("pk_accesses", *keys):
            op.execute(f"ALTER TABLE accesses_old RENAME CONSTRAINT {key} TO {key[:55]}_old")
        for number in range(PARTITIONS):
            part = f"accesses_p{number}"
            op.execute(f"ALTER TABLE {part} RENAME TO {part.replace('_p', '_old_p')}")
            # A partition's own keys are named after it by PostgreSQL: these names are wanted again.
            for end in ("pkey", "bucket_subject_id_subject_seq_key"):
                op.execute(f"ALTER INDEX IF EXISTS {part}_{end} RENAME TO {part}_{end}_old")


def _make(columns: tuple[sa.Column[Any], ...], *keys: sa.Constraint) -> None:
    op.create_table(
        "accesses",
        *columns,
        *keys,
        # What is only written down, for `yimen upgrade --check`, cannot make partitions.
        **({} if context.is_offline_mode() else {"postgresql_partition_by": "RANGE (bucket)"}),
        sqlite_with_rowid="id" in {one.name for one in columns},
    )
    if _postgresql():
        for number in range(PARTITIONS):
            first, end = number * 256 // PARTITIONS, (number + 1) * 256 // PARTITIONS
            op.execute(
                f"CREATE TABLE IF NOT EXISTS accesses_p{number} PARTITION OF accesses FOR VALUES FROM ({first}) TO ({end})"
            )


def _copy(convert: Any) -> None:
    """All rows, some at a time in the order of their persons."""
    connection = op.get_bind()
    names = _old() if convert is _as_old else _new()
    table = sa.table("accesses", *(sa.column(one.name, one.type) for one in names))
    known: dict[bytes, int] = {}
    for some in _batches(connection, _new() if convert is _as_old else _old()):
        connection.execute(table.insert(), convert(connection, some, known))


def _batches(
    connection: sa.Connection, columns: tuple[sa.Column[Any], ...]
) -> Iterator[list[dict[str, Any]]]:
    table = sa.table("accesses_old", *(sa.column(one.name, one.type) for one in columns))
    key = sa.tuple_(table.c.bucket, table.c.subject_id, table.c.subject_seq)
    query = sa.select(table).order_by(*key.clauses).limit(AT_ONCE)
    after: Any = None
    while True:
        asked = query
        if after is not None:
            last = [sa.literal(value, column.type) for value, column in zip(after, key.clauses, strict=True)]
            asked = query.where(key > sa.tuple_(*last))
        rows = [dict(row._mapping) for row in connection.execute(asked)]
        if not rows:
            return
        yield rows
        after = (rows[-1]["bucket"], rows[-1]["subject_id"], rows[-1]["subject_seq"])


def _as_new(
    connection: sa.Connection, some: list[dict[str, Any]], known: dict[bytes, int]
) -> list[dict[str, Any]]:
    sqlite = not _postgresql()
    named = _by_row(connection, some)
    made = []
    for row in some:
        made.append(
            {
                "at": _moment(row["at"], sqlite),
                "visible_at": _moment(row["visible_at"], sqlite),
                "subject_seq": row["subject_seq"],
                "profile": _profile(connection, {name: row[name] for name in WORDS}, known),
                "grant_seq": None,
                "bucket": row["bucket"],
                "subject_id": row["subject_id"].bytes if sqlite else row["subject_id"],
                "commit": row["commit"],
                "case_id": _short(row["case_id"]),
                "certificate": _short(row["certificate"]),
                "grant_public_id": _short(named.get((row["bucket"], row["grant_id"]))),
                "officer_id": row["officer_id"].bytes if sqlite and row["officer_id"] else row["officer_id"],
                "public_id": _short(row["public_id"]),
                "previous_commit": row["previous_commit"],
            }
        )
    return made


def _as_old(
    connection: sa.Connection, some: list[dict[str, Any]], known: dict[bytes, int]
) -> list[dict[str, Any]]:
    sqlite = not _postgresql()
    said = sa.table(
        "access_profiles",
        sa.column("id"),
        *(sa.column(c.name, c.type) for c in _profiles() if c.name in WORDS),
    )
    words = {row.id: row for row in connection.execute(sa.select(said))}
    grants = sa.table("grants", sa.column("public_id", sa.String), sa.column("id", sa.Uuid))
    wanted = {one for row in some if (one := _long(row["grant_public_id"]))}
    ids = {
        row.public_id: row.id
        for row in connection.execute(sa.select(grants).where(grants.c.public_id.in_(sorted(wanted))))
    }
    made = []
    for row in some:
        commit = bytes(row["commit"])
        leaf = b'\x00{"commit":"%b","v":1}' % commit.hex().encode()
        made.append(
            {
                "bucket": row["bucket"],
                "id": uuid.uuid4(),
                "public_id": _long(row["public_id"]),
                "subject_id": uuid.UUID(bytes=row["subject_id"]) if sqlite else row["subject_id"],
                "subject_seq": row["subject_seq"],
                **{name: getattr(words[row["profile"]], name) for name in WORDS},
                "officer_id": uuid.UUID(bytes=row["officer_id"])
                if sqlite and row["officer_id"]
                else row["officer_id"],
                "case_id": _long(row["case_id"]),
                "grant_id": ids.get(_long(row["grant_public_id"])),
                "certificate": _long(row["certificate"]),
                "at": _instant(row["at"], sqlite),
                "leaf_hash": hashlib.sha256(leaf).digest(),
                "commit": commit,
                "previous_commit": row["previous_commit"],
                "visible_at": _instant(row["visible_at"], sqlite),
            }
        )
    return made


def _by_row(connection: sa.Connection, some: list[dict[str, Any]]) -> dict[tuple[int, uuid.UUID], str]:
    """The public ids of grants by their rows."""
    grants = sa.table(
        "grants",
        sa.column("bucket", sa.SmallInteger),
        sa.column("id", sa.Uuid),
        sa.column("public_id", sa.String),
    )
    found = {}
    wanted = sorted({row["grant_id"] for row in some if row["grant_id"]})
    buckets = sorted({row["bucket"] for row in some})
    for begin in range(0, len(wanted), 500):
        part = wanted[begin : begin + 500]
        query = sa.select(grants).where(grants.c.id.in_(part), grants.c.bucket.in_(buckets))
        found |= {(row.bucket, row.id): row.public_id for row in connection.execute(query)}
    return found


def _profile(connection: sa.Connection, words: dict[str, Any], known: dict[bytes, int]) -> int:
    """The profile that says this; its hash is the one that the hub computes (all keys are ASCII, no floats)."""
    text = json.dumps(words, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    found = hashlib.sha256(text.encode()).digest()
    if found not in known:
        table = sa.table("access_profiles", *(sa.column(one.name, one.type) for one in _profiles()))
        connection.execute(table.insert(), {"hash": found, **words})
        known[found] = int(connection.scalar(sa.select(table.c.id).where(table.c.hash == found)) or 0)
    return known[found]


def _write_out_leaves() -> None:
    """Commitments as 88 bytes again."""
    connection = op.get_bind()
    table = sa.table("ledger_leaves", sa.column("seq", sa.BigInteger), sa.column("data", sa.LargeBinary))
    after = 0
    while True:
        rows = connection.execute(
            sa.select(table).where(table.c.seq > after).order_by(table.c.seq).limit(AT_ONCE)
        ).all()
        if not rows:
            return
        after = rows[-1].seq
        changed = [
            {"at": row.seq, "as": b'{"commit":"%b","v":1}' % bytes(row.data)[1:].hex().encode()}
            for row in rows
            if len(row.data) == 33 and bytes(row.data)[:1] == b"\x01"
        ]
        if changed:
            connection.execute(
                table.update().where(table.c.seq == sa.bindparam("at")).values(data=sa.bindparam("as")),
                changed,
            )


def _short(text: str | None) -> bytes | None:
    """0x01 || what canonical base64url spells, or else 0x00 || UTF-8."""
    if text is None:
        return None
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)
    except ValueError:
        return b"\x00" + text.encode()
    same = base64.urlsafe_b64encode(raw).rstrip(b"=").decode() == text
    return b"\x01" + raw if same else b"\x00" + text.encode()


def _long(kept: bytes | None) -> str | None:
    if kept is None:
        return None
    kept = bytes(kept)
    return (
        base64.urlsafe_b64encode(kept[1:]).rstrip(b"=").decode() if kept[:1] == b"\x01" else kept[1:].decode()
    )


def _moment(at: datetime | None, sqlite: bool) -> Any:
    if at is None or not sqlite:
        return at
    return (at.replace(tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)


def _instant(at: Any, sqlite: bool) -> datetime | None:
    if at is None or not sqlite:
        return at
    return EPOCH.replace(tzinfo=None) + timedelta(microseconds=at)

"""Column types that rest in fewer bytes than what they mean; for the tables that have a row for every look.

Values go in and come out as everywhere else. On SQLite a UUID is 16 bytes and not 32 letters, an instant one number and
not 26 letters; on both databases a random token is the bytes that its letters spell.
"""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from keys import base64url

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TICK = timedelta(microseconds=1)
_SPELT, _TEXT = b"\x01", b"\x00"


class SmallUuid(sa.types.TypeDecorator[UUID]):
    """A UUID; on SQLite its 16 bytes. Against a UUID of another table compare `as_uuid` of it."""

    impl = sa.Uuid
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> Any:
        """PostgreSQL has such a type of its own."""
        return dialect.type_descriptor(sa.LargeBinary() if dialect.name == "sqlite" else sa.Uuid())

    def process_bind_param(self, value: UUID | None, dialect: sa.Dialect) -> Any:
        """To the database."""
        return value.bytes if value is not None and dialect.name == "sqlite" else value

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> UUID | None:
        """From the database."""
        return UUID(bytes=bytes(value)) if value is not None and dialect.name == "sqlite" else value


def as_uuid(column: sa.ColumnElement[Any], dialect: str) -> sa.ColumnElement[Any]:
    """A `SmallUuid` as the other tables keep a UUID, inside of a statement."""
    return sa.type_coerce(sa.func.lower(sa.func.hex(column)), sa.Uuid()) if dialect == "sqlite" else column


class SmallInstant(sa.types.TypeDecorator[datetime]):
    """An aware UTC instant with microseconds, as `Instant`; on SQLite the microseconds since 1970."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> Any:
        """Both sort by time."""
        return dialect.type_descriptor(
            sa.BigInteger() if dialect.name == "sqlite" else sa.DateTime(timezone=True)
        )

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> Any:
        """A naive datetime is refused: nobody knows what it means."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a naive datetime has no meaning here: use hub.clock")
        return micros(value) if dialect.name == "sqlite" else value.astimezone(UTC)

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> datetime | None:
        """Aware on both databases."""
        if value is None:
            return None
        found: datetime = _EPOCH + value * _TICK if dialect.name == "sqlite" else value.astimezone(UTC)
        return found


def micros(at: datetime) -> int:
    """Whole microseconds since 1970, exactly."""
    return (at - _EPOCH) // _TICK


class Token(sa.types.TypeDecorator[str]):
    """A short text that mostly is canonical base64url: 0x01 || the bytes that it spells, or else 0x00 || UTF-8."""

    impl = sa.LargeBinary
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> bytes | None:
        """One text, one spelling: what is equal is equal in the database."""
        return None if value is None else token_bytes(value)

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> str | None:
        """The text again."""
        return None if value is None else token_text(bytes(value))


def token_bytes(text: str) -> bytes:
    """How `Token` keeps a text."""
    try:
        return _SPELT + base64url.decode(text)
    except ValueError:
        return _TEXT + text.encode()


def token_text(kept: bytes) -> str:
    """The text that `token_bytes` kept."""
    return base64url.encode(kept[1:]) if kept[:1] == _SPELT else kept[1:].decode()

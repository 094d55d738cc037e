"""Ids: UUIDv7 for rows, random tokens for everything that is shown outside, buckets for partitions."""

import base64
import hashlib
import secrets
import time
import uuid


def uuid7(millis: int | None = None) -> uuid.UUID:
    """A time-ordered row id (RFC 9562 section 5.7). Order within one millisecond is random."""
    stamp = time.time_ns() // 1_000_000 if millis is None else millis
    random = int.from_bytes(secrets.token_bytes(10)) >> 6  # 74 bits; `randbits` takes a microsecond more
    value = (stamp & (1 << 48) - 1) << 80 | 0x7 << 76 | (random >> 62) << 64 | 0b10 << 62 | random & (1 << 62) - 1
    return uuid.UUID(int=value)


def public_token(nbytes: int = 16) -> str:
    """An unguessable id for use outside the hub: base64url of `nbytes` random bytes (128 bits by default)."""
    return base64.urlsafe_b64encode(secrets.token_bytes(nbytes)).rstrip(b"=").decode()


def bucket_of(subject_id: uuid.UUID) -> int:
    """The partition of a person's or organisation's rows: SHA-256(subject id) mod 256, for ever."""
    return hashlib.sha256(subject_id.bytes).digest()[-1]

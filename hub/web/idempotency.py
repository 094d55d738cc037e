"""Idempotency-Key: the same call again gets the same answer, also when the first answer was lost on the way.

The reply is stored sealed, in the commit that did the work. Two calls at once with one key do not meet half way:
the second waits for the first to commit, and then gets its answer (409 only when that cannot be awaited).
"""

import hashlib
import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import sqlalchemy as sa
from starlette.requests import Request

from hub.errors import Conflict, Internal, Malformed, Unprocessable
from hub.store.model import idempotent_replies
from hub.store.seal import seal, unseal
from hub.store.tx import Tx

KEPT = timedelta(hours=24)
KEPT_PERSONAL = timedelta(minutes=10)
"""How long an answer with somebody's claims in it is kept (DESIGN section 3, rule 10)."""

_KEY = re.compile(r"[\x21-\x7e]{1,128}")


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer as it went out the first time."""

    status: int
    body: bytes
    grant_row: UUID | None = None


@dataclass(frozen=True, slots=True)
class Slot:
    """The place of one keyed call. `reply` is set when the call was answered before; then nothing may be done again."""

    caller: str
    key: str
    reply: Reply | None


def key_of(request: Request) -> str | None:
    """The Idempotency-Key of a call: 1 to 128 visible ASCII characters, None when absent.

    Raises Malformed `idempotency.key`.
    """
    found = request.headers.getlist("idempotency-key")
    if not found:
        return None
    if len(found) > 1 or not _KEY.fullmatch(found[0]):
        raise Malformed(
            "idempotency.key",
            "Idempotency-Key 须为 1 到 128 个可见 ASCII 字符，且只出现一次。",
            "Idempotency-Key must be 1 to 128 visible ASCII characters, once.",
        )
    return found[0]


async def enter(tx: Tx, request: Request, *, caller: str, body: bytes, kept: timedelta = KEPT) -> Slot | None:
    """Take the place of this call, or find its earlier answer; None when it has no key.

    Raises Unprocessable `idempotency.other_body` when the key came before with another request.
    """
    key = key_of(request)
    if key is None:
        return None
    digest = hashlib.sha256(f"{request.method} {request.url.path}\n".encode() + body).digest()
    table = idempotent_replies
    mine = sa.and_(table.c.caller == caller, table.c.key == key)
    await tx.run(table.delete().where(mine, table.c.expires_at <= tx.now))
    row = {
        "caller": caller,
        "key": key,
        "request_hash": digest,
        "status": 0,
        "sealed": b"",
        "expires_at": tx.now + kept,
    }
    if await tx.insert_new(table, row):  # waits here while another call with this key is under way
        return Slot(caller, key, None)
    found = await tx.first(sa.select(table).where(mine))
    if found is None or found.status == 0:
        raise Conflict(
            "idempotency.in_flight",
            "同一幂等键的请求正在处理。",
            "A request with this key is being handled.",
            next_zh="请稍后用同一个键重试。",
            next_en="Retry in a moment with the same key.",
        )
    if found.request_hash != digest:
        raise Unprocessable(
            "idempotency.other_body",
            "该幂等键已用于另一个请求。",
            "This idempotency key was used for another request.",
            next_zh="新的请求请换新的键。",
            next_en="Use a new key for a new request.",
        )
    return Slot(caller, key, Reply(found.status, _open(tx, caller, key, found.sealed), found.grant_row))


async def keep(tx: Tx, slot: Slot | None, *, status: int, body: bytes, grant_row: UUID | None = None) -> None:
    """Store the answer of a keyed call, in the commit that did the work; nothing for a call without key."""
    if slot is None:
        return
    sealed = seal(tx.vault.hub_key("idempotency"), body, bound_to=_bound(slot.caller, slot.key))
    table = idempotent_replies
    await tx.run(
        table.update()
        .where(table.c.caller == slot.caller, table.c.key == slot.key)
        .values(status=status, sealed=sealed, grant_row=grant_row)
    )


def _open(tx: Tx, caller: str, key: str, sealed: bytes) -> bytes:
    """The kept answer; also one from before the key-encryption key was changed."""
    older = [name for name in tx.vault.keks if name != tx.vault.current_kek]
    for kek in older:
        with suppress(Internal):
            return unseal(tx.vault.hub_key("idempotency", kek=kek), sealed, bound_to=_bound(caller, key))
    return unseal(tx.vault.hub_key("idempotency"), sealed, bound_to=_bound(caller, key))


async def forget_expired(tx: Tx) -> int:
    """Delete answers whose time is over; returns how many."""
    return await tx.run(idempotent_replies.delete().where(idempotent_replies.c.expires_at <= tx.now))


def _bound(caller: str, key: str) -> bytes:
    return f"idempotency\n{caller}\n{key}".encode()

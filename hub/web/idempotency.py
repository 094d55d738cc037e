"""Idempotency-Key: the same call again gets the same answer, also when the first answer was lost on the way.

The reply is stored sealed, in the commit that did the work. Two calls at once with one key do not meet half way:
the second waits for the first to commit, and then gets its answer (409 only when that cannot be awaited).
"""

import hashlib
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from starlette.requests import Request

from hub.errors import Conflict, HubError, Internal, Malformed, Unprocessable
from hub.store.base import Instant
from hub.store.model import idempotent_replies
from hub.store.seal import seal, unseal
from hub.store.statement import Statement, dialect_insert
from hub.store.tx import Tx, View

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


@dataclass(frozen=True, slots=True)
class Asked:
    """One keyed call: whose, under which key, and the hash of what is asked."""

    caller: str
    key: str
    digest: bytes

    @property
    def name(self) -> tuple[str, str]:
        """Two calls of one name are the same call, or a mistake."""
        return self.caller, self.key


def asked(request: Request, *, caller: str, body: bytes) -> Asked | None:
    """The place that a call asks for; None when it has no key. Raises Malformed `idempotency.key`."""
    key = key_of(request)
    if key is None:
        return None
    return Asked(caller, key, hashlib.sha256(f"{request.method} {request.url.path}\n".encode() + body).digest())


async def known(view: View, asked: Asked) -> bool:
    """Whether this key was used before and its time is not over; what was answered is another question."""
    table = idempotent_replies.c
    mine = (table.caller == asked.caller, table.key == asked.key, table.expires_at > view.now)
    return await view.first(sa.select(table.key).where(*mine)) is not None


def _take(dialect: str) -> sa.Executable:
    """The place is ours when it is new or its time is over. Waits while another call with this key is under way."""
    table = idempotent_replies
    values = {name: sa.bindparam(name, type_=table.c[name].type) for name in _PLACE}
    made = dialect_insert(dialect)(table).values(status=0, sealed=b"", **values)
    fresh = {name: made.excluded[name] for name in ("request_hash", "status", "sealed", "expires_at", "grant_row")}
    done: sa.Executable = made.on_conflict_do_update(
        index_elements=[table.c.caller, table.c.key],
        set_=fresh,
        where=table.c.expires_at <= sa.bindparam("now", type_=Instant),
    ).returning(table.c.caller, table.c.key)
    return done


def _mine() -> sa.ColumnElement[bool]:
    table = idempotent_replies.c
    return sa.and_(table.caller == sa.bindparam("whose"), table.key == sa.bindparam("named"))


def _fill(_: str) -> sa.Executable:
    table = idempotent_replies
    names = ("status", "sealed", "grant_row")
    values = {name: sa.bindparam(f"new_{name}", type_=table.c[name].type) for name in names}
    return table.update().where(_mine()).values(values)


_PLACE = ("caller", "key", "request_hash", "expires_at")
TAKE = Statement(_take)
FOUND = Statement(lambda _: sa.select(*idempotent_replies.c).where(_mine()))
FILL = Statement(_fill, unique=("whose", "named"))


async def enter(tx: Tx, request: Request, *, caller: str, body: bytes, kept: timedelta = KEPT) -> Slot | None:
    """Take the place of this call, or find its earlier answer; None when it has no key.

    Raises Unprocessable `idempotency.other_body` when the key came before with another request.
    """
    place = asked(request, caller=caller, body=body)
    if place is None:
        return None
    slot = (await enter_all(tx, [place], kept=kept))[0]
    if isinstance(slot, HubError):
        raise slot
    return slot


async def enter_all(tx: Tx, places: Sequence[Asked], *, kept: timedelta = KEPT) -> list[Slot | HubError]:
    """As `enter`, for calls of different names; in the order of their names, so that no two callers deadlock."""
    rows = await tx.each(
        TAKE,
        [
            {
                "caller": one.caller,
                "key": one.key,
                "request_hash": one.digest,
                "expires_at": tx.now + kept,
                "now": tx.now,
            }
            for one in sorted(places, key=lambda one: one.name)
        ],
    )
    ours = {(row.caller, row.key) for row in rows}
    others = [{"whose": one.caller, "named": one.key} for one in places if one.name not in ours]
    found = {(row.caller, row.key): row for row in await tx.each(FOUND, others)}
    return [
        Slot(one.caller, one.key, None) if one.name in ours else _earlier(tx, one, found.get(one.name))
        for one in places
    ]


def _earlier(tx: Tx, place: Asked, found: Any) -> Slot | HubError:
    if found is None or found.status == 0:
        return Conflict(
            "idempotency.in_flight",
            "同一幂等键的请求正在处理。",
            "A request with this key is being handled.",
            next_zh="请稍后用同一个键重试。",
            next_en="Retry in a moment with the same key.",
        )
    if found.request_hash != place.digest:
        return Unprocessable(
            "idempotency.other_body",
            "该幂等键已用于另一个请求。",
            "This idempotency key was used for another request.",
            next_zh="新的请求请换新的键。",
            next_en="Use a new key for a new request.",
        )
    body = _open(tx, place.caller, place.key, found.sealed)
    return Slot(place.caller, place.key, Reply(found.status, body, found.grant_row))


async def keep(tx: Tx, slot: Slot | None, *, status: int, body: bytes, grant_row: UUID | None = None) -> None:
    """Store the answer of a keyed call, in the commit that did the work; nothing for a call without key."""
    if slot is not None:
        await keep_all(tx, [(slot, Reply(status, body, grant_row))])


async def keep_all(tx: Tx, answers: Sequence[tuple[Slot, Reply]]) -> None:
    """Store the answers of keyed calls."""
    key = tx.vault.hub_key("idempotency")
    rows = [
        {
            "whose": slot.caller,
            "named": slot.key,
            "new_status": reply.status,
            "new_sealed": seal(key, reply.body, bound_to=_bound(slot.caller, slot.key)),
            "new_grant_row": reply.grant_row,
        }
        for slot, reply in answers
    ]
    await tx.each(FILL, rows)


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

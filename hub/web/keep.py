"""Keeps a verdict for ten minutes, sealed, so that reloading the counter page does not take another use.

The same table as idempotent replies, and so with the same end: withdrawing the grant deletes what was made under it.
"""

import hashlib
import json
from datetime import timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from hub.store.model import idempotent_replies
from hub.store.seal import seal, unseal
from hub.store.tx import Tx, View

LIVES = timedelta(minutes=10)
PURPOSE = "counter.verdict"


async def keep(tx: Tx, *, key: str, value: Any, grant: UUID) -> None:
    """Keep `value` (JSON) for the acting officer under `key`, replacing what was there."""
    caller = tx.actor.reference()
    await tx.run(idempotent_replies.delete().where(_is(caller, key)))
    await tx.insert(
        idempotent_replies,
        {
            "caller": caller,
            "key": _digest(key),
            "request_hash": hashlib.sha256(key.encode()).digest(),
            "status": 200,
            "sealed": seal(
                tx.vault.hub_key(PURPOSE), json.dumps(value, ensure_ascii=False).encode(), bound_to=_bound(caller, key)
            ),
            "grant_row": grant,
            "expires_at": tx.now + LIVES,
        },
    )


async def kept(view: View, *, key: str) -> Any | None:
    """What the acting officer kept under `key` less than ten minutes ago, else None."""
    caller = view.actor.reference()
    sealed = await view.value(
        sa.select(idempotent_replies.c.sealed).where(_is(caller, key), idempotent_replies.c.expires_at > view.now)
    )
    if sealed is None:
        return None
    return json.loads(unseal(view.vault.hub_key(PURPOSE), sealed, bound_to=_bound(caller, key)))


def _is(caller: str, key: str) -> sa.ColumnElement[bool]:
    return sa.and_(idempotent_replies.c.caller == caller, idempotent_replies.c.key == _digest(key))


def _digest(key: str) -> str:
    return "counter:" + hashlib.sha256(key.encode()).hexdigest()


def _bound(caller: str, key: str) -> bytes:
    return f"{caller}\x00{key}".encode()

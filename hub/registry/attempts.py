"""A browser on its way to an identity provider and back: one row for each try, good for ten minutes, spent once."""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from hub.errors import Gone
from hub.ids import public_token
from hub.registry.model import login_attempts
from hub.store.tx import Tx

LIVES = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Attempt:
    """A try that came back: where to go on to, when it began, and the session that proves itself anew (or None)."""

    following: str
    started_at: datetime
    session_hash: bytes | None


async def begin(
    tx: Tx, *, provider: str, browser: str, following: str, session_hash: bytes | None = None
) -> str:
    """Begin a try in this browser; returns its `state` (RFC 6749 section 4.1.1), which only the browser keeps."""
    state = public_token(32)
    await tx.insert(
        login_attempts,
        {
            "state_hash": _hash(state),
            "provider": provider,
            "browser": _hash(browser),
            "following": following[:400],
            "session_hash": session_hash,
            "started_at": tx.now,
            "expires_at": tx.now + LIVES,
        },
    )
    return state


async def spend(tx: Tx, *, state: str, provider: str, browser: str) -> Attempt:
    """The try of this `state`, once, in the browser that began it and at the provider it was sent to.

    Gone `login.attempt`, alike for an unknown, late or spent one, another browser's, and another provider's (mix-up).
    """
    table = login_attempts.c
    row = (
        await tx.conn.execute(
            login_attempts.update()
            .where(
                table.state_hash == _hash(state),
                table.provider == provider,
                table.browser == _hash(browser),
                table.expires_at > tx.now,
                table.used_at.is_(None),
            )
            .values(used_at=tx.now)
            .returning(login_attempts)
        )
    ).first()
    if row is None:
        raise Gone(
            "login.attempt",
            "这次登录已过期、已用过，或不是在这个浏览器里开始的。",
            "This sign-in has expired, was used, or began in another browser.",
            next_zh="请回到登录页重新登录。",
            next_en="Begin again at the sign-in page.",
        )
    return Attempt(row.following, row.started_at, row.session_hash)


async def forget_expired(tx: Tx) -> int:
    """Delete tries whose ten minutes are over; how many."""
    return await tx.run(sa.delete(login_attempts).where(login_attempts.c.expires_at < tx.now))


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()

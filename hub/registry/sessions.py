"""Sign-in sessions of citizens and officers. The cookie holds a random token; only its hash is stored."""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from hub.actor import Actor, ActorKind
from hub.ids import public_token
from hub.registry import officers as officers_room
from hub.registry.model import sessions
from hub.store.tx import Tx, View

IDLE = timedelta(hours=8)
ABSOLUTE = timedelta(hours=20)
RENEW_AFTER = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Session:
    """A sign-in that stands. `csrf` goes into every form; `renew` says that `touch` is due."""

    kind: ActorKind
    subject_id: UUID | None
    officer_id: UUID | None
    assurance: str
    csrf: str
    created_at: datetime
    expires_at: datetime
    renew: bool


@dataclass(frozen=True, slots=True)
class OpenedSession:
    """A new session; `token` is shown to the browser once."""

    token: str
    session: Session


async def open_session(
    tx: Tx, *, assurance: str, subject_id: UUID | None = None, officer_id: UUID | None = None
) -> OpenedSession:
    """Start a session for one citizen or one officer (exactly one is given; ValueError otherwise).

    It ends 8 hours after the last use and 20 hours after sign-in, whichever comes first.
    """
    if (subject_id is None) == (officer_id is None):
        raise ValueError("a session belongs to one citizen or one officer")
    token, csrf = public_token(32), public_token()
    kind = ActorKind.CITIZEN if officer_id is None else ActorKind.OFFICER
    session = Session(
        kind,
        subject_id,
        officer_id,
        assurance,
        csrf,
        tx.now,
        min(tx.now + IDLE, tx.now + ABSOLUTE),
        renew=False,
    )
    await tx.insert(
        sessions,
        {
            "token_hash": _hash(token),
            "kind": kind,
            "subject_id": subject_id,
            "officer_id": officer_id,
            "assurance": assurance,
            "csrf": csrf,
            "created_at": session.created_at,
            "expires_at": session.expires_at,
        },
    )
    return OpenedSession(token, session)


async def lookup(view: View, *, token: str) -> Session | None:
    """The session of a token while it stands; None for an unknown, ended or expired one."""
    row = await view.first(
        sa.select(sessions).where(
            sessions.c.token_hash == _hash(token),
            sessions.c.ended_at.is_(None),
            sessions.c.expires_at > view.now,
            sessions.c.created_at > view.now - ABSOLUTE,
        )
    )
    return None if row is None else _session(row, view.now)


async def touch(tx: Tx, *, token: str) -> bool:
    """Note that a standing session was used: 8 more hours, never past 20 hours in all. False: it does not stand."""
    standing = await lookup(tx, token=token)
    if standing is None:
        return False
    until = min(tx.now + IDLE, standing.created_at + ABSOLUTE)
    updated = await tx.run(
        sessions.update()
        .where(sessions.c.token_hash == _hash(token), sessions.c.ended_at.is_(None))
        .values(expires_at=until)
    )
    return updated == 1


async def end(tx: Tx, *, token: str) -> None:
    """Sign out. Ending an unknown or ended session changes nothing."""
    await tx.run(
        sessions.update()
        .where(sessions.c.token_hash == _hash(token), sessions.c.ended_at.is_(None))
        .values(ended_at=tx.now)
    )


async def actor_of(view: View, session: Session) -> Actor | None:
    """Who acts in this session, with the roles that count now; None once the officer was disabled."""
    if session.officer_id is None:
        return Actor(ActorKind.CITIZEN, subject_id=session.subject_id)
    officer = await officers_room.get(view, session.officer_id)
    if not officer.active:
        return None
    return Actor(
        ActorKind.OFFICER,
        department=officer.department,
        officer_id=officer.id,
        roles=await officers_room.roles_of(view, officer.id),
    )


def _session(row: sa.Row[Any], now: datetime) -> Session:
    kind = ActorKind(row.kind)
    due = row.expires_at - now < IDLE - RENEW_AFTER and row.expires_at < row.created_at + ABSOLUTE
    return Session(
        kind,
        row.subject_id,
        row.officer_id,
        row.assurance,
        row.csrf,
        row.created_at,
        row.expires_at,
        renew=due,
    )


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()

"""Sign-in sessions of citizens and officers. The cookie holds a random token; only its hash is stored."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from hub.actor import Actor, ActorKind
from hub.errors import NotFound
from hub.ids import public_token
from hub.registry import officers as officers_room
from hub.registry.model import sessions
from hub.store.tx import Tx, View


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a session lives unused, and how long at most."""

    idle: timedelta
    absolute: timedelta


LIMITS = {
    ActorKind.CITIZEN: Limits(timedelta(hours=8), timedelta(hours=20)),
    ActorKind.OFFICER: Limits(timedelta(hours=1), timedelta(hours=12)),  # a desk in an office: a lunch, a day
}
RENEW_AFTER = timedelta(minutes=5)
FRESH = timedelta(minutes=10)
"""How long after somebody proved who they are a dangerous act is theirs without a further proof."""


@dataclass(frozen=True, slots=True)
class Through:
    """How somebody got in. `provider` None: by a one-time link. `account` and `provider_session` are HMACs."""

    provider: str | None = None
    account: bytes | None = None
    provider_session: bytes | None = None
    acr: str | None = None
    amr: tuple[str, ...] = ()
    proved_at: datetime | None = None
    device: str = ""


@dataclass(frozen=True, slots=True)
class Session:
    """A sign-in that stands. `csrf` goes into every form; `renew` says that `touch` is due."""

    public_id: str
    kind: ActorKind
    subject_id: UUID | None
    officer_id: UUID | None
    assurance: str
    provider: str | None
    proved_at: datetime
    csrf: str
    created_at: datetime
    expires_at: datetime
    renew: bool
    amr: tuple[str, ...] = field(default=())

    def fresh(self, now: datetime) -> bool:
        """Whether the person proved who they are within the last ten minutes."""
        return self.proved_at > now - FRESH


@dataclass(frozen=True, slots=True)
class OpenedSession:
    """A new session; `token` is shown to the browser once."""

    token: str
    session: Session


@dataclass(frozen=True, slots=True)
class Device:
    """One place where somebody is signed in, as they see it on their list."""

    public_id: str
    device: str
    provider: str | None
    created_at: datetime
    seen_at: datetime


async def open_session(
    tx: Tx,
    *,
    assurance: str,
    subject_id: UUID | None = None,
    officer_id: UUID | None = None,
    through: Through | None = None,
) -> OpenedSession:
    """Start a session for one citizen or one officer (exactly one is given; ValueError otherwise).

    A citizen's ends 8 hours after the last use and 20 hours after sign-in, an officer's after 1 hour and 12 hours,
    whichever comes first.
    """
    if (subject_id is None) == (officer_id is None):
        raise ValueError("a session belongs to one citizen or one officer")
    how = through or Through()
    token = public_token(32)
    kind = ActorKind.CITIZEN if officer_id is None else ActorKind.OFFICER
    row = {
        "token_hash": token_hash(token),
        "public_id": public_token(),
        "kind": kind,
        "subject_id": subject_id,
        "officer_id": officer_id,
        "assurance": assurance,
        "provider": how.provider,
        "account": how.account,
        "provider_session": how.provider_session,
        "acr": how.acr,
        "amr": list(how.amr),
        "proved_at": how.proved_at or tx.now,
        "device": how.device[:48],
        "csrf": public_token(),
        "created_at": tx.now,
        "seen_at": tx.now,
        "expires_at": tx.now + LIMITS[kind].idle,
    }
    await tx.insert(sessions, row)
    made = await lookup(tx, token=token)
    assert made is not None  # noqa: S101 - written a moment ago in this transaction
    return OpenedSession(token, made)


async def lookup(view: View, *, token: str) -> Session | None:
    """The session of a token while it stands; None for an unknown, ended or expired one."""
    row = await view.first(sa.select(sessions).where(sessions.c.token_hash == token_hash(token), *_stands(view.now)))
    if row is None or row.created_at <= view.now - LIMITS[ActorKind(row.kind)].absolute:
        return None
    return _session(row, view.now)


async def touch(tx: Tx, *, token: str) -> bool:
    """Note that a standing session was used, within its limits. False: it does not stand."""
    standing = await lookup(tx, token=token)
    if standing is None:
        return False
    limits = LIMITS[standing.kind]
    until = min(tx.now + limits.idle, standing.created_at + limits.absolute)
    updated = await tx.run(
        sessions.update()
        .where(sessions.c.token_hash == token_hash(token), sessions.c.ended_at.is_(None))
        .values(expires_at=until, seen_at=tx.now)
    )
    return updated == 1


async def prove_again(tx: Tx, *, session_hash: bytes, how: Through, assurance: str) -> str | None:
    """The person proved anew who they are: the session gets a new token, form token and time. None: it does not stand.

    The old token is worth nothing from now on, whoever may have it.
    """
    token = public_token(32)
    done = await tx.run(
        sessions.update()
        .where(sessions.c.token_hash == session_hash, *_stands(tx.now))
        .values(
            token_hash=token_hash(token),
            csrf=public_token(),
            proved_at=how.proved_at or tx.now,
            acr=how.acr,
            amr=list(how.amr),
            assurance=assurance,
            seen_at=tx.now,
        )
    )
    return token if done else None


async def end(tx: Tx, *, token: str) -> None:
    """Sign out. Ending an unknown or ended session changes nothing."""
    await _end(tx, sessions.c.token_hash == token_hash(token))


async def devices(view: View) -> list[Device]:
    """Where the acting citizen or officer is signed in now, the last used first."""
    rows = await view.all(
        sa.select(sessions).where(_mine(view.actor), *_stands(view.now)).order_by(sessions.c.seen_at.desc())
    )
    return [
        Device(row.public_id, row.device, row.provider, row.created_at, row.seen_at)
        for row in rows
        if row.created_at > view.now - LIMITS[ActorKind(row.kind)].absolute
    ]


async def end_one(tx: Tx, *, public_id: str) -> None:
    """Sign one of one's own devices out. NotFound `session.unknown`, also for another's."""
    if not await _end(tx, _mine(tx.actor), sessions.c.public_id == public_id):
        raise NotFound("session.unknown", "没有这个登录。", "There is no such sign-in.")


async def end_all(tx: Tx) -> int:
    """Sign the acting person out everywhere, here too; how many sessions ended."""
    return await _end(tx, _mine(tx.actor))


async def end_of_account(
    tx: Tx, *, provider: str, account: bytes | None = None, provider_session: bytes | None = None
) -> int:
    """What a provider's back-channel logout ends: the sessions of its account, or of one session there; how many."""
    table = sessions.c
    wanted: list[sa.ColumnElement[bool]] = [table.provider == provider]
    if account is not None:
        wanted.append(table.account == account)
    if provider_session is not None:
        wanted.append(table.provider_session == provider_session)
    if len(wanted) == 1:
        raise ValueError("an account or a session of the provider")
    return await _end(tx, *wanted)


async def forget_ended(tx: Tx) -> int:
    """Delete sessions that ended or ran out a day ago; how many."""
    long_ago = tx.now - timedelta(days=1)
    return await tx.run(
        sessions.delete().where(sa.or_(sessions.c.ended_at < long_ago, sessions.c.expires_at < long_ago))
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


def token_hash(token: str) -> bytes:
    """How a token rests."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def _mine(actor: Actor) -> sa.ColumnElement[bool]:
    if actor.officer_id is not None:
        return sessions.c.officer_id == actor.officer_id
    return sessions.c.subject_id == actor.subject_id


def _stands(now: datetime) -> Sequence[sa.ColumnElement[bool]]:
    return sessions.c.ended_at.is_(None), sessions.c.expires_at > now


async def _end(tx: Tx, *wanted: sa.ColumnElement[bool]) -> int:
    return await tx.run(sessions.update().where(*wanted, sessions.c.ended_at.is_(None)).values(ended_at=tx.now))


def _session(row: sa.Row[Any], now: datetime) -> Session:
    kind = ActorKind(row.kind)
    limits = LIMITS[kind]
    due = row.expires_at - now < limits.idle - RENEW_AFTER and row.expires_at < row.created_at + limits.absolute
    return Session(
        row.public_id,
        kind,
        row.subject_id,
        row.officer_id,
        row.assurance,
        row.provider,
        row.proved_at,
        row.csrf,
        row.created_at,
        row.expires_at,
        renew=due,
        amr=tuple(row.amr or ()),
    )

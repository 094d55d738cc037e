"""Sends what waits: taken under a lease, tried, written down; tried again later with the same id until it is given up.

1. A deliverer takes what is due, a few at a time, and nobody else takes it while the lease lasts: `SKIP LOCKED` on
PostgreSQL, the one writer on SQLite. 2. Whether it may still go out is asked afresh: the person's key stands, the
contact too, it is not silenced, not within quiet hours. 3. It is tried outside any transaction. 4. What became of it is
written down, if the lease is still ours. A process that dies between 1 and 4 leaves a lease that ends: then it is sent
again. So everything is sent at least once, and whoever is called knows a repetition by its id.
"""

import asyncio
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol
from uuid import UUID, uuid4

import sqlalchemy as sa
import structlog

from hub.actor import SYSTEM
from hub.consent.model import RequestState, consent_requests
from hub.errors import HubError, NotFound
from hub.formats.contacts import mask_contact
from hub.notices.contacts import CONTACT_BOUND
from hub.notices.message import Attempt, Message, Transport
from hub.notices.model import (
    Channel,
    DeliveryState,
    NoticeKind,
    Purpose,
    contacts,
    deliveries,
    notices,
)
from hub.notices.wishes import wishes_of
from hub.notices.words import code_message, message, subject_line
from hub.registry import departments
from hub.store.seal import WRAPPED, unseal
from hub.store.tx import Database, Tx, View

LEASE = timedelta(minutes=2)
"""Longer than any attempt takes."""
AT_ONCE = 16
KEPT = timedelta(days=90)
"""So long it can be seen how a message was sent."""
RETRIES = (5, 30, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""Seconds before each further attempt, as Standard Webhooks proposes; a tenth of chance is added."""

log = structlog.get_logger()

OnEnd = Callable[[str, str], None]
"""Called with channel and result: sent, failed, dead, dropped."""


class Events(Protocol):
    """Delivers events to endpoints of departments (`hub.notices.webhooks`)."""

    async def find(self, view: View, row: Any) -> Any | None:
        """The endpoint of a delivery; None when it is not to be called."""
        ...

    async def send(self, endpoint: Any, row: Any, now: datetime) -> Attempt:
        """Try one delivery once, outside any transaction."""
        ...

    async def heard(self, tx: Tx, row: Any, attempt: Attempt) -> bool:
        """Remember how the endpoint does; True when that ends it."""
        ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """What becomes of a delivery: sent, again at `due_at`, or over."""

    state: DeliveryState
    fault: str | None = None
    due_at: datetime | None = None
    counted: bool = True


class Deliverer:
    """One process's hand at the outbox. Any number may work beside each other."""

    def __init__(
        self,
        db: Database,
        *,
        transports: Mapping[Channel, Transport],
        events: Events,
        brand: str,
        on_end: OnEnd = lambda channel, result: None,
    ) -> None:
        self._db = db
        self._transports = transports
        self._events = events
        self._brand = brand
        self._on_end = on_end

    async def step(self) -> int:
        """Take what is due, try it, and write down what became of it; how many were taken. Raises HubError."""
        lease = uuid4()
        async with self._db.tx(SYSTEM) as tx:
            rows = await take(tx, lease=lease)
        await asyncio.gather(*(self._deliver(row, lease) for row in rows))
        return len(rows)

    async def _deliver(self, row: Any, lease: UUID) -> None:
        attempt, outcome = None, self._unfit(row)
        if outcome is None:
            try:
                attempt, outcome = await self._attempt(row)
            except HubError:
                raise  # the database is away: the lease ends, and it is tried again
            except Exception as fault:  # a fault of ours in one message must not hold up the others
                log.error("notice.attempt_failed", message=row.public_id, fault=type(fault).__name__)
                attempt = Attempt(sent=False, fault="delivery.failed")
                outcome = self._after(row, attempt)
        async with self._db.tx(SYSTEM) as tx:
            event = attempt if row.purpose == Purpose.EVENT else None
            if event is not None and await self._events.heard(tx, row, event):
                outcome = Outcome(DeliveryState.DEAD, event.fault)
            if await write_down(tx, row, lease, outcome):
                again = outcome.state is DeliveryState.WAITING
                self._on_end(row.channel, "failed" if again and outcome.counted else str(outcome.state))

    def _unfit(self, row: Any) -> Outcome | None:
        """Given up because its time is over; None when it may be tried."""
        if row.expires_at <= self._db.clock():
            return Outcome(DeliveryState.DEAD, row.fault or "delivery.expired")
        return None

    async def _attempt(self, row: Any) -> tuple[Attempt | None, Outcome]:
        if row.purpose == Purpose.EVENT:
            async with self._db.view(SYSTEM) as view:
                endpoint = await self._events.find(view, row)
            if endpoint is None:
                return None, Outcome(DeliveryState.DEAD, "webhook.off")
            attempt = await self._events.send(endpoint, row, self._db.clock())
            return attempt, self._after(row, attempt)
        async with self._db.view(SYSTEM) as view:
            made = await self._message(view, row)
        if isinstance(made, Outcome):
            return None, made
        transport = self._transports.get(Channel(row.channel))
        attempt = await transport.send(made) if transport else Attempt(sent=False, fault="delivery.no_transport")
        log.info(
            "notice.attempt", channel=row.channel, message=row.public_id, to=mask_contact(made.to),
            attempt=row.attempts, fault=attempt.fault,
        )  # fmt: skip
        return attempt, self._after(row, attempt)

    def _after(self, row: Any, attempt: Attempt) -> Outcome:
        if attempt.sent:
            return Outcome(DeliveryState.SENT)
        if attempt.for_good or row.attempts > len(RETRIES):
            return Outcome(DeliveryState.DEAD, attempt.fault)
        wait = max(RETRIES[row.attempts - 1], attempt.after or 0)
        later = timedelta(seconds=wait * (1 + secrets.randbelow(100) / 1000))
        return Outcome(DeliveryState.WAITING, attempt.fault, self._db.clock() + later)

    async def _message(self, view: View, row: Any) -> Message | Outcome:
        """The message as it goes out now, or why it does not: nobody to tell, or not at this hour."""
        kept = await view.each(WRAPPED, [{"bucket_of": row.bucket, "subject": row.subject_id}])  # never from memory
        if not kept or kept[0].wrapped is None:
            return Outcome(DeliveryState.DROPPED, "subject.erased")
        key = view.vault.unwrap(row.subject_id, kept[0].wrapped, kept[0].kek)
        contact = await view.first(
            sa.select(contacts).where(contacts.c.bucket == row.bucket, contacts.c.id == row.contact_id)
        )
        if contact is None or contact.sealed is None:
            return Outcome(DeliveryState.DROPPED, "contact.removed")
        to = unseal(key, contact.sealed, bound_to=CONTACT_BOUND + contact.id.bytes).decode()
        wishes = (await wishes_of(view, [row.subject_id]))[row.subject_id]
        if row.purpose == Purpose.CODE:
            code = unseal(key, row.payload, bound_to=row.id.bytes).decode()
            text, subject = code_message(code, wishes.language, brand=self._brand), None
        else:
            notice = await view.first(
                sa.select(notices).where(notices.c.bucket == row.bucket, notices.c.id == row.notice_id)
            )
            if notice is None or not wishes.wants(NoticeKind(notice.kind)):
                return Outcome(DeliveryState.DROPPED, "notice.silenced")
            if notice.kind == NoticeKind.ASKED and not await _still_asked(view, notice.ref):
                return Outcome(DeliveryState.DROPPED, "request.over")
            if (earliest := wishes.earliest(max(view.now, notice.shown_from))) > view.now:
                return Outcome(DeliveryState.WAITING, row.fault, earliest, counted=False)
            subject = NoticeKind(notice.kind)
            office = await office_name(view, notice.facts.get("department"), wishes.language)
            text = message(
                subject, wishes.language, brand=self._brand, office=office, about=notice.about is not None
            )
        line = subject_line(subject, wishes.language, brand=self._brand)
        return Message(row.public_id, to, line, text, wishes.language, row.created_at)


async def _still_asked(view: View, public_id: str) -> bool:
    """Whether somebody still waits for an answer; else the message would only puzzle."""
    table = consent_requests.c
    found = await view.value(
        sa.select(table.id).where(
            table.public_id == public_id, table.state == RequestState.PENDING, table.expires_at > view.now
        )
    )
    return found is not None


async def take(tx: Tx, *, lease: UUID, limit: int = AT_ONCE) -> list[Any]:
    """What is due and nobody has, the longest waiting first; each counts as one more attempt."""
    table = deliveries.c
    due = (
        sa.select(table.id)
        .where(
            table.state == DeliveryState.WAITING,
            table.due_at <= tx.now,
            sa.or_(table.lease_until.is_(None), table.lease_until <= tx.now),
        )
        .order_by(table.due_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    taken = (
        deliveries.update()
        .where(table.id.in_(due))
        .values(lease=lease, lease_until=tx.now + LEASE, attempts=table.attempts + 1)
        .returning(deliveries)
    )
    return list((await tx.conn.execute(taken)).all())


async def write_down(tx: Tx, row: Any, lease: UUID, outcome: Outcome) -> bool:
    """Keep what became of a delivery; False when the lease went to somebody else meanwhile."""
    over = outcome.state is not DeliveryState.WAITING
    values: dict[str, Any] = {
        "state": outcome.state,
        "fault": outcome.fault,
        "lease": None,
        "lease_until": None,
        "ended_at": tx.now if over else None,
    }
    if outcome.due_at is not None:
        values["due_at"] = outcome.due_at
    if not outcome.counted:
        values["attempts"] = deliveries.c.attempts - 1
    if over and row.purpose == Purpose.CODE:
        values["payload"] = None
    mine = sa.and_(
        deliveries.c.id == row.id, deliveries.c.lease == lease, deliveries.c.state == DeliveryState.WAITING
    )
    return await tx.run(deliveries.update().where(mine).values(**values)) == 1


async def forget_ended(tx: Tx, *, most: int = 5000) -> int:
    """Delete deliveries that ended long ago, some at a time; the notices themselves stay in the wallet."""
    table = deliveries.c
    ended = (DeliveryState.SENT, DeliveryState.DEAD, DeliveryState.DROPPED)
    old = sa.select(table.id).where(table.state.in_(ended), table.ended_at < tx.now - KEPT).limit(most)
    return await tx.run(deliveries.delete().where(table.id.in_(old)))


async def office_name(view: View, slug: str | None, language: str) -> str:
    """What a department is called, in a language; its slug when it is not known."""
    try:
        return (await departments.get(view, slug or "")).name(language)
    except NotFound:
        return slug or ""

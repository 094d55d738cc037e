"""Whom to tell, and how: notices and what goes out of them are written down in the commit that takes the happening.

So a notice is there once for each thing that happened, whatever dies in between; sending comes after (`deliver.py`).
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any, NamedTuple
from uuid import UUID

import orjson
import sqlalchemy as sa

from hub.ids import bucket_of, public_token, uuid7
from hub.notices.happenings import Types, next_happenings
from hub.notices.looks import Read, take_looks
from hub.notices.model import (
    LOUD,
    Channel,
    DeliveryState,
    EndpointState,
    Purpose,
    contacts,
    deliveries,
    notices,
    webhook_endpoints,
)
from hub.notices.told import Event, Told
from hub.notices.wishes import wishes_of
from hub.store.lookup import Lookup
from hub.store.statement import insert
from hub.store.tx import Tx

NOTICE_LIVES = timedelta(days=3)
"""So long a notice is tried. A request is tried until it expires: after that nobody can decide it any more."""
EVENT_LIVES = timedelta(days=4)
"""So long an event is tried; the schedule of retries fits in."""

NEW_NOTICES = insert(
    notices,
    only=[column.name for column in notices.c if column.name != "read_at"],
    unless_there=True,
    returning=("id",),
)
CONTACTS = Lookup(
    lambda _: sa.select(contacts.c.id, contacts.c.subject_id, contacts.c.channel).where(
        contacts.c.verified_at.is_not(None), contacts.c.removed_at.is_(None)
    ),
    contacts.c.bucket,
    contacts.c.subject_id,
)
DELIVERY = insert(deliveries)


class Taken(NamedTuple):
    """How much was taken up, entries of the outbox and leaves of the ledger, and how many messages come of it."""

    entries: int = 0
    leaves: int = 0
    deliveries: int = 0


async def derive(tx: Tx, *, types: Types, looks: Read | None = None, happened: bool = True) -> Taken:
    """Turn what happened, and `looks` if they were read, into notices and deliveries, some at a time. Safe beside
    others. `happened`: whether there is anything in the outbox."""
    entries, told = await next_happenings(tx, types=types) if happened else (0, [])
    people, through = [one for one in told if isinstance(one, Told)], 0
    if looks is not None and await take_looks(tx, looks):
        people += looks.told
        through = looks.end - looks.start
    going = await write_notices(tx, people)
    going += await _events(tx, [one for one in told if isinstance(one, Event)])
    return Taken(entries, through, going)


async def write_notices(tx: Tx, told: Sequence[Told]) -> int:
    """In the order of their keys, so that two processes never wait for each other in a circle. How many messages to
    contacts come of them."""
    ordered = sorted(((one.subject_id, one.digest, one) for one in told), key=itemgetter(0, 1))
    rows = {uuid7(): one for *_, one in ordered}
    new = [_notice(key, one, digest) for key, (_, digest, one) in zip(rows, ordered, strict=True)]
    made = {row.id for row in await tx.each(NEW_NOTICES, new)}
    loud = {key: one for key, one in rows.items() if key in made and one.kind in LOUD}
    reached = await _contacts(tx, {one.subject_id for one in loud.values()})
    wishes = await wishes_of(tx, reached)
    out = []
    for key, one in loud.items():
        if one.subject_id not in reached or not (wish := wishes[one.subject_id]).wants(one.kind):
            continue
        shown = max(tx.now, one.shown_from or one.at)
        until = one.until or shown + NOTICE_LIVES
        for contact in reached[one.subject_id]:
            out.append(
                delivery(
                    tx.now, channel=contact.channel, purpose=Purpose.NOTICE, subject_id=one.subject_id,
                    notice_id=key, contact_id=contact.id, due_at=wish.earliest(shown), expires_at=until,
                )
            )  # fmt: skip
    await tx.each(DELIVERY, out)
    return len(out)


async def _contacts(tx: Tx, people: set[UUID]) -> dict[UUID, list[Any]]:
    found: dict[UUID, list[Any]] = {}
    for row in await CONTACTS.rows(tx, [(bucket_of(one), one) for one in people]):
        found.setdefault(row.subject_id, []).append(row)
    return found


async def _events(tx: Tx, events: Sequence[Event]) -> int:
    if not events:
        return 0
    table = webhook_endpoints.c
    rows = await tx.all(
        sa.select(webhook_endpoints).where(
            table.department.in_({one.department for one in events}), table.state == EndpointState.ACTIVE
        )
    )
    out = [
        event_delivery(tx.now, one, endpoint.id)
        for one in events
        for endpoint in rows
        if endpoint.department == one.department and one.type in endpoint.events
    ]
    await tx.each(DELIVERY, out)
    return len(out)


def event_delivery(now: datetime, event: Event, endpoint: UUID) -> dict[str, Any]:
    """An event on its way to one endpoint: type, time, and for which department, as it is signed later."""
    said = {
        "type": event.type,
        "timestamp": event.at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "department": event.department,
        "data": event.data,
    }
    return delivery(
        now, channel=Channel.WEBHOOK, purpose=Purpose.EVENT, endpoint_id=endpoint, due_at=now,
        expires_at=now + EVENT_LIVES, payload=orjson.dumps(said),
    )  # fmt: skip


def delivery(
    now: datetime,
    *,
    channel: str,
    purpose: Purpose,
    due_at: datetime,
    expires_at: datetime,
    subject_id: UUID | None = None,
    notice_id: UUID | None = None,
    contact_id: UUID | None = None,
    endpoint_id: UUID | None = None,
    payload: bytes | None = None,
) -> dict[str, Any]:
    """A row of `deliveries` that waits for its first attempt."""
    return {
        "id": uuid7(),
        "public_id": f"msg_{public_token()}",
        "channel": channel,
        "purpose": purpose,
        "bucket": None if subject_id is None else bucket_of(subject_id),
        "subject_id": subject_id,
        "notice_id": notice_id,
        "contact_id": contact_id,
        "endpoint_id": endpoint_id,
        "payload": payload,
        "state": DeliveryState.WAITING,
        "attempts": 0,
        "due_at": due_at,
        "expires_at": expires_at,
        "lease": None,
        "lease_until": None,
        "fault": None,
        "created_at": now,
        "ended_at": None,
    }


def _notice(key: UUID, one: Told, digest: bytes) -> dict[str, Any]:
    return {
        "bucket": bucket_of(one.subject_id),
        "id": key,
        "public_id": public_token(),
        "subject_id": one.subject_id,
        "about": one.about,
        "kind": one.kind,
        "source": digest,
        "ref": one.ref,
        "facts": one.facts,
        "at": one.at,
        "shown_from": one.shown_from or one.at,
    }

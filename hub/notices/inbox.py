"""A person's messages in the wallet, and how a request of a department reached its person."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from hub.ids import bucket_of
from hub.notices.model import Channel, DeliveryState, NoticeKind, deliveries, notices
from hub.store.tx import Tx, View

COUNTED = 99
"""Unread messages are counted so far; beyond it is simply many."""


@dataclass(frozen=True, slots=True)
class Notice:
    """One message. `about_other`: it is about somebody whom its reader acts for. `ref`: what it leads to."""

    public_id: str
    kind: NoticeKind
    about_other: bool
    ref: str | None
    facts: dict[str, Any]
    at: datetime
    read: bool


async def newest(view: View, *, subject_id: UUID, before: str = "", limit: int = 30) -> list[Notice]:
    """The person's messages, newest first; `before` is the id of the last one of the page before.

    What a published rule delays appears when its time has come, as if it came then.
    """
    table = notices.c
    query = _shown(view, sa.select(notices), subject_id)
    if before:
        at = _shown(view, sa.select(table.shown_from, table.id), subject_id)
        last = await view.first(at.where(table.public_id == before))
        if last is not None:
            query = query.where(sa.tuple_(table.shown_from, table.id) < sa.tuple_(*_at(last)))
    rows = await view.all(query.order_by(table.shown_from.desc(), table.id.desc()).limit(limit))
    return [_notice(row) for row in rows]


async def unread(view: View, *, subject_id: UUID) -> int:
    """How many messages were not read, at most `COUNTED`."""
    unseen = _shown(view, sa.select(notices.c.id), subject_id).where(notices.c.read_at.is_(None))
    some = unseen.limit(COUNTED).subquery()
    return int(await view.value(sa.select(sa.func.count()).select_from(some)) or 0)


async def mark_read(tx: Tx, *, subject_id: UUID, public_id: str | None = None) -> int:
    """Mark one message, or all of them, as read; how many were not."""
    unseen = sa.and_(
        notices.c.bucket == bucket_of(subject_id), notices.c.subject_id == subject_id, notices.c.read_at.is_(None),
        notices.c.shown_from <= tx.now,
    )  # fmt: skip
    if public_id is not None:
        unseen = sa.and_(unseen, notices.c.public_id == public_id)
    return await tx.run(notices.update().where(unseen).values(read_at=tx.now))


class Reached(StrEnum):
    """How a request reached its person, as whoever asked is told.

    `WALLET`: it stands in the wallet alone, because no contact is known; told alike for people we do not know.
    """

    PHONE = "phone"
    EMAIL = "email"
    SENDING = "sending"
    LATER = "later"
    FAILED = "failed"
    WALLET = "wallet"


@dataclass(frozen=True, slots=True)
class Reach:
    """How, and when: of the sending, or until when quiet hours hold it back."""

    how: Reached
    at: datetime | None = None


async def reached(view: View, *, requests: Collection[str]) -> dict[str, Reach]:
    """How each request reached its person; by public id of the request."""
    if not requests:
        return {}
    rows = await view.all(
        sa.select(notices.c.ref, deliveries)
        .join(deliveries, deliveries.c.notice_id == notices.c.id)
        .where(notices.c.kind == NoticeKind.ASKED, notices.c.ref.in_(requests))
    )
    return {one: _reach([row for row in rows if row.ref == one], view.now) for one in requests}


def _reach(rows: list[Any], now: datetime) -> Reach:
    """The best of several ways counts: a phone in the hand before a mail box."""
    sent = {row.channel: row.ended_at for row in rows if row.state == DeliveryState.SENT}
    for channel, how in ((Channel.SMS, Reached.PHONE), (Channel.EMAIL, Reached.EMAIL)):
        if channel in sent:
            return Reach(how, sent[channel])
    waiting = [row for row in rows if row.state == DeliveryState.WAITING and row.expires_at > now]
    failing = [row for row in waiting if row.fault]
    if any(row.due_at <= now or row.lease is not None for row in waiting if not row.fault):
        return Reach(Reached.SENDING)
    if waiting and not failing:
        return Reach(Reached.LATER, min(row.due_at for row in waiting))
    if rows and any(row.state != DeliveryState.DROPPED for row in rows):
        return Reach(Reached.FAILED)
    return Reach(Reached.WALLET)


def _notice(row: Any) -> Notice:
    kind, read = NoticeKind(row.kind), row.read_at is not None
    return Notice(row.public_id, kind, row.about is not None, row.ref, row.facts, row.at, read)


def _shown(view: View, query: sa.Select[Any], subject_id: UUID) -> sa.Select[Any]:
    mine = sa.and_(notices.c.bucket == bucket_of(subject_id), notices.c.subject_id == subject_id)
    return query.where(mine, notices.c.shown_from <= view.now)


def _at(row: Any) -> tuple[Any, Any]:
    return (
        sa.bindparam(None, row.shown_from, type_=notices.c.shown_from.type),
        sa.bindparam(None, row.id, type_=notices.c.id.type),
    )

"""Watching what was seen: people an officer or a department looked at, and refusals, counted out of the Accesses.

Behind the verification door, so that a look costs nothing for it: once a minute one hub process, whichever comes first,
reads the Accesses that came since the last time (and two minutes before that, for transactions that took long) and puts
the people of each into the guard's counts (`hub.consent.guard`). All bases are counted: consent asked at the API or a
counter, use codes, paper, office power. A limit that is met is told to the auditors once in its span. It stops nobody
here: each of these looks had a grant that was checked; what stops is the asking and the opening of cases.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from hub.access.model import Outcome, accesses
from hub.consent.guard import Guard, Limit, Place, alarm_once, ends, load_guard, span_of
from hub.consent.model import guard_persons, guard_watch
from hub.store.small import as_uuid
from hub.store.tx import Tx

EVERY = timedelta(seconds=60)
OVERLAP = timedelta(minutes=2)
BEHIND_AT_MOST = timedelta(days=1)
"""A hub that stood still for longer begins a day ago: older spans are over, and the Accesses themselves stay."""


async def watch(tx: Tx, *, guard: Guard | None = None) -> bool:
    """Count what came since the last time; False when another process has done so within the minute.

    `guard`: other limits than those in force.
    """
    since = await _claim(tx)
    if since is None:
        return False
    guard = guard or load_guard()
    for start, end in _hours(max(since - OVERLAP, tx.now - BEHIND_AT_MOST), tx.now):
        for limit in guard.of("seen"):
            await _people(tx, limit, start, end)
    for limit in guard.of("refused"):
        await _refusals(tx, limit)
    return True


async def _claim(tx: Tx) -> datetime | None:
    """Since when this process may count; None when it is not time yet. The row is locked until the commit."""
    await tx.insert_new(guard_watch, {"id": 1, "counted_to": tx.now - EVERY})
    row = await tx.first(sa.select(guard_watch.c.counted_to).where(guard_watch.c.id == 1).with_for_update())
    if row is None or tx.now - row.counted_to < EVERY:
        return None
    await tx.run(guard_watch.update().where(guard_watch.c.id == 1).values(counted_to=tx.now))
    since: datetime = row.counted_to
    return since


def _hours(start: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
    """The time from `start` to just after `end`, cut at whole hours: no piece lies in two spans."""
    while start <= end:
        following = min(ends("hour", start), end + timedelta(microseconds=1))
        yield start, following
        start = following


async def _people(tx: Tx, limit: Limit, start: datetime, end: datetime) -> None:
    """Add whom somebody saw between `start` and `end`, and alarm where the span now holds more than the limit."""
    span, seen = span_of(limit.span, start), accesses.c
    within = sa.and_(seen.at >= start, seen.at < end, seen.outcome != Outcome.REFUSED)
    persons = guard_persons.c
    if limit.scope == "officer":  # looks by officers are few; their keys are put together here
        rows = await tx.all(
            sa.select(seen.department, seen.officer_id, seen.subject_id)
            .distinct()
            .where(within, seen.officer_id.is_not(None))
        )
        for row in rows:
            key = f"{row.department}:{row.officer_id}"
            await tx.insert_new(
                guard_persons, {"code": limit.code, "key": key, "span": span, "person": row.subject_id}
            )
    else:
        maker = postgresql.insert if tx.dialect == "postgresql" else sqlite.insert
        found = (
            sa.select(sa.literal(limit.code), seen.department, sa.literal(span), as_uuid(seen.subject_id, tx.dialect))
            .distinct()
            .where(within)
        )
        await tx.run(
            maker(guard_persons).from_select(["code", "key", "span", "person"], found).on_conflict_do_nothing()
        )
    counted = await tx.all(
        sa.select(persons.key, sa.func.count().label("number"))
        .where(persons.code == limit.code, persons.span == span)
        .group_by(persons.key)
        .having(sa.func.count() > limit.most)
    )
    for row in counted:
        await alarm_once(tx, limit, Place(limit.code, row.key, span, row.key.partition(":")[0]))


async def _refusals(tx: Tx, limit: Limit) -> None:
    """Alarm where a department was refused more often in this span than the limit says."""
    seen, over = accesses.c, ends(limit.span, tx.now)
    length = {"hour": timedelta(hours=1), "day": timedelta(days=1)}.get(limit.span, timedelta(days=31))
    rows = await tx.all(
        sa.select(seen.department, sa.func.count().label("number"))
        .where(seen.at >= over - length, seen.outcome == Outcome.REFUSED)
        .group_by(seen.department)
        .having(sa.func.count() > limit.most)
    )
    for row in rows:
        place = Place(limit.code, row.department, span_of(limit.span, tx.now), row.department)
        await alarm_once(tx, limit, place)

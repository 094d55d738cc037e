"""The guard against misuse: what officers and departments do too often, at night, or to too many people.

Limits are data with an owner and dates (`data/guard/*.json`). Each is counted in the database, in the very commit of
what it counts: any number of processes share one count, and a restart forgets nothing. Meeting a limit is told to the
auditors once for each span (a row, a leaf). What then happens is the limit's `then`:

- alarm: nothing is held up; - throttle: refused until the span is over, the caller may try again then;
- second: refused until another officer of the department vouches (`hub.consent.release`), which gives as many again;
- stop: refused until the span is over.

Looks that were made are counted behind the verification door, out of the Accesses (`hub/oversight/watch.py`).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from hub.actor import Actor, ActorKind
from hub.clock import SHANGHAI, civil_day, day_start
from hub.consent.model import guard_counts, guard_persons
from hub.consent.office import raise_alarm
from hub.errors import Malformed, TooMany
from hub.registry.datafiles import display, in_locale, load_folder
from hub.store.tx import Tx


class Then(StrEnum):
    """What meeting a limit leads to, beside the alarm."""

    ALARM = "alarm"
    THROTTLE = "throttle"
    SECOND = "second"
    STOP = "stop"


WITHOUT_CASE = frozenset(
    {"consent.case_not_yours", "case.not_yours_to_gather", "use_code.not_yours", "paper.other_person"}
)
"""Refusals that say: they wanted to see somebody without a case in hand, or a document, of that very person."""

WATCHED = frozenset(
    {
        "wrong_code", "opened", "unknown_number", "asked", "at_night", "no_case", "paper", "paper_second",
        "seen", "refused",
    }
)  # fmt: skip
SCOPES = frozenset({"officer", "counter", "system", "department"})
"""One officer; all officers of a department together; a department's own system; both of these."""
SPANS = frozenset({"hour", "day", "month"})


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `most` people (or times) of `watches` for one `scope` in one `span` of Shanghai's clock."""

    code: str
    watches: str
    scope: str
    span: str
    most: int
    then: Then
    display: Mapping[str, str]

    def label(self, locale: str = "zh-CN") -> str:
        """What it is about."""
        return in_locale(self.display, locale)


@dataclass(frozen=True, slots=True)
class Guard:
    """The limits in force, who answers for them, since when, and by when they are looked at again."""

    code: str
    version: int
    owner: str
    in_force_from: date
    review_by: date
    unconfirmed: tuple[str, ...]
    from_hour: int
    to_hour: int
    limits: tuple[Limit, ...]

    def of(self, watches: str) -> Iterable[Limit]:
        """The limits that count this."""
        return [one for one in self.limits if one.watches == watches]

    def at_night(self, now: datetime) -> bool:
        """Whether it is outside the hours."""
        return not self.from_hour <= now.astimezone(SHANGHAI).hour < self.to_hour


class Stopped(TooMany):
    """A limit was met: which one, and whose count. The door tells the auditors, after what was begun is undone."""

    def __init__(self, limit: Limit, place: "Place", *, now: datetime, actor: Actor) -> None:
        told = {
            Then.SECOND: (
                "须由本部门另一名工作人员在“依职能查验”页面复核放行后继续。",
                "Another officer of your department must vouch for it on the page “Office power”.",
            ),
            Then.THROTTLE: ("请在这一时段结束后再试。", "Try again when this span is over."),
        }.get(limit.then, ("请在这一时段结束后再办；确有需要，请规则的责任单位调整限额。",
                           "Go on when this span is over; the owner of the rule may change its limit."))  # fmt: skip
        super().__init__(
            f"guard.{limit.then}",
            f"已达到防滥用限额：{limit.label()}（最多 {limit.most}）。已告知审计人员。",
            f"A limit against misuse was met: {limit.label('en')} (at most {limit.most}). Auditors were told.",
            next_zh=told[0],
            next_en=told[1],
            retry_after=int((ends(limit.span, now) - now).total_seconds()) + 1,
            limit=limit.code,
        )
        self.limit = limit
        self.place = place
        self.actor = actor


@dataclass(frozen=True, slots=True)
class Place:
    """Where a limit is counted: one row of `guard_counts`."""

    code: str
    key: str
    span: str
    department: str


@cache
def load_guard() -> Guard:
    """The limits that are in force. Raises Malformed `guard.rule_invalid`."""
    (found,) = load_folder(files("hub.consent") / "data" / "guard", parse, _invalid).values()
    return found


def parse(raw: dict[str, Any]) -> Guard:
    """Limits of a file; ValueError, KeyError or TypeError for what is unknown, missing or senseless."""
    known = {"code", "version", "owner", "in_force_from", "review_by", "unconfirmed", "hours", "limits"}
    if raw.keys() != known or raw["hours"].keys() != {"from", "to"}:
        raise ValueError("members")
    limits = tuple(_limit(one) for one in raw["limits"])
    hours = (raw["hours"]["from"], raw["hours"]["to"])
    since, review = (date.fromisoformat(raw[name]) for name in ("in_force_from", "review_by"))
    if len({one.code for one in limits}) != len(limits) or not 0 <= hours[0] < hours[1] <= 24 or since >= review:
        raise ValueError("limits, hours or dates")
    return Guard(raw["code"], raw["version"], raw["owner"], since, review, tuple(raw["unconfirmed"]), *hours, limits)


def _limit(raw: dict[str, Any]) -> Limit:
    if raw.keys() != {"code", "watches", "scope", "span", "most", "then", "display"} or len(raw["code"]) > 32:
        raise ValueError("limit")
    if raw["watches"] not in WATCHED or raw["scope"] not in SCOPES or raw["span"] not in SPANS:
        raise ValueError(raw["code"])
    if not isinstance(raw["most"], int) or raw["most"] < 1:
        raise ValueError(raw["code"])
    words = display(raw["display"])
    return Limit(raw["code"], raw["watches"], raw["scope"], raw["span"], raw["most"], Then(raw["then"]), words)


async def admit(tx: Tx, watches: str, *, person: UUID | None = None, guard: Guard | None = None) -> None:
    """Count what the acting officer or department is about to do; raises `Stopped` where a limit does not allow it.

    With `person`, each person counts once for each span. An act at night is counted as such too. Atomic: one guarded
    update a limit, in the order of the file, in this commit. Whoever met a limit that is still on is held up here,
    whatever they are about to do: a list that was stopped at one door does not go on at the next.
    """
    guard = guard or load_guard()
    await require_free(tx, guard=guard)
    wanted = list(guard.of(watches))
    if person is not None and tx.actor.kind is ActorKind.OFFICER and guard.at_night(tx.now):
        wanted += guard.of("at_night")
    for limit in wanted:
        key = _key(tx.actor, limit.scope)
        if key is not None:
            await _count(tx, limit, key, person)


async def require_free(tx: Tx, *, guard: Guard | None = None) -> None:
    """Hold up whoever met a limit that is still on. Raises `Stopped`."""
    guard = guard or load_guard()
    keys = {key for scope in SCOPES if (key := _key(tx.actor, scope)) is not None}
    if not keys:
        return
    count = guard_counts.c
    rows = await tx.all(
        sa.select(guard_counts).where(
            count.key.in_(sorted(keys)), count.ends_at > tx.now, count.alarmed_at.is_not(None)
        )
    )
    limits = {one.code: one for one in guard.limits}
    for row in rows:
        limit = limits.get(row.code)
        if limit is None or limit.then is Then.ALARM or _key(tx.actor, limit.scope) != row.key:
            continue
        if row.number >= limit.most * (1 + row.released):
            raise Stopped(limit, Place(row.code, row.key, row.span, row.department), now=tx.now, actor=tx.actor)


async def give_back(tx: Tx, watches: str) -> None:
    """Take back what `admit` counted in this transaction: what was tried was right."""
    count = guard_counts.c
    for limit in load_guard().of(watches):
        key = _key(tx.actor, limit.scope)
        if key is not None:
            place = Place(limit.code, key, span_of(limit.span, tx.now), tx.actor.department or "")
            await tx.run(guard_counts.update().where(at(place)).values(number=count.number - 1))


async def _count(tx: Tx, limit: Limit, key: str, person: UUID | None) -> None:
    place = Place(limit.code, key, span_of(limit.span, tx.now), tx.actor.department or "")
    where = {"code": place.code, "key": place.key, "span": place.span}
    if person is not None and not await tx.insert_new(guard_persons, {**where, "person": person}):
        return
    fresh = {"department": place.department, "number": 0, "released": 0, "ends_at": ends(limit.span, tx.now)}
    await tx.insert_new(guard_counts, {**where, **fresh})
    count = guard_counts.c
    room = count.number < limit.most * (1 + count.released)
    update = guard_counts.update().where(at(place)).values(number=count.number + 1)
    if await tx.run(update.where(room)):
        return
    if limit.then is not Then.ALARM:
        raise Stopped(limit, place, now=tx.now, actor=tx.actor)
    await tx.run(update)
    await alarm_once(tx, limit, place)


async def alarm_once(tx: Tx, limit: Limit, place: Place) -> None:
    """Tell the auditors that this limit was met; once for each place and span, whoever comes first."""
    fresh = {"department": place.department, "number": limit.most, "released": 0, "ends_at": ends(limit.span, tx.now)}
    await tx.insert_new(guard_counts, {"code": place.code, "key": place.key, "span": place.span, **fresh})
    first = guard_counts.update().where(at(place), guard_counts.c.alarmed_at.is_(None)).values(alarmed_at=tx.now)
    if await tx.run(first):
        await raise_alarm(
            tx, kind=f"guard.{limit.watches}", rule=limit.code, department=place.department, officer=_officer(place)
        )


async def forget_ended(tx: Tx) -> int:
    """Counts of spans that ended more than 40 days ago, and whom they counted; the alarms stay."""
    old = tx.now - timedelta(days=40)
    ended = sa.select(sa.literal(1)).where(
        guard_counts.c.code == guard_persons.c.code,
        guard_counts.c.key == guard_persons.c.key,
        guard_counts.c.span == guard_persons.c.span,
        guard_counts.c.ends_at < old,
    )
    return await tx.run(guard_persons.delete().where(sa.exists(ended))) + await tx.run(
        guard_counts.delete().where(guard_counts.c.ends_at < old)
    )


def at(place: Place) -> sa.ColumnElement[bool]:
    """The condition that names a place."""
    count = guard_counts.c
    return sa.and_(count.code == place.code, count.key == place.key, count.span == place.span)


def span_of(span: str, now: datetime) -> str:
    """The name of the span that `now` lies in: 2026-11-23T09, 2026-11-23, 2026-11."""
    local = now.astimezone(SHANGHAI)
    return f"{local:%Y-%m-%dT%H}" if span == "hour" else f"{local:%Y-%m-%d}" if span == "day" else f"{local:%Y-%m}"


def ends(span: str, now: datetime) -> datetime:
    """When the span that `now` lies in is over."""
    local = now.astimezone(SHANGHAI)
    if span == "hour":
        return local.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    today = civil_day(now)
    return day_start(today + timedelta(days=1) if span == "day" else _next_month(today))


def _next_month(today: date) -> date:
    return (today.replace(day=1) + timedelta(days=32)).replace(day=1)


def _key(actor: Actor, scope: str) -> str | None:
    """What is counted for this actor in this scope; None where the scope is not about such an actor."""
    by_officer = actor.officer_id is not None
    if scope == "officer":
        return f"{actor.department}:{actor.officer_id}" if by_officer else None
    if actor.department is None or (scope == "counter" and not by_officer) or (scope == "system" and by_officer):
        return None
    return actor.department


def _officer(place: Place) -> UUID | None:
    _, colon, officer = place.key.partition(":")
    return UUID(officer) if colon else None


def _invalid(name: str, fault: Exception) -> Malformed:
    return Malformed(
        "guard.rule_invalid", f"防滥用限额无法读取：{name}", f"Limits against misuse cannot be read: {name}: {fault}"
    )

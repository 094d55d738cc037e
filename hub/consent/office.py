"""Office power as data: which department may look by which statute, for which item, at what, and how often.

A rule is a data file with an owner (`data/office/<code>.json`). The citizen sees each look at once, unless the rule
names a delay: a published rule of its own (`data/delays/<code>.json`) with an owner, a statute, days and a maximum. The
look then appears by itself when the days are over; auditors see it always, and a delayed look needs a second officer.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from importlib.resources import files
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from hub.clock import SHANGHAI, civil_day
from hub.consent.model import alarms, office_counts, office_persons
from hub.errors import HubError, Malformed, TooMany
from hub.ids import uuid7
from hub.ledger.append import commit_event
from hub.registry.datafiles import display, load_folder
from hub.store.tx import Tx, View

_MEMBERS = frozenset(
    {
        "code", "version", "owner", "department", "item_code", "purpose", "display", "statute", "unconfirmed",
        "types", "limits", "delay",
    }
)  # fmt: skip


_DELAY = frozenset({"code", "version", "owner", "display", "statute", "why", "unconfirmed", "days", "maximum_days"})
LONGEST_DELAY = 90
"""Days: no file can ask for a longer delay than this."""


@dataclass(frozen=True, slots=True)
class Delay:
    """A published rule by which the citizen is told later: `days` after the look, at most `maximum_days` ever."""

    code: str
    version: int
    owner: str
    display: Mapping[str, str]
    statute: Mapping[str, str]
    why: Mapping[str, str]
    unconfirmed: tuple[str, ...]
    days: int
    maximum_days: int

    def until(self, now: datetime) -> datetime:
        """When a look of now appears to the citizen."""
        return now + timedelta(days=self.days)


@dataclass(frozen=True, slots=True)
class Limits:
    """Persons a day (each counts once), above how many an officer needs a second one, and between which hours."""

    officer_day: int
    item_day: int
    department_day: int
    second_above: int
    from_hour: int
    to_hour: int


@dataclass(frozen=True, slots=True)
class OfficeRule:
    """One power to look without consent, in one version; `owner` answers for its limits."""

    code: str
    version: int
    owner: str
    department: str
    item_code: str
    purpose: str
    display: Mapping[str, str]
    statute: Mapping[str, str]
    unconfirmed: tuple[str, ...]
    types: tuple[str, ...]
    limits: Limits
    delay: Delay | None = None


@cache
def load_rules() -> Mapping[str, OfficeRule]:
    """Every rule of office power, by code. Raises Malformed `office.rule_invalid`."""
    return load_folder(files("hub.consent") / "data" / "office", parse, _invalid)


@cache
def load_delays() -> Mapping[str, Delay]:
    """Every rule of delay, by code. Raises Malformed `office.rule_invalid`."""
    return load_folder(files("hub.consent") / "data" / "delays", parse_delay, _invalid)


def parse_delay(raw: dict[str, Any]) -> Delay:
    """One rule of delay; ValueError for what is unknown, missing, endless or without a statute."""
    if raw.keys() != _DELAY:
        raise ValueError(f"members: {sorted(raw.keys() ^ _DELAY)}")
    days, most = raw["days"], raw["maximum_days"]
    if not all(isinstance(n, int) for n in (days, most)) or not 0 < days <= most <= LONGEST_DELAY or not raw["owner"]:
        raise ValueError("days")
    return Delay(
        code=raw["code"],
        version=raw["version"],
        owner=raw["owner"],
        display=display(raw["display"]),
        statute=display(raw["statute"]),
        why=display(raw["why"]),
        unconfirmed=tuple(raw["unconfirmed"]),
        days=days,
        maximum_days=most,
    )


def parse(raw: dict[str, Any]) -> OfficeRule:
    """One rule; ValueError for a member that is unknown or missing: nothing about a power is guessed."""
    if raw.keys() != _MEMBERS:
        raise ValueError(f"members: {sorted(raw.keys() ^ _MEMBERS)}")
    limits = Limits(**raw["limits"])
    numbers = (limits.officer_day, limits.item_day, limits.department_day, limits.second_above)
    if not all(isinstance(n, int) and n > 0 for n in numbers) or not 0 <= limits.from_hour < limits.to_hour <= 24:
        raise ValueError("limits")
    delay = load_delays().get(raw["delay"]) if raw["delay"] is not None else None
    if raw["delay"] is not None and delay is None:
        raise ValueError("delay")
    return OfficeRule(
        code=raw["code"],
        version=raw["version"],
        owner=raw["owner"],
        department=raw["department"],
        item_code=raw["item_code"],
        purpose=raw["purpose"],
        display=display(raw["display"]),
        statute=display(raw["statute"]),
        unconfirmed=tuple(raw["unconfirmed"]),
        types=tuple(raw["types"]),
        limits=limits,
        delay=delay,
    )


def rule_for(rules: Mapping[str, OfficeRule], *, department: str, item_code: str) -> OfficeRule | None:
    """The power that a department has for an item, if it has one."""
    found = (one for one in rules.values() if one.department == department and one.item_code == item_code)
    return next(found, None)


async def count_person(tx: Tx, *, rule: OfficeRule, officer: UUID, person: UUID) -> str | None:
    """Count one person against the day's limits of officer, item and department; why a second officer is needed.

    Atomic: one guarded update a scope, in a fixed order. The same person on the same day counts once. Raises TooMany
    `office.limit_officer`, `office.limit_item`, `office.limit_department`: then nothing was counted.
    """
    day, limits = civil_day(tx.now), rule.limits
    scopes = (
        ("officer", str(officer), limits.officer_day),
        ("item", rule.item_code, limits.item_day),
        ("department", rule.department, limits.department_day),
    )
    for scope, key, most in scopes:
        where = {"scope": scope, "key": key, "day": day}
        if not await tx.insert_new(office_persons, {**where, "person": person}):
            continue
        await tx.insert_new(office_counts, {**where, "persons": 0})
        counted = await tx.run(
            office_counts.update()
            .where(_is(scope, key, day), office_counts.c.persons < most)
            .values(persons=office_counts.c.persons + 1)
        )
        if not counted:
            raise _over(scope, most)
    seen = await tx.value(sa.select(office_counts.c.persons).where(_is("officer", str(officer), day)))
    if rule.delay is not None:
        return "delay"
    if int(seen or 0) > limits.second_above:
        return "many"
    hour = tx.now.astimezone(SHANGHAI).hour
    return None if limits.from_hour <= hour < limits.to_hour else "hours"


@dataclass(frozen=True, slots=True)
class Alarm:
    """A limit that somebody met."""

    kind: str
    department: str
    officer_id: UUID | None
    rule: str
    at: Any


async def raise_alarm(
    tx: Tx, *, kind: str, rule: str, department: str | None = None, officer: UUID | None = None
) -> None:
    """Tell the auditors, in a row and a leaf: who met which limit, never whom they looked for.

    Of the acting officer, unless `department` (and `officer`) say of whom.
    """
    if department is None:
        department, officer = tx.actor.department or "", tx.actor.officer_id
    body = {
        "event": "alarm",
        "kind": kind,
        "rule": rule,
        "department": department,
        "officer": str(officer) if officer else None,
        "at": int(tx.now.timestamp()),
    }
    leaf = await commit_event(tx, kind="alarm", subject_id=None, body=body)
    await tx.insert(
        alarms,
        {
            "id": uuid7(),
            "kind": kind,
            "department": department,
            "officer_id": officer,
            "rule": rule,
            "at": tx.now,
            "leaf_hash": leaf.leaf_hash,
        },
    )


async def newest_alarms(view: View, *, limit: int = 20) -> list[Alarm]:
    """The newest alarms of all departments, for auditors."""
    rows = await view.all(sa.select(alarms).order_by(alarms.c.id.desc()).limit(limit))
    return [Alarm(row.kind, row.department, row.officer_id, row.rule, row.at) for row in rows]


def _is(scope: str, key: str, day: Any) -> sa.ColumnElement[bool]:
    return sa.and_(office_counts.c.scope == scope, office_counts.c.key == key, office_counts.c.day == day)


def _over(scope: str, most: int) -> HubError:
    told = {
        "next_zh": "请改用本人授权，或明日再办；确有需要，请规则的责任单位调整限额。",
        "next_en": "Ask for consent, or go on tomorrow; the owner of the rule may change its limits.",
    }
    if scope == "officer":
        zh, en = f"每名工作人员每天最多依职能查验 {most} 人。", f"An officer may look at {most} persons a day."
        return TooMany("office.limit_officer", zh, en, **told)
    if scope == "item":
        zh, en = f"该事项每天最多依职能查验 {most} 人。", f"For this item {most} persons a day may be looked at."
        return TooMany("office.limit_item", zh, en, **told)
    zh, en = f"本部门每天最多依职能查验 {most} 人。", f"This department may look at {most} persons a day."
    return TooMany("office.limit_department", zh, en, **told)


def _invalid(name: str, fault: Exception) -> Malformed:
    return Malformed(
        "office.rule_invalid",
        f"依职能查验规则无法读取：{name}",
        f"A rule of office power cannot be read: {name}: {fault}",
    )

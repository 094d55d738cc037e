"""Office power as data: which department may look by which statute, for which item, at what, and how often.

A rule is a data file with an owner (`data/office/<code>.json`). There is no rule that hides a look from the citizen: a
file that asked for a delay would be refused.
"""

from collections.abc import Mapping
from dataclasses import dataclass
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
        "types", "limits",
    }
)  # fmt: skip


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


@cache
def load_rules() -> Mapping[str, OfficeRule]:
    """Every rule of office power, by code. Raises Malformed `office.rule_invalid`."""
    return load_folder(files("hub.consent") / "data" / "office", parse, _invalid)


def parse(raw: dict[str, Any]) -> OfficeRule:
    """One rule; ValueError for a member that is unknown or missing: nothing about a power is guessed."""
    if raw.keys() != _MEMBERS:
        raise ValueError(f"members: {sorted(raw.keys() ^ _MEMBERS)}")
    limits = Limits(**raw["limits"])
    numbers = (limits.officer_day, limits.item_day, limits.department_day, limits.second_above)
    if not all(isinstance(n, int) and n > 0 for n in numbers) or not 0 <= limits.from_hour < limits.to_hour <= 24:
        raise ValueError("limits")
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


async def raise_alarm(tx: Tx, *, kind: str, rule: str) -> None:
    """Tell the auditors, in a row and a leaf: who met which limit, never whom they looked for."""
    actor = tx.actor
    body = {
        "event": "alarm",
        "kind": kind,
        "rule": rule,
        "department": actor.department,
        "officer": str(actor.officer_id) if actor.officer_id else None,
        "at": int(tx.now.timestamp()),
    }
    leaf = await commit_event(tx, kind="alarm", subject_id=None, body=body)
    await tx.insert(
        alarms,
        {
            "id": uuid7(),
            "kind": kind,
            "department": actor.department or "",
            "officer_id": actor.officer_id,
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

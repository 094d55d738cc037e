"""Service items as data: what one applies for, which materials it needs, and the most that it may ask.

An item is a data file (`hub/catalogue/data/items/<code>.json`). Pure: it reads package data and
answers questions. `caps` is the fence of promise 4: a field that no material of an item names is never asked.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from hub.errors import Malformed, NotFound, Unprocessable
from hub.registry.datafiles import display, in_locale, load_folder

ClaimPath = tuple[str | int | None, ...]

LEVELS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {"city": ("市级", "City"), "town": ("镇街级", "Town"), "village": ("村（社区）级", "Village")}
)
CLASSES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "livelihood": ("社会民生", "Livelihood"),
        "company": ("企业设立", "Company start-up"),
        "construction": ("工程建设", "Construction"),
        "investment": ("项目投资", "Project investment"),
        "police": ("公安专项", "Public security"),
        "tax": ("税务专项", "Tax"),
    }
)
"""The six classes of the one-door service, in the order of its windows."""

ARCHIVE_PURPOSE = "archive"
GENERAL_PURPOSES: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {ARCHIVE_PURPOSE: {"zh-CN": "取用已办结办件的归档包", "en": "Copy of the archive package of a closed case"}}
)
"""Purposes that no item lists, since they are alike for all."""

_OPERATORS = frozenset({"eq", "in", "ge", "le"})


@dataclass(frozen=True, slots=True)
class Predicate:
    """A yes/no question that an item may ask about one claim instead of its value."""

    path: ClaimPath
    op: Literal["eq", "in", "ge", "le"]
    value: Any
    display: Mapping[str, str]

    def as_json(self) -> dict[str, Any]:
        """Return path, op and value as a grant carries them."""
        return {"path": list(self.path), "op": self.op, "value": self.value}


@dataclass(frozen=True, slots=True)
class Evidence:
    """One certificate type that satisfies a material, and what of it may be asked.

    `max_age_days` caps the age of a living certificate for this item (None: the type's own limit holds).
    `last_good_days`: while its source cannot be reached, the last answer may be so old (None: never older).
    """

    type: str
    fields: tuple[ClaimPath, ...]
    predicates: tuple[Predicate, ...]
    max_age_days: int | None
    last_good_days: int | None = None


@dataclass(frozen=True, slots=True)
class Waiver:
    """Why a material need not be handed in: the announced rule. Whether it holds now: `hub.catalogue.waivers`."""

    kind: str
    display: Mapping[str, str]
    basis: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Material:
    """Something an item needs; `satisfied_by` lists certificates that do, the first being the usual one.

    Materials of an item that share `either` are alternatives ("A or B"): one of them is enough. `trips_before` and
    `days_before` (working days) say what it cost on paper: None where nothing is known, and the `_unconfirmed`
    flags mark numbers without a source.
    """

    code: str
    display: Mapping[str, str]
    why: Mapping[str, str]
    department: str | None
    satisfied_by: tuple[Evidence, ...]
    holder: Literal["parent", "child", "applicant"]
    required: bool
    waiver: Waiver | None
    trips_before: int | None
    trips_unconfirmed: bool
    days_before: int | None
    days_unconfirmed: bool
    days_group: str | None
    either: str | None

    def label(self, locale: str = "zh-CN") -> str:
        """Return the material's name."""
        return in_locale(self.display, locale)


@dataclass(frozen=True, slots=True)
class DaysGroup:
    """A part of the statutory checking time, in working days, with the department that used it."""

    code: str
    department: str | None
    days: int
    unconfirmed: bool


@dataclass(frozen=True, slots=True)
class StatutoryDays:
    """Working days the law allowed for checking: a limit, not a mean; `total` is None where unknown."""

    total: int | None
    unconfirmed: bool
    groups: tuple[DaysGroup, ...]
    note: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class TimeLimit:
    """The legal time limit of an item: days until the decision (0: on the spot), working days unless said otherwise."""

    days: int
    working: bool
    basis: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Caps:
    """The most a grant for this item may allow: uses, days until it ends, purposes."""

    max_uses: int
    valid_days: int
    purposes: frozenset[str]


@dataclass(frozen=True, slots=True)
class ServiceItem:
    """One service item in one version; `unconfirmed` names the members whose values have no source.

    An item without materials is a skeleton: listed, but not yet catalogued. It never means "nothing to bring".
    """

    code: str
    version: int
    valid_from: date
    department: str
    subject: Literal["natural", "legal"]
    level: str
    item_class: str
    display: Mapping[str, str]
    intro: Mapping[str, str]
    unconfirmed: tuple[str, ...]
    scheme: str | None
    statutory_days: StatutoryDays
    limit: TimeLimit | None
    materials: tuple[Material, ...]
    caps: Caps
    purposes: Mapping[str, Mapping[str, str]]
    document: Mapping[str, Any]

    @property
    def complete(self) -> bool:
        """Whether what it needs is catalogued; otherwise only the counter can tell."""
        return bool(self.materials)

    def label(self, locale: str = "zh-CN") -> str:
        """Return the item's name."""
        return in_locale(self.display, locale)

    def purpose_label(self, purpose: str, locale: str = "zh-CN") -> str:
        """Return a purpose in words; an unknown code as it is."""
        known = self.purposes.get(purpose) or GENERAL_PURPOSES.get(purpose)
        return in_locale(known, locale) if known else purpose

    def material(self, code: str) -> Material:
        """Return the material `code`; raises `NotFound("item.material_unknown")`."""
        for material in self.materials:
            if material.code == code:
                return material
        raise NotFound("item.material_unknown", "该事项没有这项材料", "this item has no such material")

    def alternatives(self, code: str) -> list[str]:
        """The materials of which one is enough, `code` among them; raises as `material`."""
        either = self.material(code).either
        return [one.code for one in self.materials if one.code == code or (either and one.either == either)]


def require_complete(item: ServiceItem) -> ServiceItem:
    """The item, when it is catalogued; Unprocessable `item.not_catalogued` for a skeleton."""
    if not item.complete:
        raise Unprocessable(
            "item.not_catalogued",
            "该事项所需材料尚未编目，不能网上开立办件。",
            "What this item needs is not catalogued yet, so no case can be opened for it here.",
            next_zh="请咨询窗口；不要以为什么都不用带。",
            next_en="Ask the counter; do not take this to mean that nothing must be brought.",
        )
    return item


def caps(item: ServiceItem) -> dict[str, frozenset[ClaimPath]]:
    """Return, per certificate type, the claim paths that a request for `item` may name."""
    allowed: dict[str, set[ClaimPath]] = {}
    for material in item.materials:
        for evidence in material.satisfied_by:
            allowed.setdefault(evidence.type, set()).update(evidence.fields)
    return {code: frozenset(paths) for code, paths in allowed.items()}


def predicates(item: ServiceItem, type_code: str) -> tuple[Predicate, ...]:
    """Return the yes/no questions that a request for `item` may ask of certificates of `type_code`."""
    return tuple(
        p for m in item.materials for e in m.satisfied_by if e.type == type_code for p in e.predicates
    )


def max_age(item: ServiceItem, type_code: str) -> int | None:
    """Return the strictest age in days that `item` sets for `type_code`, or None when it sets none."""
    ages = [
        e.max_age_days
        for m in item.materials
        for e in m.satisfied_by
        if e.type == type_code and e.max_age_days is not None
    ]
    return min(ages, default=None)


def last_good_days(item: ServiceItem, type_code: str) -> int | None:
    """Return how old the last answer may be while the source of `type_code` is away; None: no older than ever.

    The strictest that `item` says of the type decides, and silence is the strictest.
    """
    said = [e.last_good_days for m in item.materials for e in m.satisfied_by if e.type == type_code]
    return None if not said or None in said else min(days for days in said if days is not None)


def over_caps(
    item: ServiceItem, type_code: str, paths: Iterable[Iterable[str | int | None]]
) -> list[ClaimPath]:
    """Return those of `paths` that `item` may not ask of `type_code` (empty: all of them are allowed).

    A path below an allowed one is allowed with it; array indices count as "every element".
    """
    allowed = caps(item).get(type_code, frozenset())
    asked = [tuple(None if isinstance(p, int) else p for p in path) for path in paths]
    return [p for p in asked if not any(p[:n] in allowed for n in range(1, len(p) + 1))]


def load_items(folder: Path | None = None) -> dict[str, ServiceItem]:
    """Read every item file of `folder` (default: those shipped with the hub), by code.

    Raises `Malformed("item.file_invalid")` naming the file when one cannot be an item.
    """
    root: Traversable = folder if folder is not None else files("hub.catalogue").joinpath("data", "items")
    return load_folder(root, parse, _invalid)


def _invalid(name: str, fault: Exception) -> Malformed:
    return Malformed(
        "item.file_invalid", f"事项文件无效：{name}", f"invalid service item file {name}: {fault}"
    )


def parse(raw: dict[str, Any]) -> ServiceItem:
    """Turn one item's document into an item, refusing what would only fail later (KeyError, TypeError, ValueError)."""
    if raw["subject"] not in ("natural", "legal"):
        raise ValueError("subject is natural or legal")
    if raw["class"] not in CLASSES or raw.get("level", "city") not in LEVELS:
        raise ValueError("there is no such class or level")
    materials = tuple(_material(m) for m in raw["materials"])
    if len({m.code for m in materials}) != len(materials):
        raise ValueError("two materials share a code")
    limits = raw["caps"]
    purposes = {p["code"]: display(p["display"]) for p in raw["purposes"]}
    if set(limits["purposes"]) != set(purposes) or limits["max_uses"] < 1 or limits["valid_days"] < 1:
        raise ValueError("caps must name the item's purposes, at least one use and at least one day")
    return ServiceItem(
        code=raw["code"],
        version=raw["version"],
        valid_from=date.fromisoformat(raw["valid_from"]),
        department=raw["department"],
        subject=raw["subject"],
        level=raw.get("level", "city"),
        item_class=raw["class"],
        display=display(raw["display"]),
        intro=display(raw["intro"]),
        unconfirmed=tuple(raw["unconfirmed"]),
        scheme=raw.get("scheme"),
        statutory_days=_days(raw["statutory_days"]),
        limit=_limit(raw["limit"]) if raw.get("limit") else None,
        materials=materials,
        caps=Caps(limits["max_uses"], limits["valid_days"], frozenset(limits["purposes"])),
        purposes=MappingProxyType(purposes),
        document=raw,
    )


def _material(raw: dict[str, Any]) -> Material:
    if raw["holder"] not in ("parent", "child", "applicant"):
        raise ValueError("holder is parent, child or applicant")
    waiver = raw["waiver"]
    return Material(
        code=raw["code"],
        display=display(raw["display"]),
        why=MappingProxyType(dict(raw["why"])),
        department=raw["department"],
        satisfied_by=tuple(_evidence(e) for e in raw["satisfied_by"]),
        holder=raw["holder"],
        required=raw["required"],
        waiver=_waiver(waiver) if waiver else None,
        trips_before=raw["trips_before"],
        trips_unconfirmed=raw["trips_unconfirmed"],
        days_before=raw["days_before"],
        days_unconfirmed=raw["days_unconfirmed"],
        days_group=raw.get("days_group"),
        either=raw.get("either"),
    )


def _waiver(raw: dict[str, Any]) -> Waiver:
    basis = display(raw["basis"]) if raw.get("basis") else MappingProxyType({})
    return Waiver(raw["kind"], display(raw["display"]), basis)


def _limit(raw: dict[str, Any]) -> TimeLimit:
    basis = display(raw["basis"]) if raw.get("basis") else MappingProxyType({})
    return TimeLimit(raw["days"], raw["working"], basis)


def _evidence(raw: dict[str, Any]) -> Evidence:
    return Evidence(
        type=raw["type"],
        fields=tuple(tuple(f) for f in raw["fields"]),
        predicates=tuple(_predicate(p) for p in raw["predicates"]),
        max_age_days=raw.get("max_age_days"),
        last_good_days=_last_good(raw),
    )


def _last_good(raw: dict[str, Any]) -> int | None:
    days, age = raw.get("last_good_days"), raw.get("max_age_days")
    if days is not None and (type(days) is not int or not (age or 0) < days <= 366):
        raise ValueError("last_good_days is a number of days, more than max_age_days and at most a year")
    return days


def _predicate(raw: dict[str, Any]) -> Predicate:
    if raw["op"] not in _OPERATORS:
        raise ValueError(f"unknown predicate operator {raw['op']}")
    return Predicate(tuple(raw["path"]), raw["op"], raw["value"], display(raw["display"]))


def _days(raw: dict[str, Any]) -> StatutoryDays:
    groups = tuple(DaysGroup(g["code"], g["department"], g["days"], g["unconfirmed"]) for g in raw["groups"])
    if groups and sum(g.days for g in groups) != raw["total"]:
        raise ValueError("the groups of statutory days do not add up to their total")
    note = display(raw["note"]) if "note" in raw else MappingProxyType({})
    return StatutoryDays(raw["total"], raw["unconfirmed"], groups, note)

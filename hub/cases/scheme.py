"""Points schemes as data: which rule scores which claim of which certificate, in which version.

A scheme is a file (`hub/cases/schemes/<code>.json`), because its text changes every year. Values that no public
text confirms carry `unconfirmed`: they are shown so and give no points.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from hub.errors import Malformed
from hub.registry.datafiles import display, in_locale, load_folder

ClaimPath = tuple[str | int | None, ...]


@dataclass(frozen=True, slots=True)
class Source:
    """The claims of one certificate type that a rule reads."""

    type: str
    claims: tuple[ClaimPath, ...]


@dataclass(frozen=True, slots=True)
class Condition:
    """A certificate counts for a rule only if this claim has one of these values."""

    claim: ClaimPath
    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Rule:
    """One way to earn points. `row` is the line of the published table, `kind` how the points are computed.

    `entry` limits a rule to children who enter grade 1, or a later grade.
    """

    id: str
    row: str
    display: Mapping[str, str]
    department: str
    holder: Literal["parent", "child", "applicant"]
    kind: str
    sources: tuple[Source, ...]
    where: tuple[Condition, ...]
    params: Mapping[str, Any]
    unconfirmed: bool
    entry: Literal["grade_1", "later"] | None
    group: str | None
    note: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Group:
    """Rules that share one upper limit."""

    code: str
    cap: Decimal
    display: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Scheme:
    """One scheme in one version. `one_parent`: only the chosen parent's certificates count."""

    code: str
    version: int
    valid_from: date
    item: str
    display: Mapping[str, str]
    one_parent: bool
    rules: tuple[Rule, ...]
    groups: tuple[Group, ...]
    tie_order: tuple[str, ...]
    document: Mapping[str, Any]

    def label(self, locale: str = "zh-CN") -> str:
        """Return the scheme's name."""
        return in_locale(self.display, locale)


def needs(
    scheme: Scheme, *, grade_1: bool = True, confirmed_only: bool = False
) -> dict[str, frozenset[ClaimPath]]:
    """Return, per certificate type, the claims that scoring would read: what to ask for, and nothing more.

    With `confirmed_only` rules whose value has no source are left out, since they give no points anyway.
    """
    wanted: dict[str, set[ClaimPath]] = {}
    for rule in applicable(scheme, grade_1=grade_1):
        if confirmed_only and rule.unconfirmed:
            continue
        for source in rule.sources:
            wanted.setdefault(source.type, set()).update(source.claims)
        wanted[rule.sources[0].type].update(w.claim for w in rule.where)
    return {code: frozenset(paths) for code, paths in wanted.items()}


def applicable(scheme: Scheme, *, grade_1: bool) -> tuple[Rule, ...]:
    """The rules that speak about this entry."""
    entry = "grade_1" if grade_1 else "later"
    return tuple(r for r in scheme.rules if r.entry in (None, entry))


def load_schemes(folder: Path | None = None) -> dict[str, Scheme]:
    """Read every scheme file of `folder` (default: those shipped with the hub), by code.

    Raises `Malformed("scheme.file_invalid")` naming the file when one cannot be a scheme.
    """
    root: Traversable = folder if folder is not None else files("hub.cases").joinpath("schemes")
    return load_folder(root, parse_scheme, _invalid)


def _invalid(name: str, fault: Exception) -> Malformed:
    return Malformed("scheme.file_invalid", f"积分方案文件无效：{name}", f"invalid points scheme file {name}: {fault}")


def parse_scheme(raw: dict[str, Any]) -> Scheme:
    """The scheme of a document. Raises KeyError, TypeError, ValueError or ArithmeticError when it is none."""
    rules = tuple(_rule(r) for r in raw["rules"])
    groups = tuple(Group(g["code"], Decimal(g["cap"]), display(g["display"])) for g in raw["groups"])
    if len({r.id for r in rules}) != len(rules):
        raise ValueError("two rules share an id")
    if {r.group for r in rules if r.group} - {g.code for g in groups}:
        raise ValueError("a rule names a group that is not there")
    return Scheme(
        code=raw["code"],
        version=raw["version"],
        valid_from=date.fromisoformat(raw["valid_from"]),
        item=raw["item"],
        display=display(raw["display"]),
        one_parent=raw["one_parent"],
        rules=rules,
        groups=groups,
        tie_order=tuple(raw["tie_order"]["order"]),
        document=raw,
    )


def _rule(raw: dict[str, Any]) -> Rule:
    sources = tuple(Source(s["type"], tuple(tuple(c) for c in s["claims"])) for s in raw["sources"])
    if not sources or any(not s.claims for s in sources):
        raise ValueError(f"rule {raw['id']} names no certificate type and claim")
    if raw["holder"] not in ("parent", "child", "applicant"):
        raise ValueError("holder is parent, child or applicant")
    if raw.get("entry") not in (None, "grade_1", "later"):
        raise ValueError("entry is grade_1 or later")
    return Rule(
        id=raw["id"],
        row=raw["row"],
        display=display(raw["display"]),
        department=raw["department"],
        holder=raw["holder"],
        kind=raw["kind"],
        sources=sources,
        where=tuple(Condition(tuple(w["claim"]), tuple(w["in"])) for w in raw["where"]),
        params=MappingProxyType(raw["params"]),
        unconfirmed=raw["unconfirmed"],
        entry=raw.get("entry"),
        group=raw.get("group"),
        note=display(raw["note"]) if "note" in raw else MappingProxyType({}),
    )

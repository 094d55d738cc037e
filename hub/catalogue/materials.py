"""The register of materials: what each is, which certificate and claims satisfy it, and the waiver announced for it.

`hub/catalogue/data/materials.csv`, one material a line, with the legal bases of `bases.csv`. Items name materials by
code, so that a material is described once for all items. Pure: package data in, documents out.
"""

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

from hub.errors import Malformed

HOLDER_FIELDS = (["name"], ["id_type"], ["id_no"], ["role"])
"""What may be asked of the holder of any certificate: who it is about."""

_EVIDENCE = re.compile(r"([a-z_]+)(?:@([0-9]{1,4}))?(?:\(([^()]*)\))?")
_WAIVED = {
    "verified": ("免提交：由部门联网核验。", "Not handed in: the office checks it over the network."),
    "commitment": (
        "免提交：书面承诺即可，事后核查。",
        "Not handed in: a written promise is enough, checked afterwards.",
    ),
    "abolished": ("不再需要：该证明已取消。", "No longer needed: this proof was abolished."),
}
KINDS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "certificate": ("证照", "Certificate"),
        "record": ("证明", "Record"),
        "document": ("文书", "Document"),
        "form": ("表单", "Form"),
        "drawing": ("图纸", "Drawing"),
    }
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the register; `waiver` is the kind announced for it, with the code of its legal basis."""

    code: str
    zh: str
    en: str
    department: str
    kind: str
    holder: str
    evidence: tuple[Mapping[str, Any], ...]
    waiver: str | None
    basis: str | None
    why_zh: str
    why_en: str
    unconfirmed: frozenset[str]

    def document(self, *, required: bool, either: str | None) -> dict[str, Any]:
        """This material as an item's document carries it (the shape of `hub.catalogue.items`)."""
        made: dict[str, Any] = {
            "code": self.code,
            "display": two(self.zh, self.en),
            "why": {"zh-CN": self.why_zh, "en": self.why_en},
            "department": self.department,
            "satisfied_by": [dict(one) for one in self.evidence],
            "holder": self.holder,
            "required": required,
            "waiver": None,
            "trips_before": None,
            "trips_unconfirmed": True,
            "days_before": None,
            "days_unconfirmed": True,
        }
        if self.waiver:
            made["waiver"] = {"kind": self.waiver, "display": two(*_WAIVED[self.waiver])}
            if self.basis:
                made["waiver"]["basis"] = two(*bases()[self.basis])
        if either:
            made["either"] = either
        return made


def two(zh: str, en: str) -> list[dict[str, str]]:
    """A text in both languages, as documents carry it."""
    return [{"locale": "zh-CN", "name": zh}, {"locale": "en", "name": en}]


@cache
def bases() -> Mapping[str, tuple[str, str]]:
    """Legal bases by code: Chinese and English name."""
    return MappingProxyType({row["code"]: (row["zh"], row["en"]) for row in _rows("bases.csv")})


@cache
def offices() -> Mapping[str, tuple[str, str]]:
    """Offices that the catalogue names, whether or not they take part in this hub yet: Chinese and English name."""
    return MappingProxyType({row["slug"]: (row["zh"], row["en"]) for row in _rows("offices.csv")})


@cache
def register() -> Mapping[str, Entry]:
    """Every material by code. Raises `Malformed("material.file_invalid")` naming the line."""
    found: dict[str, Entry] = {}
    for number, row in enumerate(_rows("materials.csv"), start=2):
        try:
            entry = _entry(row)
            if entry.code in found:
                raise ValueError("two lines share a code")
        except (KeyError, ValueError) as fault:
            raise Malformed(
                "material.file_invalid",
                f"材料清单第 {number} 行无效。",
                f"line {number} of materials.csv is invalid: {fault}",
            ) from fault
        found[entry.code] = entry
    return MappingProxyType(found)


def evidence(text: str) -> tuple[Mapping[str, Any], ...]:
    """Read `type@days(claim,claim[].part) | type`: which certificates satisfy a material, the usual one first.

    `@days` caps the age of a living certificate. Raises ValueError.
    """
    return tuple(_one_type(part.strip()) for part in text.split("|") if part.strip())


def _one_type(text: str) -> Mapping[str, Any]:
    found = _EVIDENCE.fullmatch(text)
    if found is None:
        raise ValueError(f"cannot read the certificate {text!r}")
    code, days, claims = found.groups()
    fields: list[list[str | None]] = [["holders", None, *one] for one in HOLDER_FIELDS]
    fields += [_path(claim.strip()) for claim in (claims or "").split(",") if claim.strip()]
    made: dict[str, Any] = {"type": code, "fields": fields, "predicates": []}
    if days:
        made["max_age_days"] = int(days)
    return MappingProxyType(made)


def _path(text: str) -> list[str | None]:
    steps: list[str | None] = []
    for part in text.split("."):
        steps += [part.removesuffix("[]"), None] if part.endswith("[]") else [part]
    return steps


def _entry(row: dict[str, str]) -> Entry:
    waiver, basis = row["waiver"] or None, row["basis"] or None
    if (waiver is not None and waiver not in _WAIVED) or (basis is not None and basis not in bases()):
        raise ValueError("there is no such kind of waiver or legal basis")
    if row["kind"] not in KINDS or row["holder"] not in ("applicant", "parent", "child"):
        raise ValueError("there is no such kind of material or holder")
    if row["department"] not in offices() or not row["zh"] or not row["en"]:
        raise ValueError("an office that nobody knows, or a name is missing")
    return Entry(
        code=row["code"],
        zh=row["zh"],
        en=row["en"],
        department=row["department"],
        kind=row["kind"],
        holder=row["holder"],
        evidence=evidence(row["evidence"]),
        waiver=waiver,
        basis=basis,
        why_zh=row["why_zh"],
        why_en=row["why_en"],
        unconfirmed=frozenset(row["unconfirmed"].split()),
    )


def _rows(name: str) -> list[dict[str, str]]:
    text = files("hub.catalogue").joinpath("data", name).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))

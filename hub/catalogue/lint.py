"""Checks the catalogue as a whole: what one line cannot know by itself. Pure; faults name the line or the code."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hub.catalogue.items import CLASSES, LEVELS, Evidence, ServiceItem
from hub.catalogue.materials import register
from hub.registry.types import CertificateType


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with one item or material."""

    code: str
    zh: str
    en: str


@dataclass(frozen=True)
class Report:
    """Counts by completeness, and every fault. `unconfirmed` counts what has no public source, member by member."""

    items: int
    complete: int
    by_class: Mapping[str, tuple[int, int]]
    by_level: Mapping[str, tuple[int, int]]
    by_subject: Mapping[str, tuple[int, int]]
    unconfirmed: Mapping[str, int]
    materials: int
    materials_in_use: int
    with_certificate: int
    waivers: Mapping[str, int]
    faults: tuple[Fault, ...]


def lint(items: Iterable[ServiceItem], types: Mapping[str, CertificateType]) -> Report:
    """Check every item against the types and the register, and count."""
    every = list(items)
    used = {material.code for item in every for material in item.materials}
    entries = register()
    faults = [fault for item in every for fault in _item_faults(item, types)] + _twice(every)
    for entry in entries.values():
        faults += [_unknown(entry.code, one["type"]) for one in entry.evidence if one["type"] not in types]
        if entry.waiver and not entry.basis:
            faults.append(Fault(entry.code, "免提交没有法律依据", "a waiver without a legal basis"))
    return Report(
        items=len(every),
        complete=sum(item.complete for item in every),
        by_class={code: _pair(i for i in every if i.item_class == code) for code in CLASSES},
        by_level={code: _pair(i for i in every if i.level == code) for code in LEVELS},
        by_subject={code: _pair(i for i in every if i.subject == code) for code in ("natural", "legal")},
        unconfirmed=Counter(name for item in every for name in item.unconfirmed),
        materials=len(entries.keys() | used),
        materials_in_use=len(used),
        with_certificate=sum(bool(entry.evidence) for entry in entries.values()),
        waivers=Counter(entry.waiver for entry in entries.values() if entry.waiver),
        faults=tuple(faults),
    )


def _pair(some: Iterable[ServiceItem]) -> tuple[int, int]:
    chosen = list(some)
    return len(chosen), sum(item.complete for item in chosen)


def _item_faults(item: ServiceItem, types: Mapping[str, CertificateType]) -> list[Fault]:
    found: list[Fault] = []
    for material in item.materials:
        if not material.why.get("zh-CN") or not material.why.get("en"):
            found.append(
                Fault(
                    item.code,
                    f"没有写明为何需要 {material.code}",
                    f"does not say why {material.code} is needed",
                )
            )
        for evidence in material.satisfied_by:
            found += _evidence_faults(item.code, evidence, types)
    if item.materials and not any(material.required for material in item.materials):
        found.append(Fault(item.code, "没有一项材料是必需的", "no material is required"))
    return found


def _evidence_faults(code: str, evidence: Evidence, types: Mapping[str, CertificateType]) -> list[Fault]:
    kind = types.get(evidence.type)
    if kind is None:
        return [_unknown(code, evidence.type)]
    found = [
        Fault(code, f"{evidence.type} 没有这个字段：{path}", f"{evidence.type} has no claim {path}")
        for path in evidence.fields
        if path not in kind.paths()
    ]
    if evidence.max_age_days is not None and (kind.max_age is None or evidence.max_age_days > kind.max_age):
        found.append(
            Fault(
                code, f"{evidence.type} 的时效超过类型规定", f"the age of {evidence.type} exceeds its type's"
            )
        )
    if evidence.last_good_days is not None and kind.max_age is None:
        found.append(
            Fault(
                code, f"{evidence.type} 不是会变的数据，不需要 last_good_days",
                f"{evidence.type} does not age: last_good_days means nothing",
            )
        )  # fmt: skip
    return found


def _unknown(code: str, type_code: str) -> Fault:
    return Fault(code, f"没有证照类型 {type_code}", f"there is no certificate type {type_code}")


def _twice(every: list[ServiceItem]) -> list[Fault]:
    names = Counter((item.label(), item.level) for item in every)
    return [
        Fault(item.code, "同一层级有同名事项", "another item of its level has the same name")
        for item in every
        if names[(item.label(), item.level)] > 1
    ]

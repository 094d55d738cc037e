"""Service items as data: what may be asked is capped, what it cost before is sourced or says it is not."""

import json
from pathlib import Path

import pytest

from hub.catalogue.items import ServiceItem, caps, load_items, max_age, over_caps, predicates
from hub.errors import Malformed, NotFound
from hub.registry.types import load_types

ITEMS = load_items()
TYPES = load_types()
SCHOOL = ITEMS["441900-edu-points-enrolment"]

each_item = pytest.mark.parametrize("item", ITEMS.values(), ids=lambda i: i.code)


@each_item
def test_every_field_and_predicate_exists_in_its_type(item: ServiceItem) -> None:
    for code, paths in caps(item).items():
        assert paths <= TYPES[code].paths(), code
        for predicate in predicates(item, code):
            claim = TYPES[code].claim(predicate.path)
            assert claim is not None
            if predicate.op == "in":
                assert set(predicate.value) <= set(claim.values)


@each_item
def test_every_material_says_why_in_both_languages(item: ServiceItem) -> None:
    for material in item.materials:
        assert material.why["zh-CN"]
        assert material.why["en"]
        assert material.label() != material.label("en")
        for evidence in material.satisfied_by:
            kind = TYPES[evidence.type]
            if evidence.max_age_days is not None:
                assert kind.max_age is not None
                assert evidence.max_age_days <= kind.max_age


def test_statutory_days_of_the_school_place_are_57_with_the_sourced_parts() -> None:
    days = {m.code: m.days_before or 0 for m in SCHOOL.materials}
    assert SCHOOL.statutory_days.total == sum(days.values()) == 57
    by_group: dict[str | None, int] = {}
    for material in SCHOOL.materials:
        by_group[material.days_group] = by_group.get(material.days_group, 0) + days[material.code]
    assert by_group == {"family_planning": 10, "public_security": 15, "other": 32}
    assert {g.code: (g.days, g.unconfirmed) for g in SCHOOL.statutory_days.groups} == {
        "family_planning": (10, False),
        "public_security": (15, False),
        "other": (32, True),
    }
    assert {m.code for m in SCHOOL.materials if not m.days_unconfirmed} == {"family_planning"}
    assert "上限" in SCHOOL.statutory_days.note["zh-CN"]


def test_other_items_invent_no_days() -> None:
    for item in ITEMS.values():
        if item.statutory_days.total is None:
            assert all(m.days_before is None and m.trips_before is None for m in item.materials), item.code


def test_caps_stop_what_no_material_names() -> None:
    assert over_caps(SCHOOL, "degree", [("education_level",), ("holders", 0, "name")]) == []
    assert over_caps(SCHOOL, "degree", [("major",)]) == [("major",)]
    assert over_caps(SCHOOL, "residence_permit", [("address",)]) == [("address",)]
    assert over_caps(SCHOOL, "residence_permit", [("permits", 0, "valid_from")]) == []
    assert over_caps(ITEMS["441900-hrss-talent-degree"], "tax_record", [("deed_tax_5y",)]) != []
    assert over_caps(SCHOOL, "degree", [()]) == [()]


def test_ages_and_predicates() -> None:
    assert max_age(SCHOOL, "social_insurance") == 62
    assert max_age(SCHOOL, "degree") is None
    assert [p.as_json() for p in predicates(SCHOOL, "employment")] == [
        {"path": ["working"], "op": "eq", "value": True}
    ]


def test_materials_by_code() -> None:
    assert SCHOOL.material("degree").department == "dg-degree"
    with pytest.raises(NotFound):
        SCHOOL.material("passport")
    assert SCHOOL.purpose_label("points-enrolment", "en") == "Checking and scoring an enrolment by points"


@pytest.mark.parametrize("fault", ["days", "purpose", "operator", "twice", "language"])
def test_a_broken_item_file_is_named(fault: str, tmp_path: Path) -> None:
    raw = json.loads(json.dumps(SCHOOL.document))
    match fault:
        case "days":
            raw["statutory_days"]["total"] = 56
        case "purpose":
            raw["caps"]["purposes"].append("anything")
        case "operator":
            raw["materials"][4]["satisfied_by"][0]["predicates"][0]["op"] = "like"
        case "twice":
            raw["materials"].append(raw["materials"][0])
        case "language":
            raw["display"].pop()
    (tmp_path / f"{SCHOOL.code}.json").write_text(json.dumps(raw), encoding="utf-8")
    with pytest.raises(Malformed) as caught:
        load_items(tmp_path)
    assert SCHOOL.code in caught.value.en

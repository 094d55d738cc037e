"""Certificate types as data: complete in both languages, closed schemas, known owners."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from hub.errors import Malformed, Unprocessable
from hub.formats.identifiers import credit_code
from hub.registry.types import ENVELOPE, CertificateType, load_types

TYPES = load_types()
DEPARTMENTS = {
    "dg-edu", "dg-degree", "dg-hrss", "dg-si", "dg-ps", "dg-tax",
    "dg-realestate", "dg-civil", "dg-health", "dg-market", "dg-science", "dg-volunteer",
}  # fmt: skip
DEGREE = {
    "number": "1181942016001234",
    "education_level": "bachelor",
    "school": "x",
    "conferred_on": "2016-06-30",
}

PROJECT_DEPARTMENTS = {"dg-dr", "dg-nr", "dg-eco", "dg-water", "dg-housing"}

each_type = pytest.mark.parametrize("kind", TYPES.values(), ids=lambda t: t.code)


def test_the_types_of_the_twelve_departments_and_of_a_project_are_there() -> None:
    of_a_project = {t.code for t in TYPES.values() if t.owner in PROJECT_DEPARTMENTS}
    assert len(TYPES) == 15 + len(of_a_project) == 24
    assert {t.owner for t in TYPES.values()} == DEPARTMENTS | PROJECT_DEPARTMENTS


@each_type
def test_every_claim_has_a_chinese_and_an_english_name(kind: CertificateType) -> None:
    for path in kind.paths():
        zh, en = kind.claim_label(path), kind.claim_label(path, "en")
        assert zh
        assert any("\u4e00" <= c <= "\u9fff" for c in zh), path
        assert en.isascii(), path
    assert kind.label() != kind.label("en")
    for claim in kind.claims:
        for names in claim.values.values():
            assert names["zh-CN"] != names["en"]


@each_type
def test_coded_values_of_the_schema_all_have_names(kind: CertificateType) -> None:
    for name, schema in kind.schema["properties"].items():
        if "enum" in schema:
            info = kind.claim((name,))
            assert info is not None
            assert set(info.values) == set(schema["enum"])


@each_type
def test_gb_code_is_well_formed_and_said_to_be_unconfirmed(kind: CertificateType) -> None:
    assert credit_code(kind.gb_code[:18]) == kind.gb_code[:18]
    assert kind.gb_code[18:].isdigit()
    assert kind.gb_code_unconfirmed


def test_gb_codes_differ() -> None:
    assert len({t.gb_code for t in TYPES.values()}) == len(TYPES)


def test_living_types_have_an_age_and_standing_types_none() -> None:
    assert TYPES["social_insurance"].living
    assert TYPES["tax_record"].max_age
    assert TYPES["degree"].max_age is None
    assert not TYPES["degree"].living


def test_holders() -> None:
    assert {r.role: (r.min, r.max) for r in TYPES["marriage"].roles} == {"spouse": (2, 2)}
    TYPES["marriage"].check_roles(["spouse", "spouse"])
    TYPES["property"].check_roles(["owner", "co_owner"])
    TYPES["birth"].check_roles(["child", "mother", "father"])
    for kind, roles in [("marriage", ["spouse"]), ("degree", []), ("degree", ["owner", "guest"])]:
        with pytest.raises(Unprocessable) as caught:
            TYPES[kind].check_roles(roles)
        assert caught.value.code == "type.roles_invalid"


def test_claims_that_fit() -> None:
    TYPES["degree"].check_claims(DEGREE)
    permits = [{"kind": "temporary", "valid_from": "2008-01-01", "valid_until": "2008-12-31"}]
    TYPES["residence_permit"].check_claims({"number": "1", "town": "南城", "permits": permits})


@pytest.mark.parametrize(
    ("type_", "changed"),
    [
        ("degree", {"conferred_on": "2016-02-30"}),
        ("degree", {"conferred_on": "20160630"}),
        ("degree", {"education_level": "3"}),
        ("degree", {"iss": "x"}),
        ("degree", {"extra": "x"}),
        ("degree", {"school": ""}),
    ],
)
def test_claims_that_do_not_fit_are_refused_without_repeating_them(
    type_: str, changed: dict[str, Any]
) -> None:
    with pytest.raises(Unprocessable) as caught:
        TYPES[type_].check_claims(DEGREE | changed)
    assert caught.value.code == "type.claims_invalid"
    for value in changed.values():
        assert not value or f"{value}" not in caught.value.en.replace("extra", "").replace("x)", "")


@pytest.mark.parametrize("amount", ["1", "1.5", "-1.00", "01.00", "1e3", "1.000", 1.5, 100])
def test_money_is_a_decimal_string_with_two_places(amount: object) -> None:
    claims = {"number": "1", "period_until": "2016-04-30", "deed_tax_5y": amount}
    with pytest.raises(Unprocessable):
        TYPES["tax_record"].check_claims(claims)
    TYPES["tax_record"].check_claims(claims | {"deed_tax_5y": "1234.50"})


def test_a_missing_claim_is_refused() -> None:
    without = {k: v for k, v in DEGREE.items() if k != "school"}
    with pytest.raises(Unprocessable):
        TYPES["degree"].check_claims(without)


def test_the_envelope_is_not_the_types_business() -> None:
    assert all(not ({c.path[0] for c in t.claims} & ENVELOPE) for t in TYPES.values())


def test_labels_in_words() -> None:
    degree = TYPES["degree"]
    assert degree.value_label(("degree_level",), "bachelor") == "学士"
    assert degree.value_label(("degree_level",), "bachelor", "en") == "Bachelor"
    assert degree.claim_label(("holders", 0, "name"), "en") == "Name"
    assert degree.mask(("holders", 3, "id_no")) == "id_no"
    assert TYPES["residence_permit"].claim_label(("permits", 2, "valid_from")) == "有效期起"
    assert TYPES["social_insurance"].value_label(("insured_now",), True) == "是"


@pytest.mark.parametrize(
    "fault", ["english", "vct", "open", "age", "owner", "claim", "mask", "gb_code", "schema"]
)
def test_a_broken_type_file_is_named(fault: str, tmp_path: Path) -> None:
    raw = copy.deepcopy(dict(TYPES["degree"].document))
    match fault:
        case "english":
            raw["claims"][0]["display"].pop()
        case "vct":
            raw["vct"] += "x"
        case "open":
            raw["schema"]["additionalProperties"] = True
        case "age":
            raw["max_age_days"] = 3
        case "owner":
            raw["owner"] = "dg-tax"
        case "claim":
            raw["claims"].pop()
        case "mask":
            raw["claims"][0]["mask"] = "secret"
        case "gb_code":
            raw["gb_code"]["value"] = "1"
        case "schema":
            raw["schema"]["properties"]["school"] = {"type": "word"}
    (tmp_path / "degree.json").write_text(json.dumps(raw), encoding="utf-8")
    with pytest.raises(Malformed) as caught:
        load_types(tmp_path)
    assert "degree.json" in caught.value.en

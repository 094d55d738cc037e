"""Schemes as data: every published row is scored from a claim that exists and that its item may ask."""

import json
from pathlib import Path

import pytest

from hub.cases.measures import KINDS
from hub.cases.scheme import Scheme, load_schemes, needs
from hub.catalogue.items import load_items, over_caps
from hub.errors import Malformed
from hub.registry.types import load_types

ENROLMENT = "dg-points-enrolment-2016"
HOUSEHOLD = "dg-points-household"

PUBLISHED_ROWS = {
    ENROLMENT: {
        "service": "在莞服务年限",
        "residence": "在莞居住年限",
        "social_insurance": "在莞参保年限",
        "tax": "在莞纳税情况",
        "schooling": "在莞接受教育年限",
        "education": "文化程度",
        "qualification": "职业资格、职称、执业资格",
        "family_planning": "计划生育",
        "extras": "居所、科技、技能竞赛、社会服务",
    },
    HOUSEHOLD: {
        "education": "文化程度",
        "skill": "技能",
        "social_insurance": "社会保险",
        "work_and_residence": "工作及居住",
        "home": "自有住房",
        "age": "年龄",
        "volunteering": "志愿服务",
        "blood": "献血",
        "donations": "捐赠",
        "tax_income": "个人所得税",
        "tax_sole_trader": "个体工商户纳税",
        "tax_deed": "契税",
        "tax_company": "企业纳税",
        "science": "专利、科技",
        "family_planning": "计划生育",
    },
}
UNCONFIRMED_2016 = {"qualification", "housing", "science", "skill_contest", "social_service"}

SCHEMES = load_schemes()
TYPES = load_types()
ITEMS = load_items()

each_scheme = pytest.mark.parametrize("scheme", SCHEMES.values(), ids=lambda s: s.code)


@each_scheme
def test_every_published_row_has_a_rule_and_no_rule_is_made_up(scheme: Scheme) -> None:
    assert {r.row for r in scheme.rules} == set(PUBLISHED_ROWS[scheme.code])


@each_scheme
def test_every_rule_names_a_certificate_type_and_claims_that_exist(scheme: Scheme) -> None:
    for rule in scheme.rules:
        assert rule.sources, rule.id
        for source in rule.sources:
            assert source.type in TYPES, rule.id
            known = {c.path for c in TYPES[source.type].claims}
            assert source.claims, rule.id
            assert set(source.claims) <= known, rule.id
        first = {c.path for c in TYPES[rule.sources[0].type].claims}
        assert {w.claim for w in rule.where} <= first, rule.id
        assert rule.kind in KINDS, rule.id


@each_scheme
def test_what_a_scheme_reads_its_item_may_ask(scheme: Scheme) -> None:
    item = ITEMS[scheme.item]
    assert item.scheme == scheme.code
    for grade_1 in (True, False):
        for code, paths in needs(scheme, grade_1=grade_1).items():
            assert over_caps(item, code, paths) == [], code


def test_coded_values_of_rules_are_values_of_their_claims() -> None:
    for scheme in SCHEMES.values():
        for rule in scheme.rules:
            claim = TYPES[rule.sources[0].type].claim(rule.sources[0].claims[0])
            assert claim is not None
            assert set(rule.params.get("levels", {})) <= set(claim.values), rule.id


def test_values_without_a_source_are_marked_and_only_those() -> None:
    assert {r.id for r in SCHEMES[ENROLMENT].rules if r.unconfirmed} == UNCONFIRMED_2016
    assert all(r.note for r in SCHEMES[ENROLMENT].rules if r.unconfirmed)
    assert not any("points" in r.params for r in SCHEMES[ENROLMENT].rules if r.unconfirmed)


def test_needs_asks_only_what_is_read() -> None:
    scheme = SCHEMES[ENROLMENT]
    assert ("primary_months",) not in needs(scheme)["school_record"]
    assert ("primary_months",) in needs(scheme, grade_1=False)["school_record"]
    assert "volunteering" not in needs(scheme, confirmed_only=True)


def test_a_rule_without_certificate_and_claim_is_refused(tmp_path: Path) -> None:
    raw = json.loads(json.dumps(SCHEMES[ENROLMENT].document))
    raw["rules"][0]["sources"] = []
    (tmp_path / f"{ENROLMENT}.json").write_text(json.dumps(raw), encoding="utf-8")
    with pytest.raises(Malformed) as caught:
        load_schemes(tmp_path)
    assert caught.value.code == "scheme.file_invalid"

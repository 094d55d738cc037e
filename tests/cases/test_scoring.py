"""The scorer: bands and caps at their edges, one parent only, every point with its reason."""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.cases.scheme import load_schemes
from hub.cases.scoring import Evidence, Line, Score, Shown, order_key, score
from hub.errors import Unprocessable
from hub.registry.types import load_types

SCHEMES = load_schemes()
ENROLMENT = SCHEMES["dg-points-enrolment-2016"]
HOUSEHOLD = SCHEMES["dg-points-household"]
TYPES = load_types()
AS_OF = date(2016, 5, 15)
KINDS = ("pension", "medical", "unemployment", "injury", "maternity")


def shown(type_: str, claims: Mapping[str, Any], *, holder: str = "father", name: str = "") -> Shown:
    living = TYPES[type_].living
    return Shown(
        name or f"cert-{type_}-{holder}",
        type_,
        frozenset({holder}),
        claims,
        date(2016, 5, 1) if living else None,
    )


def insurance(*months: int) -> dict[str, Any]:
    return {f"{k}_months": m for k, m in zip(KINDS, months, strict=True)}


def judged(
    *certificates: Shown, scheme: Any = ENROLMENT, grade_1: bool = True, parent: str = "father"
) -> Score:
    return score(scheme, Evidence(parent, "child", certificates, grade_1), as_of=AS_OF)


def line(found: Score, rule: str) -> Line:
    return next(x for x in found.lines if x.rule == rule)


def points(type_: str, claims: Mapping[str, Any], rule: str, **more: Any) -> Decimal:
    holder = "child" if rule.startswith("schooling") else "father"
    return line(judged(shown(type_, claims, holder=holder), **more), rule).points


@pytest.mark.parametrize(
    ("months", "expected"),
    [(0, 0), (11, 0), (12, 1), (24, 2), (35, 2), (36, 6), (60, 10), (71, 10), (72, 18), (120, 30)],
)
def test_service_takes_the_band_of_the_total_for_every_full_year(months: int, expected: int) -> None:
    assert points("employment", {"service_months": months}, "service") == expected


@pytest.mark.parametrize(
    ("first", "expected"), [("2015-05-16", 1), ("2015-05-17", 0), ("2013-05-16", 6), ("2010-05-16", 18)]
)
def test_residence_at_the_edges_of_its_bands(first: str, expected: int) -> None:
    permits = [{"kind": "residence", "valid_from": first, "valid_until": "2016-12-31"}]
    assert points("residence_permit", {"permits": permits}, "residence") == expected


def test_social_insurance_counts_full_years_of_each_kind() -> None:
    assert points("social_insurance", insurance(60, 60, 60, 60, 60), "social_insurance") == Decimal("37.5")
    assert points("social_insurance", insurance(11, 12, 23, 24, 0), "social_insurance") == Decimal("6.0")


@pytest.mark.parametrize(
    ("paid", "expected"),
    [
        ("0.00", 0),
        ("2999.99", 0),
        ("3000.00", 10),
        ("3999.99", 10),
        ("4000.00", 20),
        ("4999.99", 20),
        ("5000.00", 30),
        ("99999.00", 30),
    ],
)
def test_wage_tax_takes_the_highest_step_only(paid: str, expected: int) -> None:
    assert points("tax_record", {"wage_tax_3y": paid}, "tax.wage") == expected


@pytest.mark.parametrize(
    ("claim", "rule", "paid", "expected"),
    [
        ("other_income_tax_3y", "tax.other_income", "999.99", 0),
        ("other_income_tax_3y", "tax.other_income", "1000.00", 1),
        ("other_income_tax_3y", "tax.other_income", "10999.99", 10),
        ("other_income_tax_3y", "tax.other_income", "11000.00", 10),
        ("sole_trader_tax_3y", "tax.sole_trader", "30000.00", 30),
        ("sole_trader_tax_3y", "tax.sole_trader", "31000.00", 30),
        ("company_tax_by_share_3y", "tax.company", "29999.99", 0),
        ("company_tax_by_share_3y", "tax.company", "30000.00", 10),
        ("company_tax_by_share_3y", "tax.company", "89999.99", 20),
        ("company_tax_by_share_3y", "tax.company", "120000.00", 30),
        ("deed_tax_5y", "tax.deed", "12345.67", 12),
        ("deed_tax_5y", "tax.deed", "31000.00", 30),
    ],
)
def test_other_taxes_count_full_units_up_to_their_caps(
    claim: str, rule: str, paid: str, expected: int
) -> None:
    assert points("tax_record", {claim: paid}, rule) == expected


def test_all_tax_together_is_at_most_100_and_the_rest_is_taken_off_in_the_open() -> None:
    everything = {
        "wage_tax_3y": "6000.00",
        "other_income_tax_3y": "20000.00",
        "sole_trader_tax_3y": "40000.00",
        "company_tax_by_share_3y": "90000.00",
        "deed_tax_5y": "50000.00",
    }
    found = judged(shown("tax_record", everything))
    taxed = [x for x in found.lines if x.rule.startswith("tax.")]
    assert sum(x.points for x in taxed) == 100
    assert line(found, "tax.cap").points == -30
    assert found.measures["tax"] == 100
    assert found.total == sum(x.points for x in found.lines)


def test_exactly_100_points_of_tax_need_no_cap() -> None:
    claims = {
        "wage_tax_3y": "5000.00",
        "other_income_tax_3y": "10000.00",
        "sole_trader_tax_3y": "30000.00",
        "company_tax_by_share_3y": "90000.00",
    }
    found = judged(shown("tax_record", claims))
    assert found.measures["tax"] == 100
    assert not [x for x in found.lines if x.rule == "tax.cap"]


@pytest.mark.parametrize(("months", "expected"), [(11, 0), (12, 3), (24, 6), (35, 6), (36, 10), (48, 10)])
def test_kindergarten_into_grade_1(months: int, expected: int) -> None:
    claims = {"kindergarten_months": months, "kindergarten_approved": True}
    assert points("school_record", claims, "schooling.grade_1") == expected
    assert points("school_record", claims | {"kindergarten_approved": False}, "schooling.grade_1") == 0


def test_primary_school_into_a_later_grade_has_one_confirmed_step() -> None:
    record = {"primary_months": 12}
    found = judged(shown("school_record", record, holder="child"), grade_1=False)
    assert (line(found, "schooling.later").points, line(found, "schooling.later").unconfirmed) == (2, False)
    found = judged(shown("school_record", {"primary_months": 24}, holder="child"), grade_1=False)
    assert (line(found, "schooling.later").points, line(found, "schooling.later").unconfirmed) == (2, True)
    assert "未核实" in line(found, "schooling.later").explanation_zh
    assert not [x for x in found.lines if x.rule == "schooling.grade_1"]


@pytest.mark.parametrize(
    ("level", "expected"),
    [("postgraduate", 20), ("bachelor", 20), ("junior_college", 10), ("senior_middle", 0)],
)
def test_education(level: str, expected: int) -> None:
    assert points("degree", {"education_level": level}, "education") == expected


def test_of_two_degrees_the_higher_counts_once() -> None:
    found = judged(
        shown("degree", {"education_level": "junior_college"}, name="first"),
        shown("degree", {"education_level": "bachelor"}, name="second"),
    )
    assert line(found, "education").points == 20
    assert line(found, "education").certificate_id == "second"


def test_family_planning_gives_20_and_5() -> None:
    found = judged(shown("family_planning", {"no_violation": True, "certified_only_child": False}))
    assert line(found, "family_planning.no_violation").points == 20
    assert line(found, "family_planning.only_child").points == 0
    assert not line(found, "family_planning.only_child").unconfirmed


def test_only_one_parent_counts() -> None:
    both = (
        shown("employment", {"service_months": 120}, holder="father"),
        shown("employment", {"service_months": 24}, holder="mother"),
        shown("degree", {"education_level": "bachelor"}, holder="father"),
    )
    assert judged(*both, parent="father").total == 50
    mother = judged(*both, parent="mother")
    assert mother.total == 2
    assert set(mother.not_counted) == {"cert-employment-father", "cert-degree-father"}


def test_the_childs_own_degree_is_nobodys_points() -> None:
    assert judged(shown("degree", {"education_level": "bachelor"}, holder="child")).total == 0


def test_what_was_not_shown_gives_nothing_and_says_so() -> None:
    found = judged()
    assert found.total == 0
    assert all(x.unconfirmed and x.points == 0 and x.certificate_id is None for x in found.lines)
    service = line(found, "service")
    assert service.reason == "value_missing"
    assert "未核实" in service.explanation_zh
    assert "not confirmed" in service.explanation_en


def test_a_claim_that_was_not_disclosed_is_missing_not_zero() -> None:
    found = judged(shown("social_insurance", insurance(60, 60, 60, 60, 60) | {"pension_months": 60}))
    assert line(found, "social_insurance").reason is None
    partly = {k: v for k, v in insurance(60, 60, 60, 60, 60).items() if k != "maternity_months"}
    assert line(judged(shown("social_insurance", partly)), "social_insurance").reason == "value_missing"


def test_rules_without_a_sourced_value_give_nothing_even_with_a_certificate() -> None:
    found = judged(
        shown("qualification", {"level": "senior_technician"}),
        shown("property", {"clear_title": True, "use": "home"}),
        shown("volunteering", {"hours_5y": 500}),
    )
    assert found.total == 0
    assert line(found, "qualification").reason == "rule_unconfirmed"
    assert "未核实" in line(found, "qualification").explanation_zh
    assert line(found, "qualification").certificate_id == "cert-qualification-father"


def test_every_line_cites_rule_scheme_certificate_and_claims() -> None:
    found = judged(shown("social_insurance", insurance(60, 48, 36, 24, 12)))
    cited = line(found, "social_insurance")
    assert (cited.scheme, cited.version) == ("dg-points-enrolment-2016", 1)
    assert cited.certificate_id == "cert-social_insurance-father"
    assert cited.type == "social_insurance"
    assert cited.claims == tuple((f"{k}_months",) for k in KINDS)
    assert "15 × 1.5 = 22.5" in cited.explanation_zh
    assert "15 x 1.5 = 22.5" in cited.explanation_en
    assert cited.as_json()["points"] == "22.5"


def test_the_newest_statement_of_a_living_type_counts() -> None:
    old = Shown("old", "tax_record", frozenset({"father"}), {"wage_tax_3y": "9000.00"}, date(2016, 1, 1))
    new = Shown("new", "tax_record", frozenset({"father"}), {"wage_tax_3y": "3000.00"}, date(2016, 5, 1))
    assert line(judged(old, new), "tax.wage").certificate_id == "new"
    assert judged(old, new) == judged(new, old)


@pytest.mark.parametrize(
    ("type_", "claims"),
    [
        ("employment", {"service_months": "60"}),
        ("employment", {"service_months": True}),
        ("employment", {"service_months": -1}),
        ("tax_record", {"wage_tax_3y": 5000.0}),
        ("tax_record", {"wage_tax_3y": "NaN"}),
        ("tax_record", {"deed_tax_5y": "-1.00"}),
        ("family_planning", {"no_violation": "yes"}),
        ("residence_permit", {"permits": [{"kind": "residence", "valid_from": "2016"}]}),
        (
            "residence_permit",
            {"permits": [{"kind": "x", "valid_from": "2015-01-01", "valid_until": "2016-01-01"}]},
        ),
    ],
)
def test_a_claim_of_the_wrong_kind_is_refused_not_guessed(type_: str, claims: Mapping[str, Any]) -> None:
    with pytest.raises(Unprocessable) as caught:
        judged(shown(type_, claims))
    assert caught.value.code == "scoring.value_invalid"


def test_equal_points_are_ordered_as_published() -> None:
    def permits(first: str) -> dict[str, Any]:
        return {"permits": [{"kind": "residence", "valid_from": first, "valid_until": "2016-12-31"}]}

    by_residence = judged(shown("residence_permit", permits("2010-05-01")))
    by_service = judged(shown("employment", {"service_months": 72}))
    assert by_residence.total == by_service.total == 18
    with_home = judged(
        shown("employment", {"service_months": 72}), shown("property", {"clear_title": True, "use": "home"})
    )
    assert with_home.total == 18
    ranked = sorted([by_service, with_home, by_residence], key=order_key)
    assert ranked == [by_residence, with_home, by_service]
    more = judged(shown("employment", {"service_months": 84}))
    assert sorted([by_residence, more], key=order_key)[0] is more


@pytest.mark.parametrize(
    ("born", "expected"),
    [
        ("1998-05-16", 5),
        ("1998-05-17", 0),
        ("1980-05-16", 1),
        ("1980-05-17", 5),
        ("1970-05-16", -3),
        ("1966-01-01", -15),
    ],
)
def test_household_age(born: str, expected: int) -> None:
    assert points("residence_permit", {"born_on": born}, "age", scheme=HOUSEHOLD) == expected


def test_household_rules() -> None:
    permits = [{"kind": "residence", "valid_from": "2011-05-01", "valid_until": "2017-12-31"}]
    found = judged(
        shown("employment", {"service_months": 70}),
        shown("residence_permit", {"permits": permits, "born_on": "1985-01-01"}),
        shown("degree", {"education_level": "junior_college"}),
        shown("qualification", {"level": "senior_worker"}),
        shown("property", {"use": "home", "clear_title": True, "town_class": "B"}),
        shown("science_award", {"kind": "patent", "part": "inventor"}),
        shown("volunteering", {"hours_5y": 149, "blood_donations_5y": 9, "donations_5y": "2999.99"}),
        shown("social_insurance", insurance(60, 60, 60, 60, 59)),
        scheme=HOUSEHOLD,
    )
    expected = {
        "work_and_residence": 30,
        "age": 5,
        "education": 60,
        "skill": 0,
        "home": 20,
        "science": 100,
        "volunteering": 4,
        "blood": 10,
        "donations": 4,
        "social_insurance": 48,
    }
    assert {k: line(found, k).points for k in expected} == expected
    assert line(found, "skill").reason == "rule_unconfirmed"
    assert len(line(found, "work_and_residence").citations) == 2


months = st.integers(0, 400)


@settings(max_examples=60)
@given(months, st.integers(0, 60), st.lists(months, min_size=5, max_size=5), st.integers(0, 4))
def test_more_months_never_lower_the_score(service: int, more: int, insured: list[int], kind: int) -> None:
    better = list(insured)
    better[kind] += more
    less = judged(
        shown("employment", {"service_months": service}), shown("social_insurance", insurance(*insured))
    )
    greater = judged(
        shown("employment", {"service_months": service + more}), shown("social_insurance", insurance(*better))
    )
    assert greater.total >= less.total


TAXES = (
    "wage_tax_3y",
    "other_income_tax_3y",
    "sole_trader_tax_3y",
    "company_tax_by_share_3y",
    "deed_tax_5y",
)
money = st.decimals(0, 200000, places=2).map(lambda d: f"{d:.2f}")


@settings(max_examples=60)
@given(
    st.fixed_dictionaries(
        {},
        optional=dict.fromkeys(
            (
                "wage_tax_3y",
                "other_income_tax_3y",
                "sole_trader_tax_3y",
                "company_tax_by_share_3y",
                "deed_tax_5y",
            ),
            money,
        ),
    )
)
def test_tax_never_gives_more_than_its_caps(paid: dict[str, str]) -> None:
    found = judged(shown("tax_record", paid))
    assert 0 <= found.total <= 100
    caps = {"tax.wage": 30, "tax.other_income": 10, "tax.sole_trader": 30, "tax.company": 30, "tax.deed": 30}
    for rule, cap in caps.items():
        assert 0 <= line(found, rule).points <= cap
    assert found.total == sum(x.points for x in found.lines)

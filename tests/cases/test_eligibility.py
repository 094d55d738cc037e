"""The conditions of enrolment: met, not met, and not known are three answers."""

from datetime import date
from typing import Any

import pytest

from hub.cases.eligibility import conditions, eligible
from hub.cases.scoring import Evidence, Shown
from hub.errors import Unprocessable

AS_OF = date(2016, 5, 15)
GOOD: dict[str, tuple[str, dict[str, Any]]] = {
    "birth": ("child", {"born_on": "2010-08-31"}),
    "household_register": ("child", {"origin": "elsewhere"}),
    "employment": ("father", {"working": True}),
    "residence_permit": (
        "father",
        {"permits": [{"kind": "residence", "valid_from": "2012-01-01", "valid_until": "2016-05-15"}]},
    ),
    "social_insurance": ("father", {"insured_now": True}),
}


def judged(**changed: dict[str, Any] | None) -> dict[str, bool | None]:
    shown = tuple(
        Shown(f"c-{code}", code, frozenset({holder}), claims | (changed.get(code) or {}))
        for code, (holder, claims) in GOOD.items()
        if changed.get(code, {}) is not None
    )
    found = conditions(Evidence("father", "child", shown), as_of=AS_OF)
    return {c.code: c.met for c in found} | {"": eligible(found)}


def test_everything_in_order() -> None:
    assert set(judged().values()) == {True}


@pytest.mark.parametrize(
    ("born", "met"),
    [
        ("2010-08-31", True),
        ("2010-09-01", False),
        ("1998-05-15", True),  # eighteen today
        ("1997-05-16", True),
        ("1997-05-15", False),  # nineteen today
        ("2008-02-29", True),
    ],
)
def test_age(born: str, met: bool) -> None:
    assert judged(birth={"born_on": born})["age"] is met


@pytest.mark.parametrize(("origin", "met"), [("dongguan", False), ("hong_kong_macau", True)])
def test_register(origin: str, met: bool) -> None:
    found = judged(household_register={"origin": origin})
    assert found["register"] is found[""] is met


def test_a_permit_that_ended_yesterday_is_not_in_force() -> None:
    ended = [{"kind": "residence", "valid_from": "2012-01-01", "valid_until": "2016-05-14"}]
    assert judged(residence_permit={"permits": ended})["permit"] is False


@pytest.mark.parametrize("code", GOOD)
def test_what_was_not_shown_is_unknown_and_never_no(code: str) -> None:
    found = judged(**{code: None})
    assert list(found.values()).count(None) == 2
    assert found[""] is None


def test_a_condition_not_met_outweighs_an_unknown_one() -> None:
    assert judged(birth=None, employment={"working": False})[""] is False


def test_reasons_in_both_languages_name_the_certificate() -> None:
    shown = (Shown("c-1", "social_insurance", frozenset({"father"}), {"insured_now": False}),)
    last = conditions(Evidence("father", "child", shown), as_of=AS_OF)[-1]
    assert last.certificate_id == "c-1"
    assert last.zh == "参加社会保险：否。"
    assert last.en == "pays social insurance: no."


@pytest.mark.parametrize("born", ["2010-02-30", "", None, 5])
def test_a_date_that_is_none_is_refused(born: Any) -> None:
    with pytest.raises(Unprocessable):
        judged(birth={"born_on": born})

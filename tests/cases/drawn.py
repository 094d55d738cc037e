"""Families drawn by chance, the same ones for the same number, with edges of the rules far more often than life has."""

import random
from datetime import date, timedelta
from typing import Any

HOLDER = {
    "employment": "worker",
    "residence_permit": "owner",
    "social_insurance": "insured",
    "tax_record": "taxpayer",
    "degree": "owner",
    "family_planning": "person",
    "property": "owner",
}
"""The role of the parent in each certificate that counts; the child's are `school_record` and `birth`."""

KINDS = ("pension", "medical", "unemployment", "injury", "maternity")


def months(chance: random.Random) -> int:
    return max(0, 12 * chance.randint(0, 9) + chance.choice((-1, 0, 0, 1, 5)))


def money(chance: random.Random, *steps: int) -> str:
    cents = 100 * chance.choice(steps) * chance.choice((0, 1, 1, 2, 3)) + chance.choice((-1, 0, 0, 1, 50))
    return f"{max(cents, 0) // 100}.{max(cents, 0) % 100:02d}"


def permits(chance: random.Random, today: date) -> list[dict[str, str]]:
    """Renewals in time, on day 30, on day 31, later; sometimes temporary permits before them; sometimes ended."""
    found, first = [], date(chance.randint(2006, 2019), chance.randint(1, 12), chance.randint(1, 28))
    if first.year <= 2010:
        last = first + timedelta(days=chance.randint(100, 900))
        found.append(_permit("temporary", first, last))
        first = last + timedelta(days=chance.choice((1, 28, 30, 31, 60)))
    while first <= today:
        last = first + timedelta(days=chance.choice((364, 730, 1095)))
        found.append(_permit("residence", first, last))
        first = last + timedelta(days=chance.choice((1,) * 17 + (29, 30, 31)))
    if chance.random() < 0.2:  # ends today, yesterday, or some time ago
        ends = max(date.fromisoformat(found[-1]["valid_from"]), today - timedelta(days=chance.choice((0, 1, 30, 31))))
        found[-1]["valid_until"] = str(ends)
    return found


def _permit(kind: str, first: date, last: date) -> dict[str, str]:
    return {"kind": kind, "valid_from": str(first), "valid_until": str(last)}


def papers(number: int, today: date) -> dict[str, dict[str, Any]]:
    """The claims of family `number` by certificate type; what a family does not have is not there."""
    chance = random.Random(f"family {number}")
    level = chance.choice(("postgraduate", "bachelor", "junior_college", "senior_middle", "junior_middle"))
    said: dict[str, dict[str, Any]] = {
        "employment": {"kind": "employed", "service_months": months(chance), "working": True},
        "residence_permit": {"permits": permits(chance, today), "town": "松山湖"},
        "social_insurance": {f"{k}_months": months(chance) for k in KINDS} | {"insured_now": True},
        "tax_record": {
            "wage_tax_3y": money(chance, 3000, 4000, 5000),
            "other_income_tax_3y": money(chance, 1000, 5000),
            "sole_trader_tax_3y": money(chance, 1000, 14000),
            "company_tax_by_share_3y": money(chance, 30000),
            "deed_tax_5y": money(chance, 1000, 12000),
            "period_until": str(today),
        },
        "degree": {"education_level": level, "school": "东莞理工学院", "conferred_on": "2009-06-30"},
        "family_planning": {"no_violation": chance.random() < 0.8, "certified_only_child": chance.random() < 0.3},
        "school_record": {
            "stage": "kindergarten",
            "school": "松山湖第一幼儿园",
            "kindergarten_approved": chance.random() < 0.9,
            "kindergarten_months": chance.choice((0, 11, 12, 23, 24, 35, 36, 37)),
            "primary_months": 0,
        },
        "property": {
            "use": "home", "ownership": "sole", "clear_title": True, "town": "松山湖", "registered_on": "2018-01-02",
        },
    }  # fmt: skip
    for code in ("employment", "tax_record", "degree", "family_planning", "school_record", "property"):
        if chance.random() < (0.5 if code == "property" else 0.1):
            del said[code]
    return {code: {"number": f"{code}-{number}"} | claims for code, claims in said.items()}

"""Enrolment by points 2016/2017, from the published rule text alone: nothing of the hub is imported or read here."""

import calendar
from datetime import date, timedelta
from fractions import Fraction


def by_total(years: int) -> int:
    """1-2 years 1 a year, 3-5 years 2 a year, 6 and more 3 a year; the band of the total holds for every year."""
    return years * (1 if years < 3 else 2 if years < 6 else 3)


def later(day: date, months: int) -> date:
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))


def months(first: str, last: date) -> int:
    """Civil months from a day to the end of another, walked one by one."""
    count = 0
    while later(date.fromisoformat(first), count + 1) - timedelta(days=1) <= last:
        count += 1
    return count


def lived(permits: list[dict], today: date) -> int:
    """Walk back from today; a gap of more than 30 days ends it. Unbroken: temporary permits before 2010 may count."""
    held = [p for p in permits if p["valid_from"] <= str(today)]
    new = sorted((p["valid_until"], p["valid_from"]) for p in held if p["kind"] == "residence")
    since, unbroken = str(today + timedelta(days=1)), True
    for last, first in reversed(new):
        allowed = 30 if since <= str(today) else 1
        if date.fromisoformat(since) - date.fromisoformat(last) <= timedelta(days=allowed):
            since = min(since, first)
        elif since > str(today):
            return 0  # nothing is in force today
        else:
            unbroken = False
    total, old = months(since, today), [p for p in held if p["kind"] == "temporary"]
    if new and old and unbroken:
        end = date.fromisoformat(max(p["valid_until"] for p in old))
        if since < "2010-06-01" or (end > date(2010, 6, 1) and since <= str(later(end, 1))):
            eve = min(date(2009, 12, 31), date.fromisoformat(since) - timedelta(days=1))
            total += sum(months(p["valid_from"], min(date.fromisoformat(p["valid_until"]), eve)) for p in old)
    return total


def points(papers: dict[str, dict], today: date) -> Fraction:
    """The total of one parent with these papers (type -> claims), for a child who enters grade 1."""
    tax = {k: Fraction(v) for k, v in papers.get("tax_record", {}).items() if k.endswith("y")}
    wage, insured = tax.get("wage_tax_3y", 0), papers.get("social_insurance", {})
    taxes = 30 if wage >= 5000 else 20 if wage >= 4000 else 10 if wage >= 3000 else 0
    taxes += min(tax.get("other_income_tax_3y", 0) // 1000, 10) + min(tax.get("sole_trader_tax_3y", 0) // 1000, 30)
    taxes += min(tax.get("company_tax_by_share_3y", 0) // 30000 * 10, 30) + min(tax.get("deed_tax_5y", 0) // 1000, 30)
    school, plan = papers.get("school_record", {}), papers.get("family_planning", {})
    nursery = min(school.get("kindergarten_months", 0) // 12, 3) if school.get("kindergarten_approved") else 0
    total = by_total(papers.get("employment", {}).get("service_months", 0) // 12) + min(taxes, 100)
    total += by_total(lived(papers.get("residence_permit", {}).get("permits", []), today) // 12)
    total += Fraction(3, 2) * sum(v // 12 for k, v in insured.items() if k.endswith("_months"))
    level = papers.get("degree", {}).get("education_level")
    total += {"postgraduate": 20, "bachelor": 20, "junior_college": 10}.get(level, 0)
    return total + (0, 3, 6, 10)[nursery] + 20 * plan.get("no_violation", 0) + 5 * plan.get("certified_only_child", 0)

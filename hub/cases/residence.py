"""How long somebody has lived here without a break, read from their permits (public security's guide of 2016).

The text leaves room; docs/decisions/0010-points-bands.md says how it is read. Days are civil days, and a permit's
last day of validity belongs to it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

from hub.errors import Unprocessable

RENEWAL_DAYS = 30
"""A permit renewed within so many days of its end counts as continuous."""

PERMITS_BEGAN = date(2010, 1, 1)
"""Temporary permits count for the time before this day only."""

TAKEN_OUT_BEFORE = date(2010, 6, 1)
"""A residence permit from before this day, or within a month of a temporary permit ended after it, keeps them."""

State = Literal["in_force", "suspended", "none"]


@dataclass(frozen=True, slots=True)
class Permit:
    """One permit or renewal, valid from the first to the last day, both included."""

    kind: Literal["temporary", "residence"]
    valid_from: date
    valid_until: date


@dataclass(frozen=True, slots=True)
class Residence:
    """What the permits add up to on a day.

    `months` = full months that count, of which `temporary_months` before 2010. `since` is the start of the
    unbroken run, `broken_on` the day when the run before it was lost. `renew_by` is set while a permit is
    suspended but may still be renewed without a break.
    """

    state: State
    months: int
    permit_months: int
    temporary_months: int
    since: date | None
    broken_on: date | None
    renew_by: date | None


def add_months(day: date, months: int) -> date:
    """The same day of the month `months` later, or that month's last day when it is shorter."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    following = date(year + (month == 11), (month + 1) % 12 + 1, 1)
    last = (following - timedelta(days=1)).day
    return date(year, month + 1, min(day.day, last))


def full_months(first: date, last: date) -> int:
    """Full months from `first` to `last`, both days included; 0 when they are the wrong way round."""
    after = last + timedelta(days=1)
    if after <= first:
        return 0
    months = (after.year - first.year) * 12 + after.month - first.month
    return months if add_months(first, months) <= after else months - 1


def residence(permits: Iterable[Permit], as_of: date) -> Residence:
    """Count the residence that stands on `as_of`.

    1. The residence permits in force by then form runs; a renewal within 30 days of the end carries a run on.
    2. Only the last run counts, and only if it covers `as_of`: after its end it is suspended.
    3. Temporary permits before 2010 are added if there never was a break and they led to the residence permit.

    Raises `Unprocessable("residence.permit_backwards")` for a permit that ends before it begins.
    """
    known = sorted((p for p in permits if p.valid_from <= as_of), key=lambda p: (p.valid_from, p.valid_until))
    if any(p.valid_until < p.valid_from for p in known):
        raise Unprocessable(
            "residence.permit_backwards",
            "有居住证件的截止日期早于起始日期",
            "a permit ends before it begins",
            next_zh="请发证部门更正。",
            next_en="Ask the issuing department to correct it.",
        )
    # 1. Runs of residence permits.
    runs = _runs((p for p in known if p.kind == "residence"), RENEWAL_DAYS)
    if not runs:
        return Residence("none", 0, 0, 0, None, None, None)
    first, last = runs[-1]
    broken_on = runs[-2][1] + timedelta(days=RENEWAL_DAYS + 1) if len(runs) > 1 else None
    # 2. Suspended at its end: nothing stands on this day, though it may still be saved.
    if last < as_of:
        deadline = last + timedelta(days=RENEWAL_DAYS)
        return Residence("suspended", 0, 0, 0, first, broken_on, deadline if as_of <= deadline else None)
    permit_months = full_months(first, as_of)
    # 3. Temporary permits.
    temporary = [p for p in known if p.kind == "temporary"]
    kept = len(runs) == 1 and bool(temporary) and _temporary_count(temporary, first)
    temporary_months = _months_before_2010(temporary, min(first, as_of)) if kept else 0
    return Residence(
        "in_force", permit_months + temporary_months, permit_months, temporary_months, first, broken_on, None
    )


def _runs(permits: Iterable[Permit], grace_days: int) -> list[tuple[date, date]]:
    """Merge permits in order of their start; the gap of a renewal in time belongs to the run."""
    runs: list[tuple[date, date]] = []
    for permit in permits:
        if runs and permit.valid_from <= runs[-1][1] + timedelta(days=max(grace_days, 1)):
            runs[-1] = (runs[-1][0], max(runs[-1][1], permit.valid_until))
        else:
            runs.append((permit.valid_from, permit.valid_until))
    return runs


def _temporary_count(temporary: list[Permit], first_residence: date) -> bool:
    """Conditions (a) and (b) of the guide."""
    ended = max(p.valid_until for p in temporary)
    taken_out_early = first_residence < TAKEN_OUT_BEFORE
    followed_at_once = ended > TAKEN_OUT_BEFORE and first_residence <= add_months(ended, 1)
    return taken_out_early or followed_at_once


def _months_before_2010(temporary: list[Permit], before: date) -> int:
    """Full months of temporary permits before 2010 and before that day, run by run (gaps left out).

    A day under both kinds of permit counts once, with the residence permit.
    """
    eve = min(PERMITS_BEGAN, before) - timedelta(days=1)
    return sum(full_months(first, min(last, eve)) for first, last in _runs(temporary, 0))

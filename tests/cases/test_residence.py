"""The continuity rule of residence, at its edges."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.cases.residence import Permit, add_months, full_months, residence
from hub.errors import Unprocessable

AS_OF = date(2016, 5, 15)


def permit(first: str, last: str) -> Permit:
    return Permit("residence", date.fromisoformat(first), date.fromisoformat(last))


def temporary(first: str, last: str) -> Permit:
    return Permit("temporary", date.fromisoformat(first), date.fromisoformat(last))


@pytest.mark.parametrize(
    ("first", "last", "months"),
    [
        ("2015-05-16", "2016-05-15", 12),  # the last day makes the year full
        ("2015-05-16", "2016-05-14", 11),  # one day short
        ("2015-01-31", "2015-02-27", 1),  # a month that has no 31st ends on its last day
        ("2016-01-31", "2016-02-28", 1),
        ("2016-02-29", "2017-02-27", 12),
        ("2016-05-15", "2016-05-15", 0),
        ("2016-05-15", "2016-05-01", 0),
    ],
)
def test_full_months(first: str, last: str, months: int) -> None:
    assert full_months(date.fromisoformat(first), date.fromisoformat(last)) == months


@pytest.mark.parametrize(("day", "months"), [(30, 52), (31, 15)])
def test_renewed_on_day_30_goes_on_and_on_day_31_starts_again(day: int, months: int) -> None:
    ended = date(2015, 1, 10)
    renewed = ended + timedelta(days=day)
    permits = [
        Permit("residence", date(2012, 1, 11), ended),
        Permit("residence", renewed, add_months(renewed, 24)),
    ]
    found = residence(permits, AS_OF)
    assert found.state == "in_force"
    assert found.months == months
    assert found.since == (date(2012, 1, 11) if day == 30 else renewed)
    assert (found.broken_on == renewed) is (day == 31)


def test_the_order_of_rows_does_not_matter() -> None:
    permits = [permit("2014-01-01", "2014-12-31"), permit("2015-01-01", "2016-12-31")]
    assert residence(permits, AS_OF) == residence(list(reversed(permits)), AS_OF)
    assert residence(permits, AS_OF).months == 28


def test_a_permit_that_has_ended_is_suspended_and_may_be_saved_for_30_days() -> None:
    permits = [permit("2010-01-01", "2016-04-30")]
    inside = residence(permits, date(2016, 5, 30))
    assert (inside.state, inside.months, inside.renew_by) == ("suspended", 0, date(2016, 5, 30))
    outside = residence(permits, date(2016, 5, 31))
    assert (outside.state, outside.months, outside.renew_by) == ("suspended", 0, None)
    assert residence(permits, date(2016, 4, 30)).state == "in_force"


def test_a_renewal_after_the_day_is_not_known_on_the_day() -> None:
    permits = [permit("2015-01-01", "2015-12-31"), permit("2016-01-20", "2017-01-19")]
    assert residence(permits, date(2016, 1, 10)).state == "suspended"
    assert residence(permits, date(2016, 1, 20)).months == 12


def test_temporary_permits_count_when_the_permit_was_taken_out_before_june_2010() -> None:
    old = [temporary("2007-01-01", "2010-03-31")]
    kept = residence([*old, permit("2010-05-31", "2016-12-31")], AS_OF)
    assert kept.temporary_months == 36  # up to the end of 2009 only
    assert kept.months == 36 + full_months(date(2010, 5, 31), AS_OF)
    assert residence([*old, permit("2010-06-01", "2016-12-31")], AS_OF).temporary_months == 0


def test_temporary_permits_count_when_the_permit_followed_within_a_month() -> None:
    old = temporary("2008-01-01", "2010-08-31")
    assert residence([old, permit("2010-09-30", "2016-12-31")], AS_OF).temporary_months == 24
    assert residence([old, permit("2010-10-01", "2016-12-31")], AS_OF).temporary_months == 0
    ended_too_early = temporary("2008-01-01", "2010-06-01")
    assert residence([ended_too_early, permit("2010-06-15", "2016-12-31")], AS_OF).temporary_months == 0


def test_temporary_permits_are_lost_with_a_break() -> None:
    permits = [
        temporary("2007-01-01", "2009-12-31"),
        permit("2010-01-01", "2012-12-31"),
        permit("2013-02-01", "2016-12-31"),
    ]
    found = residence(permits, AS_OF)
    assert found.temporary_months == 0
    assert found.months == full_months(date(2013, 2, 1), AS_OF)


def test_temporary_permits_are_lost_even_if_the_new_permit_was_early_too() -> None:
    permits = [
        temporary("2007-01-01", "2009-12-31"),
        permit("2010-01-01", "2010-02-10"),
        permit("2010-04-15", "2016-12-31"),  # before June 2010, but the run was broken
    ]
    assert residence(permits, AS_OF).temporary_months == 0


def test_temporary_permits_that_overlap_count_once() -> None:
    permits = [
        temporary("2007-01-01", "2008-12-31"),
        temporary("2008-07-01", "2009-12-31"),
        permit("2010-01-01", "2016-12-31"),
    ]
    assert residence(permits, AS_OF).temporary_months == 36


def test_a_day_under_both_kinds_of_permit_counts_once() -> None:
    permits = [temporary("2008-01-01", "2009-12-31"), permit("2009-01-01", "2016-12-31")]
    found = residence(permits, AS_OF)
    assert found.temporary_months == 12
    assert found.months == 12 + full_months(date(2009, 1, 1), AS_OF)


def test_no_residence_permit_no_residence() -> None:
    assert residence([temporary("2007-01-01", "2009-12-31")], AS_OF).state == "none"
    assert residence([], AS_OF).months == 0


def test_a_backward_permit_is_refused() -> None:
    with pytest.raises(Unprocessable) as caught:
        residence([permit("2015-01-01", "2014-01-01")], AS_OF)
    assert caught.value.code == "residence.permit_backwards"


days = st.dates(date(2004, 1, 1), date(2018, 1, 1))


@st.composite
def permits(draw: st.DrawFn) -> list[Permit]:
    made = []
    for _ in range(draw(st.integers(0, 6))):
        first = draw(days)
        last = first + timedelta(days=draw(st.integers(0, 1200)))
        made.append(Permit(draw(st.sampled_from(["temporary", "residence"])), first, last))
    return made


@given(permits(), days)
def test_counted_months_never_exceed_the_time_since_the_first_permit(held: list[Permit], as_of: date) -> None:
    found = residence(held, as_of)
    assert found.months >= 0
    if found.months:
        # Each run may gain a day at the end of a short month, so a month more for each is the tightest bound.
        assert found.months <= full_months(min(p.valid_from for p in held), as_of) + len(held)
        assert found.state == "in_force"


@given(permits(), days, st.integers(1, 400))
def test_a_longer_last_permit_never_lowers_the_count(held: list[Permit], as_of: date, more: int) -> None:
    stands = [i for i, p in enumerate(held) if p.kind == "residence"]
    if not stands:
        return
    last = max(stands, key=lambda i: held[i].valid_until)
    longer = list(held)
    longer[last] = Permit("residence", held[last].valid_from, held[last].valid_until + timedelta(days=more))
    assert residence(longer, as_of).months >= residence(held, as_of).months


@given(days, st.integers(0, 300))
def test_full_months_inverts_add_months(first: date, months: int) -> None:
    end = add_months(first, months)
    assert full_months(first, end - timedelta(days=1)) == months
    assert full_months(first, end - timedelta(days=2)) < max(months, 1)

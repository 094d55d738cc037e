"""Working days: holidays, make-up days, and years that nobody has published yet."""

from datetime import date

import pytest

from hub.cases import workdays
from hub.errors import Unprocessable


@pytest.mark.parametrize(
    ("day", "works"),
    [
        (date(2026, 10, 1), False),  # National Day
        (date(2026, 10, 10), True),  # a Saturday that makes up for it
        (date(2026, 11, 21), False),  # a Saturday like any other
        (date(2026, 11, 23), True),
        (date(2016, 2, 8), False),  # Spring Festival of the scheme's own year
        (date(2016, 2, 6), True),
    ],
)
def test_holidays_and_make_up_days(day: date, works: bool) -> None:
    assert workdays.is_workday(day) is works


def test_a_period_begins_on_the_day_after() -> None:
    assert workdays.due(date(2026, 11, 23), 1) == date(2026, 11, 24)
    assert workdays.due(date(2026, 11, 20), 1) == date(2026, 11, 23)  # over a weekend
    assert workdays.due(date(2026, 9, 30), 1) == date(2026, 10, 8)  # over National Day
    assert workdays.due(date(2026, 11, 23), 0) == date(2026, 11, 23)


def test_between_inverts_due() -> None:
    first = date(2026, 1, 30)
    for days in range(60):
        assert workdays.between(first, workdays.due(first, days)) == days
    assert workdays.between(date(2026, 2, 2), date(2026, 2, 1)) == 0


def test_a_year_that_is_not_published_is_refused_and_never_guessed() -> None:
    for ask in (lambda: workdays.is_workday(date(2003, 6, 2)), lambda: workdays.due(date(2099, 12, 30), 3)):
        with pytest.raises(Unprocessable) as caught:
            ask()
        assert caught.value.code == "calendar.year_missing"
    assert workdays.due_or_none(date(2099, 12, 30), 3) is None


def test_the_calendar_says_its_version() -> None:
    assert workdays.VERSION.startswith("chinesecalendar 1.")

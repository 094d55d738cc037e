"""The working days of China: weekends, holidays and make-up days as the State Council publishes them each year.

A legal clock runs on these days only. The calendar is a package with its own version (`VERSION`), and whatever is
counted says by which version, so that it can be counted again. A year that is not published yet is refused, never
guessed: an autumn deadline may well end in a spring that nobody has a calendar for.
"""

from datetime import date, timedelta
from importlib.metadata import version

import chinese_calendar

from hub.errors import Unprocessable

VERSION = f"chinesecalendar {version('chinesecalendar')}"


def is_workday(day: date) -> bool:
    """Whether offices work on that day. Raises Unprocessable `calendar.year_missing`."""
    try:
        return bool(chinese_calendar.is_workday(day))
    except NotImplementedError as error:
        raise Unprocessable(
            "calendar.year_missing",
            f"{day.year} 年的节假日安排不在本平台的工作日日历内，不能推算。",
            f"The holidays of {day.year} are not in this hub's working-day calendar; nothing is guessed.",
            next_zh="放假安排公布后，请运维人员更新工作日日历。",
            next_en="Once that year is published, an operator updates the calendar.",
            year=day.year,
        ) from error


def due(start: date, days: int) -> date:
    """The last day of a period of `days` working days that begins on the day after `start`.

    Raises Unprocessable `calendar.year_missing`, ValueError for a negative number of days.
    """
    if days < 0:
        raise ValueError("a period is not negative")
    day = start
    while days:
        day += timedelta(days=1)
        days -= is_workday(day)
    return day


def due_or_none(start: date, days: int) -> date | None:
    """`due`, or None while the year in which it ends is not published."""
    try:
        return due(start, days)
    except Unprocessable:
        return None


def between(first: date, last: date) -> int:
    """The working days after `first` up to and with `last`; 0 when `last` is not later.

    Raises Unprocessable `calendar.year_missing`.
    """
    span = range(1, (last - first).days + 1)
    return sum(is_workday(first + timedelta(days=n)) for n in span)

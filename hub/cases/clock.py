"""The legal clock of one department's part: whose days they are, ours and the applicant's kept apart. Pure.

A period begins on the day after (公历, working days of `workdays`). While something is to be mended (补正) the clock is
the applicant's; the days they take are added to the last day. A day on which both had it counts as ours.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from hub.cases.workdays import between, due_or_none
from hub.errors import Unprocessable


@dataclass(frozen=True, slots=True)
class Clock:
    """Working days so far: `ours` of the department, `theirs` of the applicant. None: a year is not published.

    `due_on` is the department's last day, None while it is unknown or stands still. `overdue` is about ours only.
    """

    limit: int
    ours: int | None
    theirs: int | None
    due_on: date | None
    paused: bool
    overdue: bool


def read_clock(
    *, limit: int, started: date, pauses: Sequence[tuple[date, date | None]], today: date, ended: date | None
) -> Clock:
    """Where the clock stands on `today`; `pauses` are (asked, answered or None), in order, never overlapping."""
    paused = ended is None and any(answered is None for _, answered in pauses)
    until = ended or today
    try:
        theirs = sum(between(asked, min(answered or until, until)) for asked, answered in pauses)
        ours = between(started, until) - theirs
    except Unprocessable:
        return Clock(limit, None, None, None, paused, False)
    due_on = None if paused else due_or_none(started, limit + theirs)
    return Clock(limit, ours, theirs, due_on, paused, ours > limit)

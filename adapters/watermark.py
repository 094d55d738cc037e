"""How far a dataset with a cursor was read, and when it has to be read whole again.

A poll reads the rows whose cursor lies after the watermark less the lag, so that a commit that was held open meanwhile
is not missed; what it reads twice costs one comparison. A poll says nothing about rows that it did not return: only a
whole pass does, and it is the safety net for cursors that lie (empty, set back, or committed later than the lag).
"""

import json
import math
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from adapters.model import Cursor, Dataset
from adapters.source import SourceFault
from adapters.state import State
from hub.clock import from_seconds, seconds

Mark = datetime | date | int | Decimal


def due_whole(state: State, dataset: Dataset, rules: str, now: datetime) -> bool:
    """Whether this pass must read everything: no cursor, never read whole under these rules, asked for, or long ago."""
    if dataset.cursor is None or state.get(f"cursor:{dataset.id}") is None or state.wants_whole(dataset.id):
        return True
    last = state.last_whole(dataset.id)
    if last is None or last[1] != rules:
        return True
    return (now - datetime.fromisoformat(last[0])).total_seconds() >= dataset.reconcile.every


def since(state: State, dataset: Dataset) -> Any:
    """The value to bind in `cursor > ?` for a poll: the watermark less the lag, as the source writes such values."""
    cursor, kept = dataset.cursor, state.get(f"cursor:{dataset.id}")
    assert cursor is not None and kept is not None, "asked only when due_whole said no"  # noqa: S101, PT018
    mark = _decoded(kept)
    if isinstance(mark, datetime):
        back: Mark = mark - timedelta(seconds=cursor.lag)
    elif isinstance(mark, date):  # a whole day at least: rows change later on the day that was seen
        back = mark - timedelta(days=max(1, math.ceil(cursor.lag / 86_400)))
    else:
        back = mark - cursor.lag
    return back.strftime(cursor.format) if cursor.format and isinstance(back, datetime) else back


class Watermark:
    """The newest cursor value of one pass, never beyond the present: one row with a date of 2099 must hide no other."""

    def __init__(self, cursor: Cursor, now: datetime) -> None:
        self._cursor = cursor
        self._zone = ZoneInfo(cursor.timezone)
        self._now = now
        self._mark: Mark | None = None

    def see(self, cell: Any) -> None:
        """Take in one row's cursor value. Raises SourceFault `source.cursor_type`."""
        found = self._capped(self._read(cell))
        if found is not None and (self._mark is None or found > self._mark):  # type: ignore[operator]
            self._mark = found

    def keep(self, state: State, dataset: str) -> None:
        """Remember it, if it is further than before. Called when the hub has acked everything of the pass."""
        if self._mark is None:
            return
        before = state.get(f"cursor:{dataset}")
        known = _decoded(before) if before is not None else None
        if known is None or type(known) is not type(self._mark) or known < self._mark:  # type: ignore[operator]
            state.put(f"cursor:{dataset}", _encoded(self._mark))

    def _read(self, cell: Any) -> Mark | None:
        if isinstance(cell, str) and self._cursor.format:
            try:
                return datetime.strptime(cell.strip(), self._cursor.format)  # in the cursor's zone
            except ValueError:
                return None
        if isinstance(cell, datetime | date | int | Decimal) and not isinstance(cell, bool):
            return cell
        raise SourceFault(
            "source.cursor_type",
            f"列 {self._cursor.column} 不是时间或数字，不能作游标。",
            f"Column {self._cursor.column} is neither a time nor a number: it cannot be the cursor.",
            next_zh='写成文字的时间请在 cursor 里加 format，例如 "%Y-%m-%d %H:%M:%S"。',
            next_en="For times written as text add format: to the cursor.",
        )

    def _capped(self, mark: Mark | None) -> Mark | None:
        if isinstance(mark, datetime):
            present = self._now if mark.tzinfo else self._now.astimezone(self._zone).replace(tzinfo=None)
            return min(mark, present)
        if isinstance(mark, date):
            return min(mark, self._now.astimezone(self._zone).date())
        return mark


def _encoded(mark: Mark) -> str:
    if isinstance(mark, datetime):
        kind, text = ("instant", str(seconds(mark))) if mark.tzinfo else ("time", mark.isoformat())
    elif isinstance(mark, date):
        kind, text = "day", mark.isoformat()
    else:
        kind, text = ("number", str(mark)) if isinstance(mark, Decimal) else ("integer", str(mark))
    return json.dumps([kind, text])


def _decoded(kept: str) -> Mark:
    kind, text = json.loads(kept)
    match kind:
        case "instant":
            return from_seconds(int(text))
        case "time":
            return datetime.fromisoformat(text)
        case "day":
            return date.fromisoformat(text)
        case "number":
            return Decimal(text)
        case _:
            return int(text)

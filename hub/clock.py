"""Time: aware UTC for instants, civil days in Asia/Shanghai for what a certificate says."""

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

SHANGHAI = ZoneInfo("Asia/Shanghai")

Clock = Callable[[], datetime]


def now() -> datetime:
    """The present instant, aware, in UTC."""
    return datetime.now(UTC)


def seconds(moment: datetime) -> int:
    """Whole seconds since the epoch, as JWTs write time (RFC 7519 NumericDate)."""
    return int(moment.timestamp())


def from_seconds(value: int) -> datetime:
    """The aware UTC instant of a NumericDate."""
    return datetime.fromtimestamp(value, UTC)


@lru_cache(maxsize=1024)
def civil_day(moment: datetime) -> date:
    """The calendar day in Shanghai at this instant."""
    return moment.astimezone(SHANGHAI).date()


def day_start(day: date) -> datetime:
    """00:00 in Shanghai on that day, as an instant in UTC."""
    return datetime.combine(day, time(), SHANGHAI).astimezone(UTC)


def day_end(day: date) -> datetime:
    """The midnight that ends that day in Shanghai: "valid until" a day includes the day itself."""
    return day_start(day + timedelta(days=1))

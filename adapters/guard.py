"""What protects a department's source from look-ups: how many at once, how many a second, and a circuit breaker."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from adapters.model import Lookup
from adapters.source import SourceFault
from hub.errors import Unavailable

FAILURES = 3
REST = 20.0
"""So many faults in a row leave the source alone for so many seconds; then one look-up tries."""


class Guard:
    """One dataset's. Safe for threads; knows only this process."""

    def __init__(self, rule: Lookup) -> None:
        self._rule = rule
        self._free = threading.BoundedSemaphore(rule.at_once)
        self._lock = threading.Lock()
        self._tokens = float(rule.rate)
        self._filled = time.monotonic()
        self._failures = 0
        self._rests_until = 0.0

    @property
    def resting(self) -> bool:
        """Whether the breaker is open."""
        return self._failures >= FAILURES and time.monotonic() < self._rests_until

    @contextmanager
    def entered(self) -> Iterator[None]:
        """One look-up. Raises Unavailable `agent.resting` while the breaker is open, `agent.busy` for too many."""
        if not self._free.acquire(timeout=self._rule.timeout):
            raise busy()
        try:
            self._admit()
            try:
                yield
            except SourceFault:
                self._count(failed=True)
                raise
            self._count(failed=False)
        finally:
            self._free.release()

    def _admit(self) -> None:
        with self._lock:
            present = time.monotonic()
            if self._failures >= FAILURES:
                if present < self._rests_until:
                    raise Unavailable("agent.resting", "数据源刚才多次不通，稍后再试。", "The source is resting.")
                self._rests_until = present + REST  # this one tries; the others wait for what it finds
            filled = self._tokens + (present - self._filled) * self._rule.rate
            self._tokens, self._filled = min(float(self._rule.rate), filled), present
            if self._tokens < 1:
                raise busy()
            self._tokens -= 1

    def _count(self, *, failed: bool) -> None:
        with self._lock:
            self._failures = self._failures + 1 if failed else 0
            if self._failures >= FAILURES:
                self._rests_until = time.monotonic() + REST


def busy() -> Unavailable:
    """More look-ups than this source is asked for at once."""
    return Unavailable("agent.busy", "查询太多，请稍后再试。", "Too many look-ups at this moment.")

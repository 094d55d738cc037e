"""First registrations on their way to the hub while the next rows are read and signed.

They build on nothing, so they need not wait for each other; whatever ends a certificate does, and goes through
`deliver`. Only the calls run beside the pass: the state is written by the pass alone. A kill in between leaves the
outbox, as always.
"""

from collections import Counter, deque
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor

from adapters import deliver as delivering
from adapters.deliver import IN_FLIGHT, Answers, ask, deliver, settle
from adapters.desk import Desk
from adapters.state import Waiting
from hub.errors import HubError


class Outgoing:
    """The outbox of one pass, sent as it fills. `close` it, or promises are only delivered by the next sync."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._pool: ThreadPoolExecutor | None = None
        self._flying: deque[tuple[list[Waiting], Future[Answers]]] = deque()
        self._last = 0

    def send(self) -> Counter[str]:
        """Put what was promised since the last time on its way; gives what was settled meanwhile.

        Comes back when at most `IN_FLIGHT` calls are unanswered. Raises the HubError that stops the sending.
        """
        counts: Counter[str] = Counter()
        while batch := self._desk.state.waiting(delivering.CHUNK, after=self._last):
            if any(one.old_id is not None for one in batch):
                return counts + self.drain() + deliver(self._desk)
            if len(self._flying) >= IN_FLIGHT:
                self._settle_oldest(counts)
            self._pool = self._pool or ThreadPoolExecutor(IN_FLIGHT, "outgoing")
            self._flying.append((batch, self._pool.submit(ask, self._desk, batch)))
            self._last = batch[-1].id
        return counts

    def holds(self, refs: Iterable[str]) -> bool:
        """Whether a promise of one of these source keys has not been answered yet."""
        flying = {one.ref for batch, _ in self._flying for one in batch}
        return bool(flying) and not flying.isdisjoint(refs)

    def drain(self) -> Counter[str]:
        """Wait for every answer. Raises the HubError that stops the sending, when all the others are settled."""
        counts: Counter[str] = Counter()
        stops: list[HubError] = []
        while self._flying:
            batch, answers = self._flying.popleft()
            settle(self._desk, batch, answers.result(), counts, stops)
        if stops:
            raise stops[0]
        return counts

    def close(self) -> Counter[str]:
        """Settle what is on its way; an error of the hub is left to whoever sends next."""
        counts: Counter[str] = Counter()
        while self._flying:
            batch, answers = self._flying.popleft()
            settle(self._desk, batch, answers.result(), counts, [])
        if self._pool is not None:
            self._pool.shutdown()
        return counts

    def _settle_oldest(self, counts: Counter[str]) -> None:
        stops: list[HubError] = []
        batch, answers = self._flying.popleft()
        settle(self._desk, batch, answers.result(), counts, stops)
        if stops:
            raise stops[0]

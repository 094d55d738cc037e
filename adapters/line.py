"""The agent's line to the hub: an outbound long poll for pull orders, held open while the agent serves.

Nothing listens at the department. A line that breaks is taken up again, after a pause that grows to half a minute and
is never the same for two agents. Orders are answered by a few threads, each with its own view of the state file.
"""

import random
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, suppress
from dataclasses import replace
from types import TracebackType
from typing import Self

from adapters import pulls
from adapters.client import HubClient
from adapters.consent import Judge
from adapters.desk import Desk
from adapters.guard import Guard
from adapters.model import Dataset
from adapters.pulls import Answered
from adapters.state import State
from adapters.statusbook import StatusBook
from hub.errors import Forbidden, HubError, Internal
from hub.formats import jws
from hub.formats.pullorder import MAX_BYTES

WAIT_SECONDS = 25
LONGEST_PAUSE = 30.0
Told = Callable[[Answered | HubError], None]


class Line:
    """Keeps the line of one agent; `with line:` while it serves.

    `poll` is a client of its own, which does not try again by itself. `book_of` makes the status book of a state.
    """

    def __init__(
        self,
        desk: Desk,
        datasets: Sequence[Dataset],
        *,
        poll: HubClient,
        book_of: Callable[[State], StatusBook],
        told: Told = lambda _: None,
        wait: int = WAIT_SECONDS,
    ) -> None:
        self.datasets = tuple(one for one in datasets if one.lookup is not None)
        self.guards = {one.id: Guard(one.lookup) for one in self.datasets if one.lookup is not None}
        self._desk, self._poll, self._book_of, self._told, self._wait = desk, poll, book_of, told, wait
        self._judge = Judge(desk.client, desk.me.department, desk.me.log_key, desk.clock)
        self._room = max(1, sum(one.lookup.at_once for one in self.datasets if one.lookup is not None))
        self._pool = ThreadPoolExecutor(self._room, thread_name_prefix="pull")
        self._going: set[str] = set()
        self._not_ours: set[str] = set()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="line", daemon=True)

    def __enter__(self) -> Self:
        if self.datasets:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Say that we leave, let what is under way end, and go."""
        self._stop.set()
        if self.datasets:
            with suppress(HubError):
                self._poll.pull_orders(self.types, wait=0, room=1, leaving=True)
            self._thread.join(1)
        self._pool.shutdown(wait=True, cancel_futures=True)

    @property
    def types(self) -> list[str]:
        """What we look up."""
        return sorted({one.type for one in self.datasets})

    def _run(self) -> None:
        pause = 1.0
        while not self._stop.is_set():
            room = self._room - len(self._going)
            if room <= 0:
                self._stop.wait(0.05)
                continue
            try:
                orders, counted = self._poll.pull_orders(self.types, wait=self._wait, room=min(room, 16))
                pause = 1.0
                missing = set(self.types) - set(counted)
                if missing and missing != self._not_ours:
                    self._told(_not_ours(missing))
                self._not_ours = missing
            except HubError as fault:
                self._told(fault)
                self._stop.wait(pause * random.uniform(0.5, 1.0))  # noqa: S311  # spreads load, guards nothing
                pause = min(LONGEST_PAUSE, pause * 2)
                continue
            for token in orders:
                self._take(token)

    def _take(self, token: str) -> None:
        """Begin to answer an order, unless we are at it already: a slow source does not make two of one."""
        try:
            name = str(jws.split(token, max_bytes=MAX_BYTES).payload.get("jti"))
        except HubError as fault:
            self._told(fault)
            return
        with self._lock:
            if self._stop.is_set() or name in self._going:
                return
            self._going.add(name)
        self._pool.submit(self._answer, token, name)

    def _answer(self, token: str, name: str) -> None:
        try:
            with closing(State(self._desk.me.state, faces=self._desk.me.faces)) as state:
                desk = replace(self._desk, state=state, book=self._book_of(state), progress=None)
                answered = pulls.answer(desk, self.datasets, self._judge, self._guarded, token)
            self._told(answered)
        except HubError as fault:
            self._told(fault)
        except Exception as fault:  # one order must not end the line; its class is told, never what it holds
            self._told(_failed(fault))
        finally:
            with self._lock:
                self._going.discard(name)

    def _guarded(self, dataset: Dataset) -> AbstractContextManager[None]:
        return self.guards[dataset.id].entered()


def _failed(fault: Exception) -> HubError:
    return Internal("agent.pull_failed", "答复取证请求时出错。", f"Answering a pull failed ({type(fault).__name__}).")


def _not_ours(types: set[str]) -> HubError:
    """Told once for each change: the hub sends no orders for these types."""
    named = "、".join(sorted(types))
    return Forbidden(
        "agent.type_not_ours",
        f"枢纽不会就这些类型来问：{named}（本部门无权签发）。",
        f"The hub asks nothing of these types, which this department may not issue: {named}.",
    )

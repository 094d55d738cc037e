"""Waiting for pulls: one small query every moment for everybody of this process who waits, and a nudge from within.

Any process may be asked and any may hold the agent's line, so the rows are what is waited for; within one process
nobody waits for the next look. A process in which nobody waits asks nothing.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import TypeVar
from uuid import UUID

from hub.actor import SYSTEM
from hub.errors import HubError
from hub.verification import pull
from hub.web.deps import Hub

EVERY_SECONDS = 0.15


class PullWatch:
    """Everybody of this process who waits for a pull: agents for something to do, verifiers for an end."""

    def __init__(self) -> None:
        self._departments: dict[str, set[asyncio.Event]] = {}
        self._ids: dict[UUID, set[asyncio.Event]] = {}
        self._nudged = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def nudge(self) -> None:
        """Something changed in this process: look now."""
        self._nudged.set()

    async def work(self, hub: Hub, department: str, *, seconds: float, leaving: asyncio.Event) -> bool:
        """Wait until something may wait for this department's agent; False when the time was over, or we leave."""
        event = asyncio.Event()
        _add(self._departments, department, event)
        self._run(hub)
        told = [asyncio.ensure_future(event.wait()), asyncio.ensure_future(leaving.wait())]
        try:
            await asyncio.wait(told, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in told:
                one.cancel()
            _drop(self._departments, department, event)
        return event.is_set() and not leaving.is_set()

    async def ends(self, hub: Hub, ids: Sequence[UUID], *, seconds: float) -> None:
        """Wait until all of these ended, or the time is over."""
        events = {one: asyncio.Event() for one in ids}
        for one, event in events.items():
            _add(self._ids, one, event)
        self._run(hub)
        self.nudge()
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    for event in events.values():
                        await event.wait()
        finally:
            for one, event in events.items():
                _drop(self._ids, one, event)

    def _run(self, hub: Hub) -> None:
        if self._task is None or self._task.done():
            self._nudged = asyncio.Event()  # of the loop that runs now
            self._task = asyncio.create_task(self._look(hub))

    async def _look(self, hub: Hub) -> None:
        while self._departments or self._ids:
            self._nudged.clear()
            with suppress(HubError):  # a database that is away is asked again in a moment
                async with hub.view(SYSTEM) as view:
                    ended = await pull.ended_among(view, list(self._ids)) if self._ids else {}
                    names = sorted(self._departments)
                    waiting = await pull.any_waiting(view, names) if names else set()
                for one in ended:
                    _tell(self._ids, one)
                for name in waiting:
                    _tell(self._departments, name)
            with suppress(TimeoutError):
                async with asyncio.timeout(EVERY_SECONDS):
                    await self._nudged.wait()


K = TypeVar("K")
Waiters = dict[K, set[asyncio.Event]]


def _add(waiters: Waiters[K], key: K, event: asyncio.Event) -> None:
    waiters.setdefault(key, set()).add(event)


def _drop(waiters: Waiters[K], key: K, event: asyncio.Event) -> None:
    left = waiters.get(key, set())
    left.discard(event)
    if not left:
        waiters.pop(key, None)


def _tell(waiters: Waiters[K], key: K) -> None:
    for event in waiters.get(key, ()):
        event.set()


def watch_of(hub: Hub) -> PullWatch:
    """The one watch of this process."""
    return hub.db.memory.of(PullWatch)

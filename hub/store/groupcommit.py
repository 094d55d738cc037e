"""Group commit: callers who come at the same time share one transaction, and each is answered only when it is durable.

The disk can sync a few thousand times a second at best, and a transaction costs the same few round trips whether it
does the work of one caller or of thirty. Nobody waits for a group to fill: a caller who comes alone starts at once,
and whoever comes while a group is under way forms the next one, with those who come in the few milliseconds after it.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from hub.errors import HubError, Unavailable

C = TypeVar("C")
A = TypeVar("A")

MOMENT = 0.001
MOMENTS = 4
"""Seconds, and how many of them at most, that a next group waits for more while more come."""

Work = Callable[[Sequence[C]], Awaitable[Sequence[A | HubError]]]
"""Does the work of some callers in one transaction and commits; an error in the place of a caller is that caller's."""


class GroupCommit(Generic[C, A]):
    """One queue of callers of one verb.

    `most` bounds a group. When the work of a group fails as a whole, each of its callers is tried alone, so that one
    caller's bad luck is nobody else's; not when the database is out of reach, because then the outcome is unknown.
    One group is under way at a time: two would each be half as large, and cost more than the waiting they save.
    """

    def __init__(self, work: Work[C, A], *, most: int = 64) -> None:
        self._work = work
        self._most = most
        self._waiting: deque[tuple[C, asyncio.Future[A]]] = deque()
        self._running = False
        self._tasks: set[asyncio.Task[None]] = set()

    async def __call__(self, caller: C) -> A:
        """This caller's answer, after the commit that holds its work; raises what the work raised for it."""
        future: asyncio.Future[A] = asyncio.get_running_loop().create_future()
        self._waiting.append((caller, future))
        if not self._running:
            self._running = True  # said here and in `_run`, not by the task's end, which is told a turn later
            task = asyncio.create_task(self._run())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return await future

    async def _run(self) -> None:
        try:
            await asyncio.sleep(0)  # whoever became ready in this turn of the loop comes along
            while self._waiting:
                await self._next()
                if self._waiting:
                    await self._gather()
        finally:
            self._running = False

    async def _gather(self) -> None:
        """Between two groups: wait a moment for those who were just answered and ask again, as long as some come.

        Else two groups of unlike size go on in turns for ever, and each costs what one of all would.
        """
        for _ in range(MOMENTS):
            before = len(self._waiting)
            await asyncio.sleep(MOMENT)
            if len(self._waiting) == before or before >= self._most:
                return

    async def _next(self) -> None:
        group = [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]
        answers = await self._answers([one for one, _ in group])
        for (_, future), answer in zip(group, answers, strict=True):
            if future.cancelled():
                continue
            if isinstance(answer, BaseException):
                future.set_exception(answer)
            else:
                future.set_result(answer)

    async def _answers(self, callers: Sequence[C]) -> Sequence[A | BaseException]:
        try:
            return await self._work(callers)
        except Exception as fault:
            if len(callers) == 1 or (isinstance(fault, Unavailable) and fault.code == "store.unavailable"):
                return [fault] * len(callers)
        return [(await self._answers([caller]))[0] for caller in callers]

"""Callers of one moment share a commit; none waits for others, none is forgotten, none suffers for another."""

import asyncio
from collections.abc import Sequence

import pytest

from hub.errors import Conflict, HubError, Unavailable
from hub.store import groupcommit
from hub.store.groupcommit import GroupCommit


class Worker:
    """Doubles numbers; remembers the groups; fails as it is told."""

    def __init__(self, *, bad: int | None = None, fault: Exception | None = None) -> None:
        self.groups: list[list[int]] = []
        self.bad = bad
        self.fault = fault

    async def __call__(self, callers: Sequence[int]) -> list[int | HubError]:
        self.groups.append(list(callers))
        await asyncio.sleep(0.001)
        if self.fault is not None and (self.bad is None or self.bad in callers):
            raise self.fault
        return [2 * one if one >= 0 else Conflict("x.y", "否", "no") for one in callers]


async def test_callers_of_one_moment_go_together_and_latecomers_form_the_next_group() -> None:
    work = Worker()
    queue = GroupCommit[int, int](work, most=4)
    assert await asyncio.gather(*(queue(n) for n in range(10))) == [2 * n for n in range(10)]
    assert [len(group) for group in work.groups] == [4, 4, 2]


async def test_who_is_answered_and_asks_again_joins_those_who_waited(monkeypatch: pytest.MonkeyPatch) -> None:
    """Six were under way when two more came: without a moment's wait they would go on as two and six for ever."""
    monkeypatch.setattr(groupcommit, "MOMENT", 0.05)  # a busy machine must not part them
    groups: list[int] = []
    under_way, two_more = asyncio.Event(), asyncio.Event()

    async def work(callers: Sequence[int]) -> Sequence[int]:
        groups.append(len(callers))
        under_way.set()
        await two_more.wait()
        return callers

    queue = GroupCommit[int, int](work)

    async def asks(number: int) -> None:
        for _ in range(4):
            await queue(number)

    first = [asyncio.create_task(asks(number)) for number in range(6)]
    await under_way.wait()
    later = [asyncio.create_task(asks(number)) for number in (6, 7)]
    await asyncio.sleep(0)
    two_more.set()
    await asyncio.gather(*first, *later)
    assert groups == [6, 8, 8, 8, 2]


async def test_callers_one_after_the_other_are_never_forgotten() -> None:
    """A caller who comes in the very turn in which the last group ended is served too."""
    queue = GroupCommit[int, int](Worker())
    for number in range(50):
        assert await asyncio.wait_for(queue(number), 5) == 2 * number


async def test_the_error_of_one_caller_is_that_callers_alone() -> None:
    queue = GroupCommit[int, int](Worker())
    told = await asyncio.gather(queue(1), queue(-1), queue(2), return_exceptions=True)
    assert (told[0], told[2]) == (2, 4)
    assert isinstance(told[1], Conflict)


async def test_when_a_group_fails_each_is_tried_alone() -> None:
    work = Worker(bad=2, fault=RuntimeError("a bad one"))
    queue = GroupCommit[int, int](work)
    told = await asyncio.gather(queue(1), queue(2), queue(3), return_exceptions=True)
    assert (told[0], told[2]) == (2, 6)
    assert isinstance(told[1], RuntimeError)
    assert work.groups == [[1, 2, 3], [1], [2], [3]]


async def test_nothing_is_done_twice_when_the_outcome_is_unknown() -> None:
    work = Worker(fault=Unavailable("store.unavailable", "否", "no"))
    queue = GroupCommit[int, int](work)
    told = await asyncio.gather(queue(1), queue(2), return_exceptions=True)
    assert all(isinstance(one, Unavailable) for one in told)
    assert work.groups == [[1, 2]]


async def test_a_caller_who_left_does_not_stop_the_others() -> None:
    queue = GroupCommit[int, int](Worker())
    leaving = asyncio.create_task(queue(1))
    staying = asyncio.create_task(queue(2))
    await asyncio.sleep(0)
    leaving.cancel()
    assert await staying == 4
    with pytest.raises(asyncio.CancelledError):
        await leaving

"""Two transactions that name the same new people in opposite orders: one wins, the other is told to try again."""

import asyncio

import pytest
import sqlalchemy as sa
from registry.makers import resident

from hub.errors import Unavailable
from hub.registry import subjects
from hub.registry.model import subjects as subjects_table


async def test_opposite_orders_never_end_in_a_fault_or_in_two_subjects(open_tx):
    first, second = resident(21), resident(22)
    met = asyncio.Event()

    async def both(one, other, *, wait):
        async with open_tx() as tx:
            await subjects.resolve(tx, id_type="111", id_no=one, kind="natural")
            if wait and tx.dialect == "postgresql":  # on SQLite the other one waits at BEGIN
                await met.wait()
            met.set()
            await subjects.resolve(tx, id_type="111", id_no=other, kind="natural")

    results = await asyncio.gather(
        both(first, second, wait=True), both(second, first, wait=False), return_exceptions=True
    )
    assert all(one is None or isinstance(one, Unavailable) for one in results), results
    assert None in results
    async with open_tx() as tx:
        assert await tx.value(sa.select(sa.func.count()).select_from(subjects_table)) == 2


@pytest.mark.usefixtures("two_departments")
async def test_a_loser_who_tries_again_gets_through(open_tx):
    numbers = [resident(n) for n in range(30, 36)]

    async def all_of(order):
        for _ in range(10):
            try:
                async with open_tx() as tx:
                    return [await subjects.resolve(tx, id_type="111", id_no=n, kind="natural") for n in order]
            except Unavailable:
                await asyncio.sleep(0.05)
        raise AssertionError("never got through")

    found = await asyncio.gather(all_of(numbers), all_of(numbers[::-1]), all_of(numbers[3:] + numbers[:3]))
    assert set(found[0]) == set(found[1]) == set(found[2])
    assert len(set(found[0])) == 6

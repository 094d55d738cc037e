from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from parts import FixedClock
from web.api.apiworld import ApiWorld
from world import TestDepartment


@pytest.fixture
async def world(database: str, clock: FixedClock, tmp_path: Path) -> AsyncIterator[ApiWorld]:
    made = ApiWorld(database, clock, tmp_path / "data")
    await made.begin()
    yield made
    await made.close()


@pytest.fixture
async def edu(world: ApiWorld) -> TestDepartment:
    """The education bureau: issues school records, verifies for school places."""
    return await world.department("dg-edu")


@pytest.fixture
async def degree(world: ApiWorld) -> TestDepartment:
    return await world.department("dg-degree")

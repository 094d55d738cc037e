from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from parts import FixedClock
from web.api.apiworld import ApiWorld, own_keys
from world import TestDepartment

from keys.files import Keyring


@pytest.fixture(scope="session")
def keyring(tmp_path_factory: pytest.TempPathFactory) -> Keyring:
    """Made once: opening keys is slow on purpose. A test that retires one makes its own with `own_keys`."""
    return own_keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture
async def world(
    database: str, clock: FixedClock, tmp_path: Path, keyring: Keyring
) -> AsyncIterator[ApiWorld]:
    made = ApiWorld(database, clock, tmp_path / "data", keyring)
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

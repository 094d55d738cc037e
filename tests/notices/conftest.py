from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from notices.telling import Telling
from parts import FixedClock
from web.api.apiworld import own_keys

from keys.files import Keyring


@pytest.fixture(scope="session")
def keyring(tmp_path_factory: pytest.TempPathFactory) -> Keyring:
    return own_keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture
async def telling(
    database: str, clock: FixedClock, tmp_path: Path, keyring: Keyring
) -> AsyncIterator[Telling]:
    """On both databases."""
    made = Telling(database, clock, tmp_path, keyring)
    await made.begin()
    yield made
    await made.close()


@pytest.fixture
async def small(
    sqlite_database: str, clock: FixedClock, tmp_path: Path, keyring: Keyring
) -> AsyncIterator[Telling]:
    """On SQLite alone: for what the database has no part in."""
    made = Telling(sqlite_database, clock, tmp_path, keyring)
    await made.begin()
    yield made
    await made.close()

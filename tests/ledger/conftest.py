"""Fresh ledgers: `rig` on both kinds of database, `bare` without the ceremony."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from ledger.rig import Rig, make_rig
from parts import FixedClock


@pytest.fixture
async def bare(database: str, tmp_path: Path, clock: FixedClock) -> AsyncIterator[Rig]:
    """Tables and storage, but no ledger was created."""
    made = make_rig(database, tmp_path / "blobs", clock)
    yield made
    await made.db.close()


@pytest.fixture
async def rig(bare: Rig) -> Rig:
    """A created, empty ledger."""
    await bare.create()
    return bare


@pytest.fixture
async def quick_rig(sqlite_database: str, tmp_path: Path, clock: FixedClock) -> AsyncIterator[Rig]:
    """A created, empty ledger on SQLite: for what does not depend on the kind of database."""
    made = make_rig(sqlite_database, tmp_path / "blobs", clock)
    await made.create()
    yield made
    await made.db.close()

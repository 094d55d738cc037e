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

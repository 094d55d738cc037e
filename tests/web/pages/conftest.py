"""A family and its hub for page tests, on both databases."""

from pathlib import Path

import pytest
from web.pages.family import Family, make_family
from world import World


@pytest.fixture
async def family(world: World, tmp_path: Path) -> Family:
    return await make_family(world, tmp_path)

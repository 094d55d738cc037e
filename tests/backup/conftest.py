import shutil
from pathlib import Path

import pytest
from backup.town import Town, fill


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Town:
    """A filled hub on SQLite and files, made once and never changed: opening keys is slow on purpose."""
    return fill(tmp_path_factory.mktemp("filled") / "data")


@pytest.fixture
def town(filled: Town, tmp_path: Path) -> Town:
    """A copy of it for this test alone."""
    folder = tmp_path / "hub" / "data"
    shutil.copytree(filled.settings.data_dir, folder)
    changed = {"data_dir": folder, "database_url": f"sqlite:///{folder / 'hub.db'}"}
    return filled.at(filled.settings.model_copy(update=changed))

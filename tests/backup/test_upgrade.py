"""A hub filled by 0.1.0 is brought to the newest tables on both databases, and all that it ever proved still holds."""

import asyncio
import json
import os
import secrets
import shutil
import sqlite3
import subprocess
import zipfile
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from backup.since import everything_holds
from backup.town import Town
from parts import FixedClock, Postgres
from registry.makers import AUDIENCE

from benchmarks.stage import Stage
from hub.cli.serve import migrations, newest
from hub.config import Settings
from hub.main import build

OLD = Path(__file__).resolve().parents[1] / "vectors" / "upgrade" / "0.1.0"


@pytest.fixture(params=["sqlite", "postgresql"])
def old(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Town, dict[str, Any]]:
    """The hub that 0.1.0 left, unpacked, and what it wrote down then."""
    folder = tmp_path / "hub" / "data"
    with zipfile.ZipFile(OLD / f"{request.param}.zip") as packed:
        packed.extractall(folder)
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o700 if path.is_dir() else 0o600)
    told = json.loads((folder / "expected.json").read_text())
    url = f"sqlite:///{folder / 'hub.db'}"
    if request.param == "postgresql":
        url = _loaded(request.getfixturevalue("postgres"), folder / "dump.sql", f"old_{secrets.token_hex(4)}")
    return Town(Settings(public_url=AUDIENCE, data_dir=folder, database_url=url), {}), told


def _loaded(server: Postgres, dump: Path, name: str) -> str:
    """The dump in a database of its own, as an operator would load it."""
    psql = [server.bin / "psql", "-h", "127.0.0.1", "-p", str(server.port), "-U", "hub", "-v", "ON_ERROR_STOP=1", "-q"]
    for arguments in (["-d", "postgres", "-c", f"CREATE DATABASE {name}"], ["-d", name, "-f", str(dump)]):
        subprocess.run(
            [*psql, *arguments], env={**os.environ, "PGPASSWORD": server.password}, check=True, capture_output=True
        )
    return server.url(name, "postgresql")


def test_what_0_1_0_proved_still_holds_after_every_revision_since(old: tuple[Town, dict[str, Any]]) -> None:
    town, told = old
    _look_first(town)
    assert town.well("migrate")["revision"] == newest(migrations(town.settings))
    assert town.well("upgrade", "--check")["steps"] == []
    made = Stage(build(town.settings))
    made.clock = made.db.clock = FixedClock(datetime.fromisoformat(told["at"]))

    async def work() -> None:
        try:
            if town.settings.database_url.startswith("postgresql"):
                async with made.view() as view:
                    known = "SELECT min(reltuples) FROM pg_class WHERE relname IN ('certificates', 'accesses')"
                    assert (await view.conn.exec_driver_sql(known)).scalar_one() > 0, "a planner knows what was written"
            await everything_holds(made, told)
        finally:
            await made.close()

    asyncio.run(work())


def _look_first(town: Town) -> None:
    """The check tells what will happen and whether a backup is there, and changes nothing."""
    done = town.yimen("upgrade", "--check", "--json")
    plan = done.json
    assert (done.code, plan["held"], plan["wanted"]) == (1, "0001", newest(migrations(town.settings)))
    assert any("yimen backup create" in one for one in plan["red"])
    assert plan["steps"][0]["revision"] == "0002"
    if town.settings.database_url.startswith("sqlite"):
        town.well("backup", "create")
        after = town.well("upgrade", "--check")
        assert (after["ok"], after["held"]) == (True, "0001")
        shutil.rmtree(town.backups)
    town.refused("upgrade.check_first", "upgrade")


@pytest.mark.parametrize("old", ["sqlite"], indirect=True)
def test_a_database_of_a_newer_version_is_told(old: tuple[Town, dict[str, Any]]) -> None:
    town, _ = old
    with sqlite3.connect(town.database) as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    done = town.yimen("upgrade", "--check", "--json")
    assert (done.code, done.json["held"]) == (1, "9999")
    assert any("newer than this code" in one for one in done.json["red"])

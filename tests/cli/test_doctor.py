"""Each red line of `yimen doctor` names the command to run; where it can be run here, the line is green afterwards."""

import os
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cli.conftest import HOST, Done, Yimen
from parts import Postgres, free_port

TOOLS = {
    "apt-get", "chmod", "chown", "curl", "df", "echo", "ls", "mkdir", "mount", "openssl", "pg_isready", "psql",
    "timedatectl", "yimen", "yimen-agent",
}  # fmt: skip


def bad(done: Done) -> dict[str, dict[str, Any]]:
    """The lines that are not green; each carries a command whose program we know."""
    found = {line["name"]: line for line in done.json["lines"] if line["state"] != "ok"}
    for line in found.values():
        assert line["do"], line
        assert shlex.split(line["do"], comments=True)[0] in TOOLS, line
    assert done.code == (1 if any(line["state"] == "fail" for line in found.values()) else 0)
    return found


def shell(line: dict[str, Any]) -> None:
    """Do what the line says."""
    subprocess.run(line["do"], shell=True, check=True, capture_output=True)


def test_from_nothing_to_green_by_doing_what_the_lines_say(yimen: Yimen):
    first = bad(yimen("doctor", "--json"))
    assert first["data"]["do"].startswith("mkdir -m 700 -p ")
    shell(first["data"])
    second = bad(yimen("doctor", "--json"))
    assert "data" not in second
    assert second["tables"]["do"] == "yimen migrate"
    assert yimen("migrate").code == 0
    third = bad(yimen("doctor", "--json"))
    assert "tables" not in third
    assert {"key.token", "administrator", "types", "ledger"} <= set(third)
    assert {third[name]["do"] for name in ("key.token", "administrator", "ledger")} == {"yimen init --help"}
    assert yimen("init", "--department", "dg-gov", *HOST).code == 0
    last = bad(yimen("doctor", "--json"))
    assert {line["state"] for line in last.values()} == {"warn"}
    assert last["administrator"]["do"] == "yimen officer import FILE.csv"


def test_keys_that_others_may_read_are_told_with_the_command_that_mends_it(started: Yimen):
    for one in Path("data/keys").glob("*.pem"):
        one.chmod(0o644)
    line = bad(started("doctor", "--json"))["key.token"]
    assert (line["state"], "chmod 600" in line["do"]) == ("fail", True)
    shell(line)
    assert not [line for line in bad(started("doctor", "--json")).values() if line["state"] == "fail"]


def test_a_wrong_passphrase_is_told(started: Yimen, monkeypatch: pytest.MonkeyPatch):
    Path("phrase").write_text("not the right one at all\n")
    monkeypatch.setenv("YIMEN_KEY_PASSPHRASE_FILE", "phrase")
    line = bad(started("doctor", "--json"))["keys"]
    assert line["do"].startswith("ls -l phrase ")
    shell(line)


def test_a_database_that_is_away_is_told_with_its_address_and_without_its_password(
    started: Yimen, monkeypatch: pytest.MonkeyPatch
):
    port = free_port()
    monkeypatch.setenv("YIMEN_DATABASE_URL", f"postgresql://hub:tell-nobody@127.0.0.1:{port}/hub")
    done = started("doctor", "--json")
    found = bad(done)
    assert found["database"]["do"] == f"pg_isready -h 127.0.0.1 -p {port} -d hub"
    assert "tell-nobody" not in done.out
    assert "blobs" not in found, "the other parts are still looked at"


def test_a_blob_store_that_is_away_is_told(started: Yimen, monkeypatch: pytest.MonkeyPatch):
    port = free_port()
    monkeypatch.setenv("YIMEN_S3_ENDPOINT", f"127.0.0.1:{port}")
    monkeypatch.setenv("YIMEN_S3_SECURE", "false")
    assert bad(started("doctor", "--json"))["blobs"]["do"] == f"curl -sSI http://127.0.0.1:{port}/yimen"


def test_a_folder_of_files_that_cannot_be_written_is_told(started: Yimen):
    shutil.rmtree("data/blobs", ignore_errors=True)
    Path("data/blobs").write_text("a file where a folder should be")
    found = bad(started("doctor", "--json"))
    assert any("data/blobs" in line["do"] and line["do"].startswith("ls -ld ") for line in found.values()), found


def test_a_server_that_loses_commits_is_told(
    started: Yimen, postgres: Postgres, postgresql_database: str, monkeypatch: pytest.MonkeyPatch
):
    """The tests' own server does not sync: exactly what must never be in production."""
    monkeypatch.setenv("YIMEN_DATABASE_URL", postgresql_database.replace("+asyncpg", ""))
    monkeypatch.setenv("YIMEN_DATABASE_POOL", "200")
    tables = bad(started("doctor", "--json"))
    assert tables["tables"]["do"] == "yimen migrate"
    import sqlalchemy as sa

    from hub.cli.serve import migrations, newest
    from hub.config import Settings

    engine = sa.create_engine(postgresql_database.replace("+asyncpg", "+psycopg"))
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE alembic_version (version_num varchar(32))"))
        connection.execute(sa.text("INSERT INTO alembic_version VALUES (:v)"), {"v": newest(migrations(Settings()))})
    engine.dispose()
    found = bad(started("doctor", "--json"))
    assert {"postgresql.fsync", "postgresql.synchronous_commit", "postgresql.full_page_writes"} <= set(found)
    assert "ALTER SYSTEM SET fsync = on" in found["postgresql.fsync"]["do"]
    assert "max_connections" in found["postgresql.connections"]["do"]


def test_a_production_hub_is_reminded_of_draining_and_metrics(started: Yimen, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("YIMEN_PRODUCTION", "true")
    monkeypatch.setenv("YIMEN_PUBLIC_URL", "https://hub.example.org")
    monkeypatch.setenv("YIMEN_KEY_PASSPHRASE", "another passphrase than the demo's")
    found = bad(started("doctor", "--json"))
    assert "YIMEN_DRAIN_SECONDS=6" in found["drain"]["do"]
    assert "YIMEN_METRICS_PORT=" in found["metrics"]["do"]
    assert "YIMEN_BACKUP_DIR=" in found["backup"]["do"]
    assert "passphrase" not in found


def test_a_hub_without_a_backup_of_today_is_told(started: Yimen, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("YIMEN_BACKUP_DIR", "backups")
    assert bad(started("doctor", "--json"))["backup"]["do"] == "yimen backup create"
    assert started("backup", "create").code == 0
    assert "backup" not in bad(started("doctor", "--json"))
    (made,) = Path("backups/backups").iterdir()
    os.utime(made, (0, 0))
    assert bad(started("doctor", "--json"))["backup"]["do"] == "yimen backup create"

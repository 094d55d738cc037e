"""PostgreSQL: base backup and log of a running server, a scratch server to verify it, recovery to a moment."""

import asyncio
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest
from backup.town import Town, fill, go_on
from parts import Postgres, account_for, free_port, missing, postgres_bin, postgres_server, spoilt, wait_until


@dataclass
class OnPostgres:
    """A filled town on a server of its own: a base backup is of the whole server."""

    town: Town
    server: Postgres

    def sql(self, *statements: str) -> None:
        async def go() -> None:
            connection = await asyncpg.connect(self.server.url("postgres", "postgresql"))
            for statement in statements:
                await connection.execute(statement)
            await connection.close()

        asyncio.run(go())


@pytest.fixture(scope="module")
def on_postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OnPostgres]:
    if postgres_bin() is None:
        missing("PostgreSQL server", "apt-get install -y postgresql")
    with postgres_server() as server:
        made = OnPostgres.__new__(OnPostgres)
        made.server = server
        made.sql("CREATE DATABASE hub")
        folder = tmp_path_factory.mktemp("on-postgres") / "data"
        made.town = fill(folder, server.url("hub", "postgresql"), 2)
        yield made


@contextmanager
def started(data: Path, source: Postgres) -> Iterator[str]:
    """The server over a restored data folder, as its operator starts it; the URL of the hub's database on it."""
    port, log = free_port(), data.with_name("log")
    options = ["listen_addresses=127.0.0.1", f"port={port}", "unix_socket_directories=", "fsync=off"]
    with log.open("wb") as out:
        process = subprocess.Popen(
            [source.bin / "postgres", "-D", data, *(part for option in options for part in ("-c", option))],
            user=account_for("postgres"), cwd="/", stdin=subprocess.DEVNULL, stdout=out, stderr=out,
        )  # fmt: skip
    try:
        wait_until(lambda: b"ready to accept connections" in log.read_bytes(), process, log)
        yield f"postgresql://hub:{source.password}@127.0.0.1:{port}/hub"
    finally:
        process.send_signal(signal.SIGQUIT)
        process.wait(30)


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder that the server's account can reach."""
    folder = Path("/tmp") / f"yimen-restored-{os.getpid()}-{time.monotonic_ns()}"
    folder.mkdir(mode=0o755)
    yield folder
    shutil.rmtree(folder)


def elsewhere(town: Town, url: str, folder: Path) -> Town:
    """The same hub after the loss of everything: another server, another data folder, the same backups."""
    moved = town.at(town.settings.model_copy(update={"data_dir": folder, "database_url": url}))
    moved.environment["YIMEN_BACKUP_DIR"] = str(town.backups)
    return moved


def test_backup_verify_log_and_recovery_to_a_moment(on_postgres: OnPostgres, place: Path, tmp_path: Path) -> None:
    town = on_postgres.town
    made = town.well("backup", "create", "--with-keys")
    assert made["server"].startswith("PostgreSQL")
    assert on_postgres.server.password not in str(made)
    names = {Path(one["path"]).name for one in made["files"]}
    assert {"base.tar.gz", "pg_wal.tar.gz", "backup_manifest"} <= names
    done = town.well("backup", "verify")
    assert done["leaves"] >= made["ledger"]["size"]
    assert done["bodies"] > 3

    assert town.well("backup", "wal", "--once")["segments"] > 0
    go_on(town, 1)
    size = town.well("ledger", "show")["size"]
    time.sleep(0.2)
    moment = datetime.now(UTC)
    time.sleep(0.2)
    go_on(town, 1)
    assert town.well("ledger", "show")["size"] > size > made["ledger"]["size"]
    town.well("backup", "wal", "--once")

    for number, (until, wanted) in enumerate(
        (([], made["ledger"]["size"]), (["--until", moment.isoformat()], size))
    ):
        data = place / f"data{number}"
        lost = elsewhere(town, town.settings.database_url, tmp_path / f"lost{number}")
        told = lost.well("restore", "--pgdata", str(data), *until)
        assert f"pg_ctl -D {data}" in told["next"]
        lost.refused("restore.database_there", "restore", "--pgdata", str(data))
        with started(data, on_postgres.server) as url:
            back = elsewhere(town, url, lost.settings.data_dir)
            assert back.well("ledger", "show")["size"] == wanted
            checked = back.yimen("ledger", "check", "--json").json
            assert {one["code"] for one in checked["failures"]} <= {"tile.missing"}
            if until:
                back.refused("store.read_only", "department", "suspend", "dg-edu")
                back.well("ledger", "resume", "--stopped")
                go_on(back, 1)
                assert back.well("ledger", "check")["size"] > size


def test_a_role_that_may_not_replicate_is_told_the_command(on_postgres: OnPostgres) -> None:
    town, password = on_postgres.town, on_postgres.server.password
    on_postgres.sql(f"CREATE ROLE app LOGIN PASSWORD '{password}'", "GRANT hub TO app")
    url = town.settings.database_url.replace("//hub:", "//app:")
    refused = town.refused("backup.may_not_replicate", "backup", "create", YIMEN_DATABASE_URL=url)
    command = """psql -d postgres -c 'ALTER ROLE "app" REPLICATION'"""
    assert command in refused.err
    on_postgres.sql('ALTER ROLE "app" REPLICATION')
    assert town.well("backup", "create", YIMEN_DATABASE_URL=url)["source"].startswith("postgresql://app@")


def test_a_server_that_allows_no_replication_connection_is_told_the_line(on_postgres: OnPostgres) -> None:
    rules = on_postgres.server.folder / "data" / "pg_hba.conf"
    before = rules.read_text()
    rules.write_text("".join(line for line in before.splitlines(True) if "replication" not in line))
    on_postgres.sql("SELECT pg_reload_conf()")
    time.sleep(0.3)
    try:
        refused = on_postgres.town.refused("backup.replication_refused", "backup", "create")
        assert "host replication" in refused.err
        assert on_postgres.town.well("backup", "list")["unfinished"] == []
    finally:
        rules.write_text(before)
        on_postgres.sql("SELECT pg_reload_conf()")


def test_a_damaged_base_is_found(on_postgres: OnPostgres) -> None:
    made = on_postgres.town.well("backup", "create")
    base = on_postgres.town.backups / "backups" / made["id"] / "postgresql" / "base.tar.gz"
    base.write_bytes(spoilt(base.read_bytes(), 1000))
    done = on_postgres.town.yimen("backup", "verify", made["id"], "--json")
    assert (done.code, done.json["problems"][0]["code"]) == (1, "file")

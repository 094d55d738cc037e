"""Fixtures of the whole suite: fresh databases, real servers, a fixed clock; and what to do about a missing part."""

import asyncio
import importlib
import os
import random
import shutil
import uuid
from collections.abc import AsyncIterator, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import asyncpg
import canary
import hypothesis
import pytest
import sqlalchemy as sa
from minio import Minio
from parts import (
    MISSING,
    S3,
    FixedClock,
    MariaDB,
    Postgres,
    mariadb_server,
    missing,
    postgres_server,
    s3_server,
)
from sqlalchemy.ext.asyncio import create_async_engine

if TYPE_CHECKING:
    from sqlalchemy import MetaData

T = TypeVar("T")

ROOT = Path(__file__).resolve().parent.parent
IN_CI = os.environ.get("CI", "").lower() in {"1", "true"}
ALLOWED_SKIPS = ROOT / "tests" / "allowed_skips.txt"

hypothesis.settings.register_profile(
    "yimen",
    deadline=None,
    max_examples=50,
    derandomize=IN_CI,
    print_blob=True,
    suppress_health_check=[hypothesis.HealthCheck.too_slow, hypothesis.HealthCheck.function_scoped_fixture],
)
hypothesis.settings.load_profile("yimen")


# ── order ──

LONG = ("tests/walks/test_demo.py", "tests/walks/test_screens.py", "tests/walks/test_accessibility.py", "tests/trials/")
"""What takes long begins first: else one worker is still at it when the others have nothing left to take over."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Each worker gets as many of the long ones, at the head of its part of the list (`--dist worksteal`)."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    long = [item for item in items if item.nodeid.startswith(LONG)]
    short = [item for item in items if not item.nodeid.startswith(LONG)]
    part = -(-len(short) // workers)
    items[:] = [
        item
        for worker in range(workers)
        for item in (*long[worker::workers], *short[worker * part : (worker + 1) * part])
    ]


# ── databases ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _metadata() -> "MetaData | None":
    """All tables of the hub, or None while there is no schema."""
    if not (ROOT / "hub" / "schema.py").exists():
        return None
    found: MetaData = importlib.import_module("hub.schema").metadata
    return found


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Async tests run on asyncio, each in the loop that its fixtures share."""
    return "asyncio"


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server of this test process. It does not sync to disk: durability trials start their own."""
    with postgres_server() as server:
        yield server


def _run(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end in a thread of its own: a fixture may be asked for inside an async test."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


def _admin(server: Postgres, *statements: str) -> None:
    async def go() -> None:
        connection = await asyncpg.connect(server.url("postgres", "postgresql"))
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    _run(go())


def _create_all(url: str) -> None:
    async def go(metadata: "MetaData") -> None:
        engine = create_async_engine(url)
        async with engine.begin() as connection:
            await connection.run_sync(metadata.create_all)
        await engine.dispose()

    metadata = _metadata()
    if metadata is not None:
        _run(go(metadata))


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with every table and no row, copied for each test."""
    path = tmp_path_factory.mktemp("template") / "hub.db"
    sa.create_engine(f"sqlite:///{path}").connect().close()
    path.touch()
    _create_all(f"sqlite+aiosqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def postgresql_template(postgres: Postgres) -> str:
    """The name of a PostgreSQL database with every table and no row, copied for each test."""
    _admin(postgres, "CREATE DATABASE hub_template")
    _create_all(postgres.url("hub_template"))
    return "hub_template"


def _fresh_postgresql(server: Postgres, template: str) -> Iterator[str]:
    name = f"t_{uuid.uuid4().hex}"
    _admin(server, f"CREATE DATABASE {name} TEMPLATE {template}")
    try:
        yield server.url(name)
    finally:
        _admin(server, f"DROP DATABASE {name} WITH (FORCE)")


class Emptied:
    """One PostgreSQL database that is handed from test to test, emptied in between: ten times quicker than a new one.

    A test that changed what tables, triggers or settings there are leaves it to nobody: the next gets a new one.
    """

    SHAPE = """SELECT md5(string_agg(word, ' ' ORDER BY word)) FROM (
        SELECT concat(oid, relname, relkind) FROM pg_class WHERE relnamespace = 'public'::regnamespace
        UNION ALL SELECT concat(attrelid, attname, atttypid, attnotnull) FROM pg_attribute
            JOIN pg_class ON attrelid = pg_class.oid WHERE relnamespace = 'public'::regnamespace AND attnum > 0
        UNION ALL SELECT concat(oid, tgname, tgenabled) FROM pg_trigger WHERE NOT tgisinternal
        UNION ALL SELECT concat(oid, conname, convalidated) FROM pg_constraint
        UNION ALL SELECT concat(oid, md5(prosrc)) FROM pg_proc WHERE pronamespace = 'public'::regnamespace
        UNION ALL SELECT concat(setdatabase, setrole, setconfig) FROM pg_db_role_setting) AS found (word)"""
    USED = """SELECT quote_ident(relname) FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND pg_relation_size(oid) > 0"""
    OTHERS = """SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()"""

    def __init__(self, server: Postgres, template: str) -> None:
        self.server = server
        self.template = template
        self.name = ""
        self.shape: str | None = None
        self.born: list[str] = []

    def lend(self) -> str:
        """The URL of the database, empty."""
        if not self.name:
            self.name = f"t_{uuid.uuid4().hex}"
            _admin(self.server, f"CREATE DATABASE {self.name} TEMPLATE {self.template}")
            self.shape = _run(self._remember())
        return self.server.url(self.name)

    def take_back(self) -> None:
        """Empty it for the next; what does not look as it was made is dropped."""
        if _run(self._empty()) != self.shape:
            name, self.name = self.name, ""
            _admin(self.server, f"DROP DATABASE {name} WITH (FORCE)")

    async def _remember(self) -> str:
        """What it looks like, and the few rows that it was born with."""
        connection = await asyncpg.connect(self.server.url(self.name, "postgresql"))
        try:
            await connection.execute("CREATE SCHEMA as_made")
            self.born = [row[0] for row in await connection.fetch(self.USED)]
            for table in self.born:
                await connection.execute(f"CREATE TABLE as_made.{table} AS TABLE public.{table}")
            return str(await connection.fetchval(self.SHAPE))
        finally:
            await connection.close()

    async def _empty(self) -> str | None:
        try:
            connection = await asyncpg.connect(self.server.url(self.name, "postgresql"))
        except (OSError, asyncpg.PostgresError):  # the test ended it, or lets nobody in any more
            return None
        try:
            while await connection.fetchval(self.OTHERS):  # noqa: ASYNC110 - it takes them a moment to go
                await asyncio.sleep(0.002)
            if used := [row[0] for row in await connection.fetch(self.USED)]:
                again = [f"INSERT INTO public.{table} TABLE as_made.{table}" for table in self.born]
                await connection.execute(
                    "; ".join([f"TRUNCATE {', '.join(used)} RESTART IDENTITY CASCADE", *again])
                )
            return str(await connection.fetchval(self.SHAPE))
        finally:
            await connection.close()


@pytest.fixture(scope="session")
def emptied(postgres: Postgres, postgresql_template: str) -> Emptied:
    """The database of this test process that is handed from test to test."""
    return Emptied(postgres, postgresql_template)


@pytest.fixture
def sqlite_database(sqlite_template: Path, tmp_path: Path) -> str:
    """The URL of a fresh SQLite database with every table."""
    shutil.copyfile(sqlite_template, tmp_path / "hub.db")
    return f"sqlite+aiosqlite:///{tmp_path / 'hub.db'}"


@pytest.fixture
def postgresql_database(emptied: Emptied) -> Iterator[str]:
    """The URL of a PostgreSQL database with every table and no row."""
    yield emptied.lend()
    emptied.take_back()


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> str:
    """The URL of a fresh database with every table, once for each of the two kinds that the hub runs on."""
    url: str = request.getfixturevalue(f"{request.param}_database")
    return url


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database without any table: for migrations."""
    if request.param == "sqlite":
        yield f"sqlite+aiosqlite:///{tmp_path / 'empty.db'}"
    else:
        yield from _fresh_postgresql(request.getfixturevalue("postgres"), "template0")


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDB]:
    """A MariaDB server of this test process, as a department might have one."""
    with mariadb_server() as server:
        yield server


# ── objects, browser, time, chance ───────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[tuple[str, str, str, bool]]:
    """The S3 server of this test process."""
    with s3_server() as found:
        yield found


@pytest.fixture
def s3(s3_endpoint: tuple[str, str, str, bool]) -> Iterator[S3]:
    """An S3 server with a bucket of this test alone."""
    endpoint, access, secret, real = s3_endpoint
    bucket = f"yimen-{uuid.uuid4().hex[:20]}"
    client = Minio(endpoint, access, secret, secure=False, region="us-east-1")
    client.make_bucket(bucket)
    yield S3(endpoint, access, secret, "us-east-1", bucket, real)
    for thing in client.list_objects(bucket, recursive=True):
        client.remove_object(bucket, str(thing.object_name))
    client.remove_bucket(bucket)


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a Chromium for page tests (as root it needs --no-sandbox)."""
    path = os.environ.get("YIMEN_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        missing(
            "Chromium", "apt-get install -y --no-install-recommends chromium fonts-noto-cjk fonts-noto-core"
        )
    return path


@pytest.fixture
def clock() -> FixedClock:
    """A clock that stands at 09:30 in Shanghai on 23 November 2026 until it is told to move."""
    return FixedClock()


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> random.Random:
    """Chance that is the same in every run of this test."""
    return random.Random(request.node.nodeid)


# ── a missing part is a skip with its install line; in CI it is a failure unless allowed with a reason ───────────────


def _allowed(reason: str) -> bool:
    lines = ALLOWED_SKIPS.read_text().splitlines() if ALLOWED_SKIPS.exists() else []
    wanted = [line.split("|")[0].strip() for line in lines if line.strip() and not line.startswith("#")]
    return any(word in reason for word in wanted)


def _reason(report: Any) -> str:
    longrepr = report.longrepr
    return str(longrepr[2] if isinstance(longrepr, tuple) else longrepr)


def _refuse_skip(report: Any) -> None:
    if IN_CI and report.skipped and not hasattr(report, "wasxfail") and not _allowed(_reason(report)):
        report.outcome = "failed"
        report.longrepr = (
            f"in CI nothing may be skipped unless tests/allowed_skips.txt says why:\n{_reason(report)}"
        )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report = yield
    _refuse_skip(report)
    if report.when == "teardown":
        canary.told(report, allowed=item.get_closest_marker("names_in_addresses") is not None)
    return report


def pytest_configure(config: pytest.Config) -> None:
    """Begin to listen, where tests run: in the workers, or here when there are none."""
    here = hasattr(config, "workerinput") or not config.getoption("numprocesses", None)
    if here and (ROOT / "hub").is_dir():
        canary.watch()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """The metrics of this process, once."""
    canary.finish(session)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Iterator[None]:
    report = yield
    _refuse_skip(report)
    return report


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """List what this machine lacks, once each, with the line that brings it."""
    lacking: dict[str, int] = {}
    for report in terminalreporter.stats.get("skipped", []):
        reason = _reason(report).removeprefix("Skipped: ")
        if reason.startswith(MISSING):
            lacking[reason] = lacking.get(reason, 0) + 1
    if lacking:
        terminalreporter.section("optional parts that this machine lacks")
        for reason, count in sorted(lacking.items()):
            what, _, install = reason.removeprefix(MISSING).partition(" | install: ")
            terminalreporter.write_line(f"{count:4d} skipped without {what}: {install}")


@pytest.fixture
async def world(database: str, clock: FixedClock) -> "AsyncIterator[Any]":
    """Departments, people, certificates, grants in one line each, on both databases (tests/world.py)."""
    from world import World

    made = World(database, clock)
    yield made
    await made.close()

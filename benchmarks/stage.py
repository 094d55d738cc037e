"""A real hub to measure or to kill: its own database, keys and files in a temporary folder, `yimen serve` in front.

The departments and people come from tests/world.py, whose verbs write straight to the database; what is measured
goes through HTTP. The hub is told a public address as behind a proxy, and answers on a free port of this machine.
"""

import asyncio
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import sqlalchemy as sa

from benchmarks.measure import ROOT

sys.path.insert(0, str(ROOT / "tests"))

from canary import CANARY
from parts import (
    FixedClock,
    MariaDB,
    account_for,
    die_with_parent,
    free_port,
    listens,
    mariadb_server,
    postgres_bin,
    postgres_server,
    s3_server,
    wait_until,
)
from registry.makers import AUDIENCE, credit, key_proof, resident, rotation_proof
from world import SCHOOL, Person, TestDepartment, World

from hub.cli.init import make_keys
from hub.cli.serve import upgrade
from hub.clock import now, seconds
from hub.config import Settings
from hub.consent.model import Grant, grants
from hub.consent.token import sign_token
from hub.formats import authorization, dpop
from hub.ledger.create import create
from hub.ledger.sequence import Sequencer
from hub.main import build
from hub.web.deps import Hub

__all__ = [
    "AUDIENCE", "ROOT", "SCHOOL", "MariaDB", "Person", "TestDepartment", "credit", "die_with_parent", "free_port",
    "key_proof", "listens", "mariadb_server", "postgres_bin", "rotation_proof", "s3_server",
]  # fmt: skip

JSON = "application/json"
NDJSON = "application/x-ndjson"
DURABLE = ("fsync=on", "synchronous_commit=on", "full_page_writes=on")


class RealClock(FixedClock):
    """The clock of the tests, but it runs."""

    def __call__(self) -> datetime:
        return now()


class Stage(World):
    """The world of the tests around a hub that other processes can serve too: real keys, real time."""

    def __init__(self, hub: Hub) -> None:
        super().__init__(hub.settings.database_url, RealClock())
        self.hub = hub
        self.settings = hub.settings
        self.vault, self.db = hub.db.vault, hub.db
        self.keys = hub.signer

    async def begin(self) -> None:
        """Create the empty ledger."""
        async with self.tx() as tx:
            await create(
                tx, blobs=self.hub.blobs, origin=self.settings.origin, signer=self.hub.signer("ledger")
            )

    def person(self, name: str, born: str = "") -> Person:
        """Another person: a thousand on every birthday, from 1960 on."""
        CANARY.person(name)
        number = next(self._numbers)
        day = date(1960, 1, 1) + timedelta(days=number // 999)
        return Person(name, resident(number % 999 + 1, born or day.strftime("%Y%m%d")))

    async def publish(self) -> None:
        """Sequence and publish every leaf that waits, while no server does it."""
        sequencer = Sequencer(
            self.db, self.hub.blobs, origin=self.settings.origin, signer=self.hub.signer("ledger")
        )
        await sequencer.take_office()
        while (await sequencer.step()).added:
            pass

    # --- what departments send ---

    def own_token(self, department: TestDepartment, scope: str = "issue verify") -> str:
        """A department's own access token, as /oauth/token signs it."""
        moment = seconds(now())
        return authorization.make_access_token(
            self.keys("token"),
            issuer=AUDIENCE,
            audience=AUDIENCE,
            subject=department.slug,
            client_id=department.slug,
            jkt=department.client.kid,
            jti=secrets.token_urlsafe(16),
            now=moment,
            expires=moment + authorization.TOKEN_SECONDS,
            scope=scope,
        )

    def consent_token(self, department: TestDepartment, granted: Sequence[Grant]) -> str:
        """A consent token for these grants, as /oauth/token signs it."""
        return sign_token(
            self.keys("token"),
            issuer=AUDIENCE,
            grants=granted,
            jkt=department.client.kid,
            pairwise_key=self.hub.keyring.secret("pairwise"),
            now=now(),
        )[0]

    def headers(
        self, department: TestDepartment, method: str, path: str, token: str, key: str | None = None
    ) -> dict[str, str]:
        """The headers of one call: the token, and a proof that is good once, for 60 seconds."""
        proof = dpop.prove(
            department.client, htm=method, htu=AUDIENCE + path, now=seconds(now()), access_token=token
        )
        found = {"authorization": f"DPoP {token}", "dpop": proof}
        return found | ({"idempotency-key": key} if key else {})

    def request(
        self, department: TestDepartment, path: str, body: Any, *, token: str, media_type: str = JSON
    ) -> bytes:
        """A whole HTTP/1.1 POST, ready to be written to a connection."""
        content = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
        return raw_request("POST", path, self.headers(department, "POST", path, token), content, media_type)

    async def registration(self, type_code: str, *holders: tuple[Person, str], **claims: Any) -> dict[str, Any]:
        """What `POST /v1/certificates` takes, signed by the type's owner."""
        said = [person.as_holder(role) for person, role in holders]
        return {
            "sd_jwt": await self.sign(type_code, said, **claims),
            "source": {
                "dataset": "all",
                "ref": secrets.token_hex(16),
                "generation": 1,
                "claims_hash": secrets.token_hex(32),
            },
            "supersedes": None,
        }

    async def reserve(self, slug: str, count: int) -> None:
        """Take many status indices at once, so that making certificates does not stop for them."""
        from hub.certificates import indices, status

        department = await self.department(slug)
        while len(department.free) < count:
            async with self.tx(self.acting(department)) as tx:
                got = await indices.reserve(tx, count=1_000, base_url=AUDIENCE)
                for head in got.lists:
                    if head.seq == 0:
                        token = department.sign_list(head.uri, {}, seconds(now()))
                        await status.push(tx, token=token)
                        department.accepted(head.uri, token)
            department.free += got.reserved

    async def never_used_up(self) -> None:
        """Let every grant be used without end: the citizen's caps are not what is measured."""
        async with self.tx() as tx:
            await tx.run(grants.update().values(max_uses=2_000_000_000))


def raw_request(
    method: str, path: str, headers: Mapping[str, str], content: bytes = b"", media_type: str = JSON
) -> bytes:
    """The bytes of an HTTP/1.1 request on a connection that stays open."""
    said = {"host": "hub.example", "content-length": str(len(content)), "content-type": media_type, **headers}
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in said.items())]
    return "\r\n".join([*lines, "", ""]).encode() + content


def set_stage(folder: Path, database_url: str = "", *, public_url: str = AUDIENCE, **other: Any) -> Stage:
    """Tables, the hub's own keys, and the hub; no loop may be running (migrations bring their own).

    `other` are settings: those of an S3, for instance.
    """
    settings = Settings(
        public_url=public_url,
        data_dir=folder,
        database_url=database_url or f"sqlite:///{folder / 'hub.db'}",
        port=free_port(),
        **other,
    )
    folder.mkdir(parents=True, exist_ok=True)
    upgrade(settings)
    hub = build(settings)
    make_keys(hub)
    return Stage(hub)


@asynccontextmanager
async def opened(stage: Stage) -> AsyncIterator[Stage]:
    """The stage with an empty ledger, closed at the end."""
    await stage.begin()
    try:
        yield stage
    finally:
        await stage.close()


@dataclass(frozen=True, slots=True)
class Server:
    """A program that serves on 127.0.0.1:`port`."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def kill(self) -> None:
        """SIGKILL, now; nothing in it can react."""
        self.process.kill()
        self.process.wait(30)


def yimen(settings: Settings, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """Run one `yimen` command on the hub of these settings."""
    command = [sys.executable, "-m", "hub.cli", *arguments]
    return subprocess.run(command, env=environment_of(settings), cwd=settings.data_dir, capture_output=True)


def start_hub(settings: Settings, port: int | None = None, processes: int = 1) -> Server:
    """`yimen serve`, ready to answer."""
    chosen = port or free_port()
    command = [sys.executable, "-m", "hub.cli", "serve", "--port", str(chosen), "--processes", str(processes)]
    return start(command, chosen, settings.data_dir, environment_of(settings))


def start(
    command: Sequence[str], port: int, folder: Path, environment: Mapping[str, str], within: float = 30
) -> Server:
    """Start a server and wait until it accepts connections; it dies with us."""
    log = folder / f"server-{port}.log"
    with log.open("ab") as out:
        process = subprocess.Popen(
            command, env=dict(environment), cwd=folder, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
            preexec_fn=die_with_parent,
        )  # fmt: skip
    wait_until(lambda: listens(port), process, log, within)
    return Server(process, port, log)


def until(ready: Callable[[], bool], ended: Callable[[], bool], log: Path, within: float = 30) -> None:
    """Wait for a server that is no child of ours; one that ends fails with the tail of its log."""
    end = time.monotonic() + within
    while not ready():
        if ended() or time.monotonic() > end:
            raise RuntimeError(f"it did not come up:\n{log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.01)


@contextmanager
def served(server: Server) -> Iterator[Server]:
    """The server, ended when the block ends."""
    try:
        yield server
    finally:
        server.process.terminate()
        try:
            server.process.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()


def environment_of(settings: Settings) -> dict[str, str]:
    """The environment in which a process opens the hub of these settings.

    Compiled code is kept in the checkout, whatever this machine says of it: a start then takes a third of the time.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("YIMEN_")}
    kept.pop("PYTHONDONTWRITEBYTECODE", None)
    s3 = {
        "YIMEN_S3_ENDPOINT": settings.s3_endpoint,
        "YIMEN_S3_BUCKET": settings.s3_bucket,
        "YIMEN_S3_ACCESS_KEY": settings.s3_access_key,
        "YIMEN_S3_SECRET_KEY": settings.s3_secret_key.get_secret_value(),
        "YIMEN_S3_SECURE": str(settings.s3_secure),
    }
    return kept | s3 | {
        "PYTHONPATH": str(ROOT),
        "PYTHONPYCACHEPREFIX": str(ROOT / ".cache" / "compiled"),
        "YIMEN_PUBLIC_URL": settings.public_url,
        "YIMEN_DATA_DIR": str(settings.data_dir),
        "YIMEN_DATABASE_URL": settings.database_url,
        "YIMEN_DATABASE_POOL": str(settings.database_pool),
    }


@contextmanager
def folder() -> Iterator[Path]:
    """A temporary folder, gone afterwards."""
    made = Path(mkdtemp(prefix="yimen-bench-"))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


@contextmanager
def postgres_over(data: Path, like: str) -> Iterator[str]:
    """A server over a data folder that was put back, as its operator starts it; the URL `like`, but there."""
    from sqlalchemy.engine import make_url

    programs, port, log = postgres_bin(), free_port(), data.with_name(f"{data.name}.log")
    assert programs is not None
    options = ["listen_addresses=127.0.0.1", f"port={port}", "unix_socket_directories=", *DURABLE]
    command = [programs / "postgres", "-D", data, *(part for option in options for part in ("-c", option))]
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, user=account_for("postgres"), cwd="/", stdin=subprocess.DEVNULL, stdout=out, stderr=out,
            preexec_fn=die_with_parent,
        )  # fmt: skip
    try:
        wait_until(lambda: b"ready to accept connections" in log.read_bytes(), process, log)
        yield make_url(like).set(port=port).render_as_string(hide_password=False)
    finally:
        process.send_signal(signal.SIGQUIT)
        process.wait(30)


@contextmanager
def durable_postgres(*others: str) -> Iterator[str | None]:
    """The URL of an empty database on a fresh server that really syncs; None where PostgreSQL is not installed.

    `others`: names of more databases on it.
    """
    if postgres_bin() is None:
        yield None
        return
    with postgres_server(fsync=True, settings=DURABLE) as server:
        asyncio.run(_create_databases(server.url("postgres", "postgresql"), ("hub", *others)))
        yield server.url("hub", "postgresql")


async def _create_databases(admin: str, names: Sequence[str]) -> None:
    import asyncpg

    connection = await asyncpg.connect(admin)
    try:
        for name in names:
            await connection.execute(f"CREATE DATABASE {name}")
    finally:
        await connection.close()


async def durability(stage: Stage) -> dict[str, str]:
    """What the live database says about its own durability."""
    async with stage.tx() as tx:
        if tx.dialect == "postgresql":
            return {
                name: str(await tx.value(sa.text(f"SHOW {name}")))
                for name in ("server_version", "fsync", "synchronous_commit", "full_page_writes")
            }
        names = {"0": "OFF", "1": "NORMAL", "2": "FULL", "3": "EXTRA"}
        found = str(await tx.value(sa.text("PRAGMA synchronous")))
        return {
            "sqlite_version": str(await tx.value(sa.text("SELECT sqlite_version()"))),
            "sqlite_journal": str(await tx.value(sa.text("PRAGMA journal_mode"))),
            "sqlite_synchronous": names.get(found, found),
        }

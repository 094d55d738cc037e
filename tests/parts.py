"""What the tests share: parts a machine may lack, real servers for a run, a clock that stands still."""

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import mkdtemp
from time import monotonic, sleep
from typing import NoReturn

import pytest

MISSING = "missing: "
"""How the reason of a skip begins when an optional part of the machine is absent; conftest lists these at the end."""


def missing(what: str, install: str) -> NoReturn:
    """Skip this test because the machine lacks `what`; `install` is the exact line that would bring it."""
    pytest.skip(f"{MISSING}{what} | install: {install}")


def spoilt(data: bytes, at: int = 0) -> bytes:
    """The same bytes with one bit flipped: always different, which a byte written over a random one is not."""
    altered = bytearray(data)
    altered[at] ^= 1
    return bytes(altered)


@dataclass
class FixedClock:
    """A `hub.clock.Clock` that moves only when told."""

    moment: datetime = datetime(2026, 11, 23, 1, 30, tzinfo=UTC)  # 09:30 in Shanghai, a Monday

    def __call__(self) -> datetime:
        return self.moment

    def advance(self, **parts: float) -> datetime:
        """Move on by `timedelta(**parts)`."""
        self.moment += timedelta(**parts)
        return self.moment


def free_port() -> int:
    """A TCP port on 127.0.0.1 that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def die_with_parent() -> None:
    """Runs in a child between fork and exec: when the test process dies, however it dies, so does the server."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGQUIT)


def wait_until(ready: Callable[[], bool], server: subprocess.Popen[bytes], log: Path, seconds: float = 30) -> None:
    """Poll until `ready()`; a server that ends, or does not come up in time, fails with the tail of its log."""
    end = monotonic() + seconds
    while not ready():
        if server.poll() is not None or monotonic() > end:
            tail = log.read_text(errors="replace")[-2000:] if log.exists() else ""
            raise RuntimeError(f"{server.args} did not come up (exit {server.poll()}):\n{tail}")
        sleep(0.05)


def listens(port: int) -> bool:
    """Whether something accepts connections on 127.0.0.1:`port`."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def folder_of(account: str | None) -> Iterator[Path]:
    """A short temporary folder (sockets need short paths) owned by `account`, gone afterwards."""
    folder = Path(mkdtemp(prefix="yimen-"))
    try:
        if account:
            shutil.chown(folder, account)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def account_for(name: str) -> str | None:
    """The account a database server must run under: it refuses root, so as root it is its own system user."""
    return name if os.getuid() == 0 else None


@dataclass(frozen=True)
class Postgres:
    """A PostgreSQL server of this test process; `url()` gives SQLAlchemy URLs."""

    port: int
    folder: Path
    bin: Path
    password: str

    def url(self, database: str, driver: str = "postgresql+asyncpg") -> str:
        """The URL of one of its databases."""
        return f"{driver}://hub:{self.password}@127.0.0.1:{self.port}/{database}"


def postgres_bin() -> Path | None:
    """The newest installed PostgreSQL's programs, or None."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: int(p.parts[-3]))
    if found:
        return found[-1].parent
    initdb = shutil.which("initdb")
    return Path(initdb).resolve().parent if initdb else None


def _quietly(command: Sequence[str | Path], account: str | None) -> None:
    done = subprocess.run(command, user=account, cwd="/", stdin=subprocess.DEVNULL, capture_output=True, timeout=120)
    if done.returncode:
        raise RuntimeError(f"{command[0]}: {done.stderr.decode(errors='replace')[-2000:]}")


@contextmanager
def postgres_server(*, fsync: bool = False, settings: Sequence[str] = ()) -> Iterator[Postgres]:
    """A fresh PostgreSQL on 127.0.0.1 with its own data; durability trials ask for `fsync=True`."""
    programs = postgres_bin()
    if programs is None:
        missing("PostgreSQL server", "apt-get install -y postgresql")
    account = account_for("postgres")
    with folder_of(account) as folder:
        secret = folder / "password"
        password = os.urandom(12).hex()
        secret.write_text(password)
        if account:
            shutil.chown(secret, account)
        initdb: list[str | Path] = [programs / "initdb", "-D", folder / "data", "-U", "hub", "-E", "UTF8"]
        initdb += ["--locale=C", "-A", "scram-sha-256", f"--pwfile={secret}", "--no-sync"]
        _quietly(initdb, account)
        port = free_port()
        options = ["listen_addresses=127.0.0.1", f"port={port}", f"unix_socket_directories={folder}"]
        options += ["max_connections=200", *settings]
        if not fsync:
            options += ["fsync=off", "full_page_writes=off", "synchronous_commit=off"]
        log = folder / "log"
        with log.open("wb") as out:
            server = subprocess.Popen(
                [programs / "postgres", "-D", folder / "data", *(f"--{option}" for option in options)],
                user=account, cwd="/", stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                preexec_fn=die_with_parent,
            )  # fmt: skip
        try:
            wait_until(lambda: b"ready to accept connections" in log.read_bytes(), server, log)
            yield Postgres(port, folder, programs, password)
        finally:
            server.send_signal(signal.SIGQUIT)
            server.wait(30)


@dataclass(frozen=True)
class MariaDB:
    """A MariaDB server of this test process: what a department's own database often is."""

    host: str
    port: int
    user: str
    password: str


@contextmanager
def mariadb_server() -> Iterator[MariaDB]:
    """A fresh MariaDB on 127.0.0.1, utf8mb4, with its own data."""
    daemon = shutil.which("mariadbd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    maker = shutil.which("mariadb-install-db")
    if daemon is None or maker is None:
        missing("MariaDB server", "apt-get install -y mariadb-server")
    account = account_for("mysql")
    with folder_of(account) as folder:
        data = folder / "data"
        _quietly([maker, "--no-defaults", f"--datadir={data}", "--auth-root-authentication-method=normal",
                  "--skip-test-db"], account)  # fmt: skip
        password = os.urandom(12).hex()
        start = folder / "start.sql"
        start.write_text(
            f"CREATE USER 'department'@'127.0.0.1' IDENTIFIED BY '{password}';\n"
            "GRANT ALL ON *.* TO 'department'@'127.0.0.1' WITH GRANT OPTION;\n"
        )
        start.chmod(0o644)
        port = free_port()
        log = folder / "log"
        with log.open("wb") as out:
            server = subprocess.Popen(
                [daemon, "--no-defaults", f"--datadir={data}", f"--socket={folder / 's'}", f"--port={port}",
                 "--bind-address=127.0.0.1", "--character-set-server=utf8mb4", f"--init-file={start}",
                 "--innodb-flush-log-at-trx-commit=0", f"--pid-file={folder / 'pid'}"],
                user=account, cwd="/", stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                preexec_fn=die_with_parent,
            )  # fmt: skip
        try:
            wait_until(lambda: b"ready for connections" in log.read_bytes() and listens(port), server, log)
            yield MariaDB("127.0.0.1", port, "department", password)
        finally:
            server.kill()  # its data is thrown away
            server.wait(30)


@dataclass(frozen=True)
class S3:
    """An S3 server and an empty bucket on it."""

    endpoint: str
    access_key: str
    secret_key: str
    region: str
    bucket: str
    real: bool
    """False for the stand-in, which accepts any credentials: authentication is not tested on it."""


@contextmanager
def s3_server() -> Iterator[tuple[str, str, str, bool]]:
    """(endpoint, access key, secret key, real): the server that YIMEN_TEST_S3 names, else moto on 127.0.0.1.

    YIMEN_TEST_S3 is "host:port access-key secret-key"; buckets that the tests make there are emptied and removed.
    """
    named = os.environ.get("YIMEN_TEST_S3")
    if named:
        endpoint, access, secret = named.split()
        yield endpoint, access, secret, True
        return
    port = free_port()
    with folder_of(None) as folder:
        log = folder / "log"
        with log.open("wb") as out:
            server = subprocess.Popen(
                [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
                stdin=subprocess.DEVNULL, stdout=out, stderr=out, preexec_fn=die_with_parent,
            )  # fmt: skip
        try:
            wait_until(lambda: listens(port), server, log)
            yield f"127.0.0.1:{port}", "yimen-test", "yimen-test-secret", False
        finally:
            server.kill()
            server.wait(30)

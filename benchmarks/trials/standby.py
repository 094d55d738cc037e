"""A PostgreSQL primary and its synchronous standby on this machine, to be killed and promoted.

A commit is answered when both have it on disk (`synchronous_commit=on`, one synchronous standby). A cluster manager
(Patroni) would notice the death of the primary, fence it and promote; here the trial does, once the primary is dead.
"""

import asyncio
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from benchmarks import stage

SLOT = "standby"
OPTIONS = (
    "listen_addresses=127.0.0.1", "max_connections=100", "fsync=on", "synchronous_commit=on", "full_page_writes=on",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Node:
    """One server and its data."""

    port: int
    data: Path
    process: subprocess.Popen[bytes]

    def kill(self) -> None:
        """SIGKILL to the postmaster and every process of it, at the same moment."""
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for one in (pid, *map(int, children)):
            with suppress(ProcessLookupError):
                os.kill(one, signal.SIGKILL)
        self.process.wait(30)


class Pair:
    """The two, and who is who."""

    def __init__(self, folder: Path, programs: Path) -> None:
        self.folder, self.programs = folder, programs
        self.account = "postgres" if os.getuid() == 0 else None
        self.password = os.urandom(12).hex()
        self.ports = stage.free_port(), stage.free_port()
        self.worker = ThreadPoolExecutor(1)
        """The thread that starts servers: they would end with a thread that ends earlier."""
        self._copies = 0
        self.standby: Node | None = None
        self.primary = self.worker.submit(self._first).result()
        self.worker.submit(self.add_standby).result()

    @property
    def url(self) -> str:
        """Both servers, whichever takes writes: as an operator writes it."""
        hosts = ",".join(f"127.0.0.1:{port}" for port in self.ports)
        return f"postgresql://hub:{self.password}@{hosts}/hub?target_session_attrs=read-write"

    def add_standby(self) -> None:
        """Copy the primary while it works, start the copy as standby, and wait until every commit waits for it."""
        port = next(one for one in self.ports if one != self.primary.port)
        self._copies += 1
        data = self.folder / f"data{self._copies}"
        source = f"host=127.0.0.1 port={self.primary.port} user=hub application_name={SLOT}"
        self._run("pg_basebackup", "-D", data, "-R", "-C", "-S", SLOT, "-X", "stream", "-c", "fast", "-d", source)
        with (data / "postgresql.auto.conf").open("a") as settings:
            settings.write("synchronous_standby_names = ''\n")  # a promoted one must not wait for nobody
        self.standby = self._start(data, port)
        self.ask("ALTER SYSTEM SET synchronous_standby_names = '" + SLOT + "'")
        self.ask("SELECT pg_reload_conf()")
        end = time.monotonic() + 30
        while self.ask("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'") != 1:
            if time.monotonic() > end:
                raise RuntimeError((self.folder / f"{port}.log").read_text(errors="replace")[-2000:])
            time.sleep(0.05)

    def promote(self) -> None:
        """The standby becomes the primary; returns when it takes writes. It has no standby then."""
        assert self.standby is not None
        self._run("pg_ctl", "promote", "-w", "-D", self.standby.data)
        self.primary, self.standby = self.standby, None

    def ask(self, statement: str) -> Any:
        """One statement to the primary; the first value."""

        async def work() -> Any:
            connection = await asyncpg.connect(
                host="127.0.0.1", port=self.primary.port, user="hub", password=self.password, database="postgres"
            )
            try:
                return await connection.fetchval(statement)
            finally:
                await connection.close()

        return asyncio.run(work())

    def close(self) -> None:
        """End both."""
        for node in filter(None, (self.standby, self.primary)):
            with suppress(OSError):
                node.kill()
        self.worker.shutdown()

    def _first(self) -> Node:
        secret = self.folder / "password"
        secret.write_text(self.password)
        if self.account:
            shutil.chown(secret, self.account)
        data = self.folder / "data0"
        self._run("initdb", "-D", data, "-U", "hub", "-E", "UTF8", "--locale=C", "-A", "scram-sha-256",
                  f"--pwfile={secret}", "--data-checksums", "--no-sync")  # fmt: skip
        self.primary = self._start(data, self.ports[0])
        self.ask("CREATE DATABASE hub")
        return self.primary

    def _start(self, data: Path, port: int) -> Node:
        log = self.folder / f"{port}.log"
        options = (*OPTIONS, f"port={port}", f"unix_socket_directories={self.folder}")
        with log.open("wb") as out:
            process = subprocess.Popen(
                [self.programs / "postgres", "-D", data, *(f"--{option}" for option in options)],
                user=self.account, cwd="/", stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                preexec_fn=stage.die_with_parent,
            )  # fmt: skip
        stage.until(
            lambda: b"ready to accept" in log.read_bytes(), lambda: process.poll() is not None, log
        )
        return Node(port, data, process)

    def _run(self, program: str, *arguments: str | Path) -> None:
        done = subprocess.run(
            [self.programs / program, *arguments], user=self.account, cwd="/", stdin=subprocess.DEVNULL,
            env={**os.environ, "PGPASSWORD": self.password}, capture_output=True, timeout=120,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"{program}: {done.stderr.decode(errors='replace')[-2000:]}")


@contextmanager
def pair() -> Iterator[Pair | None]:
    """A running pair with an empty database `hub`; None where PostgreSQL is not installed."""
    programs = stage.postgres_bin()
    if programs is None:
        yield None
        return
    with stage.folder() as folder:
        if os.getuid() == 0:
            shutil.chown(folder, "postgres")
        made = Pair(folder, programs)
        try:
            yield made
        finally:
            made.close()

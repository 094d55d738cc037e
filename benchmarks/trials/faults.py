"""What breaks underneath a hub: refused or degraded as promised, recovers by itself, nothing acknowledged is lost.

Each fault is real: a full or read-only file system, a PostgreSQL that is stopped, started, or made read-only, an S3
server behind a line that is cut, slow or garbled, a clock that is set. The hub is the whole application with its
sequencer, called through its doors. Every fault is told in the same way: work before it, calls while it lasts (each
must end soon, and as `while_broken` says), the same calls again, with their idempotency keys, once it is over. Then
everything that was ever acknowledged must be there, done once, and the ledger must check.
"""

import argparse
import asyncio
import json
import os
import secrets
import shlex
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import sqlalchemy as sa

from benchmarks import stage
from benchmarks.stage import AUDIENCE, JSON, Stage, credit
from benchmarks.trials.callers import Acknowledged, doubled, lost
from hub.access.shelf import every_shelf
from hub.certificates.model import certificates
from hub.clock import now
from hub.consent.model import Grant
from hub.ledger.check import check
from hub.ledger.head import lag, log_key, read_head
from hub.main import app
from hub.registry import departments
from hub.store.s3 import S3Blobs, open_s3
from hub.web.metrics import REGISTRY

CALLS = 3
SOON = 12.0
"""Seconds within which every call must end, whatever is broken."""
RECOVERY = 30.0
BACKWARDS = {"code": "ledger.clock_backwards"}


@dataclass
class Outcome:
    """How one fault went."""

    fault: str
    while_broken: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0
    recovered_after: float = 0.0
    acknowledged: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether everything held."""
        return not self.problems


@dataclass(frozen=True)
class Fault:
    """What is broken, in which place, and what calls may answer meanwhile: codes, "" is success."""

    name: str
    place: str
    breaks: Callable[["Field"], Any]
    allowed: frozenset[str]
    ahead: timedelta = timedelta()
    """How far what was signed meanwhile lies in the future: signing waits that long, and business goes on."""


def main() -> int:
    """Run all faults, print what came of them as JSON; exit status 1 when anything did not hold."""
    parser = argparse.ArgumentParser(prog="./run trial faults")
    parser.add_argument("--only", choices=[fault.name for fault in FAULTS], action="append")
    parser.add_argument("--rounds", type=int, default=3, help="how often each fault comes and goes")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    wanted = [fault for fault in FAULTS if not given.only or fault.name in given.only]
    outcomes = [one for place in PLACES for one in trial(place, wanted, rounds=given.rounds)]
    for one in outcomes:
        held = "held" if one.ok else f"NOT HELD: {one.problems[:5]}"
        print(f"{one.fault}: {dict(one.while_broken)}, back after {one.recovered_after} s: {held}", file=sys.stderr)
    told = {"trial": "faults", "outcomes": [vars(one) | {"ok": one.ok} for one in outcomes]}
    text = json.dumps(told, ensure_ascii=False, indent=1)
    given.json.write_text(text + "\n") if given.json else print(text)
    return 0 if outcomes and all(one.ok for one in outcomes) else 1


def trial(place: str, faults: Sequence[Fault], *, rounds: int = 1) -> list[Outcome]:
    """The faults of one place, each coming and going `rounds` times, one after the other on the same hub.

    "embedded": SQLite on a small disk of its own, files on an S3 server. "served": PostgreSQL that really syncs, files
    in a folder. Raises PermissionError where nobody may mount a file system.
    """
    faults = [fault for fault in faults if fault.place == place]
    if not faults:
        return []
    with ExitStack() as stack:
        folder = stack.enter_context(stage.folder())
        url, server, line = "", None, None
        if place == "served":
            server = stack.enter_context(stage.postgres_server(fsync=True, settings=stage.DURABLE))
            asyncio.run(_create_database(server.url("postgres", "postgresql")))
            url = server.url("hub", "postgresql")
        else:
            stack.enter_context(small_disk(folder / "data"))
            line = stack.enter_context(Line.to_s3())
        field = Field(stage.set_stage(folder / "data", url), server, line)
        try:
            asyncio.run(field.run(faults, rounds))
        finally:
            for again in field.again:
                again.send_signal(signal.SIGQUIT)
                again.wait(30)
    return field.outcomes


async def _create_database(admin: str) -> None:
    import asyncpg

    connection = await asyncpg.connect(admin)
    try:
        await connection.execute("CREATE DATABASE hub")
    finally:
        await connection.close()


# ---------------------------------------------------------------- the hub and those who call it


class Field:
    """A hub with its sequencer, a department that registers, one that verifies, and what they were told."""

    def __init__(self, made: Stage, server: Any, line: "Line | None") -> None:
        self.made, self.server, self.line = made, server, line
        self.outcomes: list[Outcome] = []
        self.fault = FAULTS[0]
        self.skew = timedelta()
        self.said = Acknowledged()
        self.open: list[tuple[str, str, Any]] = []
        self.granted: list[Grant] = []
        self.again: list[subprocess.Popen[bytes]] = []
        self.wang = made.person("王大明")

    def clock(self) -> datetime:
        """The machine's clock, which somebody may set."""
        return now() + self.skew

    @property
    def outcome(self) -> Outcome:
        """Of the fault that is being tried."""
        return self.outcomes[-1]

    async def run(self, faults: Sequence[Fault], rounds: int) -> None:
        """For each fault: work, break, call, mend, call again; then look."""
        hub = replace(self.made.hub, clock=self.clock)
        if self.line is not None:
            client = open_s3(f"127.0.0.1:{self.line.port}", access_key="yimen-test", secret_key="yimen-test-secret",
                             region="us-east-1", secure=False, deadline=0.5)  # fmt: skip
            blobs = S3Blobs(client, f"yimen-{secrets.token_hex(6)}", deadline=1.0, region="us-east-1")
            await blobs.prepare()
            hub = replace(hub, blobs=blobs)
        self.made.hub, self.made.db.clock = hub, self.clock
        async with stage.opened(self.made):
            before = await self._prepare()
            application = app(hub)
            async with application.router.lifespan_context(application):
                transport = httpx.ASGITransport(application, raise_app_exceptions=False)
                async with httpx.AsyncClient(transport=transport, base_url=AUDIENCE, timeout=60) as self.http:
                    await self._until_ready()
                    for self.fault in faults:
                        self.outcomes.append(Outcome(self.fault.name))
                        # Once the ledger was signed in the future it waits until then: nobody else's clock goes along.
                        for _ in range(1 if self.fault.ahead else rounds):
                            await self._round()
                        if self.fault.ahead:
                            await self._waits()
                        await self.sequenced()
                        await self._look(before)

    async def _prepare(self) -> int:
        made = self.made
        await made.department("dg-edu")
        await made.reserve("dg-degree", 1_000)
        await made.certificate("degree", (self.wang, "owner"))
        self.granted = (await made.grant(self.wang, ["degree"]))[1]
        await made.never_used_up()
        await made.publish()
        async with made.view() as view:
            return int(await view.value(sa.select(sa.func.count()).select_from(certificates)))

    async def _round(self) -> None:
        for _ in range(CALLS):
            await self._calls()
        self._all_answered("before anything broke")
        breaking = self.fault.breaks(self)
        async with breaking if hasattr(breaking, "__aenter__") else _awaited(breaking):
            for _ in range(CALLS):
                await self._calls(broken=True)
        began = time.monotonic()
        await self._until_ready()
        await self._again()
        self.outcome.recovered_after = max(self.outcome.recovered_after, round(time.monotonic() - began, 2))

    async def _calls(self, *, broken: bool = False) -> None:
        """One registration, one verification; what fails stays open, to be sent again with its key."""
        person = self.made.person("李小红")
        body = await self.made.registration("degree", (person, "owner"))
        for kind, path, what in (
            ("register", "/v1/certificates", body),
            ("verify", "/v1/verifications", {"asks": [{"type": "degree"}]}),
        ):
            key = secrets.token_hex(8)
            code = await self._call(kind, path, what, key)
            if code:
                self.open.append((kind, key, (path, what)))
            if broken:
                self.outcome.while_broken[f"{kind}: {code or 'done'}"] += 1
                if code not in self.fault.allowed:
                    self.outcome.problems.append(f"{kind} while it was broken: {code or 'done'}")

    async def _call(self, kind: str, path: str, body: Any, key: str) -> str:
        """The code of the refusal, or "" once it was acknowledged."""
        slug = "dg-degree" if kind == "register" else "dg-edu"
        department = self.made.departments[slug]
        made = self.made
        token = made.own_token(department) if kind == "register" else made.consent_token(department, self.granted)
        headers = {**self.made.headers(department, "POST", path, token, key), "content-type": JSON}
        began = time.monotonic()
        answer = await self.http.post(path, content=json.dumps(body), headers=headers)
        took = time.monotonic() - began
        self.outcome.slowest = max(self.outcome.slowest, round(took, 2))
        if took > SOON:
            self.outcome.problems.append(f"{kind}: an answer took {took:.0f} s")
        if answer.status_code >= 400:
            if "sd_jwt" in answer.text or "claims" in answer.json():
                self.outcome.problems.append("a refusal carried claims")
            return str(answer.json().get("code", answer.status_code))
        said = answer.json()
        if kind == "register":
            self.said.certificates[said["certificate_id"]] = key
            return ""
        verdict = said["verdicts"][0]
        self.said.accesses[verdict["access"]] = key
        return "" if verdict["outcome"] == "accepted" else str(verdict["reason"])

    async def _again(self) -> None:
        """Everything that was left open, with the same key and body: now it must be done."""
        waiting, self.open = self.open, []
        for kind, key, (path, body) in waiting:
            code = await self._call(kind, path, body, key)
            if code:
                self.outcome.problems.append(f"{kind} after it was mended: {code}")

    def _all_answered(self, when: str) -> None:
        if self.open:
            self.outcome.problems.append(f"{len(self.open)} calls failed {when}")
            self.open.clear()

    async def _until_ready(self) -> None:
        """Readiness comes back by itself."""
        end = time.monotonic() + RECOVERY
        while True:
            answer = await self.http.get("/readyz")
            if answer.status_code == 200 and not answer.json().get("degraded"):
                return
            if time.monotonic() > end:
                raise RuntimeError(f"{self.fault.name}: not ready again: {answer.text}")
            await asyncio.sleep(0.1)

    async def _waits(self) -> None:
        """Time must not go back in the ledger: the sequencer says that it waits; then the time has passed."""
        end = time.monotonic() + RECOVERY
        told = REGISTRY.get_sample_value("yimen_ledger_trouble_total", BACKWARDS) or 0.0
        while not (REGISTRY.get_sample_value("yimen_ledger_trouble_total", BACKWARDS) or 0.0) > told:
            if time.monotonic() > end:
                self.outcome.problems.append("the sequencer did not tell that the clock went back")
                break
            await asyncio.sleep(0.1)
        self.skew = self.fault.ahead

    async def sequenced(self) -> None:
        """Every leaf has its index, and the checkpoint over it is out."""
        end = time.monotonic() + RECOVERY
        while time.monotonic() < end:
            async with self.made.view() as view:
                head, waiting = await read_head(view), await lag(view)
            if not waiting.pending and head.published_size == head.size:
                return
            await asyncio.sleep(0.1)
        self.outcome.problems.append("the ledger did not catch up")

    async def _look(self, before: int) -> None:
        self.outcome.acknowledged = len(self.said.certificates) + len(self.said.accesses)
        self.outcome.problems += await lost(self.made, self.said)
        self.outcome.problems += await doubled(self.made, self.said, before)
        key = log_key(self.made.settings.origin, self.made.hub.signer("ledger"))
        async with self.made.view() as view:
            report = await check(view, self.made.hub.blobs, key=key, shelves=every_shelf())
        self.outcome.problems += [f"ledger: {one}" for one in report.failures]


@asynccontextmanager
async def _awaited(work: Any) -> AsyncIterator[None]:
    with work or nullcontext():
        yield


# ---------------------------------------------------------------- disks


@contextmanager
def small_disk(folder: Path, size: str = "24m") -> Iterator[None]:
    """A file system of its own that is soon full. Raises PermissionError where nobody may mount."""
    folder.mkdir(parents=True)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "yimen-trial", folder], capture_output=True)
    if done.returncode:
        raise PermissionError(done.stderr.decode())
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@contextmanager
def full(field: Field) -> Iterator[None]:
    """Not a byte is left on the disk of database and files."""
    filler = field.made.settings.data_dir / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue
    try:
        yield
    finally:
        filler.unlink()


@contextmanager
def files_read_only(field: Field) -> Iterator[None]:
    """The folder of blobs is on a file system that was remounted read-only, as after an error of the disk."""
    folder = field.made.settings.blobs_dir
    subprocess.run(["mount", "--bind", folder, folder], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", folder], check=True)
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


# ---------------------------------------------------------------- PostgreSQL


@asynccontextmanager
async def stopped(field: Field) -> AsyncIterator[None]:
    """The server is killed under the hub; afterwards it is started again and recovers from its log."""
    data = field.server.folder / "data"
    pid = int((data / "postmaster.pid").read_text().splitlines()[0])
    command = shlex.split((data / "postmaster.opts").read_text())
    os.kill(pid, signal.SIGQUIT)
    await asyncio.sleep(0.5)
    try:
        yield
    finally:
        field.again.append(await asyncio.to_thread(_start_again, field.server.folder / "again.log", command))


def _start_again(log: Path, command: list[str]) -> subprocess.Popen[bytes]:
    with log.open("wb") as out:
        again = subprocess.Popen(
            command, user="postgres" if os.getuid() == 0 else None, cwd="/", stdin=subprocess.DEVNULL,
            stdout=out, stderr=out,
        )  # fmt: skip
    stage.wait_until(lambda: b"ready to accept connections" in log.read_bytes(), again, log)
    return again


@asynccontextmanager
async def read_only(field: Field) -> AsyncIterator[None]:
    """The server takes no more writes: it became a standby, or an operator said so."""
    await _tell(field, "ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()")
    try:
        yield
    finally:
        await _tell(field, "SET default_transaction_read_only = off",
                    "ALTER SYSTEM RESET default_transaction_read_only", "SELECT pg_reload_conf()")  # fmt: skip


async def _tell(field: Field, *statements: str) -> None:
    import asyncpg

    connection = await asyncpg.connect(field.server.url("postgres", "postgresql"))
    try:
        for statement in statements:
            await connection.execute(statement)
        await asyncio.sleep(0.3)
    finally:
        await connection.close()


# ---------------------------------------------------------------- the line to the S3 server


class Line:
    """A TCP line to the S3 server that passes bytes on, or cuts, delays or garbles them. In a thread of its own."""

    def __init__(self, target: str) -> None:
        host, _, port = target.partition(":")
        self.target = (host, int(port))
        self.state = "good"
        self.port = 0

    @classmethod
    @contextmanager
    def to_s3(cls) -> Iterator["Line"]:
        """A line to a fresh S3 server."""
        import threading

        with stage.s3_server() as (endpoint, *_):
            line = cls(endpoint)
            loop = asyncio.new_event_loop()
            thread = threading.Thread(target=loop.run_forever, daemon=True)
            thread.start()
            server = asyncio.run_coroutine_threadsafe(line._listen(), loop).result(10)
            try:
                yield line
            finally:
                asyncio.run_coroutine_threadsafe(line._end(server), loop).result(10)
                loop.call_soon_threadsafe(loop.stop)
                thread.join(5)
                loop.close()

    async def _listen(self) -> asyncio.Server:
        server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def _end(self, server: asyncio.Server) -> None:
        server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.state == "down":
            writer.close()
            return
        theirs, ours = await asyncio.open_connection(*self.target)
        there = self._pass(reader, ours, garble=False)
        back = self._pass(theirs, writer, garble=True)
        with suppress(asyncio.CancelledError):
            await asyncio.gather(there, back, return_exceptions=True)

    async def _pass(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, garble: bool) -> None:
        while data := await source.read(65536):
            if self.state == "down":
                break
            if self.state == "slow":
                await asyncio.sleep(60)
            if self.state == "wrong" and garble:
                head, found, body = data.partition(b"\r\n\r\n")
                data = head + found + bytes(byte ^ 1 for byte in body) if found else bytes(byte ^ 1 for byte in data)
            sink.write(data)
            await sink.drain()
        sink.close()


@asynccontextmanager
async def _line(field: Field, state: str) -> AsyncIterator[None]:
    assert field.line is not None
    field.line.state = state
    try:
        found = await field.http.get("/checkpoint")
        if found.status_code < 500:
            field.outcome.problems.append(f"/checkpoint answered {found.status_code} from a store that is {state}")
        else:
            field.outcome.while_broken[f"checkpoint: {found.json().get('code')}"] += 1
        ready = (await field.http.get("/readyz")).json()
        if ready.get("degraded") != ["blobs"]:
            field.outcome.problems.append(f"readiness says {ready}")
        yield
    finally:
        field.line.state = "good"


# ---------------------------------------------------------------- the clock


@asynccontextmanager
async def _clock_set(field: Field, **by: float) -> AsyncIterator[None]:
    """Somebody sets the clock, and something happens meanwhile that needs no department's clock: a leaf comes in.

    Behind: it is not signed, for no checkpoint may be older than the one before it. Ahead: it is signed, in the future.
    """
    await field.sequenced()
    async with field.made.view() as view:
        before = await read_head(view)
    field.skew = timedelta(**by)
    try:
        async with field.made.tx() as tx:
            slug = f"dg-{secrets.token_hex(4)}"
            number = 500 + int(time.monotonic() * 1000) % 100_000
            await departments.add(tx, slug=slug, uscc=credit(number), name_zh="测试局", name_en=slug)
        yield
        if field.fault.ahead:
            await field.sequenced()
        else:
            await asyncio.sleep(1)
        async with field.made.view() as view:
            after = await read_head(view)
        if (after.size > before.size) != bool(field.fault.ahead) or after.signed_at < before.signed_at:
            field.outcome.problems.append(f"from {before.size} to {after.size} leaves were signed")
    finally:
        field.skew = timedelta()


REFUSED = frozenset({"store.unavailable"})
DONE = frozenset({""})
STRANGE = frozenset({"dpop.time"})
"""The proofs of departments whose clocks are right are not of this hub's time."""

PLACES = ("embedded", "served")
FAULTS = (
    Fault("disk-full", "embedded", full, REFUSED),
    Fault("s3-down", "embedded", lambda field: _line(field, "down"), DONE),
    Fault("s3-slow", "embedded", lambda field: _line(field, "slow"), DONE),
    Fault("s3-wrong-bytes", "embedded", lambda field: _line(field, "wrong"), DONE),
    Fault("clock-back", "embedded", lambda field: _clock_set(field, hours=-1), STRANGE),
    Fault("clock-ahead", "embedded", lambda field: _clock_set(field, hours=1), STRANGE, ahead=timedelta(hours=1)),
    Fault("files-read-only", "served", files_read_only, DONE),
    Fault("database-stopped", "served", stopped, REFUSED),
    Fault("database-read-only", "served", read_only, REFUSED),
)


if __name__ == "__main__":
    sys.exit(main())

"""Where the time of one verification goes: CPU by step, by layer of the program, by statement. No ratio, no gate.

The real server runs in this process under the load of 32 connections, with the functions of the path counted. A step's
time is the CPU while one of its functions ran, without what ran inside another step, and without waiting: callers who
come together share transactions, so what a group does is divided among its callers. Layers come from cProfile: shares
are right to a few per cent, and it makes everything slower, so only the steps are told in microseconds.
"""

import asyncio
import cProfile
import functools
import importlib
import inspect
import logging
import os
import pstats
import sys
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, nullcontext
from itertools import pairwise
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import structlog
import uvicorn
import uvloop

from benchmarks import load, stage
from benchmarks.measure import Report, arguments, finish
from benchmarks.verify_api import ACCEPTED, people_of, requests_of
from hub.consent.model import Grant
from hub.main import app as application
from hub.main import build
from hub.store import driver
from hub.store.memory import rarely_collect

STEPS = (
    ("hub.web.redeem", "redeem", "the door itself"),
    ("hub.formats.dpop", "check", "DPoP proof checked"),
    ("hub.formats.authorization", "check_access_tokens", "consent token checked"),
    ("hub.web.body", "read_body", "body read and parsed"),
    ("hub.web.caller", "redeeming", "headers, token and proof brought together"),
    ("hub.web.caller", "enter_all", "proof spent, client key, revocation"),
    ("hub.web.redeem", "together", "calls of a group brought together"),
    ("hub.cases.open", "facts_of", "case looked up"),
    ("hub.verification.verify", "verify", "verify: the walk itself"),
    ("hub.ledger.moving", "require_moving", "ledger not stalled"),
    ("hub.verification.verify", "_plan", "grant found, coverage"),
    ("hub.consent.use", "by_public_ids", "grant found, coverage"),
    ("hub.consent.use", "take_uses", "use taken (guarded statement)"),
    ("hub.certificates.opened", "opened_of_holders", "certificates of the holder, unsealed"),
    ("hub.certificates.status", "standing_in", "status list, issuer's key"),
    ("hub.store.seal", "Vault.person_keys", "person keys unwrapped"),
    ("hub.ledger.places", "indices_of", "leaf's place in the ledger"),
    ("hub.formats.packed", "take_apart", "certificate unpacked"),
    ("hub.verification.verify", "_keys", "status list, issuer's key"),
    ("hub.verification.signed", "signed_all", "issuer signature, disclosures"),
    ("hub.formats.sdjwt", "reveal", "disclosures selected, claims of the copy"),
    ("hub.verification.verify", "_judge", "numbered checks"),
    ("hub.access.record", "record", "Access and leaf sealed and recorded"),
    ("hub.web.verdicts", "verdicts_json", "answer and signed receipt"),
    ("hub.web.answer", "dumps", "answer and signed receipt"),
    ("hub.store.driver", "Postgres.each", "driver: statements sent and read"),
    ("hub.store.driver", "Postgres.all_of", "driver: statements sent and read"),
    ("hub.store.driver", "Sqlite.each", "driver: statements sent and read"),
    ("hub.store.driver", "Postgres.begin", "driver: begin and commit"),
    ("hub.store.driver", "Postgres.commit", "driver: begin and commit"),
    ("hub.store.driver", "Sqlite.begin", "driver: begin and commit"),
    ("hub.store.driver", "Sqlite.commit", "driver: begin and commit"),
    ("hub.web.doors", "RequestNumbers.__call__", "request number, answer sent"),
    ("uvicorn.protocols.http.httptools_impl", "HttpToolsProtocol.data_received", "HTTP read and parsed"),
    ("hub.ledger.sequence", "Sequencer.step", "the sequencer beside"),
)
"""Where a function is defined, its name, and its step; it is counted wherever it is called from."""
REST = "framework, middleware, event loop, sockets"
LAYERS = (
    ("simplequeue", "handing over to another thread"), ("_socket", "writing to and reading from sockets"),
    ("sqlalchemy", "SQLAlchemy"), ("greenlet", "SQLAlchemy"),
    ("aiosqlite", "database driver"), ("asyncpg", "database driver"), ("sqlite3", "database driver"),
    ("uvicorn", "HTTP server"), ("httptools", "HTTP server"),
    ("fastapi", "FastAPI, Starlette, pydantic"), ("starlette", "FastAPI, Starlette, pydantic"),
    ("pydantic", "FastAPI, Starlette, pydantic"), ("structlog", "log"), ("logging", "log"),
    ("cryptography", "cryptography"), ("/keys/", "our keys and formats"), ("/hub/formats/", "our keys and formats"),
    ("/hub/store/", "our store"), ("/hub/", "the rest of the hub"), ("benchmarks", "waiting"),
    ("asyncio", "event loop"), ("uvloop", "event loop"), ("selectors", "event loop"),
    ("epoll", "waiting"), ("json", "JSON"),
)  # fmt: skip


class Clock:
    """Exclusive CPU of each step: what runs inside another step is taken from that one."""

    def __init__(self) -> None:
        self.spent: defaultdict[str, float] = defaultdict(float)
        self.stack: list[float] = []

    @contextmanager
    def step(self, label: str) -> Iterator[None]:
        """Count the block, in which nothing waits, to `label`."""
        self.stack.append(0.0)
        start = time.thread_time()
        try:
            yield
        finally:
            whole = time.thread_time() - start
            self.spent[label] += whole - self.stack.pop()
            if self.stack:
                self.stack[-1] += whole

    def around(self, function: Callable[..., Any], label: str) -> Callable[..., Any]:
        """`function`, counted; a coroutine only while it runs, not while it waits."""
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def later(*args: Any, **kwargs: Any) -> Any:
                return await _Running(function(*args, **kwargs), self, label)

            return later

        @functools.wraps(function)
        def now(*args: Any, **kwargs: Any) -> Any:
            with self.step(label):
                return function(*args, **kwargs)

        return now


class _Running:
    """An awaitable that counts each stretch in which the one inside runs."""

    def __init__(self, inside: Awaitable[Any], clock: Clock, label: str) -> None:
        self.inside, self.clock, self.label = inside, clock, label

    def __await__(self) -> Generator[Any, Any, Any]:
        steps: Any = self.inside.__await__()
        thrown: BaseException | None = None
        value = None
        while True:
            try:
                with self.clock.step(self.label):
                    waits = steps.send(value) if thrown is None else steps.throw(thrown)
            except StopIteration as end:
                return end.value
            value, thrown = None, None
            try:
                value = yield waits
            except BaseException as fault:
                thrown = fault


def main() -> int:
    """Measure and print."""
    parser = arguments("steps", rounds=1)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each run, about")
    parser.add_argument("--people", type=int, default=500)
    parser.add_argument("--connections", type=int, default=32)
    given = parser.parse_args()
    structlog.configure([structlog.processors.JSONRenderer()], logger_factory=structlog.ReturnLoggerFactory())
    logging.disable(logging.WARNING)
    report = Report("steps", {**vars(given), "json": None})
    with stage.folder() as folder, stage.durable_postgres() as postgres:
        for name, url in (("sqlite", ""), *([("postgresql", postgres)] if postgres else [])):
            _measure(report, name, folder / name, url, given)
    return finish(report, given.json)


def _measure(report: Report, name: str, folder: Path, url: str, given: Any) -> None:
    """Three runs, each of a hub of its own over the same data: as it is, with the steps counted, under the profiler."""
    made = stage.set_stage(folder, url)
    granted, _ = asyncio.run(people_of(made, given.people, 0))
    clock, statements, profile = Clock(), Counter[str](), cProfile.Profile()

    def run(around: AbstractContextManager[Any]) -> tuple[int, float]:
        async def work() -> tuple[int, float]:
            async with _serving(made) as port:
                rate = (await _drive(made, granted, port, 8 * given.connections, given.connections))[0]  # warm up
                count = max(int(rate * given.seconds), 4 * given.connections)
                clock.spent.clear()
                statements.clear()
                with around:
                    _, cpu = await _drive(made, granted, port, count, given.connections)
                return count, cpu

        return uvloop.run(work())

    answered, cpu = run(nullcontext())
    report.result(f"served in this process, {name}", verifications=answered, cpu_us=cpu / answered * 1e6)
    with _wrapped(clock, report), _counted(statements):
        answered, cpu = run(nullcontext())
    report.tables[f"{name}: CPU microseconds a verification, by step"] = _rows(clock, answered, cpu)
    report.tables[f"{name}: statements a verification"] = [
        {"statement": text, "times": round(times / answered, 3)} for text, times in statements.most_common(24)
    ]
    run(_profiled(profile))
    report.tables[f"{name}: share of CPU by layer"] = _layers(profile)


async def _drive(
    made: stage.Stage, granted: list[list[Grant]], port: int, count: int, connections: int
) -> tuple[float, float]:
    """Answers a second, and the CPU-seconds of this process for exactly `count` verifications."""
    asked = requests_of(made, granted, count)
    before = time.process_time()
    found = await asyncio.to_thread(
        load.run, port, asked, folder=made.settings.data_dir, pid=os.getpid(), connections=connections,
        seconds=50, expect=ACCEPTED,
    )  # fmt: skip
    if found.errors or found.answered != count:
        raise RuntimeError(f"{found.answered} of {count} answered, {found.errors} wrongly: {found.example}")
    return found.per_second, time.process_time() - before


@asynccontextmanager
async def _serving(made: stage.Stage) -> AsyncIterator[int]:
    """The hub behind uvicorn, in this loop; its port."""
    port = stage.free_port()
    config = uvicorn.Config(
        application(build(made.settings)), host="127.0.0.1", port=port, access_log=False, log_config=None
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - it has no event for it
        await asyncio.sleep(0.01)
    rarely_collect()  # as `yimen serve` does; else a tenth of a second falls on some step
    try:
        yield port
    finally:
        server.should_exit = True
        await task


@contextmanager
def _profiled(profile: cProfile.Profile) -> Iterator[None]:
    profile.enable()
    try:
        yield
    finally:
        profile.disable()


@contextmanager
def _wrapped(clock: Clock, report: Report) -> Iterator[None]:
    """Every step counted, wherever its function is known; one that the code no longer has is named in the settings."""
    undo: list[tuple[Any, str, Any]] = []
    missing: list[str] = []
    for module, dotted, label in STEPS:
        try:
            owner: Any = importlib.import_module(module)
            *parents, name = dotted.split(".")
            for parent in parents:
                owner = getattr(owner, parent)
            function = getattr(owner, name)
        except (ImportError, AttributeError):
            missing.append(f"{module}.{dotted}")
            continue
        counted = clock.around(function, label)
        holders = [owner] if parents else [one for key, one in sys.modules.items() if key.startswith("hub")]
        for holder in holders:
            for known, value in list(vars(holder).items()):
                if value is function:
                    undo.append((holder, known, function))
                    setattr(holder, known, counted)
    if missing:
        report.settings["steps not found"] = sorted(missing)
    try:
        yield
    finally:
        for holder, known, function in undo:
            setattr(holder, known, function)


@contextmanager
def _counted(statements: Counter[str]) -> Iterator[None]:
    """Every statement, whether SQLAlchemy or the hub itself sends it."""

    def seen(text: str) -> None:
        words = text.split()
        tables = (after for word, after in pairwise(words) if word.upper() in ("FROM", "INTO", "UPDATE"))
        statements[f"{words[0].upper()} {next(tables, '')}"] += 1

    def by_core(_c: Any, _cursor: Any, text: str, *_: Any) -> None:
        seen(text)

    undo: list[tuple[type, Any]] = []

    def count(kind: type) -> None:
        plain: Any = kind.__dict__["each"]

        async def each(self: Any, form: Any, rows: Any) -> Any:
            seen(form.text)
            return await plain(self, form, rows)

        undo.append((kind, plain))
        setattr(kind, "each", each)  # noqa: B010 - a method of somebody else's class

    for kind in (driver.Postgres, driver.Sqlite):
        count(kind)
    sa.event.listen(sa.Engine, "before_cursor_execute", by_core)
    try:
        yield
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", by_core)
        for kind, plain in undo:
            setattr(kind, "each", plain)  # noqa: B010


def _rows(clock: Clock, count: int, cpu: float) -> list[dict[str, Any]]:
    whole = cpu / count * 1e6
    per = {label: spent / count * 1e6 for label, spent in clock.spent.items()}
    per[REST] = whole - sum(per.values())
    rows = [
        {"step": label, "us": round(spent), "share": f"{spent / whole:.0%}"}
        for label, spent in sorted(per.items(), key=lambda pair: -pair[1])
    ]
    return [*rows, {"step": "together", "us": round(whole), "share": "100%"}]


def _layers(profile: cProfile.Profile) -> list[dict[str, Any]]:
    spent: Counter[str] = Counter()
    figures: dict[Any, Any] = pstats.Stats(profile).stats  # type: ignore[attr-defined]  # typeshed leaves it out
    for (file, _, name), (_, _, own, _, _) in figures.items():
        place = f"{file}:{name}".lower()
        spent[next((layer for part, layer in LAYERS if part in place), "Python itself")] += own * 1e6
    spent.pop("waiting", None)
    whole = sum(spent.values())
    return [{"layer": layer, "share": f"{own / whole:.0%}"} for layer, own in spent.most_common()]


if __name__ == "__main__":
    sys.exit(main())

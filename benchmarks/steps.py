"""Where the time of one verification goes: by step, by layer of the program, by statement. No ratio, no gate.

The real application is called in this process, one request after the other, so the time of a step is its own:
CPU and, for steps that use the database, waiting for it. Layers come from cProfile: shares are right to a few per
cent, and the profiler makes everything slower, so only the steps are told in microseconds.
"""

import asyncio
import cProfile
import functools
import importlib
import inspect
import logging
import pstats
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import structlog
from fastapi import FastAPI

from benchmarks import stage
from benchmarks.measure import Report, arguments, finish
from benchmarks.verify_api import ASKS, PATH, _people
from hub.consent.model import Grant, grants
from hub.main import app as application

STEPS = (
    ("hub.formats.dpop", "check", "DPoP proof checked"),
    ("hub.web.caller", "check_access_token", "consent token checked"),
    ("hub.web.caller", "Caller.enter", "proof spent, client key, revocation (3 statements)"),
    ("hub.web.verifier", "read_body", "body read and parsed"),
    ("hub.web.verifier", "_redemption", "case looked up"),
    ("hub.verification.verify", "_require_moving_ledger", "ledger not stalled (statement)"),
    ("hub.verification.verify", "_plan", "grant found, coverage"),
    ("hub.verification.verify", "_take_uses", "use taken (guarded statement)"),
    ("hub.verification.verify", "opened_of_holder", "certificates of the holder, unsealed"),
    ("hub.verification.verify", "_issuer_key", "issuer's key found"),
    ("hub.verification.verify", "signed_claims", "issuer signature, 22 disclosures"),
    ("hub.certificates.status", "standing", "status list"),
    ("hub.formats.sdjwt", "select", "disclosures selected"),
    ("hub.formats.sdjwt", "claims", "claims of the copy"),
    ("hub.verification.verify", "record", "Access and leaf recorded"),
    ("hub.web.verifier", "_verdicts", "answer and signed receipt"),
)
REST = "framework, middleware, begin, log"
LAYERS = (
    ("simplequeue", "handing over to the driver's thread"), ("_socket", "writing to and reading from sockets"),
    ("sqlalchemy", "SQLAlchemy"),
    ("aiosqlite", "database driver"), ("asyncpg", "database driver"), ("sqlite3", "database driver"),
    ("fastapi", "FastAPI, Starlette, pydantic"), ("starlette", "FastAPI, Starlette, pydantic"),
    ("pydantic", "FastAPI, Starlette, pydantic"), ("structlog", "log"), ("logging", "log"),
    ("cryptography", "cryptography"), ("/keys/", "our keys and formats"), ("/hub/formats/", "our keys and formats"),
    ("/hub/", "the rest of the hub"), ("asyncio", "event loop"), ("selectors", "event loop"),
    ("epoll", "waiting"), ("greenlet", "SQLAlchemy"), ("json", "JSON"),
)  # fmt: skip


class Clock:
    """Exclusive time of each step: what runs inside another step is taken from that one."""

    def __init__(self) -> None:
        self.spent: defaultdict[str, float] = defaultdict(float)
        self.stack: list[float] = []

    @contextmanager
    def step(self, label: str) -> Iterator[None]:
        """Count the block to `label`. One request at a time: the stack is not for tasks."""
        self.stack.append(0.0)
        start = time.perf_counter()
        try:
            yield
        finally:
            whole = time.perf_counter() - start
            self.spent[label] += whole - self.stack.pop()
            if self.stack:
                self.stack[-1] += whole

    def around(self, function: Callable[..., Any], label: str) -> Callable[..., Any]:
        """`function`, counted."""
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def later(*args: Any, **kwargs: Any) -> Any:
                with self.step(label):
                    return await function(*args, **kwargs)

            return later

        @functools.wraps(function)
        def now(*args: Any, **kwargs: Any) -> Any:
            with self.step(label):
                return function(*args, **kwargs)

        return now


def main() -> int:
    """Measure and print."""
    parser = arguments("steps", rounds=100)
    given = parser.parse_args()
    structlog.configure([structlog.processors.JSONRenderer()], logger_factory=structlog.ReturnLoggerFactory())
    logging.disable(logging.WARNING)
    report = Report("steps", {"requests": given.rounds, "people": 8})
    with stage.folder() as folder, stage.durable_postgres() as postgres:
        for name, url in (("sqlite", ""), *([("postgresql", postgres)] if postgres else [])):
            _measure(report, name, folder / name, url, given.rounds)
    return finish(report, given.json)


def _measure(report: Report, name: str, folder: Path, url: str, count: int) -> None:
    made = stage.set_stage(folder, url)
    granted, _ = asyncio.run(_people(made, 8, 0))

    async def work() -> None:
        app = application(made.hub)
        await _send(app, _requests(made, granted, 50))
        batch = _requests(made, granted, count)
        start, cpu = time.perf_counter(), time.process_time()
        await _send(app, batch)
        report.result(
            f"one verification at a time, {name}",
            wall_us=(time.perf_counter() - start) / count * 1e6,
            cpu_us=(time.process_time() - cpu) / count * 1e6,
        )
        statements: Counter[str] = Counter()
        clock = Clock()
        batch = _requests(made, granted, count)
        with _counted(made, statements), _wrapped(made, clock, report), clock.step(REST):
            await _send(app, batch)
        report.tables[f"{name}: microseconds a verification, by step"] = _rows(clock, count)
        profile = cProfile.Profile()
        batch = _requests(made, granted, count)
        profile.enable()
        await _send(app, batch)
        profile.disable()
        report.tables[f"{name}: share of CPU by layer, %"] = _layers(profile)
        report.tables[f"{name}: CPU microseconds of one indexed SELECT, by how it is made"] = await _one_select(made)
        report.tables[f"{name}: statements a verification"] = [
            {"statement": text, "times": round(times / count, 2)} for text, times in statements.most_common()
        ]
        await made.close()

    asyncio.run(work())


def _requests(made: stage.Stage, granted: list[list[Grant]], count: int) -> list[bytes]:
    edu = made.departments["dg-edu"]
    tokens = [made.consent_token(edu, one) for one in granted]
    return [made.request(edu, PATH, ASKS, token=tokens[n % len(tokens)]) for n in range(count)]


async def _send(app: FastAPI, requests: list[bytes]) -> None:
    for raw in requests:
        head, _, body = raw.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        method, path, _ = first.split()
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
            "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "",
            "headers": [tuple(part.encode() for part in line.split(": ", 1)) for line in lines],
            "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80),
        }  # fmt: skip
        sent: list[Any] = []

        async def receive(body: bytes = body) -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any, sent: list[Any] = sent) -> None:
            sent.append(message)

        await app(scope, receive, send)
        assert b'"outcome":"accepted"' in sent[-1]["body"], sent


async def _one_select(made: stage.Stage, times: int = 400) -> list[dict[str, Any]]:
    """The same row of one table, read in the ways that a hot path could read it, inside one transaction."""
    ready = sa.select(grants).where(grants.c.bucket == sa.bindparam("b"), grants.c.id == sa.bindparam("i"))
    async with made.view() as view:
        row = (await view.all(sa.select(grants.c.bucket, grants.c.id).limit(1)))[0]
        driver: Any = (await view.conn.get_raw_connection()).driver_connection
        compiled = str(ready.compile(dialect=view.conn.dialect))

        async def built() -> None:
            await view.first(sa.select(grants).where(grants.c.bucket == row.bucket, grants.c.id == row.id))

        async def prepared() -> None:
            (await view.conn.execute(ready, {"b": row.bucket, "i": row.id})).first()

        async def raw() -> None:
            if view.dialect == "postgresql":
                await driver.fetchrow(compiled, row.bucket, row.id)
            else:
                cursor = await driver.cursor().__aenter__()
                await cursor.execute(compiled, (row.bucket, row.id.hex))
                await cursor.fetchall()

        ways = {"built anew by SQLAlchemy Core (now)": built, "built once, executed by Core": prepared,
                "compiled text, straight to the driver": raw}  # fmt: skip
        told = []
        for way, work in ways.items():
            for _ in range(20):
                await work()
            start = time.process_time()
            for _ in range(times):
                await work()
            told.append({"way": way, "us": round((time.process_time() - start) / times * 1e6)})
        return told


@contextmanager
def _wrapped(made: stage.Stage, clock: Clock, report: Report) -> Iterator[None]:
    """Every step counted; a step that the code no longer has is named in the settings."""
    undo: list[tuple[Any, str, Any]] = []
    for module, dotted, label in STEPS:
        owner: Any = importlib.import_module(module)
        *parents, name = dotted.split(".")
        for parent in parents:
            owner = getattr(owner, parent)
        function = getattr(owner, name, None)
        if function is None:
            report.settings.setdefault("steps not found", []).append(f"{module}.{dotted}")
            continue
        undo.append((owner, name, function))
        setattr(owner, name, clock.around(function, label))
    for engine in {made.db.writer.sync_engine, made.db.reader.sync_engine}:
        undo.append((engine.dialect, "do_commit", engine.dialect.do_commit))
        engine.dialect.do_commit = clock.around(engine.dialect.do_commit, "commit, durable")  # type: ignore[method-assign]
    try:
        yield
    finally:
        for owner, name, function in undo:
            setattr(owner, name, function)


@contextmanager
def _counted(made: stage.Stage, statements: Counter[str]) -> Iterator[None]:
    def seen(_c: Any, _cursor: Any, text: str, *_: Any) -> None:
        words = text.split()
        table = next((after for word, after in pairwise(words)
                      if word.upper() in ("FROM", "INTO", "UPDATE")), "")  # fmt: skip
        statements[f"{words[0]} {table}"] += 1

    engines = {made.db.writer.sync_engine, made.db.reader.sync_engine}
    for engine in engines:
        sa.event.listen(engine, "before_cursor_execute", seen)
    try:
        yield
    finally:
        for engine in engines:
            sa.event.remove(engine, "before_cursor_execute", seen)


def _rows(clock: Clock, count: int) -> list[dict[str, Any]]:
    per = {label: spent / count * 1e6 for label, spent in clock.spent.items()}
    whole = sum(per.values())
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

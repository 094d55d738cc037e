"""The verify door over real HTTP, every Access durable, on both databases: ratios 5, 6, 8 and 10.

One `yimen serve` process on each, and on PostgreSQL one a core besides; thousands of people, each with a property
certificate of their own (22 claims, three holders) and a grant of 5 claims, each asked for once; a new DPoP proof with
every request, signed just before the round; every answer looked at; the ledger's sequencer running beside. Its
neighbours in each round: a FastAPI program that says hello, and pgbench, once with one indexed SELECT of a row of 1.2
KB and one durable INSERT of an Access row, once with the statements that the door itself sends.
"""

import asyncio
import contextlib
import os
import random
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import make_url

from benchmarks import load, pgbench, stage
from benchmarks.crowd import crowd
from benchmarks.hello import ANSWER, BODY
from benchmarks.measure import Aim, Report, arguments, finish, rate
from benchmarks.stage import Server, Stage
from benchmarks.tokens import made as made_tokens
from hub.certificates.model import certificates
from hub.consent.model import Grant

FIELDS = [["number"], ["use"], ["ownership"], ["town"], ["clear_title"]]
CLAIMS = {"town_class": "A", "area_m2": "89.50", "address": "东莞市南城街道元美路 8 号 1202"}
HIDDEN_CLAIMS = 22  # ten of the type less one that is optional, twelve of the three holders, one of the town class
OTHERS = ("wide", "alone")
"""Databases of the same server besides: one with a process a core in front, one for pgbench."""
PATH, BATCH_PATH = "/v1/verifications", "/v1/verifications/batch"
ASKS = {"asks": [{"type": "property"}]}
ACCEPTED = b'"outcome":"accepted"'
LINES = 1_000
FEW = 200
"""People who are asked again and again, in the run that shows what is remembered for a minute."""
ENOUGH = 2.5
"""So many times the requests that the fastest run so far would use are prepared."""

# Which rows the aims are held against, and why: docs/decisions/0067-what-the-aims-are-held-against.md
PGBENCH = Aim(5, "verify door on PostgreSQL, a process a core / pgbench SELECT + durable INSERT, c=32", 0.25)
AGAIN = Aim(5, "the same, people asked again within the minute", 0.25, gate=True)
ALONE = Aim(5, "the same, one process, each person asked once", 0.25)
OWN = Aim(5, "verify door on PostgreSQL, a process a core / pgbench with the door's own statements, c=32", 0.25)
HELLO = Aim(6, "verify door on PostgreSQL / FastAPI hello", 0.30)
HELLO_CPU = Aim(6, "the same by CPU: hello's per request / the door's per request", 0.30)
HELLO_AGAIN = Aim(6, "the same by CPU, people asked again within the minute", 0.30)
SQLITE = Aim(8, "verify door on SQLite / on PostgreSQL", 0.9, gate=True)
SQLITE_HELLO = Aim(6, "verify door on SQLite / FastAPI hello", 0.30)
SQLITE_P99 = Aim(8, "p99 of the verify door on SQLite, ms, 32 connections", 60, at_most=True)
BATCH_RAW = Aim(10, "batch verify, certificates a second / raw ES256 verify of one core", 0.5)
BATCH = Aim(10, "the same / SD-JWT verify with all checks of one core", 0.5)
BATCH_AGAIN = Aim(10, "the same / SD-JWT verify, people asked again within the minute", 0.5)
BATCH_SINGLE = Aim(10, "batch verify per certificate / single call, by CPU", 2.0)
BATCH_SINGLE_AGAIN = Aim(10, "the same, people asked again within the minute", 2.0)


@dataclass
class Door:
    """A hub that is served, the grants that may be used there, and what was measured so far."""

    name: str
    stage: Stage
    granted: list[list[Grant]]
    server: Server
    durability: dict[str, str]
    per_second: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    p50: list[float] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)
    client: list[float] = field(default_factory=list)
    batch: list[float] = field(default_factory=list)
    batch_cpu: list[float] = field(default_factory=list)
    batch_again: list[float] = field(default_factory=list)
    batch_again_cpu: list[float] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    tokens_until: float = 0.0
    again: list[float] = field(default_factory=list)
    again_cpu: list[float] = field(default_factory=list)
    asked: int = 0
    asks: Any = field(default_factory=lambda: ASKS)

    def took(self, found: load.Load) -> None:
        """Remember a run."""
        self.asked += self.checked(found).answered
        self.per_second.append(found.per_second)
        self.cpu.append(found.server_cpu)
        self.p50.append(found.p50)
        self.p99.append(found.p99)
        self.client.append(found.client_cpu)


    def checked(self, found: load.Load) -> load.Load:
        """A run that is a result; raises when anything in it was refused."""
        if found.errors:
            raise RuntimeError(f"{self.name}: {found.errors} of {found.answered} failed: {found.example}")
        return found

    def forget(self) -> None:
        """What was measured so far was a warm-up."""
        for values in (self.per_second, self.cpu, self.p50, self.p99, self.client, self.batch, self.batch_cpu,
                       self.again, self.again_cpu, self.batch_again, self.batch_again_cpu):  # fmt: skip
            values.clear()


def main() -> int:
    """Measure, print, and say by the exit status whether a gate failed."""
    parser = arguments("verify_api", rounds=3)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each server in each round")
    parser.add_argument("--people", type=int, default=12_000, help="whose grants are used, one after the other")
    parser.add_argument("--rows", type=int, default=100_000, help="certificates in the table besides")
    parser.add_argument("--connections", type=int, default=32)
    given = parser.parse_args()
    report = Report("verify_api", {**vars(given), "json": None, "claims": HIDDEN_CLAIMS, "granted": len(FIELDS)})
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(stage.folder())
        postgres = stack.enter_context(stage.durable_postgres(*OTHERS))
        size = {"people": given.people, "rows": given.rows}
        doors = [stack.enter_context(door("sqlite", folder / "sqlite", "", **size))]
        rivals: list[pgbench.Rival | None] = []
        if postgres:
            doors.append(stack.enter_context(door("postgresql", folder / "postgresql", postgres, **size)))
            wide, alone = (make_url(postgres).set(database=name).render_as_string(False) for name in OTHERS)
            cores = os.cpu_count() or 1
            doors.append(stack.enter_context(door("wide", folder / "wide", wide, processes=cores, **size)))
            unserved = stage.set_stage(folder / "alone", alone)
            asyncio.run(people_of(unserved, **size))
            rivals = [pgbench.rival(unserved, folder), pgbench.own(unserved, folder, given.people)]
        hello = stack.enter_context(_hello(folder))
        said = _rounds(doors, hello, rivals, folder, given)
    _tell(report, doors, said)
    return finish(report, given.json)


@contextlib.contextmanager
def door(name: str, folder: Path, url: str, *, people: int, rows: int, processes: int = 1) -> Iterator[Door]:
    """A served hub with so many people who have granted, and so many more certificate rows."""
    set_up = stage.set_stage(folder, url)
    granted, durability = asyncio.run(people_of(set_up, people, rows))
    if url:
        asyncio.run(_vacuum(set_up))
    with stage.served(stage.start_hub(set_up.settings, processes=processes)) as server:
        yield Door(name, set_up, granted, server, durability)


async def people_of(made: Stage, people: int, rows: int) -> tuple[list[list[Grant]], dict[str, str]]:
    """People with a property and a grant over it, and many more certificate rows like theirs."""
    async with stage.opened(made):
        await made.reserve("dg-realestate", 1)
        roles = ("owner", "co_owner", "co_owner")
        found = await crowd(made, people, "property", roles, fields=FIELDS, claims=CLAIMS)
        await made.publish()
        await _more_rows(made, rows)
        return found.grants, await stage.durability(made)


async def _more_rows(made: Stage, rows: int) -> None:
    """Copies of one certificate row under other keys: nobody holds them, but the tables and indexes are big."""
    if not rows:
        return
    postgres = (await _dialect(made)) == "postgresql"
    other = {
        "bucket": "n % 256",
        "id": "md5(n::text)::uuid" if postgres else "lower(hex(randomblob(16)))",
        "public_id": "'copy-' || n",
        "jti": "'copy-' || n",
    }
    names = [column.name for column in certificates.columns]
    picked = ", ".join(other.get(name, f"one.{name}") for name in names)
    numbers = (
        f"generate_series(1, {rows}) AS n"
        if postgres
        else f"(WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {rows}) SELECT n FROM s)"
    )
    text = (
        f"INSERT INTO certificates ({', '.join(names)}) SELECT {picked} FROM {numbers}, "
        "(SELECT * FROM certificates LIMIT 1) AS one"
    )
    async with made.tx() as tx:
        await tx.conn.execute(sa.text(text.replace("::", "\\:\\:")))


async def _dialect(made: Stage) -> str:
    async with made.view() as view:
        return view.dialect


async def _vacuum(made: Stage) -> None:
    import asyncpg

    connection = await asyncpg.connect(_dsn(made))
    await connection.execute("VACUUM ANALYZE")
    await connection.close()


def _dsn(made: Stage) -> str:
    return make_url(made.settings.database_url).set(drivername="postgresql").render_as_string(hide_password=False)


@contextlib.contextmanager
def _hello(folder: Path) -> Iterator[Server]:
    port = stage.free_port()
    environment = {**os.environ, "PYTHONPATH": str(stage.ROOT)}
    command = [sys.executable, "-m", "benchmarks.hello", str(port)]
    with stage.served(stage.start(command, port, folder, environment)) as server:
        yield server


# ---------------------------------------------------------------- rounds


@dataclass
class Neighbours:
    """What was measured besides the doors, one value a round."""

    hello: list[load.Load] = field(default_factory=list)
    pgbench: list[float] = field(default_factory=list)
    own: list[float] = field(default_factory=list)
    raw_verify: list[float] = field(default_factory=list)
    sdjwt_verify: list[float] = field(default_factory=list)


def _rounds(
    doors: list[Door], hello: Server, rivals: Sequence[pgbench.Rival | None], folder: Path, given: Any
) -> Neighbours:
    said, operations = Neighbours(), made_tokens(int(time.time()))[0]
    expected = {door.name: _warm_up(door, folder, given.connections) for door in doors}

    def say_hello() -> None:
        request = stage.raw_request("POST", "/hello", {}, BODY)
        found = load.steady(hello.port, [request], folder=folder, pid=hello.process.pid, seconds=given.seconds,
                            connections=given.connections, expect=ANSWER, repeat=True)  # fmt: skip
        if found.errors:
            raise RuntimeError(f"hello: {found.example}")
        said.hello.append(found)

    def race() -> None:
        for rival, found in zip(rivals, (said.pgbench, said.own), strict=False):
            if rival:
                found.append(rival.per_second(given.seconds, given.connections))

    def knock(door: Door) -> None:
        fastest = max([expected[door.name], *door.per_second])
        asked = requests(door, int(fastest * (given.seconds + 0.5) * ENOUGH) + 2 * given.connections)
        door.took(
            load.steady(door.server.port, asked, folder=folder, pid=door.server.process.pid,
                        seconds=given.seconds, connections=given.connections, expect=ACCEPTED)
        )  # fmt: skip
        # Who is asked again is not taken from the line: the last in it are the last to come.
        asked = requests(door, int(fastest * (given.seconds + 0.5) * ENOUGH * 1.5) + 2 * given.connections, few=FEW)
        found = load.steady(door.server.port, asked, folder=folder, pid=door.server.process.pid,
                            seconds=given.seconds, connections=given.connections, expect=ACCEPTED)  # fmt: skip
        door.again.append(door.checked(found).per_second)
        door.again_cpu.append(found.server_cpu)
        _one_batch(door, folder)

    steps = [say_hello, *(lambda door=door: knock(door) for door in doors), race]
    for number in range(given.rounds):
        for step in steps[:: 1 if number % 2 == 0 else -1]:
            step()
        said.raw_verify.append(rate(operations["raw_verify"]))
        said.sdjwt_verify.append(rate(operations["sdjwt_verify"]))
    return said


def _warm_up(door: Door, folder: Path, connections: int) -> float:
    """Make the server import, compile and connect whatever it does only once; about how fast it then is."""
    found = load.run(
        door.server.port, requests(door, 400), folder=folder, pid=door.server.process.pid, seconds=2.0,
        connections=connections, expect=ACCEPTED,
    )  # fmt: skip
    door.asked += door.checked(found).answered
    _one_batch(door, folder)
    door.forget()
    return found.per_second


def _edu(door: Door) -> Any:
    return door.stage.departments["dg-edu"]


def requests(door: Door, count: int, few: int = 0) -> list[bytes]:
    """`count` calls with proofs that are fresh: for the next people in line, or for the same `few` again and again.

    The line begins anew only when everybody was asked: nothing that is remembered of a person or of a certificate
    helps, as it is where each application is handled once.
    """
    if few:
        tokens = _tokens(door)
        chosen = [tokens[-1 - number % few] for number in range(count)]
    else:
        chosen = _next(door, count)
    return [door.stage.request(_edu(door), PATH, door.asks, token=token) for token in chosen]


def _next(door: Door, count: int) -> list[str]:
    """The tokens of the next people in line."""
    tokens = _tokens(door)
    return [tokens[number % len(tokens)] for number in range(door.asked, door.asked + count)]


def requests_of(made: Stage, granted: Sequence[Sequence[Grant]], count: int) -> list[bytes]:
    """The same without a served door."""
    department = made.departments["dg-edu"]
    tokens = [made.consent_token(department, some) for some in granted]
    return [made.request(department, PATH, ASKS, token=token) for token in random.choices(tokens, k=count)]


def _tokens(door: Door) -> list[str]:
    """A consent token for each person, as the department got it some minutes ago."""
    if not door.tokens or time.monotonic() > door.tokens_until:
        door.tokens = [door.stage.consent_token(_edu(door), granted) for granted in door.granted]
        door.tokens_until = time.monotonic() + 120
    return door.tokens


def _one_batch(door: Door, folder: Path) -> None:
    """A thousand verifications in one request, one client at a time: of the next people in line, and of them again."""
    tokens = _next(door, LINES)
    for rates, cpu in ((door.batch, door.batch_cpu), (door.batch_again, door.batch_again_cpu)):
        found = _batch_of(door, folder, tokens)
        rates.append(LINES / (found.p50 / 1e3))
        cpu.append(found.server_cpu / LINES)
    door.asked += LINES


def _batch_of(door: Door, folder: Path, tokens: Sequence[str]) -> load.Load:
    line = (f'{{"token":"{token}","asks":[{{"type":"property"}}]}}' for token in tokens)
    own = door.stage.own_token(_edu(door))
    request = door.stage.request(
        _edu(door), BATCH_PATH, "\n".join(line).encode(), token=own, media_type=stage.NDJSON
    )
    found = load.run(
        door.server.port, [request], folder=folder, pid=door.server.process.pid, connections=1, expect=ACCEPTED
    )
    if found.errors:
        raise RuntimeError(f"{door.name}, batch: {found.example}")
    return found


# ---------------------------------------------------------------- telling


def _tell(report: Report, doors: Sequence[Door], said: Neighbours) -> None:
    hello = [one.per_second for one in said.hello]
    hello_cpu = [one.server_cpu for one in said.hello]
    for door in doors:
        report.settings.update(door.durability)
        report.result(
            f"verify_{door.name}", per_second=statistics.median(door.per_second),
            p50_ms=statistics.median(door.p50), p99_ms=statistics.median(door.p99), errors=0,
            server_cpu_us=statistics.median(door.cpu), client_cpu_us=statistics.median(door.client),
            again_per_second=statistics.median(door.again), again_cpu_us=statistics.median(door.again_cpu),
            batch_per_second=statistics.median(door.batch), batch_cpu_us=statistics.median(door.batch_cpu),
            batch_again_per_second=statistics.median(door.batch_again),
            batch_again_cpu_us=statistics.median(door.batch_again_cpu),
        )  # fmt: skip
    report.result(
        "hello", per_second=statistics.median(hello), server_cpu_us=statistics.median(hello_cpu),
        client_cpu_us=statistics.median(one.client_cpu for one in said.hello),
    )  # fmt: skip
    report.result("raw_verify", per_cpu_second=statistics.median(said.raw_verify))
    report.result("sdjwt_verify", per_cpu_second=statistics.median(said.sdjwt_verify))
    sqlite, (postgres, wide) = doors[0], doors[1:] if len(doors) > 1 else (None, None)
    if said.pgbench and postgres and wide:
        report.result("pgbench", per_second=statistics.median(said.pgbench))
        report.result("pgbench_own", per_second=statistics.median(said.own))
        report.ratio(PGBENCH, wide.per_second, said.pgbench)
        report.ratio(AGAIN, wide.again, said.pgbench)
        report.ratio(ALONE, postgres.per_second, said.pgbench)
        report.ratio(OWN, wide.per_second, said.own)
    else:
        report.skip(PGBENCH, "PostgreSQL or pgbench is not installed: apt-get install -y postgresql")
    if postgres:
        report.ratio(HELLO, postgres.per_second, hello)
        report.ratio(HELLO_CPU, hello_cpu, postgres.cpu)
        report.ratio(HELLO_AGAIN, hello_cpu, postgres.again_cpu)
        report.ratio(SQLITE, sqlite.per_second, postgres.per_second)
        report.ratio(BATCH_RAW, postgres.batch, said.raw_verify)
        report.ratio(BATCH, postgres.batch, said.sdjwt_verify)
        report.ratio(BATCH_AGAIN, postgres.batch_again, said.sdjwt_verify)
        report.ratio(BATCH_SINGLE, postgres.cpu, postgres.batch_cpu)
        report.ratio(BATCH_SINGLE_AGAIN, postgres.again_cpu, postgres.batch_again_cpu)
    else:
        for aim in (HELLO, HELLO_CPU, HELLO_AGAIN, SQLITE, BATCH_RAW, BATCH, BATCH_AGAIN, BATCH_SINGLE,
                    BATCH_SINGLE_AGAIN):  # fmt: skip
            report.skip(aim, "PostgreSQL is not installed: apt-get install -y postgresql")
    report.ratio(SQLITE_HELLO, sqlite.per_second, hello)
    report.value(SQLITE_P99, sqlite.p99)


if __name__ == "__main__":
    sys.exit(main())

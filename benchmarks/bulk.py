"""Bulk registration through its HTTP door against the limit of raw signature verification: ratio 9.

One `yimen serve` process with a worker for each core, `POST /v1/certificates/batch`, one batch at a time, NDJSON,
degree certificates of new people, signed beforehand; every line is verified, its holder made, sealed, put in the
ledger and durable, and answered with a signed receipt. Two limits are measured in each round, on all cores: the bare
ES256 signature check, and the whole check of an SD-JWT (what facts name "verify 6.6k/s/core"). Wall-clock ratios have
PostgreSQL, the sequencer and the load generator on the same cores; those by CPU count the hub and its workers alone.
"""

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from benchmarks import load, stage
from benchmarks.measure import ROOT, Aim, Report, arguments, finish, rate
from benchmarks.stage import NDJSON, Server, Stage
from benchmarks.tokens import made as made_tokens
from hub.certificates.model import certificates

PATH = "/v1/certificates/batch"
CORES = len(os.sched_getaffinity(0))
LIMITS = ("raw_verify", "sdjwt_verify")
NAMES = {"raw_verify": "raw ES256 verify", "sdjwt_verify": "SD-JWT verify, all checks"}


@dataclass
class Door:
    """A served hub that takes batches, and what was measured."""

    name: str
    stage: Stage
    server: Server
    durability: dict[str, str]
    per_second: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)


@dataclass
class Limit:
    """What one check reaches: on all cores at once by the wall, and a CPU-second."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)


def main() -> int:
    """Measure, print, and say by the exit status whether a gate failed."""
    parser = arguments("bulk", rounds=3)
    parser.add_argument("--lines", type=int, default=2_000, help="certificates in each round")
    parser.add_argument("--limit", choices=LIMITS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.limit:
        return _limit_here(given.limit)
    report = Report("bulk", {"rounds": given.rounds, "lines": given.lines, "cores": CORES})
    limits = {name: Limit() for name in LIMITS}
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(stage.folder())
        postgres = stack.enter_context(stage.durable_postgres())
        urls = {"sqlite": "", **({"postgresql": postgres} if postgres else {})}
        doors = [stack.enter_context(_door(name, folder / name, url)) for name, url in urls.items()]
        for door in doors:
            _batch(door, folder, 300)  # warm up: the workers are started by it
            door.per_second.clear()
            door.cpu.clear()
        for number in range(given.rounds):
            for name, limit in limits.items():
                _measure(name, limit)
            for door in doors[:: 1 if number % 2 == 0 else -1]:
                _batch(door, folder, given.lines)
    for door in doors:
        _tell(report, door, limits)
    for name, limit in limits.items():
        report.result(
            name, per_second_all_cores=statistics.median(limit.wall), per_cpu_second=statistics.median(limit.cpu)
        )
    if not postgres:
        report.skip(_aim("postgresql", "raw_verify", "cpu"), "PostgreSQL is not installed: apt-get install postgresql")
    return finish(report, given.json)


def _aim(door: str, limit: str, by: str) -> Aim:
    gate = (door, limit, by) == ("postgresql", "sdjwt_verify", "cpu")  # decision 0067
    return Aim(9, f"bulk registration, {door} / {NAMES[limit]}, by {by}", 0.6, gate=gate)


def _tell(report: Report, door: "Door", limits: dict[str, Limit]) -> None:
    report.settings.update(door.durability)
    report.result(
        f"register_{door.name}", per_second=statistics.median(door.per_second),
        server_cpu_us=statistics.median(door.cpu), errors=0,
    )  # fmt: skip
    for name, limit in limits.items():
        report.ratio(_aim(door.name, name, "cpu"), [1e6 / used for used in door.cpu], limit.cpu)
        report.ratio(_aim(door.name, name, "wall"), door.per_second, limit.wall)


def _measure(name: str, limit: Limit) -> None:
    """One process a core, all at once."""
    command = [sys.executable, "-m", "benchmarks.bulk", "--limit", name]
    running = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) for _ in range(CORES)]
    told = [json.loads(process.communicate(timeout=60)[0]) for process in running]
    limit.wall.append(sum(one["wall"] for one in told))
    limit.cpu.append(statistics.mean(one["cpu"] for one in told))


def _limit_here(name: str) -> int:
    """In a process of its own: how often a second, by the wall and by CPU."""
    check = made_tokens(int(time.time()))[0][name]
    rate(check, 0.3)
    begin, calls = time.perf_counter(), 0
    cpu = time.process_time()
    while time.perf_counter() < begin + 1.0:
        for _ in range(5):
            check()
        calls += 5
    wall, used = time.perf_counter() - begin, time.process_time() - cpu
    print(json.dumps({"wall": calls / wall, "cpu": calls / used}))
    return 0


@contextlib.contextmanager
def _door(name: str, folder: Path, url: str) -> Iterator[Door]:
    made = stage.set_stage(folder, url)

    async def begin() -> dict[str, str]:
        async with stage.opened(made):
            await made.reserve("dg-degree", 1)
            return await stage.durability(made)

    durability = asyncio.run(begin())
    with stage.served(stage.start_hub(made.settings)) as server:
        yield Door(name, made, server, durability)


def _batch(door: Door, folder: Path, count: int) -> None:
    made = door.stage
    body = asyncio.run(_signed(made, count))
    department = made.departments["dg-degree"]
    request = made.request(department, PATH, body, token=made.own_token(department), media_type=NDJSON)
    before = asyncio.run(_stored(made))
    found = load.run(
        door.server.port, [request], folder=folder, pid=door.server.process.pid, connections=1, seconds=300,
        expect=b'"line":%d,"status":201' % count,
    )  # fmt: skip
    if found.errors or asyncio.run(_stored(made)) != before + count:
        raise RuntimeError(f"{door.name}: {found.example}")
    door.per_second.append(count / (found.p50 / 1e3))
    door.cpu.append(found.server_cpu / count)


async def _stored(made: Stage) -> int:
    async with made.view() as view:
        found = int(await view.value(sa.select(sa.func.count()).select_from(certificates)))
    await made.db.close()
    return found


async def _signed(made: Stage, count: int) -> bytes:
    """`count` registrations of new people, signed by the department, one a line."""
    await made.reserve("dg-degree", count)
    lines: list[Any] = []
    for number in range(count):
        person = made.person(f"王{number}")
        lines.append({"line": number + 1, **await made.registration("degree", (person, "owner"))})
    await made.db.close()
    return "\n".join(json.dumps(line, ensure_ascii=False) for line in lines).encode()


if __name__ == "__main__":
    sys.exit(main())

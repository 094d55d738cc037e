"""Bulk registration through its HTTP door against the limit of raw signature verification: ratio 9.

One `yimen serve` process, `POST /v1/certificates/batch`, NDJSON, degree certificates with eight claims that may be
left out, signed beforehand; every line is verified, its holder found or made, sealed, put in the ledger and durable.
"""

import asyncio
import contextlib
import json
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import load, stage
from benchmarks.measure import Aim, Report, arguments, finish, rate
from benchmarks.stage import NDJSON, Server, Stage
from benchmarks.tokens import made as made_tokens

PATH = "/v1/certificates/batch"
POSTGRESQL = Aim(9, "bulk registration on PostgreSQL / raw ES256 verify limit of one core", 0.6, gate=True)
SQLITE = Aim(9, "bulk registration on SQLite / raw ES256 verify limit of one core", 0.6)


@dataclass
class Door:
    """A served hub that takes batches, and what was measured."""

    name: str
    stage: Stage
    server: Server
    durability: dict[str, str]
    per_second: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)


def main() -> int:
    """Measure, print, and say by the exit status whether a gate failed."""
    parser = arguments("bulk", rounds=3)
    parser.add_argument("--lines", type=int, default=500, help="certificates in each round")
    given = parser.parse_args()
    report = Report("bulk", {"rounds": given.rounds, "lines": given.lines})
    raw, limit = made_tokens(int(time.time()))[0]["raw_verify"], []
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(stage.folder())
        postgres = stack.enter_context(stage.durable_postgres())
        urls = {"sqlite": "", **({"postgresql": postgres} if postgres else {})}
        doors = [stack.enter_context(_door(name, folder / name, url)) for name, url in urls.items()]
        for door in doors:
            _batch(door, folder, 20)  # warm up
            door.per_second.clear()
            door.cpu.clear()
        for number in range(given.rounds):
            limit.append(rate(raw))
            for door in doors[:: 1 if number % 2 == 0 else -1]:
                _batch(door, folder, given.lines)
    for door in doors:
        report.settings.update(door.durability)
        report.result(
            f"register_{door.name}", per_second=statistics.median(door.per_second),
            server_cpu_us=statistics.median(door.cpu), errors=0,
        )  # fmt: skip
        report.ratio(SQLITE if door.name == "sqlite" else POSTGRESQL, door.per_second, limit)
    report.result("raw_verify", per_cpu_second=statistics.median(limit))
    if not postgres:
        report.skip(POSTGRESQL, "PostgreSQL is not installed: apt-get install -y postgresql")
    return finish(report, given.json)


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
    found = load.run(
        door.server.port, [request], folder=folder, pid=door.server.process.pid, connections=1, seconds=300,
        expect=b'"line":%d,"status":201' % count,
    )  # fmt: skip
    if found.errors:
        raise RuntimeError(f"{door.name}: {found.example}")
    door.per_second.append(count / (found.p50 / 1e3))
    door.cpu.append(found.server_cpu / count)


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

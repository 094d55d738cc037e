"""How much slower a verification is when the tables are a hundred times as big: 1,000,000 certificates against 10,000.

Two databases on one PostgreSQL, a `yimen serve` in front of each, asked in the same rounds. Every certificate has its
own person, person key, body key, sealed body, wrap and ledger leaf, made as registration makes them; the signed texts
are taken from a few, so that a million signatures need not be made. Some people, at random places, have a grant.
"""

import asyncio
import contextlib
import random
import secrets
import statistics
import sys
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import asyncpg
import sqlalchemy as sa
from sqlalchemy.engine import make_url

from benchmarks import load, stage
from benchmarks.crowd import Signed, Template, crowd, sealed_rows, signed
from benchmarks.measure import Aim, Report, arguments, finish
from benchmarks.stage import Stage
from benchmarks.verify_api import ACCEPTED, Door, requests
from hub.ids import bucket_of
from hub.ledger.model import leaves
from hub.store.model import person_keys
from hub.store.seal import seal

CONNECTIONS = 8
TEXTS = 64
CHUNK = 2_000
WORKERS = 2
FIELDS = [["school"], ["degree_level"], ["education_level"], ["conferred_on"]]


def main() -> int:
    """Fill both, measure, print."""
    parser = arguments("million", rounds=5)
    parser.add_argument("--small", type=int, default=10_000, help="certificates in the one")
    parser.add_argument("--big", type=int, default=1_000_000, help="and in the other")
    parser.add_argument("--people", type=int, default=3_000, help="with a grant, in each")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each in each round")
    given = parser.parse_args()
    name = f"verify p50 at {given.big:,} certificates / at {given.small:,}"
    aim = Aim(14, name, 1.2, at_most=True)
    report = Report("million", {**vars(given), "json": None, "connections": CONNECTIONS})
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(stage.folder())
        postgres = stack.enter_context(stage.durable_postgres("small", "big"))
        if postgres is None:
            report.skip(aim, "PostgreSQL is not installed: apt-get install -y postgresql")
            return finish(report, given.json)
        doors = []
        for name, size in (("small", given.small), ("big", given.big)):
            url = make_url(postgres).set(database=name).render_as_string(hide_password=False)
            doors.append(stack.enter_context(_door(report, name, folder / name, url, size, given.people)))
        _rounds(doors, folder, given)
    small, big = doors
    for door in doors:
        report.result(f"verify_{door.name}", p50_ms=statistics.median(door.p50), p99_ms=statistics.median(door.p99),
                      per_second=statistics.median(door.per_second), server_cpu_us=statistics.median(door.cpu),
                      errors=0)  # fmt: skip
    report.ratio(aim, big.p50, small.p50)
    return finish(report, given.json)


def _rounds(doors: list[Door], folder: Path, given: Any) -> None:
    def knock(door: Door) -> None:
        fastest = max([500.0, *door.per_second])
        door.took(
            load.steady(door.server.port, requests(door, int(fastest * (given.seconds + 0.5) * 2.5)), folder=folder,
                        pid=door.server.process.pid, connections=CONNECTIONS, seconds=given.seconds, expect=ACCEPTED)
        )  # fmt: skip

    for door in doors:  # warm up
        knock(door)
        door.forget()
    for number in range(given.rounds):
        for door in doors[:: 1 if number % 2 == 0 else -1]:
            knock(door)


@contextlib.contextmanager
def _door(report: Report, name: str, folder: Path, url: str, size: int, people: int) -> Iterator[Door]:
    made = stage.set_stage(folder, url)
    began = time.monotonic()

    async def begin() -> Any:
        async with stage.opened(made):
            found = await crowd(made, people, "degree", ["owner"], fields=FIELDS, claims={})
            await made.publish()
            return found, await stage.durability(made)

    found, durability = asyncio.run(begin())
    _fill(made, found.template, size - people)
    stored = asyncio.run(_count_and_vacuum(url))
    assert stored >= size, (stored, size)
    report.settings.update(durability)
    report.result(f"filled_{name}", certificates=stored, seconds=time.monotonic() - began)
    with stage.served(stage.start_hub(made.settings)) as server:
        yield Door(name, made, found.grants, server, durability, asks={"asks": [{"type": "degree"}]})


def _fill(made: Stage, template: Template, count: int) -> None:
    texts = [Signed.of(signed(made, template, made.person("李平"))) for _ in range(TEXTS)]
    url = make_url(made.settings.database_url).set(drivername="postgresql").render_as_string(hide_password=False)
    keks = made.vault.keks[made.vault.current_kek], made.vault.current_kek
    begins = range(0, count, CHUNK)
    with ProcessPoolExecutor(WORKERS, mp_context=get_context("spawn")) as pool:
        work = [
            pool.submit(_chunk, url, template, texts, keks, begin, min(CHUNK, count - begin)) for begin in begins
        ]
        for one in work:
            one.result()


def _chunk(
    url: str, template: Template, texts: list[Signed], kek: tuple[bytes, str], begin: int, count: int
) -> None:
    """In a worker: so many certificates, by COPY, one transaction."""
    rows: dict[str, tuple[sa.Table, list[dict[str, Any]]]] = {}
    for number in range(begin + 1, begin + count + 1):
        subject, key = uuid.uuid4(), secrets.token_bytes(32)
        some = sealed_rows(template, random.choice(texts), subject, key)
        wrapped = seal(kek[0], key, bound_to=subject.bytes)
        own = {"bucket": bucket_of(subject), "subject_id": subject, "wrapped": wrapped, "kek": kek[1]}
        some[person_keys] = [{**template.person_key, **own}]
        for leaf in some[leaves]:
            leaf["idx"] = -number  # in the ledger, but in no tree: the sequencer has nothing to do with it
        for table, found in some.items():
            rows.setdefault(table.name, (table, []))[1].extend(found)
    asyncio.run(_copy(url, list(rows.values())))


async def _copy(url: str, rows: list[tuple[sa.Table, list[dict[str, Any]]]]) -> None:
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction():
            for table, found in rows:
                names = list(found[0])
                records = [tuple(row[name] for name in names) for row in found]
                await connection.copy_records_to_table(table.name, records=records, columns=names)
    finally:
        await connection.close()


async def _count_and_vacuum(url: str) -> int:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("VACUUM ANALYZE")
        await connection.execute("CHECKPOINT")
        return int(await connection.fetchval("SELECT count(*) FROM certificates"))
    finally:
        await connection.close()


if __name__ == "__main__":
    sys.exit(main())

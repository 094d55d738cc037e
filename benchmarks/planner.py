"""The planner for one person over the whole catalogue: time, and its growth with items and with certificates held.

Real verbs on a real database (SQLite in a temporary file, or `--database`). The certificates are rows without sealed
bodies: the planner opens none. For growth with items the catalogue is one in which every item is catalogued, which is
harder than the shipped one: the complete items again and again under other codes.
"""

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from itertools import cycle, islice
from typing import Any
from uuid import UUID, uuid4

from benchmarks.measure import Aim, Report, arguments, finish, percentile
from hub import clock
from hub.actor import SYSTEM
from hub.catalogue.catalogue import Catalogue, load_catalogue
from hub.catalogue.plan import plan_all
from hub.catalogue.planner import facts
from hub.catalogue.search import search
from hub.certificates.model import certificate_holders, certificates
from hub.ids import bucket_of, public_token, uuid7
from hub.registry.types import load_types
from hub.schema import metadata
from hub.store.seal import Vault
from hub.store.tx import Database

WHOLE = Aim(0, "one person, 1,817 items, 20 certificates, p50 in ms", 20.0, at_most=True)
TYPES = load_types()
CERTIFICATES = (0, 20, 200, 2000)
ITEMS = (1817, 3634, 7268, 14536)


def main() -> int:
    """Measure, print, and say by the exit status whether a gate failed."""
    parser = arguments("planner", rounds=30)
    parser.add_argument(
        "--database", default="", help="an empty database instead of SQLite in a temporary file"
    )
    given = parser.parse_args()
    report = Report("planner", {"rounds": given.rounds, "database": given.database or "sqlite"})
    with tempfile.TemporaryDirectory() as folder:
        url = given.database or f"sqlite:///{folder}/planner.db"
        asyncio.run(measured(report, url, given.rounds))
    return finish(report, given.json)


async def measured(report: Report, url: str, rounds: int) -> None:
    """Fill the report: starting, searching, then each number of certificates and of items."""
    starting = [timed_once(load_catalogue) for _ in range(5)]
    report.result("reading the shipped catalogue at start", ms=statistics.median(starting))
    shipped = load_catalogue()
    report.result("first use of all items", ms=timed_once(lambda: list(shipped.values())))
    search(shipped, "结婚")
    report.result(
        "search", ms=statistics.median(timed_once(lambda: search(shipped, "房子过户")) for _ in range(20))
    )
    db = Database(url, clock=clock.now, vault=Vault({"k": b"k" * 32}, "k", {1: b"p" * 32}, 1))
    async with db.tx(SYSTEM) as tx:
        await tx.conn.run_sync(metadata.create_all)
    rows = []
    for held in CERTIFICATES:
        person = await somebody(db, held)
        rows.append(
            await one_person(db, shipped, person, rounds, label=f"{held} certificates, the shipped catalogue")
        )
        if held == 20:
            report.value(WHOLE, rows[-1].pop("all"))
            for number in ITEMS:
                label = f"20 certificates, {number} items, all whole"
                rows.append(await one_person(db, every(shipped, number), person, rounds, label=label))
    for row in rows:
        row.pop("all", None)
    report.tables["median milliseconds: facts (3 statements), plan, both; p99 of both"] = rows
    await db.close()


async def one_person(
    db: Database, catalogue: Catalogue, person: UUID, rounds: int, *, label: str
) -> dict[str, Any]:
    """The time of the facts, of the plan for all items, and of both, over `rounds`."""
    plan_all(catalogue, await read(db, person))
    gathering, planning = [], []
    for _ in range(rounds):
        started = time.perf_counter()
        known = await read(db, person)
        between = time.perf_counter()
        plans = plan_all(catalogue, known)
        planning.append((time.perf_counter() - between) * 1000)
        gathering.append((between - started) * 1000)
    both = [a + b for a, b in zip(gathering, planning, strict=True)]
    middle = [round(statistics.median(values), 2) for values in (gathering, planning, both)]
    return {
        "what": label, "facts": middle[0], "plan": middle[1], "both": middle[2],
        "p99": round(percentile(both, 0.99), 2), "planned": len(plans), "all": both,
    }  # fmt: skip


async def read(db: Database, person: UUID) -> Any:
    """The facts about a person, as a page reads them."""
    async with db.view(SYSTEM) as view:
        return await facts(view, person=person, types=TYPES)


async def somebody(db: Database, number: int) -> UUID:
    """A person who holds so many certificates of all types, a third of them ended or revoked."""
    person, now = uuid4(), clock.now()
    kinds = list(islice(cycle(TYPES.values()), number))
    async with db.tx(SYSTEM) as tx:
        for place, kind in enumerate(kinds):
            row = uuid7()
            ended = place % 3 == 2
            await tx.insert(
                certificates,
                {
                    "bucket": bucket_of(row), "id": row, "public_id": public_token(), "department": kind.owner,
                    "type_code": kind.code, "type_version": 1, "jti": str(row), "kid": "k", "signing_input_hash": b"h",
                    "iat": now, "valid_until": now - timedelta(days=1) if ended else None,
                    "as_of": clock.civil_day(now) if kind.living else None, "state": "current",
                    "state_since": now, "version": 1, "sealed_body": b"", "registered_at": now, "leaf_hash": row.bytes,
                },
            )  # fmt: skip
            await tx.insert(
                certificate_holders,
                {
                    "bucket": bucket_of(person), "subject_id": person, "certificate_id": row, "position": 0,
                    "certificate_bucket": bucket_of(row), "type_code": kind.code, "role": "owner",
                },
            )  # fmt: skip
    return person


def every(shipped: Catalogue, number: int) -> Catalogue:
    """A catalogue of so many items, all of them complete."""
    whole = [shipped[one.code] for one in shipped.listed if one.complete]
    made = (replace(item, code=f"{n:05}-{item.code}") for n, item in enumerate(islice(cycle(whole), number)))
    return Catalogue({item.code: item for item in made}, {})


def timed_once(work: Callable[[], object] | Callable[[], Awaitable[object]]) -> float:
    """Milliseconds of one call."""
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) * 1000


if __name__ == "__main__":
    sys.exit(main())

"""How many bytes rest on the disk for a certificate and for a recorded Access, table by table, on both databases.

Certificates are registered as a batch registers them, `--each` for one person; then some are looked at. Leaves are
sequenced as they come, the database is vacuumed now and then as autovacuum would, and its tables are weighed with their
indexes. What a person costs is told apart as well. Tiles are files beside the database and are not in the sums.
"""

import argparse
import asyncio
import contextlib
import sqlite3
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from benchmarks import stage
from benchmarks.measure import Aim, Report, arguments, finish
from benchmarks.stage import AUDIENCE, Stage
from hub.certificates.examine import Application, Source, examine
from hub.certificates.register import register_all, terms_of
from hub.consent.model import CaseFacts, Grant
from hub.errors import HubError
from hub.schema import metadata
from hub.verification.model import Ask

CERTIFICATE = "bytes at rest per certificate / its SD-JWT"
ACCESS = "bytes at rest per recorded Access"
CHUNK = 1_000
SOME = 200
"""Looks between two rounds of the sequencer and a vacuum; in use there are a few, and autovacuum follows by size."""
FIRST = 400
"""Looks before those that are weighed: the first pages of every table, partition and index cost once, not by look."""
PERSON = ("subjects", "subject_identifiers", "person_keys")


@dataclass(frozen=True, slots=True)
class Weights:
    """Bytes by table."""

    tables: Mapping[str, int]
    tiles: int

    def since(self, before: "Weights") -> "Weights":
        """What was added."""
        grown = {name: size - before.tables.get(name, 0) for name, size in self.tables.items()}
        return Weights({name: size for name, size in grown.items() if size > 0}, self.tiles - before.tiles)

    @property
    def all(self) -> int:
        """All tables together."""
        return sum(self.tables.values())


def main() -> int:
    """Measure, print, and say by the exit status whether a gate failed."""
    parser = arguments("atrest", rounds=1)
    parser.add_argument("--certificates", type=int, default=4_000)
    parser.add_argument("--each", type=int, default=5, help="certificates of one person")
    parser.add_argument("--looks", type=int, default=2_000)
    given = parser.parse_args()
    report = Report("atrest", {"certificates": given.certificates, "looks": given.looks, "each": given.each})
    for name in ("postgresql", "sqlite"):
        with _stage(name) as made:
            if made is None:
                report.skip(Aim(0, f"{CERTIFICATE}, {name}", 1.6), "PostgreSQL is not installed")
                continue
            _one(report, name, made, given)
    return finish(report, given.json)


@contextlib.contextmanager
def _stage(name: str) -> Iterator[Stage | None]:
    with stage.folder() as folder, contextlib.ExitStack() as stack:
        url = stack.enter_context(stage.durable_postgres()) if name == "postgresql" else ""
        yield None if url is None else stage.set_stage(folder / name, url)


def _one(report: Report, name: str, made: Stage, given: argparse.Namespace) -> None:
    certificates, looks = given.certificates, given.looks

    async def go() -> tuple[Weights, Weights, float]:
        async with stage.opened(made):
            await made.department("dg-degree")
            await made.publish()
            before = await weigh(made)
            size = await register(made, certificates, given.each)
            middle = await weigh(made)
            looking = await prepare(made)
            await look(made, looking, FIRST)
            empty = await weigh(made)
            await look(made, looking, looks)
            return middle.since(before), (await weigh(made)).since(empty), size

    grown, looked, size = asyncio.run(go())
    per = grown.all / certificates
    person = sum(grown.tables.get(table, 0) for table in PERSON) / certificates * given.each
    report.value(Aim(12, f"{CERTIFICATE}, {name}", 1.6, at_most=True), [per / size])
    report.value(Aim(13, f"{ACCESS}, {name}", 500, at_most=True), [looked.all / looks])
    tiles = grown.tiles / certificates
    report.result(f"certificate_{name}", sd_jwt=size, bytes=per, tiles=tiles, bytes_a_person=person)
    report.result(f"access_{name}", bytes=looked.all / looks, tiles=looked.tiles / looks)
    for title, weights, count in (("certificate", grown, certificates), ("access", looked, looks)):
        rows = sorted(weights.tables.items(), key=lambda pair: -pair[1])
        report.tables[f"bytes a {title}, {name}"] = [
            {"table": table, "bytes": round(bytes_ / count)} for table, bytes_ in rows if bytes_ >= count
        ]


async def register(made: Stage, count: int, each: int) -> float:
    """Register `count` certificates as batches do, `each` for one person; the mean length of an SD-JWT."""
    actor = made.acting(await made.department("dg-degree"))
    people = [made.person(f"王{number}") for number in range(-(-count // each))]
    claims = {"degree_level": "bachelor", "major": "计算机科学与技术", "school": "东莞理工学院"}
    total = 0
    for begin in range(0, count, CHUNK):
        await made.reserve("dg-degree", min(CHUNK, count - begin))
        async with made.view(actor) as view:
            terms = await terms_of(view, base_url=AUDIENCE)
        handed = []
        for number in range(begin, min(begin + CHUNK, count)):
            line = await made.registration("degree", (people[number // each], "owner"), **claims)
            total += len(line["sd_jwt"])
            said = line["source"]
            source = Source(said["dataset"], said["ref"], said["generation"], bytes.fromhex(said["claims_hash"]))
            handed.append((Application(line["sd_jwt"], source), examine([line["sd_jwt"]], terms, made.types)[0]))
        async with made.tx(actor) as tx:
            refused = [one for one in await register_all(tx, handed) if isinstance(one, HubError)]
        if refused:
            raise RuntimeError(refused[0].code)
        await made.publish()
        await weigh(made)
    return total / count


Looking = Sequence[tuple[CaseFacts, list[Grant], str]]


async def prepare(made: Stage) -> Looking:
    """Eight people's degrees, and consents over them that are never used up."""
    people = [made.person(f"李{number}") for number in range(8)]
    for person in people:
        await made.certificate("degree", (person, "owner"))
    granted = [await made.grant(person, ["degree"]) for person in people]
    await made.never_used_up()
    await made.publish()
    department = await made.department("dg-edu")
    return [(case, grants, made.token(grants, holder=department)) for case, grants in granted]


async def look(made: Stage, looking: Looking, count: int) -> None:
    """`count` Accesses, of these people in turn; sequenced and vacuumed as they come."""
    for number in range(count):
        case, grants, token = looking[number % len(looking)]
        (verdict,) = await made.verify(case, grants, [Ask("degree")], token=token)
        if verdict.outcome != "accepted":
            raise RuntimeError(verdict.reason)
        if number % SOME == SOME - 1 or number == count - 1:
            await made.publish()
            await weigh(made)


async def weigh(made: Stage) -> Weights:
    """The bytes of every table on the disk now, vacuumed, with indexes; and of the tiles beside."""
    names = [table.name for table in metadata.sorted_tables]
    folder = made.settings.blobs_dir
    tiles = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else 0
    if made.settings.database_url.startswith("sqlite"):
        return Weights(_sqlite(Path(made.settings.database_url.removeprefix("sqlite:///"))), tiles)
    return Weights(await _postgresql(made.settings.database_url, names), tiles)


def _sqlite(path: Path) -> dict[str, int]:
    """By `dbstat`: pages of the table and of its indexes."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        found = connection.execute(
            "SELECT m.tbl_name, sum(d.pgsize) FROM dbstat d JOIN sqlite_schema m ON m.name = d.name GROUP BY 1"
        )
        return {str(name): int(size) for name, size in found}


async def _postgresql(url: str, names: Sequence[str]) -> dict[str, int]:
    """`pg_total_relation_size`, partitions added to the table that they belong to."""
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    try:
        await connection.execute("VACUUM ANALYZE")
        rows = await connection.fetch(
            "SELECT coalesce(p.inhparent, c.oid)::regclass::text AS name, sum(pg_total_relation_size(c.oid)) AS size "
            "FROM pg_class c LEFT JOIN pg_inherits p ON p.inhrelid = c.oid WHERE c.relkind = 'r' GROUP BY 1"
        )
    finally:
        await connection.close()
    return {row["name"]: int(row["size"]) for row in rows if row["name"] in names}


if __name__ == "__main__":
    sys.exit(main())

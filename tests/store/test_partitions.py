"""On PostgreSQL the big tables are partitioned by bucket, and no statement of the hot path touches two partitions."""

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from parts import FixedClock
from world import World

from hub.access.model import accesses
from hub.access.record import LOCK, MOVE
from hub.actor import SYSTEM
from hub.certificates.opened import NAMED, NEWEST, STANDING
from hub.consent.use import GRANT, TAKE
from hub.ids import bucket_of
from hub.notices.looks import LOOKS
from hub.schema import metadata
from hub.store.base import BUCKETS, PARTITIONS
from hub.store.seal import WRAPPED
from hub.store.statement import Statement
from hub.store.tx import Tx

BIG = [table for table in metadata.tables.values() if table.dialect_options["postgresql"]["partition_by"]]


def test_every_key_of_a_big_table_names_the_bucket() -> None:
    """Else PostgreSQL could not have it, and a query by that key would look into every partition."""
    assert {table.name for table in BIG} >= {"certificates", "accesses", "grants", "ledger_bodies", "subjects"}
    for table in BIG:
        uniques = [one for one in table.constraints if isinstance(one, sa.UniqueConstraint)]
        assert all("bucket" in one.columns for one in [table.primary_key, *uniques]), table.name


def test_the_partitions_cover_every_bucket_once() -> None:
    edges = [number * BUCKETS // PARTITIONS for number in range(PARTITIONS + 1)]
    assert (edges[0], edges[-1]) == (0, BUCKETS)
    assert edges == sorted(set(edges))


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for inner in plan.get("Plans", ()):
        yield from _nodes(inner)


def _plan(rows: Any) -> dict[str, Any]:
    told = rows[0][0] if isinstance(rows[0][0], list) else json.loads(rows[0][0])
    plan: dict[str, Any] = told[0]["Plan"]
    return plan


async def _touched(tx: Tx, statement: Statement, values: dict[str, Any], *, many: bool) -> dict[str, set[str]]:
    """By big table: the partitions that an execution really looked into; `many`: in the form for many sets."""
    form = statement.form(tx.conn.dialect)
    if many:
        assert form.at_once is not None
        form, given = form.at_once, form.at_once.arrays([values])
    else:
        given = form.values(values)
    own = (await tx.conn.get_raw_connection()).driver_connection
    rows = await own.fetch("EXPLAIN (ANALYZE, FORMAT JSON) " + form.text, *given)
    found: dict[str, set[str]] = {}
    for node in _nodes(_plan(rows)):
        assert node["Node Type"] not in ("Seq Scan", "Hash Join", "Merge Join"), node
        name, scanned = node.get("Relation Name", ""), "Scan" in node["Node Type"]
        if scanned and node.get("Actual Loops") and (match := re.fullmatch(r"(\w+)_p\d+", name)):
            found.setdefault(match[1], set()).add(name)
    return found


@pytest.mark.parametrize("by_key", [False, True], ids=["planned for its values", "planned once for all values"])
@pytest.mark.parametrize("many", [False, True], ids=["one set", "an array for each parameter"])
async def test_a_hot_statement_looks_into_one_partition(
    postgresql_database: str, clock: FixedClock, by_key: bool, many: bool
) -> None:
    world = World(postgresql_database, clock)
    wang = world.person("王小莞")
    await world.certificate("degree", (wang, "owner"))
    _, grants = await world.grant(wang, ["degree"])
    subject = await world.subject(wang)
    holder = {"ordinal": 0, "holder_bucket": bucket_of(subject), "subject": subject, "type": "degree"}
    chain = {"in_bucket": bucket_of(subject), "of": subject, "to": 1, "as": b"x" * 32}
    use = {"ordinal": 0, "grant": grants[0].public_id, "by": "dg-edu", "now": clock()}
    asked: list[tuple[Statement, dict[str, Any], str]] = [
        (TAKE, use, "grants"),
        (GRANT, use, "grants"),
        (STANDING, holder, "certificate_holders"),
        (NEWEST, holder, "certificate_holders"),
        (NAMED, {**holder, "certificate": "x"}, "certificate_holders"),
        (WRAPPED, {"subject": subject, "bucket_of": bucket_of(subject)}, "person_keys"),
        (LOCK, chain, "access_chains"),
        (MOVE, chain, "access_chains"),
    ]
    async with world.db.tx(SYSTEM, by_key=by_key) as tx:
        if not by_key:  # tables of three rows need no index, and are joined by reading them
            for name in ("enable_seqscan", "enable_hashjoin", "enable_mergejoin"):
                await tx.conn.exec_driver_sql(f"SET LOCAL {name} = off")
        for statement, values, table in asked:
            touched = await _touched(tx, statement, values, many=many)
            assert table in touched, values
            assert all(len(partitions) == 1 for partitions in touched.values()), touched
    await world.close()


async def test_looks_are_read_through_their_two_indexes(postgresql_database: str, clock: FixedClock) -> None:
    """By person, in one partition, newest first and without a sort; by time for everybody else. There is no third."""
    world = World(postgresql_database, clock)
    subject = await world.subject(world.person("王小莞"))
    look = accesses.c
    day = (look.at >= clock() - timedelta(days=1), look.at < clock())
    wanted = (look.bucket == bucket_of(subject), look.subject_id == subject)
    asked = {
        "a wallet": sa.select(accesses).where(*wanted).order_by(look.subject_seq.desc()).limit(50),
        "one look": sa.select(accesses).where(look.at == clock(), look.public_id == "A" * 43),
        "a department's board": sa.select(look.case_id).where(*day, look.department == "dg-edu").distinct(),
        "the guard": sa.select(look.department, look.subject_id).where(*day, look.outcome != "refused").distinct(),
        "an auditor": sa.select(accesses).where(*day).order_by(look.at.desc()).limit(50),
    }
    statements = {name: Statement(lambda _, query=query: query) for name, query in asked.items()}
    statements["notices"] = LOOKS.statement
    async with world.tx() as tx:
        await tx.conn.exec_driver_sql("SET LOCAL enable_seqscan = off")
        for name, statement in statements.items():
            form = statement.form(tx.conn.dialect)
            own = (await tx.conn.get_raw_connection()).driver_connection
            values = form.values({"k0": [clock(), clock() - timedelta(hours=1)]})
            rows = await own.fetch("EXPLAIN (FORMAT JSON) " + form.text, *values)
            nodes = list(_nodes(_plan(rows)))
            read = [node for node in nodes if re.fullmatch(r"accesses_p\d", node.get("Relation Name", ""))]
            names = [node.get("Index Name", "") for node in nodes]
            used = {re.sub(r"_p\d", "", one) for one in names if one.startswith("accesses_p")}
            assert used == ({"accesses_pkey"} if name == "a wallet" else {"accesses_at_idx"}), (name, used)
            assert all(node["Node Type"] != "Seq Scan" for node in read), name
            if name == "a wallet":
                assert len(read) == 1
                assert all(node["Node Type"] != "Sort" for node in nodes)
    await world.close()

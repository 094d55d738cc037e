"""Many keys in one statement: the same rows on both databases, and each key looked up by itself."""

import pytest
import sqlalchemy as sa
from world import World

from hub.certificates.model import certificate_jtis, certificate_sources
from hub.ids import uuid7
from hub.store.lookup import Lookup
from hub.store.model import public_ids
from hub.store.rows import add_rows, rows_of

MANY = 3_000


async def test_what_is_found_is_what_was_asked_for_once_each(world: World) -> None:
    rows = [(f"token-{n:020}", "test" if n % 2 else "other", n % 256, uuid7()) for n in range(40)]
    async with world.tx() as tx:
        await add_rows(tx, public_ids, ("token", "kind", "bucket", "row_id"), rows)
        row = public_ids.c
        query = sa.select(row.token, row.kind, row.row_id)
        wanted = [(token, "test") for token, *_ in rows[:20]] * 2 + [("nobody", "test")]
        found = await rows_of(tx, query, sa.tuple_(row.token, row.kind), wanted)
        assert sorted((one.token, one.row_id) for one in found) == [(rows[n][0], rows[n][3]) for n in range(1, 20, 2)]
        alone = await rows_of(tx, query.where(row.kind == "test"), row.token, [token for token, _ in wanted])
        assert sorted(map(tuple, alone)) == sorted(map(tuple, found))
        assert await rows_of(tx, query, row.token, []) == []


async def test_a_lookup_finds_the_same_with_a_statement_that_never_changes(world: World) -> None:
    rows = [(f"token-{n:020}", "test" if n % 2 else "other", n % 256, uuid7()) for n in range(40)]
    ids = public_ids.c
    of_tests = Lookup(lambda _: sa.select(public_ids).where(ids.kind == "test"), ids.token)
    by_both = Lookup(lambda _: sa.select(ids.token), ids.bucket, ids.row_id)
    async with world.tx() as tx:
        await add_rows(tx, public_ids, ("token", "kind", "bucket", "row_id"), rows)
    for opened in (world.tx, world.view):  # on SQLite these are two drivers
        async with opened() as view:
            for some in (1, 20, 3):
                found = await of_tests.rows(view, [row[0] for row in rows[:some]] * 2 + ["nobody", "o'clock"])
                assert sorted(map(tuple, found)) == [row for row in rows[:some] if row[1] == "test"]
                found = await by_both.rows(view, [row[2:] for row in rows[:some]] + [(rows[0][2], rows[1][3])])
                assert sorted(row.token for row in found) == [row[0] for row in rows[:some]]
            assert await by_both.rows(view, []) == []


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
async def test_no_more_is_read_than_was_asked_for(world: World) -> None:
    """All rows are one department's, and nobody has told PostgreSQL yet how many there are: a first big import."""
    jtis = [("dg-degree", f"jti-{n}", 0, uuid7()) for n in range(MANY)]
    sources = [("dg-degree", "degree", str(n), 1, b"", 0, uuid7()) for n in range(MANY)]
    async with world.tx() as tx:
        await add_rows(tx, certificate_jtis, ("department", "jti", "bucket", "certificate_id"), jtis)
        names = ("department", "dataset", "ref", "generation", "claims_hash", "bucket", "certificate_id")
        await add_rows(tx, certificate_sources, names, sources)
    async with world.tx() as tx:
        used, row = certificate_jtis.c, certificate_sources.c
        mine = sa.select(used.jti).where(used.department == "dg-degree")
        assert len(await rows_of(tx, mine, used.jti, {f"jti-{n}" for n in range(0, MANY, 30)})) == 100
        key = sa.tuple_(row.dataset, row.ref, row.generation)
        wanted = {("degree", str(n), 1) for n in range(0, MANY, 30)}
        assert len(await rows_of(tx, sa.select(row.ref).where(row.department == "dg-degree"), key, wanted)) == 100
        for name in ("certificate_jtis", "pk_certificate_jtis", "certificate_sources", "pk_certificate_sources"):
            read = sa.text("SELECT pg_stat_get_xact_tuples_returned(CAST(CAST(:name AS text) AS regclass))")
            assert await tx.value(read.bindparams(name=name)) <= 100

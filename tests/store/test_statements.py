"""Statements compiled once: the same values in and out as through SQLAlchemy, in order, on both databases."""

from datetime import UTC, datetime
from uuid import UUID

import asyncpg
import pytest
import sqlalchemy as sa
from parts import FixedClock
from world import World

from hub.actor import SYSTEM
from hub.errors import Unavailable
from hub.store.model import public_ids, replays
from hub.store.rows import rows_of
from hub.store.statement import Statement, insert
from hub.store.tx import Tx

AT = datetime(2026, 5, 4, 3, 2, 1, 234_000, tzinfo=UTC)
NEW = insert(replays, unless_there=True, returning=("key",))
PLACE = insert(public_ids)


def replay(number: int) -> dict[str, object]:
    return {"kind": "test", "key": bytes([number]) * 32, "expires_at": AT}


def _found(_: str) -> sa.Executable:
    return sa.select(
        sa.bindparam("ordinal", type_=sa.Integer).label("ordinal"), public_ids.c.row_id, public_ids.c.bucket
    ).where(public_ids.c.token == sa.bindparam("token"), public_ids.c.kind == "test")


FOUND = Statement(_found)


async def test_new_rows_come_back_and_those_that_stood_do_not(world: World) -> None:
    async with world.tx() as tx:
        assert [row.key[0] for row in await tx.each(NEW, [replay(1), replay(2)])] == [1, 2]
    async with world.tx() as tx:
        assert [row.key[0] for row in await tx.each(NEW, [replay(2), replay(3), replay(3)])] == [3]
        stored = await tx.all(sa.select(replays).where(replays.c.kind == "test").order_by(replays.c.key))
    assert [row.key[0] for row in stored] == [1, 2, 3]
    assert {row.expires_at for row in stored} == {AT}


async def test_an_ordinal_tells_whose_row_it_is(world: World) -> None:
    rows = [{"token": f"t{n}", "kind": "test", "bucket": n, "row_id": UUID(int=n)} for n in range(5)]
    async with world.tx() as tx:
        await tx.each(PLACE, rows)
        asked = [{"ordinal": n, "token": token} for n, token in enumerate(["t3", "nothing", "t0"])]
        found = await tx.each(FOUND, asked)
    assert [(row.ordinal, row.row_id, row.bucket) for row in found] == [(0, UUID(int=3), 3), (2, UUID(int=0), 0)]
    async with world.view() as view:  # a reader answers the same
        assert len(await view.each(FOUND, asked)) == 2


def _add(_: str) -> sa.Executable:
    row, whose = public_ids.c, sa.bindparam("whose")
    found = sa.and_(row.token == whose, row.kind == "test", row.bucket < sa.bindparam("below", type_=sa.Integer))
    values = {"bucket": row.bucket + sa.bindparam("more", type_=sa.SmallInteger)}
    told = sa.bindparam("ordinal", type_=sa.Integer).label("ordinal")
    return public_ids.update().where(found).values(values).returning(told, row.bucket)


ADD = Statement(_add, unique=("whose",))


async def test_many_sets_at_once_come_to_what_each_after_the_other_does(world: World) -> None:
    """PostgreSQL takes an array for each parameter then, and would change a row once however often it is named."""
    rows = [{"token": f"t{n}", "kind": "test", "bucket": 0, "row_id": UUID(int=n)} for n in range(3)]
    async with world.db.tx(SYSTEM, by_key=True) as tx:
        await tx.each(PLACE, rows)
        named = ["t1", "t0", "t1", "nobody", "t1", "t2"]
        asked = [{"ordinal": n, "whose": token, "more": 1, "below": 2} for n, token in enumerate(named)]
        found = await tx.each(ADD, asked)
        assert sorted(map(tuple, found)) == [(0, 1), (1, 1), (2, 2), (5, 1)]  # the third "t1" meets its limit
        # One key is the beginning of the other: text is compared whole, though its column is short.
        long = [{"ordinal": n, "token": token} for n, token in enumerate(["t1" + "x" * 400, "t2", "t1"])]
        assert [(row.ordinal, row.bucket) for row in await tx.each(FOUND, long)] == [(1, 1), (2, 2)]
        assert [row.key[0] for row in await tx.each(NEW, [replay(2), replay(3), replay(3)])] == [2, 3]


async def test_a_key_that_is_too_long_finds_nothing(world: World) -> None:
    """An array cast to VARCHAR(n)[] would be cut to the key that it begins with."""
    token = "k" * (public_ids.c.token.type.length or 0)
    async with world.db.tx(SYSTEM, by_key=True) as tx:
        await tx.each(PLACE, [{"token": token, "kind": "test", "bucket": 1, "row_id": UUID(int=1)}])
        asked = [{"ordinal": n, "token": token + more} for n, more in enumerate(["x", ""])]
        assert [row.ordinal for row in await tx.each(FOUND, asked)] == [1]
        query = sa.select(public_ids.c.row_id)
        assert await rows_of(tx, query, public_ids.c.token, [token + "x"]) == []
        assert len(await rows_of(tx, query, public_ids.c.token, [token, token + "x"])) == 1


async def test_what_is_sent_through_the_driver_rolls_back_with_the_rest(world: World) -> None:
    async def work(tx: Tx) -> None:
        await tx.each(NEW, [replay(7)])
        await tx.insert(replays, replay(8))
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        async with world.tx() as tx:
            await work(tx)
    async with world.view() as view:
        assert await view.value(sa.select(sa.func.count()).where(replays.c.kind == "test")) == 0


async def test_a_statement_that_the_database_refuses_spoils_its_transaction_only(world: World) -> None:
    with pytest.raises(Exception, match=r"(?i)unique|duplicate"):
        async with world.tx() as tx:
            await tx.each(insert(replays), [replay(1), replay(1)])
    async with world.tx() as tx:
        assert len(await tx.each(NEW, [replay(1)])) == 1


async def test_a_missing_parameter_is_a_mistake_of_ours(world: World) -> None:
    with pytest.raises(KeyError):
        async with world.tx() as tx:
            await tx.each(FOUND, [{"ordinal": 1}])


def test_text_that_changes_with_its_values_is_refused() -> None:
    def build(_: str) -> sa.Executable:
        return sa.select(replays.c.key).where(replays.c.kind.in_(["a", "b"]))

    with pytest.raises(ValueError, match="fixed text"):
        Statement(build).form(sa.create_engine("sqlite://").dialect)


async def test_many_rows_and_a_second_writer_that_waits(world: World) -> None:
    """More rows than stay in the loop's thread; another transaction waits for the first, and both are kept."""
    async with world.tx() as tx:
        await tx.each(PLACE, [{"token": f"m{n}", "kind": "m", "bucket": 0, "row_id": UUID(int=n)} for n in range(450)])
    async with world.view() as view:
        assert await view.value(sa.select(sa.func.count()).where(public_ids.c.kind == "m")) == 450


async def test_a_transaction_by_key_plans_once_and_leaves_no_trace(
    postgresql_database: str, clock: FixedClock
) -> None:
    made = World(postgresql_database, clock)
    mode = sa.text("SHOW plan_cache_mode")
    try:
        async with made.db.tx(SYSTEM, by_key=True) as tx:
            assert await tx.value(mode) == "force_generic_plan"
        for _ in range(2):  # whichever connection comes
            async with made.db.tx(SYSTEM) as tx:
                assert await tx.value(mode) == "auto"
        with pytest.raises(RuntimeError):
            async with made.db.tx(SYSTEM, by_key=True):
                raise RuntimeError
        async with made.db.view(SYSTEM) as view:
            assert await view.value(mode) == "auto"
    finally:
        await made.close()


async def test_a_lost_connection_is_told_as_such(postgresql_database: str, clock: FixedClock) -> None:
    world = World(postgresql_database, clock)

    async def lose_it() -> None:
        async with world.tx() as tx, world.tx() as other:
            pid = await tx.value(sa.select(sa.func.pg_backend_pid()))
            await other.value(sa.select(sa.func.pg_terminate_backend(pid)))
            await tx.each(NEW, [replay(1)])

    with pytest.raises(Unavailable) as told:
        await lose_it()
    assert told.value.code == "store.unavailable"
    async with world.tx() as tx:  # the pool does not give the dead connection out again
        assert len(await tx.each(NEW, [replay(1)])) == 1
    await world.close()


async def test_connections_that_died_in_the_pool_are_found_out_at_once(
    postgresql_database: str, clock: FixedClock
) -> None:
    """As after a failover: all that were kept are dead, and whoever comes next is served over a new one."""
    world = World(postgresql_database, clock)
    async with world.tx(), world.tx(), world.tx() as tx:
        mine = sa.text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
        assert await tx.value(mine) == 3
    other = await asyncpg.connect(postgresql_database.replace("+asyncpg", ""))
    await other.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
        "AND pid <> pg_backend_pid()"
    )
    await other.close()
    async with world.tx() as one, world.view() as two, world.tx() as three:
        for view in (one, two, three):
            assert await view.value(sa.select(1)) == 1
    await world.close()


async def test_writes_that_go_together_all_happen(world: World) -> None:
    rows = [{"token": f"t{n}", "kind": "test", "bucket": 0, "row_id": UUID(int=n)} for n in range(3)]
    more = [{"ordinal": 0, "whose": f"t{n}", "more": 1, "below": 2} for n in (0, 2)]
    async with world.db.tx(SYSTEM, by_key=True) as tx:
        await tx.each(PLACE, rows)
        await tx.all_of((NEW, [replay(1), replay(2)]), (ADD, more), (NEW, []))
        await tx.all_of((ADD, [more[0], more[0]]), (NEW, [replay(3)]))  # the same row twice: one after the other
        buckets = sa.select(public_ids.c.bucket).where(public_ids.c.kind == "test").order_by(public_ids.c.token)
        assert [row.bucket for row in await tx.all(buckets)] == [2, 0, 1]
        keys = sa.select(replays.c.key).where(replays.c.kind == "test").order_by(replays.c.key)
        assert [row.key[0] for row in await tx.all(keys)] == [1, 2, 3]


def test_insert_names_the_columns_that_the_database_does_not_number() -> None:
    form = insert(replays).form(sa.create_engine("sqlite://").dialect)
    assert {name for name, _ in form.parameters} == {"kind", "key", "expires_at"}

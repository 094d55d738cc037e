"""What processes remember of keys never outlives a change, by whatever hand it was made."""

import contextlib

import pytest
import sqlalchemy as sa
from world import World

from hub.actor import PUBLIC
from hub.errors import Unauthenticated
from hub.registry import keys, trust
from hub.registry.departments import suspend
from hub.registry.model import department_keys, departments
from hub.store.tx import Database


async def _known(db: Database, department: str, kid: str) -> bool:
    async with db.view(PUBLIC) as view:
        remembered = await trust.current(view)
        try:
            await remembered.client_key(view, department=department, kid=kid)
        except Unauthenticated:
            return False
        return True


async def test_a_second_process_forgets_a_key_when_the_first_distrusts_it(world: World, database: str) -> None:
    made = await world.department("dg-edu")
    kid = made.client.kid
    other = Database(database, clock=world.clock, vault=world.vault)
    assert await _known(other, "dg-edu", kid)
    assert await _known(other, "dg-edu", kid)  # from memory
    async with world.tx() as tx:
        await keys.distrust(tx, kid=kid, from_=tx.now)
    assert not await _known(other, "dg-edu", kid)
    await other.close()


@pytest.mark.parametrize("hand", ["the verb", "plain SQL"])
async def test_a_suspended_department_is_refused_at_once(world: World, hand: str) -> None:
    made = await world.department("dg-edu")
    kid = made.client.kid
    assert await _known(world.db, "dg-edu", kid)
    async with world.tx() as tx:
        if hand == "the verb":
            await suspend(tx, slug="dg-edu", reason="test")
        else:
            await tx.conn.exec_driver_sql("UPDATE departments SET state = 'suspended'")
    assert not await _known(world.db, "dg-edu", kid)


async def test_memory_is_used_while_nothing_changes(world: World) -> None:
    """Else the tests above would show nothing: with the trigger's number put back, the old key is still known."""
    made = await world.department("dg-edu")
    kid = made.client.kid
    assert await _known(world.db, "dg-edu", kid)
    async with world.tx() as tx:
        epoch = await tx.value(sa.text("SELECT epoch FROM trust_epoch"))
        await tx.run(departments.update().values(state="suspended"))
        await tx.conn.execute(sa.text("UPDATE trust_epoch SET epoch = :was"), {"was": epoch})
    assert await _known(world.db, "dg-edu", kid)
    async with world.view() as view:
        assert await view.value(sa.select(sa.func.count()).select_from(department_keys)) > 0


async def test_a_slow_reader_writes_nothing_old_into_a_newer_memory(world: World) -> None:
    """SQLite lets it read on in the state from before the change: what it finds there is no news for the others."""
    made = await world.department("dg-edu")
    kid = made.client.kid
    async with world.view() as slow:
        before = await trust.current(slow)
        async with world.tx() as tx:
            await suspend(tx, slug="dg-edu", reason="test")
        assert not await _known(world.db, "dg-edu", kid)
        with contextlib.suppress(Unauthenticated):  # PostgreSQL shows it the change
            await before.client_key(slow, department="dg-edu", kid=kid)
    assert not await _known(world.db, "dg-edu", kid)

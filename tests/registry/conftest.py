"""A hub's database with a department or two in it, and makers of people who pass the check character."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

import pytest
from parts import FixedClock
from registry.makers import credit

from hub.actor import SYSTEM
from hub.registry import departments
from hub.store.seal import Vault
from hub.store.tx import Database, Tx

OpenTx = Callable[[], AbstractAsyncContextManager[Tx]]


@pytest.fixture
def vault() -> Vault:
    return Vault({"k1": b"k" * 32}, "k1", {1: b"p" * 32}, 1)


@pytest.fixture
async def db(database: str, clock: FixedClock, vault: Vault) -> AsyncIterator[Database]:
    opened = Database(database, clock=clock, vault=vault)
    yield opened
    await opened.close()


@pytest.fixture
def open_tx(db: Database) -> OpenTx:
    return lambda: db.tx(SYSTEM)


@pytest.fixture
async def two_departments(open_tx: OpenTx) -> None:
    async with open_tx() as tx:
        await departments.add(
            tx, slug="dg-edu", uscc=credit(1), name_zh="东莞市教育局", name_en="Education Bureau"
        )
        await departments.add(
            tx, slug="dg-ps", uscc=credit(2), name_zh="东莞市公安局", name_en="Public Security"
        )

"""A database with standbys: the host that takes writes is found, and found again, by the hub itself."""

import asyncio
import os
import socket
from collections.abc import Iterator
from time import monotonic

import asyncpg
import pytest
import sqlalchemy as sa
from parts import FixedClock, Postgres

from hub.actor import SYSTEM
from hub.config import Settings
from hub.errors import HubError, Unavailable
from hub.ledger import office
from hub.store import hosts
from hub.store.seal import Vault
from hub.store.tx import Database

VAULT = Vault({"k": b"k" * 32}, "k", {1: b"p" * 32}, 1)


@pytest.fixture
def vanished(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The port of a machine that takes connections and never says a word."""
    monkeypatch.setattr(hosts, "HOST_SECONDS", 0.5)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(64)
        yield silent.getsockname()[1]


def url_of(postgres: Postgres, database: str, *ports: int) -> str:
    """As an operator writes it."""
    places = ",".join(f"127.0.0.1:{port}" for port in ports)
    text = f"postgresql://hub:{postgres.password}@{places}/{database}?target_session_attrs=read-write"
    return Settings(database_url=text).database_url


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("postgresql://u:p@a:1,b:2/d?target_session_attrs=read-write",
         "postgresql://u:p@/d?host=a,b&port=1,2&target_session_attrs=read-write"),
        ("postgresql://a,[::1]:7/d", "postgresql:///d?host=a,::1&port=5432,7"),
        ("postgresql://u@a:1/d", "postgresql://u@a:1/d"),
        ("sqlite:///a,b.db", "sqlite:///a,b.db"),
    ],
)  # fmt: skip
def test_several_hosts_are_read_as_operators_write_them(given: str, read: str):
    assert Settings(database_url=given).database_url == read


@pytest.mark.parametrize("given", ["postgresql://a:1,b:x/d", "postgresql://a,/d", "postgresql://a,[::1/d"])
def test_hosts_that_cannot_be_are_refused(given: str):
    with pytest.raises(ValueError, match="database_url"):
        Settings(database_url=given)


async def test_a_host_that_is_down_or_silent_holds_nobody_up(
    postgres: Postgres, postgresql_database: str, vanished: int, clock: FixedClock
):
    name = postgresql_database.rpartition("/")[2]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        down = free.getsockname()[1]
    db = Database(url_of(postgres, name, vanished, down, postgres.port), clock=clock, vault=VAULT)
    try:
        began = monotonic()
        for _ in range(3):
            async with db.tx(SYSTEM) as tx:
                assert (await tx.value(sa.select(1))) == 1
            await db.writer.dispose()  # so that the next one connects again: it remembers who answered
        assert monotonic() - began < 15, "a minute, were there one patience for all hosts"
    finally:
        await db.close()


async def test_with_no_host_that_takes_writes_the_hub_says_try_later_and_the_sequencer_waits(
    postgres: Postgres, postgresql_database: str, vanished: int, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
):
    """Between the death of a primary and the promotion of its standby there is no such host."""
    monkeypatch.setattr(office, "RETRY_SECONDS", 0.1)
    name = postgresql_database.rpartition("/")[2]
    await _alter(postgres, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    db = Database(url_of(postgres, name, postgres.port, vanished), clock=clock, vault=VAULT)
    alone = f"{postgresql_database.replace('+asyncpg', '')}?target_session_attrs=read-write"
    troubles: list[HubError] = []
    elected, stop = asyncio.Event(), asyncio.Event()

    class Elected:
        async def run(self, stop: asyncio.Event, **_: object) -> None:
            elected.set()
            await stop.wait()

    standing = [
        asyncio.create_task(
            office.stand(db, Elected, stop=stop, on_trouble=troubles.append, direct_url=where)  # type: ignore[arg-type]
        )
        for where in (alone, None)
    ]
    try:
        with pytest.raises(Unavailable) as refused:
            async with db.tx(SYSTEM):
                pass
        assert refused.value.code == "store.unavailable"
        await asyncio.sleep(1)  # either would have ended by then
        assert len(troubles) >= 2
        assert {one.code for one in troubles} == {"ledger.election"}
        assert not elected.is_set()
        await _alter(postgres, f"ALTER DATABASE {name} SET default_transaction_read_only = off")
        async with asyncio.timeout(10):
            await elected.wait()
        async with db.tx(SYSTEM):
            pass
    finally:
        stop.set()
        await asyncio.gather(*standing)
        await db.close()


async def test_a_server_that_falls_silent_is_given_up_in_seconds(postgres: Postgres, postgresql_database: str):
    """The kernel ends the connection; without this a commit would wait for it for a quarter of an hour."""
    connection = await hosts.connect_to(postgresql_database)
    try:
        inside = connection._transport.get_extra_info("socket")
        with socket.socket(fileno=os.dup(inside.fileno())) as own:
            patience = own.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
        assert patience == hosts.SILENT_SECONDS * 1000
    finally:
        await connection.close()


async def _alter(postgres: Postgres, statement: str) -> None:
    connection = await asyncpg.connect(postgres.url("postgres", "postgresql"))
    try:
        await connection.execute(statement)
    finally:
        await connection.close()

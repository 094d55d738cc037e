"""Who is the sequencer: at most one process, chosen by the database or, on SQLite, by a lock on the file.

The lock only keeps others from trying; what keeps a deposed sequencer from writing is the epoch in the head.
"""

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

import asyncpg
from sqlalchemy.engine import make_url

from hub.errors import HubError, Unavailable
from hub.ledger.sequence import Sequencer, pause
from hub.store.hosts import connect_to
from hub.store.tx import Database

ADVISORY_KEY = 0x59494D454E  # "YIMEN"
RETRY_SECONDS = 2.0
ELECTION_FAULTS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""The last: the server takes no writes just now, because no standby was promoted yet."""


@asynccontextmanager
async def office(url: str) -> AsyncIterator[Callable[[], bool] | None]:
    """Try to hold the sequencer's office of the database at `url` for the length of the block; never waits.

    Gives None when somebody else holds it, else a function that says whether it is still ours. PostgreSQL: a
    session advisory lock, so `url` must reach the server directly and not through transaction pooling.
    SQLite: flock beside the database file (not lockf: closing any descriptor would drop that one silently).
    """
    if make_url(url).get_backend_name() == "postgresql":
        async with _by_advisory_lock(url) as held:
            yield held
    else:
        with _by_file(url) as held:
            yield held


@asynccontextmanager
async def _by_advisory_lock(url: str) -> AsyncIterator[Callable[[], bool] | None]:
    async with asyncio.timeout(10):
        connection = await connect_to(url)
    try:
        got = await connection.fetchval("SELECT pg_try_advisory_lock($1)", ADVISORY_KEY)
        yield (lambda: not connection.is_closed()) if got else None
    finally:
        await connection.close(timeout=5)


@contextmanager
def _by_file(url: str) -> Iterator[Callable[[], bool] | None]:
    database = make_url(url).database
    if not database or database == ":memory:":
        yield lambda: True
        return
    handle = os.open(f"{database}.sequencer", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        yield None
    else:
        yield lambda: True
    finally:
        os.close(handle)


async def stand(
    db: Database,
    make: Callable[[], Sequencer],
    *,
    stop: asyncio.Event,
    on_trouble: Callable[[HubError], None],
    direct_url: str | None = None,
    every: float = 0.5,
) -> None:
    """Stand for the office until `stop`; while elected, run the sequencer that `make` gives.

    Every hub process runs this. `direct_url`: where the database is reached without transaction pooling.
    """
    while not stop.is_set():
        try:
            async with office(direct_url or db.url) as held:
                if held is not None:
                    await make().run(stop, every=every, on_trouble=on_trouble, held=held)
        except (OSError, *ELECTION_FAULTS):
            on_trouble(
                Unavailable(
                    "ledger.election", "暂时无法竞选日志排序。", "The sequencer's lock cannot be reached."
                )
            )
        await pause(stop, RETRY_SECONDS)

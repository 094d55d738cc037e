"""A hub on a real socket, as `hub.main` wires it, for tests that meet it over HTTP."""

import asyncio
import itertools
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import sqlalchemy as sa
import uvicorn
from parts import FixedClock

from hub import main
from hub.actor import SYSTEM, Actor
from hub.certificates import status
from hub.certificates.model import certificates
from hub.config import Settings
from hub.formats.identifiers import credit_check_character
from hub.registry import departments, keys
from hub.registry import model as registry
from hub.store.tx import Database, Tx
from hub.web.deps import Hub

T = TypeVar("T")


@dataclass
class RunningHub:
    """A hub that answers on 127.0.0.1, with the clock that it and the agents of a test share."""

    url: str
    clock: FixedClock
    hub: Hub
    settings: Settings
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(100))

    def in_hub(self, work: Callable[[Tx], Coroutine[Any, Any, T]], actor: Actor = SYSTEM) -> T:
        """Do something at the hub that has no door for agents (add a department, look at rows)."""

        async def go() -> T:
            db = Database(self.settings.database_url, clock=self.clock, vault=self.hub.db.vault)
            try:
                async with db.tx(actor) as tx:
                    return await work(tx)
            finally:
                await db.close()

        return asyncio.run(go())

    def code_for(self, slug: str) -> str:
        """An enrolment code for a department, which is added when it is new."""

        async def work(tx: Tx) -> str:
            known = await tx.value(
                sa.select(registry.departments.c.slug).where(registry.departments.c.slug == slug)
            )
            if known is None:
                body = f"12441900MB{next(self._numbers):07d}"
                await departments.add(
                    tx, slug=slug, uscc=body + credit_check_character(body), name_zh=slug, name_en=slug
                )
            return await keys.make_enrolment_code(
                tx, department=slug, made_by="officer:a", approved_by="officer:b"
            )

        return self.in_hub(work)

    def certificates(self) -> list[sa.Row[Any]]:
        """Every certificate row, oldest first."""

        async def work(tx: Tx) -> list[sa.Row[Any]]:
            return list(await tx.all(sa.select(certificates).order_by(certificates.c.id)))

        return self.in_hub(work)

    def standing(self) -> list[str]:
        """For each current certificate, what the newest signed list says; sorted."""

        async def work(tx: Tx) -> list[str]:
            found = []
            for row in await tx.all(sa.select(certificates)):
                said = await status.standing(tx, uri=row.status_uri, idx=row.status_idx)
                found.append(f"{row.state}/{said[0]}")
            return sorted(found)

        return self.in_hub(work)


@contextmanager
def served(settings: Settings, clock: FixedClock, port: int) -> Iterator[RunningHub]:
    """A whole hub served by uvicorn in a thread. Two of them on one database share nothing else."""
    built = main.build(settings)
    built.db.clock = clock
    hub = replace(built, clock=clock)
    server = uvicorn.Server(uvicorn.Config(main.app(hub), port=port, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.02)
        yield RunningHub(f"http://127.0.0.1:{port}", clock, hub, settings)
    finally:
        server.should_exit = True
        thread.join(20)

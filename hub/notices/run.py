"""A hub process at work on notices: what happened is written down, what is due is sent, until it is told to stop."""

import asyncio
from collections.abc import Callable

import sqlalchemy as sa

from hub.actor import SYSTEM
from hub.errors import HubError, Internal
from hub.ledger.sequence import pause
from hub.notices.deliver import Deliverer
from hub.notices.derive import derive
from hub.notices.happenings import Types
from hub.notices.looks import read_looks
from hub.notices.model import DeliveryState, deliveries
from hub.store.model import outbox
from hub.store.tx import Database, View

EVERY_SECONDS = 1.0


async def keep_telling(
    db: Database,
    *,
    types: Types,
    deliverer: Deliverer,
    stop: asyncio.Event,
    on_trouble: Callable[[HubError], None],
    every: float = EVERY_SECONDS,
) -> None:
    """Every hub process runs this. A database that is away is tried again; trouble is told once for each change."""
    last = ""
    while not stop.is_set():
        busy = 0
        try:
            busy = await tell_once(db, types=types, deliverer=deliverer)
            last = ""
        except Exception as fault:  # a fault of ours in one notice must not end all notices
            trouble = fault if isinstance(fault, HubError) else _failed(fault)
            if trouble.code != last:
                on_trouble(trouble)
            last = trouble.code
        if not busy:
            await pause(stop, every)


def _failed(fault: Exception) -> HubError:
    name = type(fault).__name__
    return Internal("notice.failed", f"通知处理出错：{name}", f"Telling failed: {name}")


async def tell_once(db: Database, *, types: Types, deliverer: Deliverer) -> int:
    """One round; how much there was to do. A round with nothing to do writes nothing."""
    async with db.view(SYSTEM) as view:
        happened, looks, due = await _happened(view), await read_looks(view), await _due(view)
    done = 0
    if happened or looks is not None:
        async with db.tx(SYSTEM) as tx:
            done += await derive(tx, types=types, looks=looks)
        due = True
    if due:
        done += await deliverer.step()
    return done


async def _happened(view: View) -> bool:
    return await view.value(sa.select(outbox.c.seq).limit(1)) is not None


async def _due(view: View) -> bool:
    table = deliveries.c
    found = await view.value(
        sa.select(table.id).where(table.state == DeliveryState.WAITING, table.due_at <= view.now).limit(1)
    )
    return found is not None

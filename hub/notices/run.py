"""A hub process at work on notices: what happened is written down, what is due is sent, until it is told to stop."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

import sqlalchemy as sa

from hub.actor import SYSTEM
from hub.errors import HubError, Internal
from hub.ledger.sequence import pause
from hub.notices.deliver import Deliverer
from hub.notices.derive import Taken, derive
from hub.notices.happenings import Types
from hub.notices.looks import read_looks
from hub.notices.model import DeliveryState, deliveries
from hub.store.model import outbox
from hub.store.statement import Statement
from hub.store.tx import Database

EVERY_SECONDS = 1.0
"""So long a look may stand in the ledger before it is told. Under load many are told in one round then."""
SOON_SECONDS = 0.05
"""So long a round is waited for that follows one with more behind it: whoever is at a door then comes in between."""
BEATEN_SECONDS = 10.0
"""So long a process leaves looks to the one that was faster with them: else both read all, one of them in vain."""

NEWS = Statement(
    lambda _: sa.select(
        sa.exists(sa.select(outbox.c.seq)).label("happened"),
        sa.exists(
            sa.select(deliveries.c.id)
            # Spelt out, so that any plan may use the index of those that wait.
            .where(deliveries.c.state == sa.literal_column(f"'{DeliveryState.WAITING}'"))
            .where(deliveries.c.due_at <= sa.bindparam("now", type_=deliveries.c.due_at.type))
        ).label("due"),
    )
)


@dataclass(frozen=True, slots=True)
class Round:
    """How much there was to do, whether more may be waiting, and whether another process was faster with the looks."""

    done: int
    more: bool
    beaten: bool

    def __bool__(self) -> bool:
        return self.done > 0


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
    last, left_until = "", 0.0
    while not stop.is_set():
        more = False
        try:
            done = await tell_once(db, types=types, deliverer=deliverer, looks=monotonic() >= left_until)
            more, last = done.more, ""
            if done.beaten:
                left_until = monotonic() + BEATEN_SECONDS
        except Exception as fault:  # a fault of ours in one notice must not end all notices
            trouble = fault if isinstance(fault, HubError) else _failed(fault)
            if trouble.code != last:
                on_trouble(trouble)
            last = trouble.code
        await pause(stop, SOON_SECONDS if more else every)


def _failed(fault: Exception) -> HubError:
    name = type(fault).__name__
    return Internal("notice.failed", f"通知处理出错：{name}", f"Telling failed: {name}")


async def tell_once(db: Database, *, types: Types, deliverer: Deliverer, looks: bool = True) -> Round:
    """One round, with or without `looks`. A round with nothing to do writes nothing."""
    async with db.view(SYSTEM) as view:
        (news,) = await view.each(NEWS, [{"now": view.now}])
        read = await read_looks(view) if looks else None
    taken, sent = Taken(), 0
    if news.happened or read is not None:
        async with db.tx(SYSTEM) as tx:
            taken = await derive(tx, types=types, looks=read, happened=news.happened)
    if news.due or taken.deliveries:
        sent = await deliverer.step()
    more = read is not None and read.more and taken.leaves > 0
    beaten = read is not None and not taken.leaves
    return Round(taken.entries + taken.leaves + sent, more or taken.entries > 0 or sent > 0, beaten)

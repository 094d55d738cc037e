"""How the telling stands: what nobody was told of yet, how long messages wait, and what was given up."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

import sqlalchemy as sa

from hub.notices.looks import behind
from hub.notices.model import Channel, DeliveryState, deliveries
from hub.store.model import outbox
from hub.store.tx import View

DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Standing:
    """`untold`: happenings and leaves that were not taken up. `late`: how long the oldest message is overdue. `dead`:
    by channel, what was given up within a day."""

    untold: int
    late: timedelta
    dead: Mapping[str, int]


async def standing(view: View) -> Standing:
    """Read it once; cheap enough for every few seconds."""
    table = deliveries.c
    untold = int(await view.value(sa.select(sa.func.count()).select_from(outbox)) or 0) + await behind(view)
    oldest = await view.value(
        sa.select(table.due_at)
        .where(table.state == DeliveryState.WAITING, table.due_at <= view.now)
        .order_by(table.due_at)
        .limit(1)
    )
    rows = await view.all(
        sa.select(table.channel, sa.func.count().label("many"))
        .where(table.state == DeliveryState.DEAD, table.ended_at > view.now - DAY)
        .group_by(table.channel)
    )
    dead = dict.fromkeys(map(str, Channel), 0) | {row.channel: int(row.many) for row in rows}
    return Standing(untold, view.now - oldest if oldest else timedelta(0), dead)

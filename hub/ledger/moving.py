"""Nothing is disclosed while the ledger stands still (DESIGN section 3, rule 11)."""

from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from hub.errors import Unavailable
from hub.ledger.model import leaves
from hub.store.statement import Statement
from hub.store.tx import View

STALLED_AFTER = timedelta(hours=4)
"""Without sequencing for this long no new disclosure leaves."""
LOOKED_AT_EVERY = timedelta(seconds=1)

OLDEST_PENDING = Statement(
    lambda _: sa.select(leaves.c.created_at).where(leaves.c.idx.is_(None)).order_by(leaves.c.seq).limit(1)
)


class _Moved:
    """When this process last found the ledger moving."""

    at = datetime.min.replace(tzinfo=UTC)


async def require_moving(view: View) -> None:
    """Raises Unavailable `ledger.stalled` when the oldest pending leaf has waited too long; looked at once a second."""
    last = view.memory.of(_Moved)
    if timedelta(0) <= view.now - last.at < LOOKED_AT_EVERY:
        return
    oldest = await view.each(OLDEST_PENDING, [{}])
    if oldest and view.now - oldest[0].created_at > STALLED_AFTER:
        raise Unavailable(
            "ledger.stalled",
            "透明日志已停滞过久，按规定暂停提供新的资料。",
            "The ledger has stood still for too long; no new data is disclosed.",
            next_zh="请联系平台运维人员；已受理的业务可稍后补核。",
            next_en="Tell the hub's operators; what was accepted can be verified later.",
        )
    last.at = view.now

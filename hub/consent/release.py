"""Another officer of the department vouches for one whom a limit holds up; each time, as many more are allowed."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from hub.clock import seconds
from hub.consent.guard import Limit, Place, Then, at, load_guard
from hub.consent.model import guard_counts
from hub.errors import Conflict, Forbidden
from hub.ledger.append import commit_event
from hub.registry.model import may
from hub.store.tx import Tx, View

AT_MOST = 3
"""Releases of one limit in one span; after that it is a stop."""


@dataclass(frozen=True, slots=True)
class Hold:
    """One officer who cannot go on until another one vouches, or the span is over."""

    limit: Limit
    place: Place
    officer: UUID
    number: int
    released: int
    ends_at: datetime


async def holds_of(view: View) -> list[Hold]:
    """The holds of the acting officer's department, their own included."""
    limits = {one.code: one for one in load_guard().limits if one.then is Then.SECOND and one.scope == "officer"}
    count = guard_counts.c
    rows = await view.all(
        sa.select(guard_counts)
        .where(
            count.department == view.actor.department,
            count.code.in_(sorted(limits)),
            count.ends_at > view.now,
            count.alarmed_at.is_not(None),
        )
        .order_by(count.alarmed_at)
    )
    return [
        Hold(
            limits[row.code],
            Place(row.code, row.key, row.span, row.department),
            UUID(row.key.partition(":")[2]),
            row.number,
            row.released,
            row.ends_at,
        )
        for row in rows
        if row.number >= limits[row.code].most * (1 + row.released)
    ]


async def vouch(tx: Tx, *, code: str, key: str, span: str) -> None:
    """Let the officer go on, for as many again. Recorded in the ledger with both officers.

    Raises Forbidden `guard.not_yours` for one's own hold and for another department's, Conflict `guard.no_hold`.
    """
    actor = tx.actor
    asked = Place(code, key, span, actor.department or "")
    hold = next((one for one in await holds_of(tx) if one.place == asked), None)
    if hold is None:
        raise Conflict("guard.no_hold", "没有等待放行的限额。", "There is no hold to release.")
    if hold.officer == actor.officer_id or not may(actor.roles, "counter.verify"):
        raise Forbidden(
            "guard.not_yours", "须由本部门另一名工作人员放行。", "Another officer of the department must vouch."
        )
    row = guard_counts.c
    moved = await tx.run(
        guard_counts.update()
        .where(at(hold.place), row.released == hold.released, row.released < AT_MOST)
        .values(released=row.released + 1)
    )
    if not moved:
        raise Conflict(
            "guard.no_hold", "已经放行过，或放行次数已满。", "It was released already, or too often in this span."
        )
    await commit_event(
        tx,
        kind="guard.released",
        subject_id=None,
        body={
            "event": "guard.released",
            "limit": code,
            "span": span,
            "department": actor.department,
            "officer": str(hold.officer),
            "second": str(actor.officer_id),
            "at": seconds(tx.now),
        },
    )

"""Where a department wants to be called when something it relied on changes."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from hub.errors import Conflict, NotFound, Unprocessable
from hub.ids import public_token, uuid7
from hub.notices.derive import EVENT_LIVES, event_delivery
from hub.notices.egress import Egress
from hub.notices.model import DeliveryState, EndpointState, deliveries, webhook_endpoints
from hub.notices.told import Event
from hub.registry.locks import one_at_a_time
from hub.store.tx import Tx, View

EVENTS = (
    "certificate.superseded",
    "certificate.revoked",
    "certificate.suspended",
    "certificate.reinstated",
    "grant.withdrawn",
    "objection.answered",
)
"""Types that a department may ask for; `webhook.test` comes only when it is asked for."""
TEST = "webhook.test"
MOST = 5
REPLAY = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One address of a department, and how it does: `waiting` and `dead` count its deliveries of seven days."""

    public_id: str
    url: str
    events: tuple[str, ...]
    state: EndpointState
    created_at: datetime
    failing_since: datetime | None
    disabled_at: datetime | None
    fault: str | None
    waiting: int
    dead: int


async def add(tx: Tx, *, department: str, url: str, events: Collection[str], egress: Egress) -> Endpoint:
    """Register an address; the same address and events twice is the same as once.

    Raises Malformed `webhook.url`, Unprocessable `webhook.events`, Conflict `webhook.too_many`.
    """
    egress.require_url(url)
    wanted = [one for one in EVENTS if one in events]
    if not wanted or set(events) - set(EVENTS):
        raise Unprocessable(
            "webhook.events",
            f"事件类型只能是：{'、'.join(EVENTS)}。",
            f"Event types are: {', '.join(EVENTS)}.",
        )
    await one_at_a_time(tx, b"webhooks:" + department.encode())
    held = await of_department(tx, department=department)
    for one in held:
        if one.url == url:
            row = webhook_endpoints.c
            mine = sa.and_(row.public_id == one.public_id, row.department == department)
            await tx.run(webhook_endpoints.update().where(mine).values(events=wanted))
            return await by_public_id(tx, department=department, public_id=one.public_id)
    if len(held) >= MOST:
        raise Conflict("webhook.too_many", f"每个部门最多 {MOST} 个地址。", f"At most {MOST} addresses a department.")
    public_id = public_token()
    await tx.insert(
        webhook_endpoints,
        {
            "id": uuid7(),
            "public_id": public_id,
            "department": department,
            "url": url,
            "events": wanted,
            "state": EndpointState.ACTIVE,
            "created_at": tx.now,
            "failing_since": None,
            "disabled_at": None,
            "fault": None,
        },
    )
    return await by_public_id(tx, department=department, public_id=public_id)


async def of_department(view: View, *, department: str) -> list[Endpoint]:
    """The department's addresses that were not removed, oldest first."""
    row = webhook_endpoints.c
    rows = await view.all(
        sa.select(webhook_endpoints)
        .where(row.department == department, row.state != EndpointState.REMOVED)
        .order_by(row.id)
    )
    return [_endpoint(one, await _counts(view, one.id)) for one in rows]


async def by_public_id(view: View, *, department: str, public_id: str) -> Endpoint:
    """One address of the department; NotFound `webhook.unknown` for another's."""
    for one in await of_department(view, department=department):
        if one.public_id == public_id:
            return one
    raise _unknown()


async def remove(tx: Tx, *, department: str, public_id: str) -> None:
    """Call it no more; what was on its way is dropped."""
    row = await _row(tx, department, public_id)
    await tx.run(
        webhook_endpoints.update().where(webhook_endpoints.c.id == row.id).values(state=EndpointState.REMOVED)
    )
    await tx.run(
        deliveries.update()
        .where(deliveries.c.endpoint_id == row.id, deliveries.c.state == DeliveryState.WAITING)
        .values(state=DeliveryState.DROPPED, ended_at=tx.now, fault="webhook.removed")
    )


async def resume(tx: Tx, *, department: str, public_id: str) -> int:
    """Call a disabled address again, and send anew what it missed in seven days, under the same ids; how much."""
    row = await _row(tx, department, public_id)
    await tx.run(
        webhook_endpoints.update()
        .where(webhook_endpoints.c.id == row.id)
        .values(state=EndpointState.ACTIVE, failing_since=None, disabled_at=None, fault=None)
    )
    return await tx.run(
        deliveries.update()
        .where(
            deliveries.c.endpoint_id == row.id,
            deliveries.c.state == DeliveryState.DEAD,
            deliveries.c.created_at > tx.now - REPLAY,
        )
        .values(
            state=DeliveryState.WAITING, attempts=0, due_at=tx.now, expires_at=tx.now + EVENT_LIVES, ended_at=None
        )
    )


async def send_test(tx: Tx, *, department: str, public_id: str) -> str:
    """Queue one `webhook.test`; its message id."""
    row = await _row(tx, department, public_id)
    if row.state != EndpointState.ACTIVE:
        raise Conflict(
            "webhook.disabled",
            "该地址已停用，请先恢复。",
            "This address is disabled: resume it first.",
        )
    made = event_delivery(tx.now, Event(department, TEST, tx.now, {"endpoint": public_id}), row.id)
    await tx.insert(deliveries, made)
    return str(made["public_id"])


async def newest_deliveries(view: View, *, department: str, public_id: str, limit: int = 50) -> Sequence[Any]:
    """The newest deliveries to one address: what it is told when it asks what failed."""
    row = await _row(view, department, public_id)
    return await view.all(
        sa.select(deliveries)
        .where(deliveries.c.endpoint_id == row.id)
        .order_by(deliveries.c.created_at.desc(), deliveries.c.id.desc())
        .limit(limit)
    )


async def _counts(view: View, endpoint_id: Any) -> dict[str, int]:
    rows = await view.all(
        sa.select(deliveries.c.state, sa.func.count().label("many"))
        .where(deliveries.c.endpoint_id == endpoint_id, deliveries.c.created_at > view.now - REPLAY)
        .group_by(deliveries.c.state)
    )
    return {row.state: int(row.many) for row in rows}


async def _row(view: View, department: str, public_id: str) -> Any:
    row = webhook_endpoints.c
    found = await view.first(
        sa.select(webhook_endpoints).where(
            row.public_id == public_id, row.department == department, row.state != EndpointState.REMOVED
        )
    )
    if found is None:
        raise _unknown()
    return found


def _endpoint(row: Any, counts: dict[str, int]) -> Endpoint:
    return Endpoint(
        row.public_id, row.url, tuple(row.events), EndpointState(row.state), row.created_at, row.failing_since,
        row.disabled_at, row.fault, counts.get(DeliveryState.WAITING, 0), counts.get(DeliveryState.DEAD, 0),
    )  # fmt: skip


def _unknown() -> NotFound:
    return NotFound("webhook.unknown", "没有这个地址，或它属于其他部门。", "There is no such endpoint of yours.")

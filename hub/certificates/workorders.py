"""Work orders: a file that an officer hands in becomes certificates only through the department's own agent.

made -> confirmed (by a second officer) -> fetched (by the agent) -> done, or refused by the second officer.
The hub never signs (DESIGN section 3, rule 15); it keeps the file sealed and gives it to the agent alone.
"""

import csv
import hashlib
import io
import secrets
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from hub.actor import ActorKind
from hub.certificates.model import work_orders
from hub.clock import seconds
from hub.errors import Conflict, Forbidden, Malformed, NotFound, TooLarge
from hub.ids import public_token, uuid7
from hub.ledger.append import append
from hub.registry.model import may
from hub.registry.types import CertificateType
from hub.store.blobs import Blobs
from hub.store.seal import seal, unseal
from hub.store.tx import Tx, View

MAX_BYTES = 8 * 2**20
MAX_ROWS = 10_000
PURPOSE = "work-order"


class OrderState(StrEnum):
    """Where a work order stands."""

    MADE = "made"
    CONFIRMED = "confirmed"
    FETCHED = "fetched"
    DONE = "done"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class WorkOrder:
    """One file on its way to being signed by the department's agent."""

    id: UUID
    public_id: str
    department: str
    type_code: str
    state: OrderState
    rows: int
    blob_key: str
    blob_sha256: bytes
    made_by: UUID
    made_at: datetime
    confirmed_by: UUID | None
    confirmed_at: datetime | None
    fetched_at: datetime | None
    ended_at: datetime | None
    signed: int | None
    quarantined: int | None


@dataclass(frozen=True, slots=True)
class Sheet:
    """What a CSV file holds: its headings and how many rows, no value."""

    headings: tuple[str, ...]
    rows: int


def read_sheet(data: bytes) -> Sheet:
    """The headings and the number of rows of a CSV in UTF-8 or GB 18030.

    Raises TooLarge over 8 MB or 10,000 rows, Malformed `order.file` for anything that is not such a file.
    """
    if len(data) > MAX_BYTES:
        raise TooLarge("order.too_large", "文件太大，最多 8 MB。", "The file is too large: 8 MB at most.")
    reader = csv.reader(io.StringIO(_text(data), newline=""), strict=True)
    try:
        headings = [cell.strip() for cell in next(reader, [])]
        rows = sum(1 for cells in reader if any(cell.strip() for cell in cells))
    except csv.Error as error:
        raise _bad_file() from error
    if not headings or not all(headings) or len(set(headings)) != len(headings) or not rows:
        raise _bad_file()
    if rows > MAX_ROWS:
        raise TooLarge("order.too_many_rows", "最多 10,000 行。", "At most 10,000 rows.")
    return Sheet(tuple(headings), rows)


async def make(tx: Tx, *, data: bytes, kind: CertificateType, blobs: Blobs) -> WorkOrder:
    """Keep a file for signing. Only an issuing officer of a department that may issue this type.

    The file is sealed before it is written; the public leaf says who handed in how much of what, no content.
    """
    department = _officer(tx, "certificates.upload")
    if department not in kind.issuers:
        raise Forbidden(
            "order.foreign_type",
            "本部门不能签发这类证照。",
            "This department may not issue certificates of this type.",
        )
    sheet = read_sheet(data)
    row_id, key = uuid7(), f"orders/{secrets.token_hex(16)}"
    sealed = seal(tx.vault.hub_key(PURPOSE), data, bound_to=row_id.bytes)
    await blobs.put(key, sealed)
    public_id = public_token()
    await tx.insert(
        work_orders,
        {
            "id": row_id,
            "public_id": public_id,
            "department": department,
            "type_code": kind.code,
            "state": OrderState.MADE,
            "rows": sheet.rows,
            "blob_key": key,
            "blob_sha256": hashlib.sha256(sealed).digest(),
            "made_by": tx.actor.officer_id,
            "made_at": tx.now,
        },
    )
    order = await get(tx, public_id)
    await _record(tx, order, "work_order.made")
    return order


async def confirm(tx: Tx, *, public_id: str, agree: bool) -> WorkOrder:
    """A second approver of the same department, never the maker, releases the order to the agent or refuses it."""
    department = _officer(tx, "certificates.approve")
    order = await get(tx, public_id)
    if order.department != department:
        raise _unknown()
    if order.made_by == tx.actor.officer_id:
        raise Forbidden(
            "order.same_officer", "须由另一名工作人员复核。", "Another officer than the maker must confirm."
        )
    values: dict[str, Any] = {"confirmed_by": tx.actor.officer_id, "confirmed_at": tx.now}
    if not agree:
        values["ended_at"] = tx.now
    await _step(tx, order, OrderState.MADE, OrderState.CONFIRMED if agree else OrderState.REFUSED, values)
    await _record(tx, order, "work_order.confirmed" if agree else "work_order.refused")
    return await get(tx, public_id)


async def fetch(tx: Tx, *, public_id: str, blobs: Blobs) -> bytes:
    """Give the file to the department's own agent, once it was confirmed; again while it is not done."""
    order = await _own(tx, public_id)
    if order.state is OrderState.CONFIRMED:
        await _step(tx, order, OrderState.CONFIRMED, OrderState.FETCHED, {"fetched_at": tx.now})
    elif order.state is not OrderState.FETCHED:
        raise _wrong_state()
    sealed = await blobs.get(order.blob_key, sha256=order.blob_sha256)
    return unseal(tx.vault.hub_key(PURPOSE), sealed, bound_to=order.id.bytes)


async def finish(tx: Tx, *, public_id: str, signed: int, quarantined: int) -> WorkOrder:
    """The agent says how many rows it signed and how many it put into quarantine; both are counts only."""
    order = await _own(tx, public_id)
    if signed < 0 or quarantined < 0 or signed + quarantined != order.rows:
        raise Malformed(
            "order.counts", "行数与文件不符。", "The counts do not add up to the rows of the file."
        )
    values = {"signed": signed, "quarantined": quarantined, "ended_at": tx.now}
    await _step(tx, order, OrderState.FETCHED, OrderState.DONE, values)
    return await get(tx, public_id)


async def of_department(view: View, *, limit: int = 50) -> list[WorkOrder]:
    """The acting department's orders, newest first."""
    rows = await view.all(
        sa.select(work_orders)
        .where(work_orders.c.department == view.actor.department)
        .order_by(work_orders.c.id.desc())
        .limit(limit)
    )
    return [_order(row) for row in rows]


async def get(view: View, public_id: str) -> WorkOrder:
    """The order with this public id; NotFound `order.unknown`."""
    row = await view.first(sa.select(work_orders).where(work_orders.c.public_id == public_id))
    if row is None:
        raise _unknown()
    return _order(row)


async def _own(tx: Tx, public_id: str) -> WorkOrder:
    order = await get(tx, public_id)
    if tx.actor.kind is not ActorKind.DEPARTMENT or order.department != tx.actor.department:
        raise _unknown()
    return order


async def _step(
    tx: Tx, order: WorkOrder, before: OrderState, after: OrderState, values: dict[str, Any]
) -> None:
    moved = await tx.run(
        work_orders.update()
        .where(work_orders.c.id == order.id, work_orders.c.state == before)
        .values(state=after, **values)
    )
    if not moved:
        raise _wrong_state()


async def _record(tx: Tx, order: WorkOrder, event: str) -> None:
    await append(
        tx,
        kind=event,
        event={
            "v": 1,
            "event": event,
            "order": order.public_id,
            "department": order.department,
            "type": order.type_code,
            "rows": order.rows,
            "officer": str(tx.actor.officer_id),
            "at": seconds(tx.now),
        },
    )


def _officer(tx: Tx, act: str) -> str:
    if tx.actor.officer_id is None or tx.actor.department is None or not may(tx.actor.roles, act):
        raise Forbidden(
            "order.not_yours", "您的角色不能办理工单。", "Your roles do not allow this with work orders."
        )
    return tx.actor.department


def _text(data: bytes) -> str:
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise _bad_file()


def _order(row: Any) -> WorkOrder:
    values = {name: getattr(row, name) for name in WorkOrder.__dataclass_fields__}
    return WorkOrder(**{**values, "state": OrderState(row.state)})


def _bad_file() -> Malformed:
    return Malformed(
        "order.file",
        "文件须为 CSV：首行是列名，列名不能空也不能重复，至少有一行数据。",
        "The file must be CSV: headings in the first line, none empty, none twice, and at least one row.",
        next_zh="请用 UTF-8 或 GB 18030 保存后重试。",
        next_en="Save it as UTF-8 or GB 18030 and try again.",
    )


def _wrong_state() -> Conflict:
    return Conflict("order.state", "工单的状态已经改变。", "The work order is in another state by now.")


def _unknown() -> NotFound:
    return NotFound(
        "order.unknown", "没有这张工单，或者它不是本部门的。", "There is no such work order of yours."
    )

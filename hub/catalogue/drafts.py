"""Changing the catalogue takes two officers: one drafts, another reviews, then it is published. Only the owner changes.

An item belongs to the department that handles it, a waiver to the office that issues the paper it spares. An
administrator may act for departments that have no officers here yet; the two people still differ.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from hub.catalogue.items import ServiceItem, parse
from hub.catalogue.materials import register
from hub.catalogue.model import DraftState, WaiverState, catalogue_drafts, service_items
from hub.catalogue.publish import publish_items
from hub.catalogue.waivers import move
from hub.errors import Conflict, Forbidden, NotFound, Unprocessable
from hub.ids import public_token, uuid7
from hub.registry.model import may
from hub.store.tx import Tx, View

ITEM, WAIVER = "item", "waiver"


@dataclass(frozen=True, slots=True)
class Draft:
    """One change on its way, with who made and who reviewed it."""

    id: UUID
    public_id: str
    kind: str
    code: str
    version: int | None
    department: str
    document: Mapping[str, Any]
    state: DraftState
    made_by: UUID
    made_at: datetime
    reviewed_by: UUID | None
    reviewed_at: datetime | None
    ended_by: UUID | None
    ended_at: datetime | None


async def draft_item(tx: Tx, *, document: dict[str, Any]) -> Draft:
    """Draft a new version of an item; it must be a whole, valid document and newer than what is published.

    Raises Unprocessable `item.invalid`, Conflict `item.version_changed`, Forbidden `catalogue.not_owner`.
    """
    try:
        item = parse(document)
    except (KeyError, TypeError, ValueError) as fault:
        raise Unprocessable(
            "item.invalid", "事项内容不成立。", f"this cannot be a service item: {fault}"
        ) from fault
    newest = await tx.value(
        sa.select(sa.func.max(service_items.c.version)).where(service_items.c.code == item.code)
    )
    if newest is not None and item.version <= newest:
        raise Conflict(
            "item.version_old",
            f"事项 {item.code} 已公布到第 {newest} 版，请用更高的版本号。",
            f"Item {item.code} is published up to version {newest}: use a higher one.",
        )
    return await _draft(tx, ITEM, item.code, item.version, item.department, document)


async def draft_waiver(
    tx: Tx,
    *,
    material: str,
    state: WaiverState,
    reason: str,
    check_days: int | None = None,
    item: ServiceItem | None = None,
) -> Draft:
    """Draft the next state of a material's waiver, for all items or for one.

    For all items its owner is the office that issues the paper, for one item the department that handles the item.
    Raises NotFound `waiver.unknown`, Forbidden `catalogue.not_owner`.
    """
    entry = register().get(material)
    needed = item is None or any(one.code == material for one in item.materials)
    if entry is None or entry.waiver is None or not needed or not 1 <= len(reason) <= 200:
        raise NotFound("waiver.unknown", "这项材料没有免提交安排。", "There is no waiver for this material.")
    document = {"material": material, "state": str(state), "reason": reason, "check_days": check_days}
    if item is not None:
        document["item"] = item.code
    owner = item.department if item is not None else entry.department
    return await _draft(tx, WAIVER, material, None, owner, document)


async def review(tx: Tx, *, public_id: str) -> Draft:
    """Another officer of the owner confirms the draft. Raises Forbidden `catalogue.same_officer`."""
    found = await one(tx, public_id)
    officer = _acting(tx, "catalogue.review", found.department)
    if officer == found.made_by:
        raise Forbidden(
            "catalogue.same_officer",
            "起草人不能复核自己的草稿。",
            "Whoever drafted it cannot review it.",
            next_zh="请由本部门另一名工作人员复核。",
            next_en="Let another officer of the department review it.",
        )
    await _step(
        tx, found, DraftState.DRAFT, state=DraftState.REVIEWED, reviewed_by=officer, reviewed_at=tx.now
    )
    return await one(tx, public_id)


async def refuse(tx: Tx, *, public_id: str) -> Draft:
    """A reviewer sends the draft back for good; a better one is a new draft."""
    found = await one(tx, public_id)
    officer = _acting(tx, "catalogue.review", found.department)
    await _step(tx, found, found.state, state=DraftState.REFUSED, ended_by=officer, ended_at=tx.now)
    return await one(tx, public_id)


async def publish(tx: Tx, *, public_id: str) -> Draft:
    """Put a reviewed draft in force, with its public leaf, in one commit. Either of the two officers may do it."""
    found = await one(tx, public_id)
    act = "catalogue.review" if may(tx.actor.roles, "catalogue.review") else "catalogue.draft"
    officer = _acting(tx, act, found.department)
    if found.reviewed_by is None or found.reviewed_by == found.made_by:
        raise _not_so(found)
    await _step(tx, found, DraftState.REVIEWED, state=DraftState.PUBLISHED, ended_by=officer, ended_at=tx.now)
    if found.kind == ITEM:
        await publish_items(tx, [parse(dict(found.document))])
    else:
        await move(
            tx,
            material=found.code,
            state=WaiverState(found.document["state"]),
            check_days=found.document["check_days"],
            reason=found.document["reason"],
            made_by=found.made_by,
            confirmed_by=found.reviewed_by,
            item=str(found.document.get("item", "")),
        )
    return await one(tx, public_id)


async def one(view: View, public_id: str) -> Draft:
    """A draft by its public id; NotFound `catalogue.draft_unknown`."""
    row = await view.first(sa.select(catalogue_drafts).where(catalogue_drafts.c.public_id == public_id))
    if row is None:
        raise NotFound("catalogue.draft_unknown", "没有这份草稿。", "There is no such draft.")
    return _from_row(row)


async def of_department(view: View, *, department: str | None, limit: int = 50) -> list[Draft]:
    """The newest drafts of one owner (None: of all), open ones first."""
    table = catalogue_drafts.c
    query = sa.select(catalogue_drafts).order_by(table.ended_at.is_not(None), table.id.desc()).limit(limit)
    if department is not None:
        query = query.where(table.department == department)
    return [_from_row(row) for row in await view.all(query)]


async def history(view: View, *, code: str) -> list[tuple[ServiceItem, datetime]]:
    """Every published version of an item with the moment of its publication, oldest first."""
    table = service_items.c
    rows = await view.all(
        sa.select(table.document, table.published_at).where(table.code == code).order_by(table.version)
    )
    return [(parse(row.document), row.published_at) for row in rows]


async def _draft(
    tx: Tx, kind: str, code: str, version: int | None, department: str, document: dict[str, Any]
) -> Draft:
    officer = _acting(tx, "catalogue.draft", department)
    public_id = public_token()
    await tx.insert(
        catalogue_drafts,
        {
            "id": uuid7(), "public_id": public_id, "kind": kind, "code": code, "version": version,
            "department": department, "document": document, "state": DraftState.DRAFT,
            "made_by": officer, "made_at": tx.now,
        },
    )  # fmt: skip
    return await one(tx, public_id)


async def _step(tx: Tx, draft: Draft, expected: DraftState, **values: Any) -> None:
    """Move the draft on; it must still be as expected, and not ended."""
    table = catalogue_drafts.c
    won = await tx.run(
        catalogue_drafts.update()
        .where(table.id == draft.id, table.state == expected, table.ended_at.is_(None))
        .values(**values)
    )
    if not won:
        raise _not_so(draft)


def _acting(tx: Tx, act: str, department: str) -> UUID:
    """The officer who acts, when they may do `act` for this owner."""
    actor = tx.actor
    everywhere = may(actor.roles, "registry.administer")
    if (
        actor.officer_id is None
        or not may(actor.roles, act)
        or (actor.department != department and not everywhere)
    ):
        raise Forbidden(
            "catalogue.not_owner",
            "只有负责部门的起草、复核人员可以修改。",
            "Only the officers who draft and review for the owner department may change this.",
        )
    return actor.officer_id


def _not_so(draft: Draft) -> Conflict:
    return Conflict(
        "catalogue.draft_state",
        f"这份草稿现在是 {draft.state}，不能这样处理。",
        f"This draft is {draft.state}; that cannot be done with it now.",
    )


def _from_row(row: Any) -> Draft:
    return Draft(
        row.id, row.public_id, row.kind, row.code, row.version, row.department, row.document,
        DraftState(row.state), row.made_by, row.made_at, row.reviewed_by, row.reviewed_at, row.ended_by, row.ended_at,
    )  # fmt: skip

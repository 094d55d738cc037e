"""Changing the catalogue on pages: an officer drafts a version or a waiver's next state, another reviews it.

The rules are `hub.catalogue.drafts`; here an officer sees the drafts of their own department only, each with what it
would change.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from starlette.responses import RedirectResponse, Response

from hub.catalogue import drafts
from hub.catalogue.catalogue import listed
from hub.catalogue.drafts import Draft
from hub.catalogue.items import ServiceItem
from hub.catalogue.materials import Entry, register
from hub.catalogue.model import WaiverState
from hub.catalogue.waivers import standing
from hub.errors import HubError, Malformed, NotFound
from hub.formats import jws
from hub.registry.model import may
from hub.store.tx import Tx
from hub.web.pages import planwords
from hub.web.pages.render import render
from hub.web.pages.visit import Form, Visit, officer, posted, text
from hub.web.wallet import office_names

router = APIRouter(prefix="/catalogue", include_in_schema=False)

drafting = officer("catalogue.draft", "catalogue.review")
DOCUMENT_BYTES = 512 * 1024
SHOWN = 60
DECISIONS = {"review": drafts.review, "publish": drafts.publish, "refuse": drafts.refuse}


@router.get("")
async def page(visit: Annotated[Visit, Depends(drafting)]) -> Response:
    """The department's drafts, its items and its waivers."""
    return await _page(visit, [], {})


@router.post("/items")
async def new_item(visit: Annotated[Visit, Depends(drafting)]) -> Response:
    """Draft a version of an item: a whole document (JSON), as `/v1/items/{code}` gives it, with a higher version."""
    form = await posted(visit, max_bytes=DOCUMENT_BYTES)
    said = text(form, "document", limit=DOCUMENT_BYTES)
    try:
        document = jws.loads(said, max_bytes=DOCUMENT_BYTES)
        if not isinstance(document, dict):
            raise Malformed("item.invalid", "这不是一个事项文件。", "This is no item document.")
        async with visit.hub.tx(visit.actor) as tx:
            await drafts.draft_item(tx, document=document)
    except HubError as fault:
        if fault.kind == "forbidden":
            raise
        return await _page(visit, [("document", fault.zh, fault.en)], {"document": said})
    return RedirectResponse("/catalogue#drafts", status_code=303)


@router.post("/waivers")
async def new_waiver(visit: Annotated[Visit, Depends(drafting)]) -> Response:
    """Draft the next state of a waiver, for all items or for one of the department's own."""
    form = await posted(visit)
    state, days, code = text(form, "state"), text(form, "check_days", limit=3), text(form, "item")
    if state not in set(WaiverState):
        raise Malformed("form.field_invalid", "请选择新的状态。", "Choose the new state.")
    if code and code not in visit.hub.items:
        raise NotFound("item.unknown", "没有这个事项。", "There is no such service item.")
    try:
        async with visit.hub.tx(visit.actor) as tx:
            await drafts.draft_waiver(
                tx, material=text(form, "material"), state=WaiverState(state), reason=text(form, "reason", limit=200),
                check_days=int(days) if days.isdecimal() else None,
                item=visit.hub.items[code] if code else None,
            )  # fmt: skip
    except HubError as fault:
        if fault.kind == "forbidden":
            raise
        return await _page(visit, [("material", fault.zh, fault.en)], _given(form))
    return RedirectResponse("/catalogue#drafts", status_code=303)


@router.post("/{public_id}")
async def decide(public_id: str, visit: Annotated[Visit, Depends(drafting)]) -> Response:
    """Review, publish or refuse a draft of the department; another's is not found."""
    form = await posted(visit, fresh=True)
    act = DECISIONS.get(text(form, "decision"))
    if act is None:
        raise Malformed("form.field_invalid", "请选择复核、公布或退回。", "Choose review, publish or refuse.")
    async with visit.hub.tx(visit.actor) as tx:
        await _mine(tx, public_id)
        await act(tx, public_id=public_id)
    return RedirectResponse("/catalogue#drafts", status_code=303)


async def _mine(tx: Tx, public_id: str) -> Draft:
    found = await drafts.one(tx, public_id)
    if found.department != tx.actor.department and not may(tx.actor.roles, "registry.administer"):
        raise NotFound("catalogue.draft_unknown", "没有这份草稿。", "There is no such draft.")
    return found


async def _page(
    visit: Visit, errors: Sequence[tuple[str, str, str]], given: Mapping[str, str]
) -> Response:
    hub, actor = visit.hub, visit.actor
    everywhere = may(actor.roles, "registry.administer")
    async with hub.view(actor) as view:
        found = await drafts.of_department(view, department=None if everywhere else actor.department)
        city, offices = await standing(view), await office_names(view)
    wanted = visit.request.query_params.get("q", "")
    mine = [one for one in listed(hub.items) if everywhere or one.department == actor.department]
    papers: list[Entry] = [
        one for one in register().values() if one.waiver and (everywhere or one.department == actor.department)
    ]
    chosen = hub.items.get(visit.request.query_params.get("item", ""))
    return render(
        visit, "catalogue.html", status=422 if errors else 200, errors=list(errors), given=dict(given), drafts=found,
        items=[one for one in mine if not wanted or wanted in one.zh or wanted in one.code][:SHOWN],
        papers=papers, city=city, offices=offices, query=wanted, states=list(WaiverState),
        document=given.get("document") or _document(chosen), words_of=planwords.WAIVERS,
        changes={one.public_id: _changes(hub.items.get(one.code), one) for one in found}, me=actor.officer_id,
        may_draft=may(actor.roles, "catalogue.draft"), may_review=may(actor.roles, "catalogue.review"),
    )  # fmt: skip


def _document(item: ServiceItem | None) -> str:
    """An item's document with the next version number, to begin from; empty when none was chosen."""
    if item is None:
        return ""
    document: dict[str, Any] = dict(item.document) | {"version": item.version + 1}
    return json.dumps(document, ensure_ascii=False, indent=1)


def _changes(item: ServiceItem | None, draft: Draft) -> list[str]:
    """What a draft would change: the members of an item that differ, or the waiver's new state."""
    if draft.kind == drafts.WAIVER:
        one = draft.document
        place = f" @ {one['item']}" if one.get("item") else ""
        return [f"{one['material']}{place} → {one['state']}: {one['reason']}"]
    now: Mapping[str, Any] = item.document if item is not None else {}
    return sorted(name for name in {*now, *draft.document} if now.get(name) != draft.document.get(name))


def _given(form: Form) -> dict[str, str]:
    return {name: text(form, name, limit=512) for name in ("material", "state", "reason", "check_days", "item")}

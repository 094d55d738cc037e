"""Disputed guardians: the other guardian raises it, an officer who handles complaints settles it."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends
from starlette.responses import RedirectResponse, Response

from hub.consent import dispute
from hub.errors import Malformed, NotFound
from hub.web.entrust import name_of
from hub.web.pages.render import render
from hub.web.pages.visit import Visit, citizen, officer, posted, text

router = APIRouter(include_in_schema=False)

handling = officer(dispute.HANDLES)


@router.post("/grants/{public_id}/dispute")
async def raise_one(public_id: str, visit: Annotated[Visit, Depends(citizen)]) -> Response:
    """Dispute whoever gave this consent for the child; everything they gave for the child freezes."""
    await posted(visit)
    async with visit.hub.tx(visit.actor) as tx:
        await dispute.raise_dispute(tx, grant=public_id)
    return RedirectResponse("/accesses", status_code=303)


@router.get("/disputes")
async def disputes_page(visit: Annotated[Visit, Depends(handling)]) -> Response:
    """Every guardian who is frozen now, with masked names."""
    async with visit.hub.view(visit.actor) as view:
        found = [
            (one, await name_of(view, one.child), await name_of(view, one.guardian))
            for one in await dispute.open_disputes(view)
        ]
    return render(visit, "disputes.html", found=found)


@router.post("/disputes")
async def settle(visit: Annotated[Visit, Depends(handling)]) -> Response:
    """Settle one: the guardian may decide again, or what they gave has ended."""
    form = await posted(visit, fresh=True)
    decision = text(form, "decision")
    if decision not in ("uphold", "stop"):
        raise Malformed("form.field_invalid", "没有选择处理结果。", "No outcome was chosen.")
    async with visit.hub.tx(visit.actor) as tx:
        child, guardian = _id(text(form, "child")), _id(text(form, "guardian"))
        await dispute.settle(tx, child=child, guardian=guardian, uphold=decision == "uphold")
    return RedirectResponse("/disputes?done=1", status_code=303)


def _id(value: str) -> UUID:
    try:
        return UUID(value)
    except ValueError as fault:
        raise NotFound("page.unknown", "没有这个页面。", "There is no such page.") from fault

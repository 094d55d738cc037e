"""What a clerk does with a case at the counter: judge uploads, compare originals, accept it for all departments."""

from datetime import date
from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.responses import RedirectResponse, Response

from hub.cases import uploads
from hub.cases.accept import accept
from hub.cases.asseen import as_seen
from hub.cases.model import MaterialState
from hub.cases.procedure import procedure_of
from hub.cases.scope import in_scope
from hub.errors import Malformed
from hub.web.pages.visit import Visit, officer, posted, text

router = APIRouter(prefix="/counter/cases", include_in_schema=False)

clerk = officer("counter.verify")
MEDIA = {"pdf": ("application/pdf", "pdf"), "image": ("application/octet-stream", "bin")}


@router.post("/{public_id}/accept")
async def accept_page(public_id: str, visit: Annotated[Visit, Depends(clerk)]) -> Response:
    """Accept; a missing material needs the day by which it follows (field `by.<material>`)."""
    form = await posted(visit)
    async with visit.hub.tx(visit.actor) as tx:
        case, scope = await in_scope(tx, public_id)
        item = visit.hub.items[case.item_code]
        seen = await as_seen(tx, case=case, item=item, scheme=visit.hub.schemes.get(item.scheme or ""))
        promised = {
            one.code: _day(text(form, f"by.{one.code}"))
            for one in seen.review.materials
            if one.blocks and text(form, f"by.{one.code}")
        }
        await accept(
            tx, case=case, scope=scope, procedure=procedure_of(item), review=seen.review, lacking=promised
        )
    return RedirectResponse(f"/counter/cases/{public_id}#steps", status_code=303)


@router.get("/{public_id}/materials/{material_id}/file")
async def file_page(public_id: str, material_id: str, visit: Annotated[Visit, Depends(clerk)]) -> Response:
    """An upload as it was sent, to be saved and never shown by the browser itself."""
    async with visit.hub.view(visit.actor) as view:
        case, _ = await in_scope(view, public_id)
        found = await uploads.of_case(view, case, visit.hub.items[case.item_code], material_id)
        data = await uploads.content(view, visit.hub.blobs, found)
    media, ending = MEDIA[found.kind]
    headers = {
        "Content-Disposition": f'attachment; filename="{found.code}.{ending}"',
        "Cache-Control": "no-store",
    }
    return Response(data, media_type=media, headers=headers)


@router.post("/{public_id}/materials/{material_id}")
async def judge_page(public_id: str, material_id: str, visit: Annotated[Visit, Depends(clerk)]) -> Response:
    """Accept, ask to mend, or refuse an upload, with a reason; or say that the original was compared."""
    form = await posted(visit)
    decision = text(form, "decision")
    async with visit.hub.tx(visit.actor) as tx:
        case, scope = await in_scope(tx, public_id)
        if decision == "compare":
            await uploads.compare(tx, case=case, scope=scope, public_id=material_id)
        elif decision in (MaterialState.ACCEPTED, MaterialState.MEND, MaterialState.REFUSED):
            note = text(form, "note", limit=1000)
            await uploads.review(
                tx, case=case, item=visit.hub.items[case.item_code], scope=scope, public_id=material_id,
                state=MaterialState(decision), reason_code=decision, note=note,
            )  # fmt: skip
        else:
            raise Malformed("form.field_invalid", "请选择一个结论。", "Choose a conclusion.")
    return RedirectResponse(f"/counter/cases/{public_id}#materials", status_code=303)


def _day(value: str) -> date:
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise Malformed("form.field_invalid", "日期的格式不对。", "That is not a date.") from None

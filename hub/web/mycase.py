"""What a citizen does with a case of theirs: have everything gathered, upload what nobody holds, mend, withdraw."""

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.responses import RedirectResponse, Response

from hub.cases import promises, steps, uploads
from hub.cases.gather import ask, asked_for, gather, standing
from hub.cases.open import readable
from hub.cases.party import on_behalf
from hub.catalogue.waivers import standing as waivers_now
from hub.consent.model import Basis, RequestState
from hub.errors import Malformed
from hub.web.pages.visit import Visit, citizen, posted, text
from hub.web.pulling import pull_for_case

router = APIRouter(prefix="/cases", include_in_schema=False)

UPLOAD_BYTES = uploads.MAX_UPLOAD + 64 * 1024
"""A file and the form around it."""


@router.post("/{public_id}/gather")
async def gather_page(public_id: str, visit: Annotated[Visit, Depends(citizen)]) -> Response:
    """With a consent that stands, gather; without one, ask for it once and lead to the page where it is given."""
    await posted(visit)
    hub = visit.hub
    pulled = await pull_for_case(hub, visit.actor, public_id)
    async with hub.tx(visit.actor) as plain:
        tx = await on_behalf(plain, public_id=public_id)
        case = await readable(tx, public_id)
        asked = await asked_for(tx, case=case)
        if standing(asked):
            issuer = hub.settings.public_url
            await gather(tx, case=case, items=hub.items, types=hub.types, issuer=issuer, pulled=pulled)
            return RedirectResponse(f"/cases/{public_id}#review", status_code=303)
        waiting = next((one for one in asked if one.state is RequestState.PENDING and not one.expired), None)
        if waiting is None:
            item, by = hub.items[case.item_code], Basis.HOLDER
            if case.applicant != visit.subject_id:  # a company decides through whoever acts for it
                by = Basis.LEGAL_REPRESENTATIVE
            await ask(tx, case=case, item=item, approver=visit.subject_id, by=by)
            waiting = (await asked_for(tx, case=case))[0]
    return RedirectResponse(f"/requests/{waiting.public_id}", status_code=303)


@router.post("/{public_id}/materials")
async def upload_page(public_id: str, visit: Annotated[Visit, Depends(citizen)]) -> Response:
    """Upload a material: read by the limited child process first, then kept sealed."""
    form = await posted(visit, max_bytes=UPLOAD_BYTES)
    async with visit.hub.view(visit.actor) as view:
        case = await readable(await on_behalf(view, public_id=public_id), public_id)
    file = await uploads.judge(form.files.get("file", b""))
    async with visit.hub.tx(visit.actor) as plain:
        tx = await on_behalf(plain, public_id=public_id)
        item = visit.hub.items[case.item_code]
        await uploads.upload(tx, visit.hub.blobs, case=case, item=item, code=text(form, "material"), file=file)
    return RedirectResponse(f"/cases/{public_id}#review", status_code=303)


@router.post("/{public_id}/promises")
async def promise_page(public_id: str, visit: Annotated[Visit, Depends(citizen)]) -> Response:
    """Promise in writing what a paper would prove (告知承诺); the box says that the words were read."""
    form = await posted(visit)
    if text(form, "read") != "1":
        raise Malformed("form.field_invalid", "请先阅读并勾选。", "Read it and tick the box first.")
    async with visit.hub.tx(visit.actor) as plain:
        tx = await on_behalf(plain, public_id=public_id)
        case = await readable(tx, public_id)
        await promises.promise(
            tx, case=case, item=visit.hub.items[case.item_code], city=await waivers_now(tx),
            material=text(form, "material"),
        )  # fmt: skip
    return RedirectResponse(f"/cases/{public_id}#review", status_code=303)


@router.post("/{public_id}/steps/{code}/resume")
async def resume_page(public_id: str, code: str, visit: Annotated[Visit, Depends(citizen)]) -> Response:
    """The applicant says that it is mended: the department's clock runs again."""
    await posted(visit)
    async with visit.hub.tx(visit.actor) as plain:
        tx = await on_behalf(plain, public_id=public_id)
        await steps.resume(tx, case=await readable(tx, public_id), code=code)
    return RedirectResponse(f"/cases/{public_id}#steps", status_code=303)


@router.post("/{public_id}/withdraw")
async def withdraw_page(public_id: str, visit: Annotated[Visit, Depends(citizen)]) -> Response:
    """Take the application back, as long as there is no final state."""
    await posted(visit)
    async with visit.hub.tx(visit.actor) as plain:
        tx = await on_behalf(plain, public_id=public_id)
        await steps.withdraw(tx, case=await readable(tx, public_id))
    return RedirectResponse(f"/cases/{public_id}", status_code=303)

"""Objections and complaints: filed from a certificate or a look, answered from the queue of that department."""

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.responses import RedirectResponse, Response

from hub.clock import civil_day
from hub.errors import Malformed
from hub.oversight import objections, reliance
from hub.oversight.model import ObjectionState
from hub.web.pages.render import render
from hub.web.pages.visit import Visit, citizen, officer, posted, text
from hub.web.wallet import children, office_names

router = APIRouter(include_in_schema=False)

handler = officer("complaints.handle")


@router.get("/objections")
async def mine_page(visit: Annotated[Visit, Depends(citizen)]) -> Response:
    """What the person filed, for themselves and their children, with the answers."""
    async with visit.hub.view(visit.actor) as view:
        people = [visit.subject_id, *(child.subject_id for child in await children(view, visit))]
        found = [one for person in people for one in await objections.of_subject(view, subject_id=person)]
        offices = await office_names(view)
    found.sort(key=lambda one: one.filed_at, reverse=True)
    return render(visit, "objections.html", found=found, offices=offices, types=visit.hub.types)


@router.post("/wallet/{public_id}/object")
async def object_page(public_id: str, visit: Annotated[Visit, Depends(citizen)]) -> Response:
    """Say that a certificate is wrong: it goes into its issuer's queue."""
    form = await posted(visit)
    async with visit.hub.tx(visit.actor) as tx:
        await objections.object_to_certificate(tx, certificate=public_id, words=text(form, "words"))
    return RedirectResponse("/objections", status_code=303)


@router.post("/accesses/{public_id}/complain")
async def complain_page(public_id: str, visit: Annotated[Visit, Depends(citizen)]) -> Response:
    """Complain of a look at oneself (or, with `of`, at a child by number): the department that looked answers."""
    form = await posted(visit)
    async with visit.hub.tx(visit.actor) as tx:
        family = {str(child.number): child.subject_id for child in await children(tx, visit)}
        subject = family.get(text(form, "of"), visit.subject_id)
        await objections.complain_of_access(tx, subject_id=subject, access=public_id, words=text(form, "words"))
    return RedirectResponse("/objections", status_code=303)


@router.get("/complaints")
async def queue_page(visit: Annotated[Visit, Depends(handler)]) -> Response:
    """The department's queue with last days, and what it was told of certificates that it had relied on."""
    department = visit.actor.department or ""
    async with visit.hub.view(visit.actor) as view:
        found = await objections.queue_of(view, department=department)
        told = await reliance.notices_of(view, department=department)
        today = civil_day(view.now)
    return render(visit, "complaints.html", found=found, told=told, types=visit.hub.types, today=today)


@router.post("/complaints/{public_id}")
async def answer_page(public_id: str, visit: Annotated[Visit, Depends(handler)]) -> Response:
    """Answer: superseded or revoked only when it is so already."""
    form = await posted(visit)
    outcome = text(form, "outcome")
    if outcome not in set(ObjectionState) - {ObjectionState.OPEN}:
        raise Malformed("form.field_invalid", "请选择处理结果。", "Choose how it ends.")
    async with visit.hub.tx(visit.actor) as tx:
        await objections.answer(
            tx, public_id=public_id, outcome=ObjectionState(outcome), words=text(form, "words")
        )
    return RedirectResponse("/complaints", status_code=303)

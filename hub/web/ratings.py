"""Rating what was done, and replying to low ratings: forms that work without scripts."""

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.responses import RedirectResponse, Response

from hub.cases.model import StepState
from hub.cases.open import readable
from hub.cases.party import on_behalf
from hub.cases.steps import steps_of
from hub.oversight import ratings
from hub.web.pages.render import render
from hub.web.pages.visit import Visit, citizen, officer, posted, text
from hub.web.wallet import office_names

router = APIRouter(include_in_schema=False)

handling = officer("complaints.handle")


@router.get("/cases/{public_id}/rate")
async def rate_page(public_id: str, visit: Annotated[Visit, Depends(citizen)]) -> Response:
    """Every finished step of one's own case, with its rating or a form for it."""
    async with visit.hub.view(visit.actor) as plain:
        view = await on_behalf(plain, public_id=public_id)
        case = await readable(view, public_id)
        given = await ratings.of_case(view, case=case)
        done = [step for step in await steps_of(view, case=case) if step.state is StepState.DECIDED]
        offices = await office_names(view)
    return render(
        visit,
        "rate.html",
        case=case,
        given=given,
        done=done,
        offices=offices,
        item=visit.hub.items.get(case.item_code),
    )


@router.post("/cases/{public_id}/rate")
async def rate_post(public_id: str, visit: Annotated[Visit, Depends(citizen)]) -> Response:
    """Rate one step."""
    form = await posted(visit)
    score = text(form, "score", limit=2)
    async with visit.hub.tx(visit.actor) as plain:
        tx = await on_behalf(plain, public_id=public_id)
        case = await readable(tx, public_id)
        await ratings.rate(
            tx, case=case, step=text(form, "step", limit=48), score=int(score) if score.isdecimal() else 0,
            words=text(form, "words"),
        )  # fmt: skip
    return RedirectResponse(f"/cases/{public_id}/rate", status_code=303)


@router.get("/replies")
async def replies_page(visit: Annotated[Visit, Depends(handling)]) -> Response:
    """The low ratings that the department owes a reply."""
    async with visit.hub.view(visit.actor) as view:
        waiting = await ratings.queue_of(view)
    return render(visit, "replies.html", waiting=waiting)


@router.post("/replies/{public_id}")
async def reply_post(public_id: str, visit: Annotated[Visit, Depends(handling)]) -> Response:
    """Answer one."""
    form = await posted(visit)
    async with visit.hub.tx(visit.actor) as tx:
        await ratings.reply(tx, public_id=public_id, words=text(form, "words"))
    return RedirectResponse("/replies", status_code=303)

"""The desk of deciders: what waits for their department, and each case as far as it is theirs."""

from decimal import Decimal
from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.responses import RedirectResponse, Response

from hub.cases.notice import all_rankings
from hub.cases.open import readable
from hub.cases.publish import scheme_at
from hub.cases.review import answer_review, reviews_of, waiting_reviews
from hub.cases.score import CaseScore, again, by_id, latest
from hub.errors import HubError
from hub.web.pages.render import render
from hub.web.pages.visit import Visit, officer, posted, text
from hub.web.wallet import office_names

router = APIRouter(prefix="/desk", include_in_schema=False)

decider = officer("cases.decide")


@router.get("")
async def desk_page(visit: Annotated[Visit, Depends(decider)]) -> Response:
    """What waits, with its last day, and the department's rankings."""
    department = visit.actor.department or ""
    async with visit.hub.view(visit.actor) as view:
        reviews = await waiting_reviews(view, department=department)
        rankings = await all_rankings(view, department=department)
    items = [one for one in visit.hub.items.values() if one.department == department and one.scheme]
    return render(
        visit, "desk.html", reviews=reviews, rankings=rankings, all_items=visit.hub.items, ranked_items=items
    )


@router.get("/cases/{public_id}")
async def case_page(public_id: str, visit: Annotated[Visit, Depends(decider)]) -> Response:
    """A case of this department: its score, its reviews, and whether computing again gives the same."""
    async with visit.hub.view(visit.actor) as view:
        case = await readable(view, public_id)
        score = await latest(view, case=case)
        reviews = await reviews_of(view, case=case)
        checked: dict[str, tuple[CaseScore, Decimal | None]] = {}
        for one in reviews:
            kept = await by_id(view, case=case, score_id=one.score_id)
            try:
                scheme = await scheme_at(view, code=kept.scheme, version=kept.scheme_version)
                checked[one.public_id] = (kept, again(kept, scheme).total)
            except HubError:
                checked[one.public_id] = (kept, None)
        offices = await office_names(view)
    return render(
        visit, "deskcase.html", case=case, item=visit.hub.items[case.item_code], offices=offices,
        score=score.document if score else None, types=visit.hub.types, reviews=reviews, checked=checked,
    )  # fmt: skip


@router.post("/cases/{public_id}/reviews/{review_id}")
async def answer_page(public_id: str, review_id: str, visit: Annotated[Visit, Depends(decider)]) -> Response:
    """Answer a review: upheld when computing again gives the same, changed when the case was scored anew."""
    form = await posted(visit)
    async with visit.hub.tx(visit.actor) as tx:
        case = await readable(tx, public_id)
        await answer_review(tx, case=case, public_id=review_id, answer=text(form, "answer"))
    return RedirectResponse(f"/desk/cases/{public_id}#reviews", status_code=303)

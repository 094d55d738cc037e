"""The citizen applies: opens a case with nothing but who they are, and sees how it stands, point by point."""

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.responses import RedirectResponse, Response

from hub.cases.archive import archive_of
from hub.cases.asseen import as_seen
from hub.cases.gather import asked_for, standing
from hub.cases.notice import place_of
from hub.cases.open import of_applicant, open_case, readable
from hub.cases.party import acting_for, companies_for, on_behalf
from hub.cases.procedure import procedure_of
from hub.cases.review import ask_review, reviews_of
from hub.cases.score import latest
from hub.cases.steps import steps_of
from hub.catalogue.catalogue import listed
from hub.catalogue.items import ServiceItem
from hub.errors import Malformed
from hub.web.pages.render import render
from hub.web.pages.visit import Visit, citizen, posted, text
from hub.web.wallet import children, office_names

router = APIRouter(include_in_schema=False)

FORMS_AT_MOST = 12
"""With more items than this, only those with a points scheme have their form here; the others a link to theirs."""


@router.get("/apply")
async def apply_page(visit: Annotated[Visit, Depends(citizen)]) -> Response:
    """What a person can apply for here, for themselves or a child, and the cases they have."""
    async with visit.hub.view(visit.actor) as view:
        mine = await of_applicant(view, subject_id=visit.subject_id)
        offices = await office_names(view)
        family = await children(view, visit)
    items = [
        visit.hub.items[one.code]
        for one in listed(visit.hub.items)
        if one.complete and one.subject == "natural" and one.department in offices
    ]
    many = len(items) > FORMS_AT_MOST
    offered = [item for item in items if item.scheme or not many]
    return render(
        visit, "apply.html", items=offered, others=[item for item in items if item not in offered],
        all_items=visit.hub.items, cases=mine, offices=offices, family=family,
        for_child={item.code for item in items if any(m.holder == "child" for m in item.materials)},
    )  # fmt: skip


@router.post("/cases")
async def open_page(visit: Annotated[Visit, Depends(citizen)]) -> Response:
    """Open a case; a child is named by its number in the person's own list, never by an identity number."""
    form = await posted(visit)
    item = visit.hub.items.get(text(form, "item"))
    if item is None:
        raise Malformed("form.field_invalid", "没有选择要办的事项。", "No matter was chosen.")
    if item.subject == "legal":
        return await _open_for_company(visit, item, text(form, "company"))
    wanted = text(form, "child")
    async with visit.hub.tx(visit.actor) as tx:
        family = {str(child.number): child for child in await children(tx, visit)}
        if wanted and wanted not in family:
            raise Malformed(
                "form.field_invalid", "名单里没有这个孩子。", "There is no such child in your list."
            )
        beneficiary = family[wanted].subject_id if wanted else None
        case = await open_case(tx, item=item, applicant=visit.subject_id, beneficiary=beneficiary)
    return RedirectResponse(f"/cases/{case.public_id}", status_code=303)


async def _open_for_company(visit: Visit, item: ServiceItem, code: str) -> Response:
    """For a company that the person may act for; it is named by its number in their own list (`c1`, `c2`, ...)."""
    async with visit.hub.tx(visit.actor) as tx:
        mine = await companies_for(tx, person=visit.subject_id, item_code=item.code)
        company = {f"c{number}": one for number, one in enumerate(mine, start=1)}.get(code)
        if company is None:
            raise Malformed(
                "form.field_invalid", "您不能代表这家企业办这个事项。", "You may not act for this company here."
            )
        case = await open_case(acting_for(tx, company), item=item, applicant=company)
    return RedirectResponse(f"/cases/{case.public_id}", status_code=303)


@router.get("/cases/{public_id}")
async def case_page(public_id: str, visit: Annotated[Visit, Depends(citizen)]) -> Response:
    """One of the person's own cases: what it needs, that nothing must be brought twice, and the score with reasons."""
    async with visit.hub.view(visit.actor) as plain:
        view = await on_behalf(plain, public_id=public_id)
        case = await readable(view, public_id)
        score = await latest(view, case=case)
        offices = await office_names(view)
        child = next((c for c in await children(view, visit) if c.subject_id == case.beneficiary), None)
        place, reviews = await place_of(view, case_id=case.id), await reviews_of(view, case=case)
        item = visit.hub.items[case.item_code]
        seen = await as_seen(view, case=case, item=item, scheme=visit.hub.schemes.get(item.scheme or ""))
        found, asked = await steps_of(view, case=case), await asked_for(view, case=case)
        kept = await archive_of(view, case=case)
    return render(
        visit, "mycase.html", case=case, item=item, offices=offices, child=child, seen=seen, steps=found,
        plan=procedure_of(item), given=bool(standing(asked)), kept=kept,
        score=score.document if score else None, types=visit.hub.types, place=place, reviews=reviews,
        may_ask=score is not None and all(one.score_id != score.id for one in reviews),
    )  # fmt: skip


@router.post("/cases/{public_id}/review")
async def review_page(public_id: str, visit: Annotated[Visit, Depends(citizen)]) -> Response:
    """The applicant asks for a review of the score."""
    form = await posted(visit)
    async with visit.hub.tx(visit.actor) as plain:
        tx = await on_behalf(plain, public_id=public_id)
        await ask_review(tx, case=await readable(tx, public_id), reason=text(form, "reason"))
    return RedirectResponse(f"/cases/{public_id}#reviews", status_code=303)

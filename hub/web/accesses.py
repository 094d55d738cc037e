"""Who looked at my certificates: every look and refusal with its proof, and the grants that can be withdrawn."""

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.responses import RedirectResponse, Response

from hub.access import history
from hub.access.model import Access
from hub.consent.licence import companies_of
from hub.consent.model import Grant, GrantState
from hub.consent.withdraw import grants_of, withdraw
from hub.store.tx import View
from hub.web.entrust import name_of
from hub.web.pages.render import render
from hub.web.pages.visit import Visit, citizen, posted
from hub.web.wallet import Child, children, office_names

router = APIRouter(include_in_schema=False)

ROWS = 30


@router.get("/accesses")
async def accesses_page(visit: Annotated[Visit, Depends(citizen)]) -> Response:
    """Newest first; `of` names one of the person's children by number, `before` continues an older page."""
    query, hub = visit.request.query_params, visit.hub
    async with hub.view(visit.actor) as view:
        family = await wards(view, visit)
        child = next((c for c in family if query.get("of") == str(c.number)), None)
        subject_id = child.subject_id if child else visit.subject_id
        number = query.get("before", "")
        before = int(number) if number.isdecimal() and len(number) < 10 else None
        rows = await history.of_subject(view, subject_id=subject_id, before_seq=before, limit=ROWS)
        broken = any(row.gap for row in rows) or await history.newest_missing(view, subject_id=subject_id)
        grants = await grants_of(view, subject_id=subject_id)
        offices = await office_names(view)
        later = await history.delayed(view, subject_id=subject_id)
        standing = [grant for grant in grants if _usable(grant, view)]
    return render(
        visit, "accesses.html", rows=rows, broken=broken, family=family, child=child, offices=offices,
        items=hub.items, types=hub.types, standing=standing, past=[g for g in grants if g not in standing],
        more=_next_page(rows), later=later,
    )  # fmt: skip


@router.post("/grants/{public_id}/withdraw")
async def withdraw_grant(public_id: str, visit: Annotated[Visit, Depends(citizen)]) -> Response:
    """Withdraw at once; twice is the same as once."""
    await posted(visit)
    async with visit.hub.tx(visit.actor) as tx:
        grant = await withdraw(tx, grant=public_id)
        family = await wards(tx, visit)
    child = next((c for c in family if c.subject_id == grant.holder), None)
    where = f"?of={child.number}&done=1" if child else "?done=1"
    return RedirectResponse(f"/accesses{where}", status_code=303)


async def wards(view: View, visit: Visit) -> list[Child]:
    """Whose records this person may see beside their own: their children, then the companies they represent."""
    found = await children(view, visit)
    for company in await companies_of(view, person=visit.subject_id):
        found.append(Child(len(found) + 1, company, await name_of(view, company), company=True))
    return found


def _usable(grant: Grant, view: View) -> bool:
    return grant.state is GrantState.STANDING and grant.valid_until > view.now and grant.uses < grant.max_uses


def _next_page(rows: list[Access]) -> int | None:
    """Where older rows continue, or None when the first Access of all is on this page."""
    return rows[-1].subject_seq if len(rows) == ROWS and rows[-1].subject_seq > 1 else None

"""Copies of archive packages, for the applicant and for the department that handled the case; and closing a case."""

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.responses import RedirectResponse, Response

from hub.cases.archive import package_of
from hub.cases.close import close
from hub.cases.copies import copy_for_applicant, copy_for_department
from hub.cases.open import Case, readable
from hub.cases.party import on_behalf
from hub.ledger.tileset import TileReader
from hub.web.pages.visit import Visit, citizen, officer, posted

router = APIRouter(include_in_schema=False)

decider = officer("cases.decide")


@router.post("/cases/{public_id}/archive")
async def own_copy(public_id: str, visit: Annotated[Visit, Depends(citizen)]) -> Response:
    """The applicant's copy. A POST, because it is put on record."""
    await posted(visit)
    async with visit.hub.tx(visit.actor) as plain:
        tx = await on_behalf(plain, public_id=public_id, only_representative=True)
        case = await copy_for_applicant(tx, public_id=public_id)
    return await _package(visit, case)


@router.post("/desk/cases/{public_id}/archive")
async def office_copy(public_id: str, visit: Annotated[Visit, Depends(decider)]) -> Response:
    """The department's copy: the applicant sees each certificate in it among the looks."""
    await posted(visit)
    async with visit.hub.tx(visit.actor) as tx:
        case = await copy_for_department(tx, public_id=public_id)
    return await _package(visit, case)


@router.post("/desk/cases/{public_id}/close")
async def close_page(public_id: str, visit: Annotated[Visit, Depends(decider)]) -> Response:
    """Close a decided case; the package is made in the background."""
    await posted(visit)
    async with visit.hub.tx(visit.actor) as tx:
        await close(tx, case=await readable(tx, public_id))
    return RedirectResponse(f"/desk/cases/{public_id}#archive", status_code=303)


async def _package(visit: Visit, case: Case) -> Response:
    """Only after the record of it has committed."""
    hub = visit.hub
    async with hub.view(visit.actor) as view:
        data = await package_of(view, hub.blobs, TileReader(hub.blobs), case=case)
    headers = {
        "Content-Disposition": f'attachment; filename="yimen-{case.public_id}.zip"',
        "Cache-Control": "no-store",
    }
    return Response(data, media_type="application/zip", headers=headers)

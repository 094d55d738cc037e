"""A department's own board, for its officers: the figures behind its line of the public board."""

import csv
import io
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from starlette.responses import Response

from hub.cases.procedure import procedure_of
from hub.catalogue.items import ServiceItem
from hub.oversight.board import Month
from hub.oversight.ownboard import own_board
from hub.registry import departments
from hub.web.board import plain
from hub.web.pages.render import render
from hub.web.pages.visit import Visit, officer

router = APIRouter(prefix="/desk", include_in_schema=False)

deciding = officer("cases.decide")
COLUMNS = ("month", "item", "step", "decided", "days_median", "days_p90", "in_time_percent")


@router.get("/board")
async def page(visit: Annotated[Visit, Depends(deciding)]) -> Response:
    """The running month, or the one that `?month=` names."""
    own, so_far = await _own(visit)
    async with visit.hub.view(visit.actor) as view:
        office = await departments.get(view, slug=visit.actor.department or "")
    return render(
        visit, "ownboard.html", own=own, so_far=so_far, office=office, items=visit.hub.items,
        types=visit.hub.types, step_name=_step_name,
    )  # fmt: skip


@router.get("/board.csv")
async def as_csv(visit: Annotated[Visit, Depends(deciding)]) -> Response:
    """Its steps by matter, one a line; an empty cell is too few to be told."""
    own, _ = await _own(visit)
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    for row in own["steps"]:
        cells = {**row, "month": own["month"]}
        writer.writerow(["" if cells[name] is None else plain(str(cells[name])) for name in COLUMNS])
    headers = {"Cache-Control": "no-store", "Content-Disposition": f'attachment; filename="board-{own["month"]}.csv"'}
    return Response("\ufeff" + out.getvalue(), media_type="text/csv; charset=utf-8", headers=headers)


async def _own(visit: Visit) -> tuple[dict[str, Any], bool]:
    async with visit.hub.view(visit.actor) as view:
        wanted, now = visit.request.query_params.get("month", ""), Month.of(view.now)
        month = Month.parse(wanted) if wanted else now
        return await own_board(view, department=visit.actor.department or "", month=month), month == now


def _step_name(item: ServiceItem, code: str, lang: str) -> str:
    return next((one.label(lang) for one in procedure_of(item).steps if one.code == code), code)

"""The public board: how the offices do, month by month, for everybody; the same as CSV and JSON."""

import csv
import io
from datetime import datetime, timedelta
from typing import Annotated, Any
from weakref import WeakKeyDictionary

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from hub.actor import PUBLIC
from hub.catalogue.model import WaiverState
from hub.oversight.board import Month, board, months, published
from hub.store.tx import Database, View
from hub.web.answer import dumps, json_answer
from hub.web.deps import Hub, hub_of
from hub.web.pages.render import render
from hub.web.pages.visit import Visit, visit_of

router = APIRouter(include_in_schema=False)

COLUMNS = (
    "month", "department", "name", "materials_saved", "steps_decided", "days_median", "days_p90", "in_time_percent",
    "uptime_permille", "ratings", "satisfied_percent", "objections_open", "objections_overdue",
)  # fmt: skip
SOON = {"Cache-Control": "public, max-age=300"}
KEPT = timedelta(minutes=1)

_kept: WeakKeyDictionary[Database, tuple[datetime, dict[str, Any]]] = WeakKeyDictionary()


@router.get("/board")
async def board_page(visit: Annotated[Visit, Depends(visit_of)]) -> Response:
    """The newest published board, the one that `?month=` names, or (`?month=now`) this month so far."""
    wanted = visit.request.query_params.get("month", "")
    async with visit.hub.view(PUBLIC) as view:
        every = await months(view)
        running = str(Month.of(view.now))
        if wanted == "now" or (not wanted and not every):
            document, leaf = await _so_far(view, visit.hub), None
        else:
            document, leaf = await _named(view, visit.hub, wanted)
    rows = [row for row in document["departments"] if any(row[name] for name in COLUMNS[3:])]
    most = max((row["days_p90"] or 0 for row in rows), default=0)
    return render(
        visit, "board.html", document=document, rows=rows, leaf=leaf.hex() if leaf else None, months=every,
        running=running, most=most, states=list(WaiverState),
    )  # fmt: skip


@router.get("/board.json")
async def board_json(request: Request) -> Response:
    """A published board exactly as its leaf names it (SHA-256 over its canonical JSON)."""
    hub = hub_of(request)
    async with hub.view(PUBLIC) as view:
        document, leaf = await _named(view, hub, request.query_params.get("month", ""))
    return json_answer(dumps({"board": document, "leaf_hash": leaf.hex()}), headers=SOON)


@router.get("/board.csv")
async def board_csv(request: Request) -> Response:
    """The departments of a published board, one a line; an empty cell is too few to be told."""
    hub = hub_of(request)
    async with hub.view(PUBLIC) as view:
        document, _ = await _named(view, hub, request.query_params.get("month", ""))
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    for row in document["departments"]:
        cells = {**row, "month": document["month"], "name": plain(row["name"]["zh-CN"])}
        writer.writerow(["" if cells[name] is None else cells[name] for name in COLUMNS])
    return Response("\ufeff" + out.getvalue(), media_type="text/csv; charset=utf-8", headers=SOON)


async def _named(view: View, hub: Hub, wanted: str) -> tuple[dict[str, Any], bytes]:
    found = await published(view, Month.parse(wanted) if wanted else None)
    if found is None:
        return await _so_far(view, hub), b""
    return found


async def _so_far(view: View, hub: Hub) -> dict[str, Any]:
    """This month's board, worked out at most once a minute by a process: anybody may open this page."""
    kept = _kept.get(hub.db)
    if kept is None or view.now - kept[0] >= KEPT or kept[1]["month"] != str(Month.of(view.now)):
        kept = _kept[hub.db] = (view.now, await board(view, Month.of(view.now)))
    return kept[1]


def plain(text: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in "=+-@\t\r" else text

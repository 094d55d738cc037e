"""Appointments: a citizen takes a slot for an item and a file for the calendar; a clerk opens slots at a window."""

from datetime import datetime
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends
from starlette.responses import RedirectResponse, Response

from hub.cases import visits
from hub.catalogue.items import ServiceItem
from hub.clock import SHANGHAI
from hub.errors import HubError, Malformed, NotFound
from hub.web.pages.render import render
from hub.web.pages.visit import Visit, citizen, officer, posted, text
from hub.web.wallet import office_names

router = APIRouter(include_in_schema=False)

opening = officer("cases.open")


@router.get("/visits")
async def visits_page(visit: Annotated[Visit, Depends(citizen)]) -> Response:
    """The citizen's visits; with `?item=` the free slots of the office that handles it."""
    code = visit.request.query_params.get("item", "")
    item = visit.hub.items.get(code)
    async with visit.hub.view(visit.actor) as view:
        mine = await visits.of_person(view, past=False)
        free = await visits.free_slots(view, department=item.department) if item else []
        offices = await office_names(view)
    return render(
        visit, "visits.html", mine=mine, free=free, item=item, items=visit.hub.items, offices=offices,
        booked=visits.BOOKED,
    )  # fmt: skip


@router.post("/visits")
async def book_page(visit: Annotated[Visit, Depends(citizen)]) -> Response:
    """Take a place in a slot."""
    form = await posted(visit)
    item = visit.hub.items.get(text(form, "item"))
    if item is None:
        raise Malformed("form.field_invalid", "没有选择要办的事项。", "No matter was chosen.")
    async with visit.hub.tx(visit.actor) as tx:
        await visits.book(tx, slot=text(form, "slot"), item=item)
    return RedirectResponse("/visits", status_code=303)


@router.post("/visits/{public_id}/cancel")
async def cancel_page(public_id: str, visit: Annotated[Visit, Depends(citizen)]) -> Response:
    """Give the place back."""
    await posted(visit)
    async with visit.hub.tx(visit.actor) as tx:
        await visits.cancel(tx, public_id=public_id)
    return RedirectResponse("/visits", status_code=303)


@router.get("/visits/{public_id}/visit.ics")
async def calendar_file(public_id: str, visit: Annotated[Visit, Depends(citizen)]) -> Response:
    """One visit for the person's own calendar."""
    async with visit.hub.view(visit.actor) as view:
        found = await visits.one(view, public_id)
    item: ServiceItem | None = visit.hub.items.get(found.item_code)
    if item is None:
        raise NotFound("item.unknown", "没有这个事项。", "There is no such service item.")
    settings = visit.hub.settings
    data = found.calendar(
        host=urlsplit(settings.public_url).hostname or "hub", item=item.label(visit.lang),
        what=visit.t("去之前看看还要带什么：", "See what to bring: ") + f"{settings.public_url}/items/{item.code}",
    )  # fmt: skip
    headers = {"Content-Disposition": 'attachment; filename="visit.ics"', "Cache-Control": "no-store"}
    return Response(data, media_type="text/calendar; charset=utf-8", headers=headers)


@router.get("/counter/slots")
async def slots_page(visit: Annotated[Visit, Depends(opening)]) -> Response:
    """The department's coming slots, and a form that opens more."""
    return await _slots(visit, [], {})


@router.post("/counter/slots")
async def open_page(visit: Annotated[Visit, Depends(opening)]) -> Response:
    """Open consecutive slots at one window."""
    form = await posted(visit)
    given = {
        name: text(form, name) for name in ("place_zh", "place_en", "first", "number", "minutes", "capacity")
    }
    try:
        first = datetime.fromisoformat(given["first"]).replace(tzinfo=SHANGHAI)
        number, minutes, capacity = (int(given[name]) for name in ("number", "minutes", "capacity"))
    except ValueError:
        return await _slots(
            visit, [("first", "请写明开始时间和人数", "A time and numbers are needed")], given
        )
    try:
        async with visit.hub.tx(visit.actor) as tx:
            await visits.open_slots(
                tx, place_zh=given["place_zh"], place_en=given["place_en"], first=first, number=number,
                minutes=minutes, capacity=capacity,
            )  # fmt: skip
    except HubError as fault:
        return await _slots(visit, [("first", fault.zh, fault.en)], given)
    return RedirectResponse("/counter/slots", status_code=303)


async def _slots(visit: Visit, errors: list[tuple[str, str, str]], given: dict[str, str]) -> Response:
    async with visit.hub.view(visit.actor) as view:
        coming = await visits.of_department(view, department=visit.actor.department or "")
    return render(
        visit, "slots.html", status=422 if errors else 200, coming=coming, errors=errors, given=given
    )

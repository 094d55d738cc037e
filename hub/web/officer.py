"""A department's own page: what it registered, what needs attention, and files handed in for its agent to sign."""

from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends
from starlette.responses import RedirectResponse, Response

from hub.certificates import workorders
from hub.certificates.overview import counts
from hub.certificates.status import lists_of
from hub.errors import HubError, Malformed
from hub.notices import endpoints
from hub.registry.keys import history
from hub.registry.model import may
from hub.web.pages.render import render
from hub.web.pages.visit import Visit, officer, posted, text

router = APIRouter(prefix="/officer", include_in_schema=False)

issuing = officer("certificates.upload", "certificates.approve")

ROOM_FOR_FORM = 64 * 1024


@router.get("")
async def officer_page(visit: Annotated[Visit, Depends(issuing)]) -> Response:
    """Health, counts, work orders, and the upload form."""
    return await _page(visit, [])


@router.post("/orders")
async def upload(visit: Annotated[Visit, Depends(issuing)]) -> Response:
    """Hand in a file. It is kept sealed until a second officer confirms it and the agent fetches it."""
    form = await posted(visit, max_bytes=workorders.MAX_BYTES + ROOM_FOR_FORM)
    data, kind = form.files.get("file", b""), visit.hub.types.get(text(form, "type"))
    errors: list[tuple[str, str, str]] = []
    if kind is None:
        errors.append(("type", "请选择证照类型。", "Choose a certificate type."))
    if not data:
        errors.append(("file", "请选择一个 CSV 文件。", "Choose a CSV file."))
    if errors or kind is None:
        return await _page(visit, errors)
    try:
        async with visit.hub.tx(visit.actor) as tx:
            await workorders.make(tx, data=data, kind=kind, blobs=visit.hub.blobs)
    except HubError as fault:
        if fault.code not in ("order.file", "order.too_large", "order.too_many_rows"):
            raise
        return await _page(visit, [("file", fault.zh, fault.en)])
    return RedirectResponse("/officer#orders", status_code=303)


@router.post("/orders/{public_id}")
async def decide(public_id: str, visit: Annotated[Visit, Depends(issuing)]) -> Response:
    """The second officer confirms or refuses a file."""
    form = await posted(visit, fresh=True)
    decision = text(form, "decision")
    if decision not in ("confirm", "refuse"):
        raise Malformed("form.field_invalid", "没有选择复核通过或退回。", "Neither confirm nor refuse was chosen.")
    async with visit.hub.tx(visit.actor) as tx:
        await workorders.confirm(tx, public_id=public_id, agree=decision == "confirm")
    return RedirectResponse("/officer#orders", status_code=303)


async def _page(visit: Visit, errors: list[tuple[str, str, str]]) -> Response:
    department = visit.actor.department or ""
    async with visit.hub.view(visit.actor) as view:
        listed = await counts(view, department=department)
        orders = await workorders.of_department(view)
        keys = await history(view, department)
        lists = await lists_of(view, department=department)
        called = await endpoints.of_department(view, department=department)
        now = view.now
    return render(
        visit, "officer.html", status=422 if errors else 200, errors=errors, counts=listed, orders=orders,
        keys=[key for key in keys if key.stands_at(now)], lists=lists,
        called=[(one, urlsplit(one.url).hostname) for one in called],
        types=[kind for kind in visit.hub.types.values() if department in kind.issuers],
        all_types=visit.hub.types, may_upload=may(visit.actor.roles, "certificates.upload"),
        may_confirm=may(visit.actor.roles, "certificates.approve"), me=visit.actor.officer_id,
    )  # fmt: skip

"""Where I am signed in: each place with its browser, since when and when last used; sign out of one, or everywhere."""

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.responses import RedirectResponse, Response

from hub.registry import providers, sessions
from hub.web.demodirectory import demo_provider
from hub.web.pages.cookies import drop_cookie
from hub.web.pages.render import render
from hub.web.pages.visit import Visit, anybody, posted

router = APIRouter(prefix="/devices", include_in_schema=False)


@router.get("")
async def devices_page(visit: Annotated[Visit, Depends(anybody)]) -> Response:
    """The person's sign-ins that stand, this one first. No network address is kept, so none is shown."""
    async with visit.hub.view(visit.actor) as view:
        found = await sessions.devices(view)
        known = {one.code: one for one in await providers.all_providers(view)}
    if not visit.hub.production:
        demo = demo_provider(visit.hub)
        known[demo.code] = demo
    here = visit.session.public_id if visit.session else ""
    found.sort(key=lambda one: one.public_id != here)
    return render(visit, "devices.html", found=found, here=here, known=known)


@router.post("/end")
async def end_all(visit: Annotated[Visit, Depends(anybody)]) -> Response:
    """Sign out everywhere, here too. No fresh proof is asked: whoever fears for their account must not be held up."""
    await posted(visit)
    provider = visit.session.provider if visit.session else None
    async with visit.hub.tx(visit.actor) as tx:
        await sessions.end_all(tx)
    response = RedirectResponse(f"/?left={provider}" if provider else "/", status_code=303)
    drop_cookie(response, visit.hub, "session")
    return response


@router.post("/{public_id}/end")
async def end_one(public_id: str, visit: Annotated[Visit, Depends(anybody)]) -> Response:
    """Sign one device out, at once."""
    await posted(visit)
    async with visit.hub.tx(visit.actor) as tx:
        await sessions.end_one(tx, public_id=public_id)
    here = visit.session is not None and visit.session.public_id == public_id
    return RedirectResponse("/" if here else "/devices?done=1", status_code=303)

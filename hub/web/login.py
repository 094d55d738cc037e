"""Home, the choice of how to sign in, one-time links, and signing out.

People sign in at identity providers (`hub.web.signin`). Officers of a department that has none yet enter by a one-time
link. Outside production there is also the demonstration's own provider, which a production hub does not have.
"""

from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends
from starlette.responses import RedirectResponse, Response

from hub.actor import PUBLIC
from hub.registry import ceremony, departments, officers, providers, sessions
from hub.registry.model import Level
from hub.registry.providers import CODE, DEMO
from hub.registry.sessions import Through
from hub.web.demodirectory import Choice, choices
from hub.web.pages.cookies import drop_cookie
from hub.web.pages.device import device_of
from hub.web.pages.render import render
from hub.web.pages.start import enter, start_of
from hub.web.pages.visit import Visit, posted, safe_next, visit_of
from hub.web.signin import end_session

router = APIRouter(include_in_schema=False)


@router.get("/")
async def home(visit: Annotated[Visit, Depends(visit_of)]) -> Response:
    """What Yimen is, and one tile for each kind of person, with one-click demo identities."""
    first: dict[str, Choice] = {}
    async with visit.hub.view(PUBLIC) as view:
        for choice in await choices(visit.hub, view):
            first.setdefault(choice.start, choice)
    left = visit.request.query_params.get("left", "")
    return render(visit, "home.html", first=first, left=left if CODE.fullmatch(left) else "")


@router.get("/login")
async def sign_in_page(visit: Annotated[Visit, Depends(visit_of)]) -> Response:
    """Which provider to sign in at. A demonstration that was told `as` whom goes on to its own provider."""
    wanted, following = (visit.request.query_params.get(name, "") for name in ("as", "next"))
    after = {"next": safe_next(following)} if following else {}
    if wanted and not visit.hub.production:
        return RedirectResponse(f"/login/{DEMO}?{urlencode({**after, 'as': wanted})}", status_code=303)
    async with visit.hub.view(PUBLIC) as view:
        known = [one for one in await providers.all_providers(view) if one.active]
        offices = {one.slug: one for one in await departments.all_departments(view)} if known else {}
    return render(
        visit,
        "login.html",
        citizens=[one for one in known if one.department is None],
        officers=[(one, offices[one.department]) for one in known if one.department in offices],
        demo=DEMO if not visit.hub.production else "",
        query=f"?{urlencode(after)}" if after else "",
    )


@router.get("/enter/{token}")
async def one_time_link(token: str, visit: Annotated[Visit, Depends(visit_of)]) -> Response:
    """The page of a one-time link: nothing is spent before the button is pressed."""
    return render(visit, "enter.html", token=token)


@router.post("/enter/{token}")
async def redeem(token: str, visit: Annotated[Visit, Depends(visit_of)]) -> Response:
    """Spend a one-time link and start the officer's session."""
    await posted(visit)
    async with visit.hub.tx(PUBLIC) as tx:
        officer_id = await ceremony.redeem_link(tx, token=token)
        await end_session(visit, tx)
        how = Through(device=device_of(visit.request.headers.get("user-agent", "")))
        opened = await sessions.open_session(tx, assurance=Level.LOW, officer_id=officer_id, through=how)
        officer = await officers.get(tx, officer_id)
    return enter(visit, opened.token, start_of(officer))


@router.post("/logout")
async def sign_out(visit: Annotated[Visit, Depends(visit_of)]) -> Response:
    """End the session at once, on the server too; the next page offers to leave the provider as well."""
    await posted(visit)
    provider = visit.session.provider if visit.session else None
    async with visit.hub.tx(visit.actor) as tx:
        await end_session(visit, tx)
    response = RedirectResponse(f"/?left={provider}" if provider else "/", status_code=303)
    drop_cookie(response, visit.hub, "session")
    return response


@router.get("/help")
async def help_page(visit: Annotated[Visit, Depends(visit_of)]) -> Response:
    """Help, complaints and the accessibility statement, always at the same place."""
    return render(visit, "help.html")

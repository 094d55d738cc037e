"""A citizen's passkeys: bind one, see them, remove one. The one page besides signing that needs a script."""

import re
from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.responses import RedirectResponse, Response

from hub.consent import passkeys
from hub.web.pages.render import render
from hub.web.pages.visit import Visit, citizen, posted, text

router = APIRouter(prefix="/passkeys", include_in_schema=False)


@router.get("")
async def passkeys_page(visit: Annotated[Visit, Depends(citizen)]) -> Response:
    """The person's passkeys, and what is needed to bind another."""
    origin = visit.hub.settings.public_url
    async with visit.hub.tx(visit.actor) as tx:
        held = await passkeys.of_person(tx)
        begun = None
        if len(held) < passkeys.MOST:
            begun = await passkeys.begin_binding(tx, origin=origin, name=visit.name or "yimen")
    return render(visit, "passkeys.html", held=held, begun=begun, back=_back(visit.request.query_params.get("for", "")))


@router.post("")
async def bind(visit: Annotated[Visit, Depends(citizen)]) -> Response:
    """Bind what the browser made."""
    form = await posted(visit, fresh=True)
    async with visit.hub.tx(visit.actor) as tx:
        await passkeys.bind(
            tx,
            ticket=text(form, "ticket", limit=64),
            credential=text(form, "credential", limit=32_000),
            label=text(form, "label", limit=40) or visit.t("我的设备", "My device"),
            origin=visit.hub.settings.public_url,
        )
    back = _back(text(form, "for", limit=64))
    return RedirectResponse(f"/passkeys?done=bound{'&for=' if back else ''}{back}", status_code=303)


@router.post("/{public_id}/remove")
async def remove(public_id: str, visit: Annotated[Visit, Depends(citizen)]) -> Response:
    """Remove one; what it signed before stays valid."""
    await posted(visit, fresh=True)
    async with visit.hub.tx(visit.actor) as tx:
        await passkeys.remove(tx, public_id=public_id)
    return RedirectResponse("/passkeys?done=removed", status_code=303)


def _back(value: str) -> str:
    """The request that asked for a passkey, by its public id; anything else leads nowhere."""
    return value if re.fullmatch(r"[A-Za-z0-9_-]{16,43}", value) else ""

"""Prove again that it is you, before a dangerous act: at the identity provider, or with a passkey; then go on with it.

The way: a door says `posted(visit, fresh=True)`; a session whose person proved themselves over ten minutes ago is led
here with its form kept (`hub/web/pages/again.py`); afterwards the very same form is sent by one button.
"""

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.responses import RedirectResponse, Response

from hub.actor import ActorKind
from hub.consent import passkeys
from hub.errors import Malformed, Unauthenticated
from hub.formats.webauthn import request_text
from hub.ids import public_token
from hub.registry import sessions
from hub.registry.sessions import Session, Through, token_hash
from hub.web.pages.again import interrupted
from hub.web.pages.cookies import cookie_name
from hub.web.pages.render import render
from hub.web.pages.start import enter
from hub.web.pages.visit import Visit, anybody, posted, text
from hub.web.signin import connected, send_off

router = APIRouter(prefix="/again", include_in_schema=False)


@router.get("/{ticket}")
async def ask_page(ticket: str, visit: Annotated[Visit, Depends(anybody)]) -> Response:
    """How to prove it: the provider of this session, and a passkey for whoever has one. Fresh already: go on."""
    hub, session = visit.hub, _session(visit)
    if session.fresh(hub.clock()):
        return RedirectResponse(f"/again/{ticket}/go", status_code=303)
    origin, provider, begun = hub.settings.public_url, None, None
    async with hub.tx(visit.actor) as tx:
        await interrupted(tx, session=session.public_id, ticket=ticket)
        if session.provider is not None:
            provider = await connected(hub, tx, session.provider)
        if visit.actor.kind is ActorKind.CITIZEN and await passkeys.of_person(tx):
            signed = request_text(
                request=ticket, department="", details=[], nonce=public_token(), audience=origin
            )
            begun = await passkeys.begin_signing(tx, origin=origin, request=ticket, signed=signed, ticked=[])
    return render(visit, "again.html", ticket=ticket, provider=provider, begun=begun)


@router.get("/{ticket}/provider")
async def at_provider(ticket: str, visit: Annotated[Visit, Depends(anybody)]) -> Response:
    """Off to the provider, which is told to ask the person anew (`prompt=login`, `max_age=0`)."""
    session = _session(visit)
    async with visit.hub.view(visit.actor) as view:
        await interrupted(view, session=session.public_id, ticket=ticket)
    if session.provider is None:
        raise Malformed(
            "session.no_provider",
            "您是用一次性链接进来的，请索取新的链接后重新办理。",
            "You came in by a one-time link: ask for a new one and begin again.",
        )
    return await send_off(
        visit, session.provider, following=f"/again/{ticket}/go", session_hash=token_hash(_token(visit))
    )


@router.post("/{ticket}/passkey")
async def by_passkey(ticket: str, visit: Annotated[Visit, Depends(anybody)]) -> Response:
    """A passkey of the person signed just now: the session goes on under a new token."""
    form = await posted(visit)
    session = _session(visit)
    async with visit.hub.tx(visit.actor) as tx:
        await interrupted(tx, session=session.public_id, ticket=ticket)
        signed = await passkeys.finish_signing(
            tx, ticket=text(form, "ticket", limit=64), credential=text(form, "credential", limit=32_000),
            origin=visit.hub.settings.public_url,
        )  # fmt: skip
        if signed.request != ticket:
            raise Malformed(
                "approval.other_request", "通行密钥签的不是这个请求。", "The passkey signed another request."
            )
        how = Through(amr=(*session.amr[:7], "hwk"), proved_at=tx.now)
        token = await sessions.prove_again(
            tx, session_hash=token_hash(_token(visit)), how=how, assurance=session.assurance
        )
    if token is None:
        raise Unauthenticated("session.none", "登录已经结束。", "Your sign-in has ended.")
    return enter(visit, token, f"/again/{ticket}/go")


@router.get("/{ticket}/go")
async def go_on(ticket: str, visit: Annotated[Visit, Depends(anybody)]) -> Response:
    """The form as it was, with one button. Whoever is not fresh is asked again."""
    session = _session(visit)
    if not session.fresh(visit.hub.clock()):
        return RedirectResponse(f"/again/{ticket}", status_code=303)
    async with visit.hub.view(visit.actor) as view:
        kept = await interrupted(view, session=session.public_id, ticket=ticket)
    return render(visit, "goon.html", kept=kept)


def _session(visit: Visit) -> Session:
    assert visit.session is not None  # noqa: S101 - `anybody` let nobody else in
    return visit.session


def _token(visit: Visit) -> str:
    return visit.request.cookies[cookie_name(visit.hub, "session")]

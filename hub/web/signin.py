"""Signing in at an identity provider: off to it, back from it, its back-channel logout, and leaving it too.

A provider's answer is used only for the try that this very browser began at that very provider; what it says is checked
by `hub.registry.openid` outside of any transaction, and whom it means by `hub.registry.identities` in the commit that
opens the session.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated
from uuid import UUID

import httpx
from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from hub.actor import PUBLIC
from hub.clock import from_seconds
from hub.errors import Forbidden, HubError, NotFound, TooLarge, Unauthenticated
from hub.registry import attempts, identities, officers, openid, providers, sessions
from hub.registry.discovery import Caller
from hub.registry.model import Level
from hub.registry.providers import DEMO, PURPOSE, Provider
from hub.registry.sessions import Through
from hub.store.replay import use_once
from hub.store.tx import Tx, View
from hub.web.answer import dumps, json_answer
from hub.web.body import read_form
from hub.web.demodirectory import demo_provider, whom
from hub.web.demoprovider import client_key
from hub.web.deps import Hub, hub_of
from hub.web.pages.cookies import cookie_name
from hub.web.pages.device import device_of
from hub.web.pages.start import enter, start_of
from hub.web.pages.visit import Visit, safe_next, visit_back, visit_of

router = APIRouter(include_in_schema=False)


@router.get("/login/keys.json")
async def keys(request: Request) -> Response:
    """The public keys with which the hub proves itself to identity providers (RFC 7517), for their `jwks_uri`."""
    hub = hub_of(request)
    found = []
    for record in hub.keyring.inventory():
        if record.purpose == PURPOSE and record.retired_at is None:
            public = hub.keyring.signer(record.kid).public
            found.append({**public.jwk, "kid": public.kid, "alg": public.alg, "use": "sig"})
    return json_answer(dumps({"keys": found}), headers={"Cache-Control": "public, max-age=300"})


@router.get("/login/{code}")
async def go(code: str, visit: Annotated[Visit, Depends(visit_of)]) -> Response:
    """Off to a provider; `next` is where to go on to afterwards, `as` whom a demonstration offers first."""
    query = visit.request.query_params
    following = safe_next(query.get("next", "")) if query.get("next") else ""
    return await send_off(visit, code, following=following, hint=query.get("as", ""))


async def send_off(
    visit: Visit, code: str, *, following: str, hint: str = "", session_hash: bytes | None = None
) -> Response:
    """The redirect to a provider. With `session_hash` the person must prove themselves there now, not only be known."""
    hub = visit.hub
    async with hub.view(PUBLIC) as view:
        provider = await connected(hub, view, code)
    async with calling(visit.hub, visit.request, provider) as caller:
        found = await caller.metadata(provider.issuer)
    async with hub.tx(PUBLIC) as tx:
        state = await attempts.begin(
            tx, provider=code, browser=visit.browser_token, following=following, session_hash=session_hash
        )
    asked = _ask(hub, provider, state, again=session_hash is not None, hint=hint)
    address = openid.authorization_address(found, provider, asked)
    response = RedirectResponse(address, status_code=303, headers={"Cache-Control": "no-store"})
    visit.set_cookies(response)
    return response


@router.get("/login/{code}/back")
async def back(code: str, visit: Annotated[Visit, Depends(visit_back)]) -> Response:
    """Back from a provider (OpenID Connect Core 3.1.2.5 to 3.1.3.7).

    1. The try is this browser's, at this provider, in time, once. 2. The answer is by this provider and holds a code.
    3. The code gives an ID token that holds. 4. It means a person or officer whom we let in. 5. An older session of
    this browser ends; the new one has a fresh token.
    """
    hub = visit.hub
    answer = dict(visit.request.query_params)
    async with hub.tx(PUBLIC) as tx:  # 1
        provider = await connected(hub, tx, code)
        tried = await attempts.spend(
            tx, state=answer.get("state", ""), provider=code, browser=visit.browser_token
        )
    asked = _ask(hub, provider, answer["state"], again=tried.session_hash is not None)
    async with calling(hub, visit.request, provider) as caller:
        found = await caller.metadata(provider.issuer)
        got = openid.code_of(found, answer)  # 2
        said = await openid.redeem(caller, found, provider, code=got, ask=asked, now=hub.clock())  # 3
    async with hub.tx(PUBLIC) as tx:
        known = await _known(tx, provider, said)  # 4
        how = _through(visit, tx, provider, said)
        if tried.session_hash is not None:
            return await _proved_again(visit, tx, tried, known, how)
        await end_session(visit, tx)  # 5
        opened = await sessions.open_session(
            tx, assurance=known.level, subject_id=known.subject_id, officer_id=known.officer_id, through=how
        )
        officer = await officers.get(tx, known.officer_id) if known.officer_id else None
    return enter(visit, opened.token, safe_next(tried.following or start_of(officer)))


@router.post("/login/{code}/logout")
async def logged_out_there(code: str, request: Request) -> Response:
    """The provider says that somebody signed out there (OpenID Connect Back-Channel Logout 1.0): so they do here.

    1. A small form with a logout token. 2. The token holds. 3. It comes once. 4. The sessions of that account end.
    400 with an OAuth error for anything else, as the standard has it; nothing in it says who is known here.
    """
    hub = hub_of(request)
    try:
        form = await read_form(request)  # 1
        async with hub.view(PUBLIC) as view:
            provider = await connected(hub, view, code)
        async with calling(hub, request, provider) as caller:
            found = await caller.metadata(provider.issuer)
            said, jti, until = await openid.read_logout_token(  # 2
                caller, found, provider, token=form.get("logout_token", ""), now=hub.clock()
            )
        async with hub.tx(PUBLIC) as tx:
            fresh = await use_once(tx, kind="logout", key=f"{code}\n{jti}", expires_at=from_seconds(until))  # 3
            if not fresh:
                raise openid.bad_token("jti")
            await sessions.end_of_account(  # 4
                tx,
                provider=code,
                account=identities.account_of(tx, provider, said.sub) if said.sub else None,
                provider_session=identities.provider_session_of(tx, provider, said.sid) if said.sid else None,
            )
    except HubError as refused:
        if refused.kind == "unavailable" or isinstance(refused, TooLarge):
            raise
        told = {"error": "invalid_request", "error_description": refused.code}
        return json_answer(dumps(told), 400, headers={"Cache-Control": "no-store"})
    return Response(status_code=200, headers={"Cache-Control": "no-store"})


@router.get("/login/{code}/leave")
async def leave(code: str, visit: Annotated[Visit, Depends(visit_of)]) -> Response:
    """On to the provider's own sign-out (OpenID Connect RP-Initiated Logout 1.0); home where it has none."""
    hub = visit.hub
    async with hub.view(PUBLIC) as view:
        provider = await connected(hub, view, code)
    async with calling(hub, visit.request, provider) as caller:
        found = await caller.metadata(provider.issuer)
    address = openid.leave_address(found, provider, back=f"{hub.settings.public_url}/")
    return RedirectResponse(address or "/", status_code=303, headers={"Cache-Control": "no-store"})


# ---------------------------------------------------------------- what the doors share


async def connected(hub: Hub, view: View, code: str) -> Provider:
    """An active provider of this hub; the demonstration's own one outside production. NotFound `provider.unknown`."""
    if code == DEMO and not hub.production:
        return demo_provider(hub)
    found = await providers.by_code(view, code)
    if not found.active:
        raise NotFound("provider.unknown", "没有接入这个身份提供方。", "No such identity provider is connected.")
    return found


@asynccontextmanager
async def calling(hub: Hub, request: Request, provider: Provider) -> AsyncIterator[Caller]:
    """Calls to a provider. The demonstration's is a part of this very application and is called without a network."""
    inside = httpx.ASGITransport(request.app) if provider.code == DEMO else None
    signer = (lambda: client_key(hub)) if provider.code == DEMO else (lambda: hub.signer(PURPOSE))
    caller = Caller(hub.db.memory, signer=signer, transport=inside, plain_http=not hub.production)
    try:
        yield caller
    finally:
        await caller.close()


async def end_session(visit: Visit, tx: Tx) -> None:
    """End the session that this browser has now, if any."""
    token = visit.request.cookies.get(cookie_name(visit.hub, "session"))
    if token:
        await sessions.end(tx, token=token)


@dataclass(frozen=True, slots=True)
class _Known:
    """Whom an account means, and how sure that is."""

    subject_id: UUID | None
    officer_id: UUID | None
    level: Level


async def _known(tx: Tx, provider: Provider, said: openid.Said) -> _Known:
    level = provider.assures(said.acr)
    if provider.code == DEMO:
        return _Known(*await whom(tx, said.claims), level)
    if provider.department is None:
        person = await identities.citizen(tx, provider=provider, sub=said.sub, level=level, claims=said.claims)
        return _Known(person, None, level)
    identities.require_level(level)
    officer = await identities.officer(tx, provider=provider, sub=said.sub, claims=said.claims)
    return _Known(None, officer.id, level)


def _through(visit: Visit, tx: Tx, provider: Provider, said: openid.Said) -> Through:
    """`proved_at` is what the provider says, never later than now; without a word of it, long ago."""
    proved = said.proved_at or tx.now - timedelta(days=1)
    return Through(
        provider=provider.code,
        account=identities.account_of(tx, provider, said.sub),
        provider_session=identities.provider_session_of(tx, provider, said.sid) if said.sid else None,
        acr=said.acr,
        amr=said.amr,
        proved_at=min(proved, tx.now),
        device=device_of(visit.request.headers.get("user-agent", "")),
    )


async def _proved_again(
    visit: Visit, tx: Tx, tried: attempts.Attempt, known: _Known, how: Through
) -> Response:
    """The same person, proved just now: the session goes on under a new token."""
    session = visit.session
    if session is None or (session.subject_id, session.officer_id) != (known.subject_id, known.officer_id):
        raise Forbidden(
            "login.someone_else",
            "刚才登录的不是您现在的身份，没有办理任何事。",
            "Somebody else signed in than the one who is at work here; nothing was done.",
            next_zh="请用同一个身份重新确认，或退出后换一个身份登录。",
            next_en="Confirm with the same identity, or sign out and use another.",
        )
    require_recent(how.proved_at, tried.started_at)
    assert tried.session_hash is not None  # noqa: S101 - the caller looked
    token = await sessions.prove_again(tx, session_hash=tried.session_hash, how=how, assurance=known.level)
    if token is None:
        raise Unauthenticated("session.none", "登录已经结束。", "Your sign-in has ended.")
    return enter(visit, token, safe_next(tried.following))


def require_recent(proved_at: datetime | None, started_at: datetime) -> None:
    """Unauthenticated `login.not_fresh` when the provider did not ask the person anew: it was told `max_age=0`."""
    if proved_at is None or proved_at < started_at - timedelta(seconds=openid.SKEW):
        raise Unauthenticated(
            "login.not_fresh",
            "身份提供方没有让您重新验证，没有办理任何事。",
            "The provider did not ask you to prove yourself anew; nothing was done.",
            next_zh="请在身份提供方退出后再试，或使用通行密钥。",
            next_en="Sign out at the provider and try again, or use a passkey.",
        )


def _ask(hub: Hub, provider: Provider, state: str, *, again: bool, hint: str = "") -> openid.Ask:
    return openid.Ask(
        redirect_uri=f"{hub.settings.public_url}/login/{provider.code}/back",
        state=state,
        secret=hub.db.vault.hub_key(PURPOSE),
        acr_values=provider.asks_for(identities.LEAST),
        login_hint=hint,
        **({"max_age": 0} if again else {}),
    )

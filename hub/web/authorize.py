"""Consent in this browser, in the shape of FAPI 2.0: a pushed request (RFC 9126), then the authorization endpoint.

The department's server pushes what it asks, authenticated; the browser carries a reference only. The person signs in,
reads and decides on the same page as every other request; the way back carries a code, or `access_denied`, and `iss`.
"""

import re
from collections.abc import Mapping
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from hub.actor import PUBLIC
from hub.consent.guard import admit, require_free
from hub.consent.redirect import URI_SECONDS, answer, hand_over, open_pushed, push
from hub.errors import HubError, Malformed
from hub.web import examples
from hub.web.answer import dumps, json_answer
from hub.web.asking import CLIENT_FORM, asked, form_schema
from hub.web.body import bad_form, read_form
from hub.web.client import Client, authenticate
from hub.web.deps import hub_of
from hub.web.pages.visit import Visit, visit_of

router = APIRouter()

_STATE = re.compile(r"[\x20-\x7e]{1,512}")
_JKT = re.compile(r"[A-Za-z0-9_-]{43}")
_SCOPES = frozenset({"openid", "verify"})


@router.post(
    "/oauth/par",
    tags=["oauth"],
    status_code=201,
    openapi_extra=form_schema(
        response_type="code",
        redirect_uri="https://edu.example.gov.cn/yimen/back",
        code_challenge="E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
        code_challenge_method="S256",
        state="Zk3",
        authorization_details='[{"type":"certificate_verification"}]',
        **CLIENT_FORM,
    ),
    responses=examples.PUSHED,
)
async def par(request: Request) -> Response:
    """Push an authorization request (RFC 9126). Send the browser to /oauth/authorize with the reference within 60 s.

    A DPoP proof may come along; the code is bound to that key, to `dpop_jkt`, or to the key of the assertion.
    """
    hub = hub_of(request)
    form = await read_form(request)
    async with hub.tx(PUBLIC) as tx:
        client = await authenticate(tx, request, form, proof="dpop" in request.headers)
        tx.actor = client.actor
        await client.enter(tx)
        await require_free(tx)
        _check(form)
        wanted = await asked(hub, tx, form)
        await admit(tx, "asked", person=wanted.case.applicant)
        request_uri = await push(
            tx,
            details=wanted.details,
            item=wanted.item,
            case=wanted.case,
            redirect_uri=form["redirect_uri"],
            state=form.get("state"),
            code_challenge=form["code_challenge"],
            jkt=_bound_to(client, form),
        )
    return json_answer(dumps({"request_uri": request_uri, "expires_in": URI_SECONDS}), 201)


def _check(form: Mapping[str, str]) -> None:
    """What a pushed request must and must not hold; details, item and case are checked by the verb."""
    if "request_uri" in form or "request" in form:
        raise bad_form("request and request_uri cannot be pushed")
    if form.get("response_type") != "code":
        raise Malformed(
            "oauth.unsupported_response_type", "response_type 只能是 code。", "The response type is code."
        )
    if form.get("response_mode", "query") != "query":
        raise bad_form("the response mode is query")
    if form.get("code_challenge_method") != "S256" or "code_challenge" not in form:
        raise bad_form("PKCE with S256 is needed")
    if "redirect_uri" not in form:
        raise bad_form("redirect_uri is missing")
    if not set(form.get("scope", "verify").split(" ")) <= _SCOPES:
        raise Malformed("oauth.invalid_scope", "scope 只能是 openid、verify。", "The scopes are openid and verify.")
    if "state" in form and not _STATE.fullmatch(form["state"]):
        raise bad_form("state is at most 512 visible ASCII characters")
    if "grant_id" in form:
        raise Malformed(
            "oauth.invalid_grant_id",
            "已有的授权不能扩大，请重新请求。",
            "A grant cannot be widened: ask for a new one.",
        )
    if form.get("grant_management_action", "create") != "create":
        raise bad_form("the grant management action is create")


def _bound_to(client: Client, form: Mapping[str, str]) -> str:
    proved = client.proof.jkt if client.proof else None
    said = form.get("dpop_jkt")
    if said is not None and (not _JKT.fullmatch(said) or (proved is not None and said != proved)):
        raise Malformed(
            "dpop.jkt", "dpop_jkt 与 DPoP 证明不符。", "dpop_jkt is not the key of the DPoP proof."
        )
    return said or proved or client.assertion.kid


@router.get("/oauth/authorize", tags=["browsers"], status_code=303, response_class=RedirectResponse)
async def authorize(visit: Annotated[Visit, Depends(visit_of)]) -> Response:
    """The page that a department's website sends a browser to; only `client_id` and `request_uri` count.

    1. The reference is opened once, for this browser. 2. Somebody signs in. 3. The case's applicant goes on to read and
    decide; anybody else is sent back with `access_denied`, which tells nothing about the applicant.
    """
    hub, query = visit.hub, visit.request.query_params
    client_id, request_uri = query.getlist("client_id"), query.getlist("request_uri")
    if len(client_id) != 1 or len(request_uri) != 1:
        raise _only_pushed()
    async with hub.tx(visit.actor) as tx:
        opened = await open_pushed(  # 1
            tx, request_uri=request_uri[0], department=client_id[0], browser=visit.browser_token
        )
        if not visit.signed_in:  # 2
            here = f"/oauth/authorize?client_id={quote(client_id[0])}&request_uri={quote(request_uri[0])}"
            return _go(visit, f"/login?next={quote(here, safe='')}")
        if await hand_over(tx, opened=opened):  # 3
            return _go(visit, f"/requests/{opened.public_id}")
        back = await answer(tx, public_id=opened.public_id, issuer=hub.settings.public_url)
    return _go(visit, back or "/")


def _go(visit: Visit, where: str) -> Response:
    response = RedirectResponse(where, status_code=303, headers={"Cache-Control": "no-store"})
    visit.set_cookies(response)
    return response


def _only_pushed() -> HubError:
    return Malformed(
        "oauth.invalid_request",
        "这个链接不完整。",
        "Only client_id and request_uri of a pushed request are taken.",
        next_zh="请回到部门的网站，从那里重新开始。",
        next_en="Go back to the office's website and start again from there.",
    )

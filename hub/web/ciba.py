"""Consent asked in the background (OpenID CIBA Core 1.0, poll mode): the person is not in this browser."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from hub.actor import PUBLIC
from hub.consent.guard import admit, require_free
from hub.consent.request import LIVES_AT_MOST, start
from hub.errors import HubError, Malformed
from hub.registry import subjects
from hub.store.tx import View
from hub.web import examples
from hub.web.answer import dumps, json_answer
from hub.web.asking import CLIENT_FORM, asked, form_schema
from hub.web.body import bad_form, read_form
from hub.web.client import authenticate
from hub.web.deps import hub_of

router = APIRouter(tags=["oauth"])

_ALL_BINDING = 20


@router.post(
    "/oauth/bc-authorize",
    openapi_extra=form_schema(
        scope="openid verify",
        login_hint="111:11010519491231002X",
        binding_message="A1B2",
        authorization_details='[{"type":"certificate_verification"}]',
        **CLIENT_FORM,
    ),
    responses=examples.ASKED,
)
async def bc_authorize(request: Request) -> Response:
    """Ask for the consent of a person who is not in this browser (CIBA). The person stands in the body only.

    `login_hint` is `id_type:number`. Somebody we do not know is answered like somebody we know.
    """
    hub = hub_of(request)
    form = await read_form(request)
    async with hub.tx(PUBLIC) as tx:
        client = await authenticate(tx, request, form, proof=False)
        tx.actor = client.actor
        await client.enter(tx)
        await require_free(tx)
        wanted = await asked(hub, tx, form)
        _check(form)
        await admit(tx, "asked", person=wanted.case.applicant)
        started = await start(
            tx,
            details=wanted.details,
            item=wanted.item,
            case=wanted.case,
            approver=await _person(tx, form["login_hint"]),
            binding_message=form.get("binding_message", ""),
            lives=_lives(form),
        )
        answer = {
            "auth_req_id": started.auth_req_id,
            "expires_in": started.expires_in,
            "interval": started.interval,
        }
    return json_answer(dumps(answer))


def _check(form: Mapping[str, str]) -> None:
    if "login_hint_token" in form or "id_token_hint" in form or "login_hint" not in form:
        raise bad_form("exactly login_hint is needed")
    if "client_notification_token" in form:
        raise bad_form("only poll mode is offered")
    if not {"openid", "verify"} & set(form.get("scope", "").split(" ")):
        raise Malformed("oauth.invalid_scope", "scope 须含 openid。", "The scope must contain openid.")
    message = form.get("binding_message", "")
    if len(message) > _ALL_BINDING or not all(char.isalnum() or char in " -" for char in message):
        raise Malformed(
            "oauth.invalid_binding_message",
            f"核对码最多 {_ALL_BINDING} 个字母、数字、空格或连字符。",
            f"The binding message is at most {_ALL_BINDING} letters, digits, spaces or hyphens.",
        )


def _lives(form: Mapping[str, str]) -> timedelta:
    asked = form.get("requested_expiry")
    if asked is None:
        return LIVES_AT_MOST
    if (
        not asked.isascii()
        or not asked.isdigit()
        or not 60 <= int(asked[:9]) <= LIVES_AT_MOST.total_seconds()
    ):
        raise bad_form("requested_expiry is out of range")
    return timedelta(seconds=int(asked))


async def _person(view: View, hint: str) -> Any:
    """The subject of a login hint, None for nobody: unknown, impossible and ambiguous are answered alike."""
    id_type, colon, id_no = hint.partition(":")
    if not colon or not id_type or len(id_type) > 16:
        raise bad_form("login_hint must be id_type:number")
    try:
        return await subjects.find(view, id_type=id_type, id_no=id_no)
    except HubError:
        return None

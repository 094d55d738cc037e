"""The OAuth doors: tokens for departments, consent asked in the background (CIBA poll), introspection, revocation.

RFC 6749, 7009, 7523, 7662, 8414, 9068, 9396, 9449, and OpenID CIBA Core 1.0. Errors are OAuth errors.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from hub.actor import PUBLIC
from hub.cases.open import by_public_id as case_by_public_id
from hub.clock import seconds
from hub.consent.model import Grant, GrantState
from hub.consent.request import LIVES_AT_MOST, Progress, poll, start
from hub.consent.token import sign_token
from hub.consent.withdraw import by_public_id as grant_by_public_id
from hub.errors import Forbidden, HubError, Malformed, NotFound, Unprocessable
from hub.formats import jws
from hub.formats.authorization import (
    TOKEN_SECONDS,
    AccessToken,
    Detail,
    check_access_token,
    make_access_token,
    parse_details,
)
from hub.formats.details import TYPE as DETAIL_TYPE
from hub.ids import public_token
from hub.registry import departments, subjects
from hub.store.tx import Tx, View
from hub.web import examples
from hub.web.answer import dumps, json_answer
from hub.web.body import bad_form, read_form
from hub.web.caller import is_revoked, revoke, token_keys
from hub.web.client import Client, authenticate
from hub.web.deps import Hub, hub_of

router = APIRouter(tags=["oauth"])

CIBA = "urn:openid:params:grant-type:ciba"
SCOPES = ("issue", "verify")
DETAILS_BYTES = 64 * 1024
_ALL_BINDING = 20

_Grant = Callable[[Hub, Tx, Client, Mapping[str, str]], Awaitable[dict[str, Any]]]


def _form_schema(**fields: str) -> dict[str, Any]:
    properties = {name: {"type": "string", "example": example} for name, example in fields.items()}
    content = {"application/x-www-form-urlencoded": {"schema": {"type": "object", "properties": properties}}}
    return {"requestBody": {"required": True, "content": content}}


_CLIENT = {
    "client_id": "dg-edu",
    "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
    "client_assertion": "eyJ…",
}


@router.post(
    "/oauth/token",
    openapi_extra=_form_schema(grant_type="client_credentials", scope="issue", **_CLIENT),
    responses=examples.TOKEN,
)
async def token(request: Request) -> Response:
    """A token bound to the client key: the department's own (client_credentials), or by consent (CIBA)."""
    hub = hub_of(request)
    form = await read_form(request)
    grant = _GRANTS.get(form.get("grant_type", ""))
    if grant is None:
        raise Malformed(
            "oauth.unsupported_grant_type", "不支持的授权类型。", "This grant type is not supported."
        )
    told: _Told | None = None
    async with hub.tx(PUBLIC) as tx:
        client = await authenticate(tx, request, form, proof=True)
        tx.actor = client.actor
        await client.enter(tx)
        try:
            answer = await grant(hub, tx, client, form)
        except _Told as wait:  # "not yet" is an answer: what was counted must be committed
            told = wait
    if told is not None:
        raise told.error
    return json_answer(dumps(answer), headers={"Pragma": "no-cache"})


async def _own_token(hub: Hub, tx: Tx, client: Client, form: Mapping[str, str]) -> dict[str, Any]:
    scopes = form.get("scope", "issue verify").split(" ")
    if not scopes or not set(scopes) <= set(SCOPES):
        raise Malformed(
            "oauth.invalid_scope", "scope 只能是 issue 和 verify。", "The scopes are issue and verify."
        )
    await departments.require_active(tx, client.slug)
    assert client.proof is not None  # noqa: S101 - `authenticate(proof=True)` gave one
    now = seconds(tx.now)
    scope = " ".join(sorted(set(scopes)))
    issuer = hub.settings.public_url
    signed = make_access_token(
        hub.signer("token"),
        issuer=issuer,
        audience=issuer,
        subject=client.slug,
        client_id=client.slug,
        jkt=client.proof.jkt,
        jti=public_token(),
        now=now,
        expires=now + TOKEN_SECONDS,
        scope=scope,
    )
    return {"access_token": signed, "token_type": "DPoP", "expires_in": TOKEN_SECONDS, "scope": scope}


class _Told(Exception):
    """An answer of the token door that is an OAuth error although the transaction must be kept."""

    def __init__(self, word: str, zh: str, en: str) -> None:
        super().__init__(word)
        self.error = Malformed(f"oauth.{word}", zh, en)


_WAITING = {
    Progress.PENDING: ("本人尚未决定。", "The person has not decided yet."),
    Progress.SLOW_DOWN: ("查询过于频繁，请把间隔加长 5 秒。", "Polling too fast: wait 5 seconds longer."),
    Progress.REFUSED: ("本人已拒绝。", "The person refused."),
    Progress.EXPIRED: ("授权请求已过期。", "The request has expired."),
}


async def _by_consent(hub: Hub, tx: Tx, client: Client, form: Mapping[str, str]) -> dict[str, Any]:
    if "auth_req_id" not in form:
        raise bad_form("auth_req_id is missing")
    found = await poll(tx, auth_req_id=form["auth_req_id"])
    if found.progress is not Progress.APPROVED:
        raise _Told(str(found.progress), *_WAITING[found.progress])
    grants = [grant for grant in found.grants if _stands(grant, tx)]
    if not grants:
        raise Malformed(
            "oauth.invalid_grant",
            "授权已撤回、用完或过期。",
            "The grant was withdrawn, used up, or has ended.",
        )
    assert client.proof is not None  # noqa: S101 - `authenticate(proof=True)` gave one
    signed, lives = sign_token(
        hub.signer("token"),
        issuer=hub.settings.public_url,
        grants=grants,
        jkt=client.proof.jkt,
        pairwise_key=hub.keyring.secret("pairwise"),
        now=tx.now,
    )
    return {
        "access_token": signed,
        "token_type": "DPoP",
        "expires_in": lives,
        "scope": "verify",
        "authorization_details": [dict(grant.detail) for grant in grants],
        "grants": [grant.public_id for grant in grants],
    }


_GRANTS: dict[str, _Grant] = {"client_credentials": _own_token, CIBA: _by_consent}


@router.post(
    "/oauth/bc-authorize",
    openapi_extra=_form_schema(
        scope="openid verify",
        login_hint="111:11010519491231002X",
        binding_message="A1B2",
        authorization_details='[{"type":"certificate_verification"}]',
        **_CLIENT,
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
        details = _details(form)
        _check_ciba(form)
        item = hub.items.get(details[0].item_code)
        if item is None:
            raise Unprocessable("item.unknown", "没有这个事项。", "There is no such service item.")
        try:
            case = (await case_by_public_id(tx, details[0].case_id)).facts()
        except NotFound as fault:
            raise _not_your_case() from fault
        started = await start(
            tx,
            details=details,
            item=item,
            case=case,
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


def _check_ciba(form: Mapping[str, str]) -> None:
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


def _details(form: Mapping[str, str]) -> Sequence[Detail]:
    if "authorization_details" not in form:
        raise bad_form("authorization_details is missing")
    details = parse_details(jws.loads(form["authorization_details"], max_bytes=DETAILS_BYTES))
    if len({(detail.item_code, detail.case_id) for detail in details}) != 1:
        raise Unprocessable(
            "authorization_details.several_cases",
            "一次只能为一个办件请求授权。",
            "One request is for one case.",
        )
    return details


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


def _not_your_case() -> Forbidden:
    return Forbidden(
        "consent.case_not_yours",
        "没有这个办件，或者它不属于本部门的这个事项。",
        "There is no such case, or it is not this department's case for this item.",
    )


@router.post(
    "/oauth/introspect", openapi_extra=_form_schema(token="eyJ…", **_CLIENT), responses=examples.INTROSPECTED
)
async def introspect(request: Request) -> Response:
    """What a token of the calling department is good for now (RFC 7662); inactive says nothing else."""
    hub = hub_of(request)
    form = await read_form(request)
    async with hub.tx(PUBLIC) as tx:
        client = await authenticate(tx, request, form, proof=False)
        tx.actor = client.actor
        await client.enter(tx)
        found = _read(hub, form, tx)
        if found is None or found.client_id != client.slug or await is_revoked(tx, found.jti):
            return json_answer(dumps({"active": False}))
        standing = []
        for public_id, detail in zip(found.grants, found.authorization_details, strict=True):
            with suppress(NotFound):  # erased together with its person
                if _stands(await grant_by_public_id(tx, public_id), tx):
                    standing.append((public_id, detail))
        if found.grants and not standing:
            return json_answer(dumps({"active": False}))
    answer: dict[str, Any] = {
        "active": True,
        "scope": " ".join(sorted(found.scope)),
        "client_id": found.client_id,
        "token_type": "DPoP",
        "exp": found.exp,
        "iat": found.iat,
        "sub": found.subject,
        "aud": found.audience,
        "iss": found.issuer,
        "jti": found.jti,
        "cnf": {"jkt": found.jkt},
    }
    if standing:
        answer["authorization_details"] = [detail.to_json() for _, detail in standing]
        answer["grants"] = [public_id for public_id, _ in standing]
    return json_answer(dumps(answer))


@router.post("/oauth/revoke", openapi_extra=_form_schema(token="eyJ…", **_CLIENT))
async def revoke_token(request: Request) -> Response:
    """Let one of one's own tokens end now (RFC 7009). 200 also for a token that is unknown or another's.

    The grant behind a consent token stays: it is the citizen's to withdraw.
    """
    hub = hub_of(request)
    form = await read_form(request)
    async with hub.tx(PUBLIC) as tx:
        client = await authenticate(tx, request, form, proof=False)
        tx.actor = client.actor
        await client.enter(tx)
        found = _read(hub, form, tx)
        if found is not None and found.client_id == client.slug:
            await revoke(tx, found)
    return Response(status_code=200, headers={"Cache-Control": "no-store"})


@router.get("/.well-known/oauth-authorization-server")
async def metadata(request: Request) -> Response:
    """What this authorization server offers (RFC 8414)."""
    hub = hub_of(request)
    issuer = hub.settings.public_url
    return json_answer(
        dumps(
            {
                "issuer": issuer,
                "token_endpoint": f"{issuer}/oauth/token",
                "backchannel_authentication_endpoint": f"{issuer}/oauth/bc-authorize",
                "introspection_endpoint": f"{issuer}/oauth/introspect",
                "revocation_endpoint": f"{issuer}/oauth/revoke",
                "jwks_uri": f"{issuer}/.well-known/jwks.json",
                "grant_types_supported": list(_GRANTS),
                "response_types_supported": [],
                "scopes_supported": ["openid", *SCOPES],
                "token_endpoint_auth_methods_supported": ["private_key_jwt"],
                "token_endpoint_auth_signing_alg_values_supported": ["ES256"],
                "introspection_endpoint_auth_methods_supported": ["private_key_jwt"],
                "revocation_endpoint_auth_methods_supported": ["private_key_jwt"],
                "dpop_signing_alg_values_supported": ["ES256"],
                "backchannel_token_delivery_modes_supported": ["poll"],
                "backchannel_user_code_parameter_supported": False,
                "authorization_details_types_supported": [DETAIL_TYPE],
            }
        ),
        headers={"Cache-Control": "public, max-age=300"},
    )


def _read(hub: Hub, form: Mapping[str, str], view: View) -> AccessToken | None:
    if "token" not in form:
        raise bad_form("token is missing")
    issuer = hub.settings.public_url
    try:
        return check_access_token(
            form["token"], issuer=issuer, audience=issuer, key=token_keys(hub), now=seconds(view.now)
        )
    except HubError:
        return None


def _stands(grant: Grant, view: View) -> bool:
    return grant.state is GrantState.STANDING and grant.valid_until > view.now and grant.uses < grant.max_uses

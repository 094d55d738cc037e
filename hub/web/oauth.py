"""The OAuth doors for departments' systems: tokens, introspection, revocation, and what this server offers.

RFC 6749, 7009, 7523, 7662, 8414, 9068, 9396, 9449; consent is asked at `authorize.py` and `ciba.py`.
Errors are OAuth errors.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from hub.actor import PUBLIC
from hub.clock import seconds
from hub.consent.manage import stands
from hub.consent.model import Grant
from hub.consent.redirect import CodeReused, redeem, remember_token
from hub.consent.request import Progress, poll
from hub.consent.token import sign_token
from hub.consent.withdraw import by_public_id as grant_by_public_id
from hub.errors import HubError, Malformed, NotFound
from hub.formats.authorization import TOKEN_SECONDS, AccessToken, make_access_token
from hub.formats.details import TYPE as DETAIL_TYPE
from hub.ids import public_token
from hub.registry import departments
from hub.store.tx import Tx, View
from hub.web import examples
from hub.web.answer import dumps, json_answer
from hub.web.asking import CLIENT_FORM, form_schema
from hub.web.body import bad_form, read_form
from hub.web.caller import access_token, is_revoked, issued, revoke
from hub.web.client import Client, authenticate
from hub.web.deps import Hub, hub_of
from hub.web.grants import QUERY, REVOKE

router = APIRouter(tags=["oauth"])

CIBA = "urn:openid:params:grant-type:ciba"
SCOPES = ("issue", "verify", QUERY, REVOKE)

_Grant = Callable[[Hub, Tx, Client, Mapping[str, str]], Awaitable[dict[str, Any]]]


@router.post(
    "/oauth/token",
    openapi_extra=form_schema(grant_type="client_credentials", scope="issue", **CLIENT_FORM),
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
    issued(hub, answer["access_token"])
    return json_answer(dumps(answer), headers={"Pragma": "no-cache"})


async def _own_token(hub: Hub, tx: Tx, client: Client, form: Mapping[str, str]) -> dict[str, Any]:
    scopes = form.get("scope", "issue verify").split(" ")
    if not scopes or not set(scopes) <= set(SCOPES):
        raise Malformed(
            "oauth.invalid_scope", f"scope 只能是 {'、'.join(SCOPES)}。", f"The scopes are {', '.join(SCOPES)}."
        )
    await departments.require_active(tx, client.slug)
    now = seconds(tx.now)
    scope = " ".join(sorted(set(scopes)))
    issuer = hub.settings.public_url
    signed = make_access_token(
        hub.signer("token"),
        issuer=issuer,
        audience=issuer,
        subject=client.slug,
        client_id=client.slug,
        jkt=_jkt(client),
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
    return _consent_token(hub, tx, client, found.grants, found.grant_id, jti=public_token())


async def _by_code(hub: Hub, tx: Tx, client: Client, form: Mapping[str, str]) -> dict[str, Any]:
    if not {"code", "redirect_uri", "code_verifier"} <= form.keys():
        raise bad_form("code, redirect_uri and code_verifier are needed")
    jti = public_token()
    try:
        found = await redeem(
            tx,
            code=form["code"],
            redirect_uri=form["redirect_uri"],
            code_verifier=form["code_verifier"],
            jkt=_jkt(client),
        )
    except CodeReused as reused:  # its first token was revoked: that must be kept
        raise _Told("invalid_grant", "授权码已经用过。", "The code was used before.") from reused
    answer = _consent_token(hub, tx, client, found.grants, found.grant_id, jti=jti)
    await remember_token(tx, found, jti=jti, lives=answer["expires_in"])
    return answer


def _consent_token(
    hub: Hub, tx: Tx, client: Client, found: Sequence[Grant], grant_id: str | None, *, jti: str
) -> dict[str, Any]:
    grants = [grant for grant in found if stands(grant, tx)]
    if not grants:
        raise Malformed(
            "oauth.invalid_grant",
            "授权已撤回、用完或过期。",
            "The grant was withdrawn, used up, or has ended.",
        )
    signed, lives = sign_token(
        hub.signer("token"),
        issuer=hub.settings.public_url,
        grants=grants,
        jkt=_jkt(client),
        pairwise_key=hub.keyring.secret("pairwise"),
        now=tx.now,
        grant_id=grant_id,
        jti=jti,
    )
    return {
        "access_token": signed,
        "token_type": "DPoP",
        "expires_in": lives,
        "scope": "verify",
        "authorization_details": [dict(grant.detail) for grant in grants],
        "grants": [grant.public_id for grant in grants],
        "grant_id": grant_id,
    }


def _jkt(client: Client) -> str:
    assert client.proof is not None  # noqa: S101 - `authenticate(proof=True)` gave one
    return client.proof.jkt


_GRANTS: dict[str, _Grant] = {
    "client_credentials": _own_token,
    "authorization_code": _by_code,
    CIBA: _by_consent,
}


@router.post(
    "/oauth/introspect", openapi_extra=form_schema(token="eyJ…", **CLIENT_FORM), responses=examples.INTROSPECTED
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
                if stands(await grant_by_public_id(tx, public_id), tx):
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
        answer["grant_id"] = found.grant_id
    return json_answer(dumps(answer))


@router.post("/oauth/revoke", openapi_extra=form_schema(token="eyJ…", **CLIENT_FORM))
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
                "authorization_endpoint": f"{issuer}/oauth/authorize",
                "pushed_authorization_request_endpoint": f"{issuer}/oauth/par",
                "require_pushed_authorization_requests": True,
                "authorization_response_iss_parameter_supported": True,
                "response_types_supported": ["code"],
                "response_modes_supported": ["query"],
                "code_challenge_methods_supported": ["S256"],
                "token_endpoint": f"{issuer}/oauth/token",
                "backchannel_authentication_endpoint": f"{issuer}/oauth/bc-authorize",
                "introspection_endpoint": f"{issuer}/oauth/introspect",
                "revocation_endpoint": f"{issuer}/oauth/revoke",
                "jwks_uri": f"{issuer}/.well-known/jwks.json",
                "webhook_keys_uri": f"{issuer}/.well-known/webhook-keys.json",
                "grant_types_supported": list(_GRANTS),
                "scopes_supported": ["openid", *SCOPES],
                "token_endpoint_auth_methods_supported": ["private_key_jwt"],
                "token_endpoint_auth_signing_alg_values_supported": ["ES256"],
                "introspection_endpoint_auth_methods_supported": ["private_key_jwt"],
                "introspection_endpoint_auth_signing_alg_values_supported": ["ES256"],
                "revocation_endpoint_auth_methods_supported": ["private_key_jwt"],
                "revocation_endpoint_auth_signing_alg_values_supported": ["ES256"],
                "dpop_signing_alg_values_supported": ["ES256"],
                "backchannel_token_delivery_modes_supported": ["poll"],
                "backchannel_user_code_parameter_supported": False,
                "authorization_details_types_supported": [DETAIL_TYPE],
                "grant_management_endpoint": f"{issuer}/v1/grants",
                "grant_management_actions_supported": ["create", "query", "revoke"],
                "grant_management_action_required": False,
            }
        ),
        headers={"Cache-Control": "public, max-age=300"},
    )


def _read(hub: Hub, form: Mapping[str, str], view: View) -> AccessToken | None:
    if "token" not in form:
        raise bad_form("token is missing")
    try:
        return access_token(hub, form["token"], now=seconds(view.now))
    except HubError:
        return None

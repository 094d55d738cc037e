"""The demonstration's identity provider: a small OpenID provider (Authlib's server side) that asks no password.

Discovery, code flow with PKCE and `nonce`, `iss` in the answer, private_key_jwt, ID tokens by a key of its own. It lets
anybody be anybody made up, and therefore is not mounted in a production hub and refuses to be made there.
"""

from typing import Annotated

from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from fastapi import APIRouter, Depends
from joserfc.jwk import ECKey
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from hub.actor import PUBLIC
from hub.errors import HubError, Malformed, NotFound
from hub.web.answer import dumps, json_answer
from hub.web.body import read_form
from hub.web.demoauthlib import Asked, Client, Play
from hub.web.demodirectory import PATH, choices, claims_of, demo_provider, named
from hub.web.deps import Hub, hub_of
from hub.web.pages.render import render
from hub.web.pages.visit import Visit, posted, text, visit_of
from keys.signer import LocalSigner

router = APIRouter(prefix=PATH, include_in_schema=False)

_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


@router.get("/.well-known/openid-configuration")
async def discovery(request: Request) -> Response:
    """What this provider offers (OpenID Connect Discovery 1.0)."""
    issuer = _playing(request).issuer
    told = {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}/authorize",
        "token_endpoint": f"{issuer}/token",
        "jwks_uri": f"{issuer}/keys.json",
        "end_session_endpoint": f"{issuer}/leave",
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
        "token_endpoint_auth_methods_supported": ["private_key_jwt"],
        "token_endpoint_auth_signing_alg_values_supported": ["ES256"],
        "code_challenge_methods_supported": ["S256"],
        "scopes_supported": ["openid", "profile"],
        "authorization_response_iss_parameter_supported": True,
    }
    return json_answer(dumps(told))


@router.get("/keys.json")
async def keys(request: Request) -> Response:
    """The key of its ID tokens."""
    play = _playing(request)
    public = play.key.as_dict(private=False)
    return json_answer(dumps({"keys": [{**public, "kid": play.kid, "alg": "ES256", "use": "sig"}]}))


@router.get("/authorize")
async def authorize(visit: Annotated[Visit, Depends(visit_of)]) -> Response:
    """Choose who you are; `login_hint` names the identity that is offered first."""
    play = _playing(visit.request)
    _grant(play, visit.request)
    async with visit.hub.view(PUBLIC) as view:
        offered = await choices(visit.hub, view)
    wanted = visit.request.query_params.get("login_hint", "")
    return render(
        visit,
        "demologin.html",
        here=f"{PATH}/authorize?{visit.request.url.query}",
        first=[c for c in offered if wanted and c.value.endswith(f":{wanted}")],
        others=f"{PATH}/authorize?{visit.request.url.remove_query_params('login_hint').query}",
        groups={kind: [c for c in offered if c.kind == kind] for kind in ("named", "officer", "person")},
        story=bool(named(visit.hub)),
    )


@router.post("/authorize")
async def chosen(visit: Annotated[Visit, Depends(visit_of)]) -> Response:
    """Back to the client with a code for whoever was chosen."""
    form = await posted(visit)
    play = _playing(visit.request)
    asked, grant = _grant(play, visit.request)
    async with visit.hub.view(PUBLIC) as view:
        claims = await claims_of(visit.hub, view, text(form, "who"))
    answer: Response = play.server.create_authorization_response(asked, grant_user=claims, grant=grant)
    return answer


@router.post("/token")
async def token(request: Request) -> Response:
    """A code for an ID token."""
    play = _playing(request)
    form = await read_form(request)
    answer: Response = play.server.create_token_response(Asked("POST", play.issuer, dict(request.headers), {}, form))
    return answer


@router.get("/leave")
async def leave(request: Request) -> Response:
    """Sign out of it (RP-Initiated Logout 1.0): nobody stays signed in here, so this only leads back."""
    play = _playing(request)
    back, ours = request.query_params.get("post_logout_redirect_uri", ""), play.hub.settings.public_url + "/"
    return RedirectResponse(back if back == ours else "/", status_code=303)


# ---------------------------------------------------------------- one for each process


class _Kept:
    play: Play | None = None


def client_key(hub: Hub) -> LocalSigner:
    """The hub's key at this provider (private_key_jwt)."""
    return LocalSigner(_derived(hub, "client"))


def _playing(request: Request) -> Play:
    hub = hub_of(request)
    if hub.production:
        raise NotFound("page.unknown", "没有这个页面。", "There is no such page.")
    kept = hub.db.memory.of(_Kept)
    if kept.play is None:
        known = demo_provider(hub)
        back = f"{hub.settings.public_url}/login/{known.code}/back"
        client = Client(known.client_id, back, _joserfc(_derived(hub, "client")))
        issuing = _derived(hub, "issuer")
        kept.play = Play(hub, known.issuer, _joserfc(issuing), LocalSigner(issuing).kid, client)
    return kept.play


def _grant(play: Play, request: Request) -> tuple[Asked, AuthorizationCodeGrant]:
    """The authorization request and its grant, or the refusal."""
    args = request.query_params
    if len(args.multi_items()) != len(args):
        raise _refused("a parameter is repeated")
    asked = Asked("GET", str(request.url), dict(request.headers), args, {})
    try:
        return asked, play.server.get_consent_grant(asked)
    except OAuth2Error as fault:
        raise _refused(fault.error) from fault


def _refused(why: str) -> HubError:
    return Malformed(
        "demo.request",
        f"演示身份提供方看不懂这个请求（{why}）。",
        f"The demo identity provider cannot take this request ({why}).",
        next_zh="请回到登录页重新登录。",
        next_en="Begin again at the sign-in page.",
    )


def _derived(hub: Hub, what: str) -> ec.EllipticCurvePrivateKey:
    number = int.from_bytes(hub.db.vault.hub_key(f"demo-login.{what}"), "big") % (_ORDER - 1) + 1
    return ec.derive_private_key(number, ec.SECP256R1())


def _joserfc(key: ec.EllipticCurvePrivateKey) -> ECKey:
    return ECKey.import_key(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))

"""The hub as a client of an identity provider: OpenID Connect Core 1.0, code flow with PKCE (Authlib, joserfc).

What is asked of a provider: discovery, a code, and an ID token by a key of its own. Nothing that it says is believed
before `read_id_token`. Network calls are made outside of every transaction, to the configured issuer and the addresses
that its own metadata names.
"""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from authlib.oauth2.rfc6749.parameters import prepare_grant_uri, prepare_token_request
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jws import JWSRegistry

from hub.clock import from_seconds, seconds
from hub.errors import HubError, Unauthenticated
from hub.formats import jws
from hub.registry.discovery import Caller, Metadata, bad_answer
from hub.registry.providers import Provider

SKEW = 30
ALGORITHMS = ("ES256", "RS256", "PS256", "ES384", "RS384", "PS384", "ES512", "RS512", "PS512", "EdDSA", "Ed25519")
"""Signatures by a key that only the provider has; HS256 and `none` do not exist for us."""
SIGNED_IN_WITHIN = timedelta(hours=8)
"""How old a sign-in at the provider may be for a new session here (`max_age`)."""
LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"


@dataclass(frozen=True, slots=True)
class Said:
    """What a provider vouches for: an account, how and when the person signed in there, and its claims."""

    sub: str
    sid: str | None
    acr: str | None
    amr: tuple[str, ...]
    proved_at: datetime | None
    claims: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Ask:
    """One authorization request. `max_age` in seconds; 0 asks for the person to prove themselves now."""

    redirect_uri: str
    state: str
    secret: bytes
    max_age: int = int(SIGNED_IN_WITHIN.total_seconds())
    acr_values: str = ""
    login_hint: str = ""

    @property
    def nonce(self) -> str:
        """Derived from `state` under the hub's secret, so that no table holds it."""
        return self._derived("nonce")

    @property
    def verifier(self) -> str:
        """The PKCE verifier, derived likewise: 43 characters."""
        return self._derived("verifier")

    def _derived(self, what: str) -> str:
        return jws.b64u_encode(hmac.digest(self.secret, f"{what}\n{self.state}".encode(), "sha256"))


def authorization_address(found: Metadata, provider: Provider, ask: Ask) -> str:
    """Where to send the browser: code flow, PKCE S256, `state`, `nonce`, `max_age` (OpenID Connect Core 3.1.2.1)."""
    more = {
        "nonce": ask.nonce,
        "code_challenge": create_s256_code_challenge(ask.verifier),
        "code_challenge_method": "S256",
        "max_age": str(ask.max_age),
    }
    if ask.max_age == 0:
        more["prompt"] = "login"
    more |= {n: v for n, v in (("acr_values", ask.acr_values), ("login_hint", ask.login_hint)) if v}
    address: str = prepare_grant_uri(
        found.authorization_endpoint,
        client_id=provider.client_id,
        response_type="code",
        redirect_uri=ask.redirect_uri,
        scope=provider.scope,
        state=ask.state,
        **more,
    )
    return address


def code_of(found: Metadata, answer: Mapping[str, str]) -> str:
    """The code of an authorization response.

    1. `iss` is this provider's, where it is sent or where the provider says that it sends it (RFC 9207): an answer of
    another one is refused before anything of it is used. 2. No error. 3. A code. Raises Unauthenticated `login.mix_up`,
    `login.refused`, `login.answer`.
    """
    if answer.get("iss", found.issuer if not found.says_issuer else None) != found.issuer:  # 1
        raise Unauthenticated(
            "login.mix_up",
            "登录结果不是由您选择的身份提供方发出的，已停止。",
            "The answer did not come from the provider that you chose; it was stopped.",
            next_zh="请回到登录页重新登录；再次出现请联系平台管理员。",
            next_en="Begin again; tell an administrator if it happens once more.",
        )
    if "error" in answer:  # 2
        raise Unauthenticated(
            "login.refused",
            "身份提供方没有完成登录（可能是您取消了）。",
            "The provider did not sign you in (perhaps you cancelled).",
            next_zh="请回到登录页再试，或换一种登录方式。",
            next_en="Try again at the sign-in page, or choose another way.",
        )
    if not answer.get("code"):  # 3
        raise bad_answer("no code")
    return answer["code"]


async def redeem(caller: Caller, found: Metadata, provider: Provider, *, code: str, ask: Ask, now: datetime) -> Said:
    """Exchange a code for what the provider vouches for. Raises as `read_id_token`, and Unavailable `login.away`."""
    body = prepare_token_request(
        "authorization_code", code=code, redirect_uri=ask.redirect_uri, code_verifier=ask.verifier
    )
    answer = await caller.post(found.token_endpoint, body, provider=provider, issuer=found.issuer, now=now)
    token, access = answer.get("id_token"), answer.get("access_token")
    if not isinstance(token, str) or not isinstance(access, str):
        raise bad_answer("no ID token")
    claims = await _claims(caller, found, provider, token, now=now, nonce=ask.nonce, access_token=access)
    needed = {claims_name for claims_name in provider.claims.values() if claims_name}
    if not needed <= claims.keys() and found.userinfo_endpoint:
        more = await caller.get(found.userinfo_endpoint, bearer=access)
        if more.get("sub") != claims["sub"]:  # OpenID Connect Core 5.3.2: or somebody else's could be swapped in
            raise bad_answer("userinfo is about somebody else")
        claims = {**more, **claims}
    return _said(claims)


async def read_logout_token(
    caller: Caller, found: Metadata, provider: Provider, *, token: str, now: datetime
) -> tuple[Said, str, int]:
    """Whom a back-channel logout is about, the token's `jti`, and its end in seconds (Back-Channel Logout 1.0, 2.6).

    1. Signed by the provider, for us, in time. 2. `events` names a logout, there is no `nonce`, `jti` is there.
    3. `sub` or `sid` is there. Raises Unauthenticated `login.token`.
    """
    claims = await _claims(caller, found, provider, token, now=now, typ=("logout+jwt", "JWT", None))  # 1
    events = claims.get("events")
    jti, exp = claims.get("jti"), claims.get("exp")
    if not isinstance(events, dict) or not isinstance(events.get(LOGOUT_EVENT), dict) or "nonce" in claims:  # 2
        raise bad_token("not a logout token")
    if not isinstance(jti, str) or not 1 <= len(jti) <= 255 or not isinstance(exp, int):
        raise bad_token("jti or exp is missing")
    if not isinstance(claims.get("sub"), str) and not isinstance(claims.get("sid"), str):  # 3
        raise bad_token("neither sub nor sid")
    return _said({"sub": "", **claims}), jti, exp + SKEW


async def _claims(
    caller: Caller,
    found: Metadata,
    provider: Provider,
    token: str,
    *,
    now: datetime,
    nonce: str | None = None,
    access_token: str | None = None,
    typ: tuple[str | None, ...] = ("JWT", "jwt", None),
) -> dict[str, Any]:
    """The claims of an ID or logout token (OpenID Connect Core 3.1.3.7).

    1. Signature by a key of the provider, with an algorithm of ours. 2. `iss`, `aud`, `azp`, `exp`, `iat`, `nonce`,
    `at_hash`, clocks at most 30 s apart. 3. Not older than ten minutes.
    """
    try:
        header = jws.split(token, max_bytes=64 * 1024).header
        if header.get("typ") not in typ or header.get("alg") not in ALGORITHMS or "crit" in header:
            raise bad_token("type or algorithm")
        keys = await caller.keys(found, kid=header.get("kid"))
        registry = JWSRegistry(algorithms=list(ALGORITHMS), strict_check_header=False)
        decoded = jwt.decode(token, keys, registry=registry)  # 1
        options = {
            "iss": {"essential": True, "value": found.issuer},
            "aud": {"essential": True, "value": provider.client_id},
        }
        logout = nonce is None
        params = {"client_id": provider.client_id, "nonce": nonce, "access_token": access_token}
        claims = _LogoutToken if logout else CodeIDToken
        checked = claims(decoded.claims, decoded.header, options, params)
        checked.validate(now=seconds(now), leeway=SKEW)  # 2
    except (JoseError, ValueError, TypeError, KeyError) as fault:
        raise bad_token(type(fault).__name__) from fault
    except HubError as fault:
        if fault.kind == "unavailable" or fault.code.startswith("login."):
            raise
        raise bad_token(fault.code) from fault
    issued = checked["iat"]
    if isinstance(issued, bool) or not seconds(now) - 600 <= issued <= seconds(now) + SKEW:  # 3
        raise bad_token("iat")
    return dict(checked)


class _LogoutToken(CodeIDToken):  # type: ignore[misc]
    """The same checks as for an ID token, but the person may be named by `sid` alone."""

    ESSENTIAL_CLAIMS = ["iss", "aud", "iat", "exp", "jti"]  # noqa: RUF012 - as in the class above it


def _said(claims: Mapping[str, Any]) -> Said:
    proved, acr, amr, sid = claims.get("auth_time"), claims.get("acr"), claims.get("amr") or [], claims.get("sid")
    if not isinstance(claims["sub"], str) or len(claims["sub"]) > 255:
        raise bad_token("sub")
    plain = isinstance(proved, int | float) and not isinstance(proved, bool) and 0 <= proved < 1 << 40
    return Said(
        claims["sub"],
        sid if isinstance(sid, str) and 0 < len(sid) <= 255 else None,
        acr if isinstance(acr, str) and len(acr) <= 255 else None,
        tuple(one[:32] for one in amr[:8] if isinstance(one, str)),
        from_seconds(int(proved)) if plain and proved is not None else None,
        claims,
    )


def leave_address(found: Metadata, provider: Provider, *, back: str) -> str | None:
    """Where a browser signs out of the provider too (RP-Initiated Logout 1.0); None where it offers none.

    No `id_token_hint`: an ID token can name a person, and addresses end in histories. The provider asks instead.
    """
    if not found.end_session_endpoint:
        return None
    joint = "&" if "?" in found.end_session_endpoint else "?"
    said = {"client_id": provider.client_id, "post_logout_redirect_uri": back}
    return f"{found.end_session_endpoint}{joint}{urlencode(said)}"


def bad_token(why: str) -> HubError:
    """An ID or logout token that proves nothing. `why` is a word of ours."""
    return Unauthenticated(
        "login.token",
        f"身份提供方给出的凭据没有通过校验（{why}）。",
        f"The provider's token did not pass the checks ({why}).",
        next_zh="请重新登录；再次出现请平台管理员运行 yimen idp check。",
        next_en="Try again; if it happens once more an administrator runs: yimen idp check",
    )

"""The OAuth objects of the hub: client assertions (RFC 7523), access and consent tokens (RFC 9068).

What a consent token allows is written in `details`. A consent token is an access token with `authorization_details`
and `grants`; a department's own token (client credentials) has neither.
"""

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hub.errors import HubError, Malformed, each
from hub.formats import jws
from hub.formats.details import (
    BASES,
    AskedPredicate,
    Detail,
    narrower_or_equal,
    parse_details,
)
from keys.signer import Signer

__all__ = [
    "ASSERTION_SECONDS",
    "BASES",
    "TOKEN_SECONDS",
    "AccessToken",
    "AskedPredicate",
    "Assertion",
    "Detail",
    "check_access_token",
    "check_client_assertion",
    "make_access_token",
    "make_client_assertion",
    "narrower_or_equal",
    "parse_details",
    "peek_client",
    "read_access_token",
]

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
TYP = "at+jwt"
ASSERTION_SECONDS = 300
TOKEN_SECONDS = 300
"""The longest life that an assertion or a token may have."""

_WORD = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,255}")
_THUMBPRINT = re.compile(r"[A-Za-z0-9_-]{43}")
_ASSERTION_TYPES: tuple[str | None, ...] = (None, "JWT")


# ---------------------------------------------------------------- client assertions


@dataclass(frozen=True, slots=True)
class Assertion:
    """A checked client assertion. The caller refuses (client_id, jti) a second time until `expires` (seconds)."""

    client_id: str
    jti: str
    kid: str
    iat: int
    exp: int
    expires: int


def _refuse(kind: str, code: str, zh: str, en: str) -> Malformed:
    return Malformed(f"{kind}.{code}", zh, en)


def make_client_assertion(
    signer: Signer, *, client_id: str, audience: str, now: int, lives: int = 60, jti: str | None = None
) -> str:
    """A private_key_jwt assertion by `signer` for the authorization server whose issuer is `audience`."""
    payload = {
        "iss": client_id,
        "sub": client_id,
        "aud": audience,
        "iat": now,
        "exp": now + lives,
        "jti": jti or jws.b64u_encode(secrets.token_bytes(16)),
    }
    return jws.sign(payload, signer, typ="JWT")


def peek_client(assertion: str) -> tuple[str, str]:
    """(client_id, kid) that an assertion claims, to look its key up by. Nothing is verified."""
    parsed = jws.split(assertion)
    client_id, kid = parsed.payload.get("iss"), parsed.header.get("kid")
    if not isinstance(client_id, str) or not _WORD.fullmatch(client_id):
        raise _refuse(
            "client_assertion", "iss", "客户端断言缺少签发者", "the assertion does not say whose it is"
        )
    if not isinstance(kid, str) or not _WORD.fullmatch(kid):
        raise _refuse(
            "client_assertion", "kid", "客户端断言缺少密钥标识", "the assertion does not name its key"
        )
    return client_id, kid


def check_client_assertion(
    assertion: str, *, client_id: str, audience: str, key: jws.KeySource, now: int
) -> Assertion:
    """Check a private_key_jwt assertion (RFC 7523 section 3, FAPI 2.0 profile).

    1. `typ` absent or `JWT`; signature by a key of the client. 2. `iss` = `sub` = `client_id`. 3. `aud` is our
    issuer as one string: an array, the token URL or the PAR URL is refused. 4. `iat`, `exp` present, life at most
    300 s, in force at `now`. 5. `jti`. Raises `Malformed` ("client_assertion.*", "jws.*") or `Unprocessable` ("jwt.*").
    """
    signed = jws.verify(assertion, typ=_ASSERTION_TYPES, key=key)  # 1
    payload = signed.payload
    if payload.get("iss") != client_id or payload.get("sub") != client_id:  # 2
        raise _refuse("client_assertion", "iss", "客户端断言的主体不符", "iss and sub are not the client")
    if payload.get("aud") != audience:  # 3
        raise _refuse(
            "client_assertion", "aud", "客户端断言的受众不符", "aud is not our issuer as one string"
        )
    iat, exp = _life(payload, "client_assertion", ASSERTION_SECONDS)  # 4
    jws.check_times(payload, now=now)
    jti = _word(payload, "jti", "client_assertion")  # 5
    return Assertion(client_id, jti, signed.kid, iat, exp, exp + jws.SKEW)


# ---------------------------------------------------------------- access tokens


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A checked access token. `grants` (public ids) run parallel to `authorization_details`; both may be empty.

    `grant_id` names the grants of one request together. That they still stand is for the caller to read, at each use.
    """

    issuer: str
    subject: str
    audience: str
    client_id: str
    jkt: str
    jti: str
    iat: int
    exp: int
    scope: frozenset[str]
    authorization_details: tuple[Detail, ...]
    grants: tuple[str, ...]
    grant_id: str | None = None


def make_access_token(
    signer: Signer,
    *,
    issuer: str,
    audience: str,
    subject: str,
    client_id: str,
    jkt: str,
    jti: str,
    now: int,
    expires: int,
    scope: str,
    authorization_details: Sequence[Mapping[str, Any] | Detail] = (),
    grants: Sequence[str] = (),
    grant_id: str | None = None,
) -> str:
    """Sign an `at+jwt` (RFC 9068) bound to the key `jkt`, for at most 300 seconds.

    With `authorization_details` and `grants` (parallel) it is a consent token; without, a department's own token,
    whose subject is its client id. Raises `Malformed` ("access_token.*") for what `check_access_token` would refuse.
    """
    payload: dict[str, Any] = {
        "iss": issuer,
        "sub": subject,
        "aud": audience,
        "client_id": client_id,
        "iat": now,
        "exp": expires,
        "jti": jti,
        "scope": scope,
        "cnf": {"jkt": jkt},
    }
    if authorization_details or grants:
        payload["authorization_details"] = [
            one.to_json() if isinstance(one, Detail) else dict(one) for one in authorization_details
        ]
        payload["grants"] = list(grants)
    if grant_id is not None:
        payload["grant_id"] = grant_id
    _read_token(payload)
    return jws.sign(payload, signer, typ=TYP)


def check_access_token(
    token: str, *, issuer: str, audience: str, key: jws.KeySource, now: int, jkt: str | None = None
) -> AccessToken:
    """Check an access token of ours (RFC 9068 section 4).

    1. `typ`, algorithm and signature by the hub's token key. 2. `iss` and `aud` are ours, as single strings. 3. In
    force at `now`. 4. All members present and well formed, life at most 300 s. 5. Bound to `jkt`, the key of the
    DPoP proof (None only where the caller compares it itself). Raises `Malformed` ("access_token.*", "jws.*") or
    `Unprocessable` ("jwt.*").
    """
    payload = jws.verify(token, typ=TYP, key=key).payload  # 1
    found = _judged(payload, issuer, audience, now)  # 2, 3, 4
    if jkt is not None and found.jkt != jkt:  # 5
        raise _refuse(
            "access_token", "jkt", "访问令牌绑定在另一把密钥上", "the token is bound to another key"
        )
    return found


def check_access_tokens(
    tokens: Sequence[str], *, issuer: str, audience: str, key: jws.KeySource, now: int
) -> list[AccessToken | HubError]:
    """`check_access_token` of many, whose holders the caller compares: for each what it says, or its refusal.

    Each step is done for all of them before the next one: its code and its tables then stay in the processor's caches.
    """
    signed = each(each(tokens, jws.split), lambda one: jws.verify_parsed(one, typ=TYP, key=key).payload)
    return each(signed, lambda payload: _judged(payload, issuer, audience, now))


def _judged(payload: Mapping[str, Any], issuer: str, audience: str, now: int) -> AccessToken:
    if payload.get("iss") != issuer:  # 2
        raise _refuse("access_token", "iss", "访问令牌的签发者不符", "the token is by another issuer")
    if payload.get("aud") != audience:
        raise _refuse("access_token", "aud", "访问令牌的受众不符", "the token is for another audience")
    jws.check_times(payload, now=now)  # 3
    return _read_token(payload)  # 4


def in_force(token: AccessToken, now: int) -> AccessToken:
    """The token, if it is in force at `now` (seconds): its signature held before. Raises `Unprocessable` ("jwt.*")."""
    jws.check_times({"iat": token.iat, "exp": token.exp}, now=now)
    return token


def read_access_token(token: str) -> AccessToken:
    """What an access token says. Nothing is verified: only for one that was signed here just now."""
    return _read_token(jws.split(token).payload)


def _read_token(payload: Mapping[str, Any]) -> AccessToken:
    iat, exp = _life(payload, "access_token", TOKEN_SECONDS)
    cnf, scope = payload.get("cnf"), payload.get("scope", "")
    jkt = cnf.get("jkt") if isinstance(cnf, dict) else None
    if not isinstance(jkt, str) or not _THUMBPRINT.fullmatch(jkt):
        raise _refuse("access_token", "cnf", "访问令牌未绑定密钥", "the token is bound to no key")
    scopes = scope.split(" ") if isinstance(scope, str) and scope else []
    if not isinstance(scope, str) or not all(_WORD.fullmatch(one) for one in scopes):
        raise _refuse("access_token", "scope", "访问令牌的 scope 格式错误", "the scope is not well formed")
    details: tuple[Detail, ...] = ()
    grants: list[Any] = []
    if "authorization_details" in payload or "grants" in payload:
        details = parse_details(payload.get("authorization_details"))
        grants = payload["grants"] if isinstance(payload.get("grants"), list) else []
        if len(grants) != len(details) or not all(
            isinstance(one, str) and _WORD.fullmatch(one) for one in grants
        ):
            raise _refuse(
                "access_token", "grants", "访问令牌与授权不对应", "grants do not match authorization_details"
            )
    return AccessToken(
        issuer=_word(payload, "iss", "access_token"),
        subject=_word(payload, "sub", "access_token"),
        audience=_word(payload, "aud", "access_token"),
        client_id=_word(payload, "client_id", "access_token"),
        jkt=jkt,
        jti=_word(payload, "jti", "access_token"),
        iat=iat,
        exp=exp,
        scope=frozenset(scopes),
        authorization_details=details,
        grants=tuple(grants),
        grant_id=_word(payload, "grant_id", "access_token") if "grant_id" in payload else None,
    )


def _word(payload: Mapping[str, Any], name: str, kind: str) -> str:
    value = payload.get(name)
    if not isinstance(value, str) or not _WORD.fullmatch(value):
        raise _refuse(kind, name, f"缺少 {name} 或其格式错误", f"{name} is missing or not well formed")
    return value


def _life(payload: Mapping[str, Any], kind: str, longest: int) -> tuple[int, int]:
    iat, exp = jws.numeric_date(payload, "iat"), jws.numeric_date(payload, "exp")
    if iat is None or exp is None or not iat < exp <= iat + longest:
        raise _refuse(kind, "life", "时间缺失或有效期过长", "iat or exp is missing, or it lives too long")
    return iat, exp

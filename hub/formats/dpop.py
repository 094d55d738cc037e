"""DPoP (RFC 9449): each request shows possession of the key that its access token is bound to.

A proof is good once. Replays are found by the caller, in the commit of the request, under (jkt, jti, htu).
"""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import orjson

from hub.errors import Malformed, Unprocessable
from hub.formats import jws
from keys.algorithms import ES256
from keys.public import PublicKey
from keys.signer import Signer

TYP = "dpop+jwt"
MAX_AGE = 60
ALGORITHMS = frozenset({ES256})

_MAX_BYTES = 8192
_JTI = re.compile(r"[\x21-\x7e]{8,128}")
_PERCENT = re.compile(r"%([0-9A-Fa-f]{2})|%")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_URI = re.compile(r"[A-Za-z0-9\-._~:/\[\]@!$&'()*+,;=%]+")


@dataclass(frozen=True, slots=True)
class Proof:
    """A checked proof. The caller keeps (jkt, jti, htu) until `expires` (seconds) and refuses it a second time."""

    jkt: str
    jti: str
    key: PublicKey
    iat: int
    expires: int
    htu: str


def _refuse(code: str, zh: str, en: str) -> Malformed:
    return Malformed(f"dpop.{code}", zh, en)


def prove(
    signer: Signer,
    *,
    htm: str,
    htu: str,
    now: int,
    access_token: str | None = None,
    nonce: str | None = None,
) -> str:
    """A proof for one request: method, URI (query and fragment are cut off), time, and the token that goes along."""
    payload: dict[str, Any] = {
        "jti": jws.b64u_encode(secrets.token_bytes(16)),
        "htm": htm,
        "htu": re.split("[?#]", htu, maxsplit=1)[0],
        "iat": now,
    }
    if access_token is not None:
        payload["ath"] = token_hash(access_token)
    if nonce is not None:
        payload["nonce"] = nonce
    header = {"typ": TYP, "alg": signer.alg, "jwk": signer.public.jwk}
    return jws.sign_bytes(orjson.dumps(payload), signer, header)


def check(proof: str, *, htm: str, htu: str, now: int, access_token: str | None = None) -> Proof:
    """Check a proof for this request (RFC 9449 section 4.3); `htu` is the configured public URL plus the path.

    1. A small, well-formed JWS with a public key in its header. 2. `typ`, an algorithm on the list, the signature by
    that very key. 3. `jti` of 8 to 128 visible characters. 4. `htm` is the method. 5. `htu` is our URI after
    normalisation. 6. `iat` at most 60 s ago and 30 s ahead. 7. `ath` is the hash of the access token, when one is
    sent. The caller compares `jkt` with the token's `cnf.jkt`. Raises `Malformed` ("dpop.*", "jws.*", "key.*") or
    `Unprocessable` ("dpop.time").
    """
    parsed = jws.split(proof, max_bytes=_MAX_BYTES)  # 1
    key = jws.key_from_jwk(parsed.header.get("jwk"))
    if key.alg not in ALGORITHMS:  # 2
        raise _refuse("alg", "DPoP 证明的算法不被接受", "the algorithm of the DPoP proof is not accepted")
    payload = jws.verify_with(parsed, typ=TYP, public=key, allow=frozenset({"jwk"})).payload
    jti = payload.get("jti")  # 3
    if not isinstance(jti, str) or not _JTI.fullmatch(jti):
        raise _refuse("jti", "DPoP 证明缺少编号", "jti of the DPoP proof is missing or not well formed")
    if payload.get("htm") != htm:  # 4
        raise _refuse("htm", "DPoP 证明用于另一种请求方法", "the DPoP proof is for another method")
    said, wanted = payload.get("htu"), normal_uri(htu)  # 5
    if not isinstance(said, str) or normal_uri(said) != wanted:
        raise _refuse("htu", "DPoP 证明用于另一地址", "the DPoP proof is for another URI")
    iat = jws.numeric_date(payload, "iat")  # 6
    if iat is None:
        raise _refuse("iat", "DPoP 证明缺少时间", "the DPoP proof has no time")
    if not now - MAX_AGE <= iat <= now + jws.SKEW:
        raise Unprocessable(
            "dpop.time", "DPoP 证明的时间不在允许范围内，请校准时钟", "the DPoP proof is too old or ahead"
        )
    if access_token is not None:  # 7
        ath = payload.get("ath")
        if not isinstance(ath, str) or not hmac.compare_digest(
            ath.encode(), token_hash(access_token).encode()
        ):
            raise _refuse("ath", "DPoP 证明与访问令牌不符", "the DPoP proof is for another access token")
    return Proof(key.kid, jti, key, iat, iat + MAX_AGE + jws.SKEW, wanted)


def token_hash(access_token: str) -> str:
    """`ath`: base64url of the SHA-256 of the token's ASCII (RFC 9449 section 4.2)."""
    if not access_token.isascii():
        raise _refuse("ath", "访问令牌不是 ASCII 文本", "the access token is not ASCII text")
    return jws.b64u_encode(hashlib.sha256(access_token.encode("ascii")).digest())


@lru_cache(maxsize=256)
def normal_uri(uri: str) -> str:
    """The one spelling of an http(s) URI without query and fragment (RFC 3986 section 6.2.2 and 6.2.3).

    Scheme and host in lower case, default port and trailing host dot dropped, an empty path is `/`, percent-encoded
    unreserved characters decoded and the other escapes in upper case. `Malformed` "dpop.htu" for user information, a
    query, a fragment, dot segments, or anything else that is not such a URI.
    """
    fault = _refuse("htu", "DPoP 证明中的地址不规范", "htu is not an http(s) URI without query and fragment")
    if not _URI.fullmatch(uri) or len(uri) > 2048:
        raise fault
    try:
        parts = urlsplit(uri)
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        raise fault from None
    scheme = parts.scheme  # lower case already
    if scheme not in ("http", "https") or not host or "@" in parts.netloc:
        raise fault
    path = _PERCENT.sub(_normal_escape, parts.path) or "/"
    if any(segment in (".", "..") for segment in path.split("/")) or "%?" in path:
        raise fault
    if ":" in host:
        host = f"[{host}]"
    default = {"http": 80, "https": 443}[scheme]
    return f"{scheme}://{host}{path}" if port in (None, default) else f"{scheme}://{host}:{port}{path}"


def _normal_escape(match: re.Match[str]) -> str:
    if match[1] is None:
        return "%?"  # a percent sign that escapes nothing: refused by the caller, `?` cannot be in a path
    letter = chr(int(match[1], 16))
    return letter if letter in _UNRESERVED else match[0].upper()

"""A provider's metadata and keys, and the calls to it: bounded, remembered for minutes, read again when keys change.

OpenID Connect Discovery 1.0; RFC 7517. One `Caller` is made for each use and closed by whoever made it.
"""

import base64
import json
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus, urlsplit

import httpx
from joserfc.errors import JoseError
from joserfc.jwk import JWKRegistry, KeySet

from hub.clock import seconds
from hub.errors import HubError, Malformed, Unavailable
from hub.formats.authorization import ASSERTION_TYPE, make_client_assertion
from hub.registry.providers import Method, Provider
from hub.store.memory import Memory, Newest
from keys import protected
from keys.errors import KeyFault
from keys.signer import Signer

TIMEOUT = 5.0
MOST_BYTES = 256 * 1024
KEPT_SECONDS = 600.0
LEAST_BETWEEN = 10.0
"""Unknown key ids make the keys be read again, but not more often than this: anybody can make up a key id."""


@dataclass(frozen=True, slots=True)
class Metadata:
    """What a provider says of itself, as far as it is used. `says_issuer`: it sends `iss` (RFC 9207)."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None
    end_session_endpoint: str | None
    says_issuer: bool
    says_s256: bool
    methods: tuple[str, ...]


@dataclass(slots=True)
class _Kept:
    metadata: Metadata
    until: float
    keys: KeySet | None = None
    keys_read: float = 0.0


class _Providers(Newest[str, _Kept]):
    """Metadata and keys by issuer, in this process."""

    def __init__(self) -> None:
        super().__init__(at_most=200)


@cache
def _trusted() -> ssl.SSLContext:
    return ssl.create_default_context()  # the machine's own store: a city's providers often have a city's CA


class Caller:
    """Calls to identity providers: no redirects, no proxy of the environment, five seconds, 256 KiB.

    `signer` is asked for only where a provider takes private_key_jwt.
    """

    def __init__(
        self,
        memory: Memory,
        *,
        signer: Callable[[], Signer],
        transport: httpx.AsyncBaseTransport | None = None,
        plain_http: bool = False,
    ) -> None:
        self._kept = memory.of(_Providers)
        self._signer = signer
        self._plain_http = plain_http
        self._http = httpx.AsyncClient(
            transport=transport, verify=_trusted(), trust_env=False, follow_redirects=False, timeout=TIMEOUT,
            headers={"accept": "application/json"},
        )  # fmt: skip

    async def close(self) -> None:
        """Give the connections back."""
        await self._http.aclose()

    async def metadata(self, issuer: str, *, afresh: bool = False) -> Metadata:
        """What the provider says of itself; Unavailable `login.away`, Malformed `login.answer`."""
        kept = self._kept.get(issuer)
        if kept is not None and not afresh and time.monotonic() < kept.until:
            return kept.metadata
        said = await self.get(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
        found = self._read(issuer, said)
        self._kept.keep(issuer, _Kept(found, time.monotonic() + KEPT_SECONDS))
        return found

    async def keys(self, found: Metadata, *, kid: object) -> KeySet:
        """The provider's signing keys; read again when they are old, or when `kid` is not among them."""
        kept = self._kept.get(found.issuer)
        if kept is None:
            kept = _Kept(found, time.monotonic() + KEPT_SECONDS)
            self._kept.keep(found.issuer, kept)
        age = time.monotonic() - kept.keys_read
        unknown = kept.keys is not None and kid is not None and all(key.kid != kid for key in kept.keys.keys)
        if kept.keys is None or age > KEPT_SECONDS or (unknown and age > LEAST_BETWEEN):
            kept.keys = _key_set(await self.get(found.jwks_uri))
            kept.keys_read = time.monotonic()
        return kept.keys

    async def get(self, address: str, *, bearer: str | None = None) -> dict[str, Any]:
        """One JSON object."""
        headers = {"authorization": f"Bearer {bearer}"} if bearer else {}
        return await self._call("GET", address, headers=headers)

    async def post(
        self, address: str, body: str, *, provider: Provider, issuer: str, now: datetime
    ) -> dict[str, Any]:
        """The token endpoint, with the hub's own authentication; one JSON object."""
        headers = {"content-type": "application/x-www-form-urlencoded"}
        if provider.by_key:
            audience = address if provider.method == Method.FOR_ENDPOINT else issuer
            assertion = make_client_assertion(
                self._signer(), client_id=provider.client_id, audience=audience, now=seconds(now)
            )
            more = {"client_assertion_type": ASSERTION_TYPE, "client_assertion": assertion}
        elif provider.method == Method.SECRET_POST:
            more = {"client_secret": secret_of(provider)}
        else:
            pair = f"{quote_plus(provider.client_id)}:{quote_plus(secret_of(provider))}"
            headers["authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
            more = {}
        if provider.method != Method.SECRET_BASIC:
            more["client_id"] = provider.client_id
        form = "&".join([body, *(f"{name}={quote_plus(value)}" for name, value in more.items())])
        return await self._call("POST", address, headers=headers, content=form)

    async def _call(self, method: str, address: str, **what: Any) -> dict[str, Any]:
        try:
            async with self._http.stream(method, address, **what) as answer:
                body = b""
                async for part in answer.aiter_bytes():
                    body += part
                    if len(body) > MOST_BYTES:
                        raise bad_answer("too large")
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as fault:
            raise away() from fault
        if answer.status_code >= 500:
            raise away()
        if answer.status_code != 200:
            raise bad_answer(f"HTTP {answer.status_code}")
        try:
            said = json.loads(body)
        except (ValueError, RecursionError) as fault:
            raise bad_answer("not JSON") from fault
        if not isinstance(said, dict):
            raise bad_answer("not a JSON object")
        return said

    def _read(self, issuer: str, said: Mapping[str, Any]) -> Metadata:
        """1. `issuer` is the configured one, byte for byte. 2. Every address is https (http only where we play)."""
        if said.get("issuer") != issuer:  # 1
            raise bad_answer("issuer")

        def address(name: str) -> str | None:  # 2
            value = said.get(name)
            if value is None:
                return None
            parts = urlsplit(value) if isinstance(value, str) else None
            if parts is None or not parts.hostname or parts.scheme not in ("https", "http")[: 1 + self._plain_http]:
                raise bad_answer(name)
            return str(value)

        authorization, token, keys = (address(f"{n}") for n in ("authorization_endpoint", "token_endpoint", "jwks_uri"))
        if not authorization or not token or not keys:
            raise bad_answer("an endpoint is missing")
        methods = said.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        return Metadata(
            issuer, authorization, token, keys, address("userinfo_endpoint"), address("end_session_endpoint"),
            said.get("authorization_response_iss_parameter_supported") is True,
            "S256" in (said.get("code_challenge_methods_supported") or ["S256"]),
            tuple(one for one in methods if isinstance(one, str)) if isinstance(methods, list) else (),
        )  # fmt: skip


def secret_of(provider: Provider) -> str:
    """The client secret out of its file (mode 0600). Unavailable `login.secret`."""
    try:
        text = protected.read(Path(provider.secret_file or "")).decode("utf-8").splitlines()[0].strip()
        if text:
            return text
    except (KeyFault, UnicodeError, IndexError, OSError) as fault:
        raise _no_secret() from fault
    raise _no_secret()


def _key_set(said: Mapping[str, Any]) -> KeySet:
    """Public signing keys; those that we do not know how to use are left out. Malformed `login.answer` for none."""
    found = []
    listed = said.get("keys")
    for raw in listed if isinstance(listed, list) else []:
        if not isinstance(raw, dict) or raw.get("use", "sig") != "sig" or raw.get("kty") not in ("EC", "RSA", "OKP"):
            continue
        try:
            public = {name: value for name, value in raw.items() if name not in ("d", "p", "q", "dp", "dq", "qi")}
            found.append(JWKRegistry.import_key(public))
        except (JoseError, ValueError, TypeError, KeyError):
            continue
    if not found:
        raise bad_answer("no usable key")
    return KeySet(found)


def away() -> Unavailable:
    """The provider cannot be reached."""
    return Unavailable(
        "login.away",
        "身份提供方暂时连不上，现在不能登录。",
        "The identity provider cannot be reached now.",
        next_zh="请稍后再试，或换一种登录方式。",
        next_en="Try again later, or choose another way.",
    )


def bad_answer(why: str) -> HubError:
    """An answer of a provider that is not one; `why` is a word of ours."""
    return Malformed(
        "login.answer",
        f"身份提供方的回答不符合标准（{why}）。",
        f"The provider's answer does not follow the standard ({why}).",
        next_zh="请平台管理员运行 yimen idp check。",
        next_en="An administrator runs: yimen idp check",
    )


def _no_secret() -> Unavailable:
    return Unavailable(
        "login.secret",
        "平台读不到该身份提供方的密钥文件，现在不能登录。",
        "The file with this provider's client secret cannot be read.",
        next_zh="请平台管理员检查文件是否存在、权限是否为 600：yimen idp check。",
        next_en="An administrator checks that the file is there with mode 600: yimen idp check",
    )

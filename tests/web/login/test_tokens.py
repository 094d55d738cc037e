"""What a provider could say wrongly, by mistake or on purpose: each is refused with a word that tells what."""

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc import jwt as jose
from joserfc.jwk import ECKey, RSAKey
from parts import FixedClock

from hub.clock import seconds
from hub.errors import HubError
from hub.registry import discovery, openid
from hub.registry.discovery import Caller
from hub.registry.model import Level
from hub.registry.providers import Method, Provider
from hub.store.memory import Memory
from keys.signer import generate

ISSUER = "https://id.example.cn"
PROVIDER = Provider(code="p", issuer=ISSUER, client_id="us", name_zh="甲", name_en="A", claims={"id_no": "id_number"})
ASK = openid.Ask("https://hub.example/login/p/back", "st", b"s" * 32)
GOOD = ECKey.generate_key("P-256", {"kid": "k1", "use": "sig"}, private=True)
BY_RSA = RSAKey.import_key(rsa.generate_private_key(65537, 2048), {"kid": "k2", "use": "sig"})
ACCESS = "an-access-token"


@dataclass
class Liar:
    """A provider that says what a test wants. `token` and `userinfo` are what it answers with."""

    metadata: dict[str, Any] = field(default_factory=dict)
    token: Any = None
    userinfo: Any = None
    keys: list[Any] = field(default_factory=lambda: [GOOD, BY_RSA])
    asked: list[httpx.Request] = field(default_factory=list)

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        path = request.url.path
        if path.endswith("openid-configuration"):
            said = {name: f"{ISSUER}/{name}" for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")}
            said |= {"userinfo_endpoint": f"{ISSUER}/userinfo_endpoint"} if self.userinfo is not None else {}
            return httpx.Response(200, json={"issuer": ISSUER, **said, **self.metadata})
        if path == "/jwks_uri":
            return httpx.Response(200, json={"keys": [key.as_dict(private=False) for key in self.keys]})
        told = self.token if path == "/token_endpoint" else self.userinfo
        return told if isinstance(told, httpx.Response) else httpx.Response(200, json=told)

    def caller(self, *, plain_http: bool = False) -> Caller:
        transport = httpx.MockTransport(self.answer)
        return Caller(Memory(), signer=lambda: SIGNER, transport=transport, plain_http=plain_http)


SIGNER = generate()


def half(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()[:16]).rstrip(b"=").decode()


def claims(clock: FixedClock, **changed: Any) -> dict[str, Any]:
    now = seconds(clock())
    said = {"iss": ISSUER, "sub": "u1", "aud": "us", "iat": now, "exp": now + 300, "nonce": ASK.nonce,
            "auth_time": now - 5, "at_hash": half(ACCESS), "id_number": "x", "name": "甲"}  # fmt: skip
    return {name: value for name, value in (said | changed).items() if value is not None}


def signed(said: dict[str, Any], key: Any = GOOD, header: dict[str, Any] | None = None, alg: str = "ES256") -> str:
    return jose.encode({"alg": alg, "kid": "k1", "typ": "JWT"} | (header or {}), said, key, algorithms=[alg])


async def redeemed(liar: Liar, clock: FixedClock, provider: Provider = PROVIDER) -> openid.Said:
    caller = liar.caller()
    try:
        found = await caller.metadata(ISSUER)
        return await openid.redeem(caller, found, provider, code="c", ask=ASK, now=clock())
    finally:
        await caller.close()


async def refusal(liar: Liar, clock: FixedClock) -> str:
    with pytest.raises(HubError) as caught:
        await redeemed(liar, clock)
    return caught.value.code


def by_hmac(said: dict[str, Any]) -> str:
    """Signed with the RSA public key as if it were a shared secret."""
    head, _, _ = unsigned(said, alg="HS256", kid="k2").rpartition(".")
    mac = hmac.digest(BY_RSA.as_pem(private=False), head.encode(), "sha256")
    return head + "." + base64.urlsafe_b64encode(mac).rstrip(b"=").decode()


def unsigned(said: dict[str, Any], **header: Any) -> str:
    both = ({"alg": "none"} | header, said)
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in both]
    return ".".join([*parts, ""])


async def test_a_good_token_in_both_kinds_of_signature_and_every_other_refused(clock: FixedClock) -> None:
    for token in (signed(claims(clock)), signed(claims(clock), BY_RSA, {"kid": "k2"}, "RS256")):
        said = await redeemed(Liar(token={"id_token": token, "access_token": ACCESS}), clock)
        assert (said.sub, said.proved_at) == ("u1", clock() - timedelta(seconds=5))
    stranger = ECKey.generate_key("P-256", {"kid": "k1"}, private=True)
    now = seconds(clock())
    wrong = {
        "another key under a known id": signed(claims(clock), stranger),
        "unsigned": unsigned(claims(clock)),
        "HS256 with the public key": by_hmac(claims(clock)),
        "crit": signed(claims(clock), header={"crit": ["b64"], "b64": True}),
        "a logout token": signed(claims(clock), header={"typ": "logout+jwt"}),
        "another issuer": signed(claims(clock, iss="https://evil.example")),
        "another client": signed(claims(clock, aud="them")),
        "several clients without azp": signed(claims(clock, aud=["us", "them"])),
        "another azp": signed(claims(clock, azp="them")),
        "another nonce": signed(claims(clock, nonce="x")),
        "no nonce": signed(claims(clock, nonce=None)),
        "over": signed(claims(clock, exp=now - 31)),
        "no end": signed(claims(clock, exp=None)),
        "made long ago": signed(claims(clock, iat=now - 601)),
        "made later": signed(claims(clock, iat=now + 31)),
        "no time": signed(claims(clock, iat=None)),
        "nobody": signed(claims(clock, sub=None)),
        "a number as a person": signed(claims(clock, sub=7)),
        "another access token": signed(claims(clock, at_hash=half("another"))),
        "amr": signed(claims(clock, amr="pwd")),
        "cut short": signed(claims(clock))[:-4],
        "not a token": "x.y.z",
    }
    told = {}
    for what, token in wrong.items():
        told[what] = await refusal(Liar(token={"id_token": token, "access_token": ACCESS}), clock)
    assert {what: code for what, code in told.items() if code != "login.token"} == {}
    assert await refusal(Liar(token={"access_token": ACCESS}), clock) == "login.answer"
    skewed = signed(claims(clock, iat=now + 29, exp=now - 29))
    assert (await redeemed(Liar(token={"id_token": skewed, "access_token": ACCESS}), clock)).sub == "u1"


async def test_what_is_not_in_the_token_comes_from_userinfo_about_the_same_person_only(clock: FixedClock) -> None:
    token = {"id_token": signed(claims(clock, id_number=None, name=None)), "access_token": ACCESS}
    liar = Liar(token=token, userinfo={"sub": "u1", "id_number": "n", "name": "乙", "iss": "x"})
    said = await redeemed(liar, clock)
    assert (said.claims["id_number"], said.claims["iss"]) == ("n", ISSUER)
    assert liar.asked[-1].headers["authorization"] == f"Bearer {ACCESS}"
    of_another = {"sub": "u2", "id_number": "n", "name": "乙"}
    assert await refusal(Liar(token=token, userinfo=of_another), clock) == "login.answer"


async def test_answers_that_are_none(clock: FixedClock) -> None:
    good = {"id_token": signed(claims(clock)), "access_token": ACCESS}
    for answer, code in (
        (httpx.Response(302, headers={"location": "http://169.254.169.254/"}), "login.answer"),
        (httpx.Response(400, json={"error": "invalid_grant"}), "login.answer"),
        (httpx.Response(500), "login.away"),
        (httpx.Response(200, content=b"x" * (discovery.MOST_BYTES + 1)), "login.answer"),
        (httpx.Response(200, content=b"[" * 100_000), "login.answer"),
        (httpx.Response(200, content=b"[]"), "login.answer"),
    ):
        assert await refusal(Liar(token=answer), clock) == code
    for metadata in (
        {"issuer": ISSUER + "/"},
        {"token_endpoint": "http://id.example.cn/token"},
        {"jwks_uri": "file:///etc/passwd"},
        {"authorization_endpoint": None},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"end_session_endpoint": "http://id.example.cn/out"},
    ):
        assert await refusal(Liar(metadata=metadata, token=good), clock) == "login.answer", metadata
    assert await refusal(Liar(keys=[], token=good), clock) == "login.answer"


async def test_the_hub_proves_itself_as_the_provider_wants_it(clock: FixedClock, tmp_path: Any) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s+1\n")
    secret.chmod(0o600)
    good = {"id_token": signed(claims(clock)), "access_token": ACCESS}
    ways = {
        Method.PRIVATE_KEY_JWT: ISSUER,
        Method.FOR_ENDPOINT: f"{ISSUER}/token_endpoint",
        Method.SECRET_POST: None,
        Method.SECRET_BASIC: None,
    }
    for method, audience in ways.items():
        liar = Liar(token=good)
        provider = replace(PROVIDER, method=method, secret_file=None if audience else str(secret))
        await redeemed(liar, clock, provider)
        sent = next(one for one in liar.asked if one.url.path == "/token_endpoint")
        form = dict(httpx.QueryParams(sent.content.decode()))
        assert (form["code"], form["code_verifier"]) == ("c", ASK.verifier)
        if audience:
            payload = form["client_assertion"].split(".")[1]
            assert json.loads(base64.urlsafe_b64decode(payload + "=="))["aud"] == audience
        elif method is Method.SECRET_POST:
            assert form["client_secret"] == "s+1"
        else:
            assert sent.headers["authorization"] == "Basic " + base64.b64encode(b"us:s%2B1").decode()
            assert "client_secret" not in form
    secret.chmod(0o644)
    with pytest.raises(HubError, match=r"login\.secret"):
        discovery.secret_of(replace(PROVIDER, method=Method.SECRET_POST, secret_file=str(secret)))


def test_levels_are_what_the_registry_says_and_never_above_its_cap() -> None:
    mapped = replace(PROVIDER, levels={"face": "high", "sms": "substantial", "none": "low"}, level=Level.SUBSTANTIAL)
    assert [mapped.assures(acr) for acr in ("face", "sms", "none", "new", None)] == [
        "substantial", "substantial", "low", "low", "low"
    ]  # fmt: skip
    assert mapped.asks_for(Level.SUBSTANTIAL) == "face sms"
    assert (PROVIDER.assures(None), PROVIDER.asks_for(Level.SUBSTANTIAL)) == ("substantial", "")

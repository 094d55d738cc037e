"""The demonstration's identity provider inside: Authlib's authorization server, its parts filled in for one client.

Nothing here knows of the web; `hub.web.demoprovider` has the doors.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import AuthorizationServer, ClientMixin, OAuth2Request
from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from authlib.oauth2.rfc7523 import JWTBearerClientAssertion
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oauth2.rfc9207 import IssuerParameter
from authlib.oidc.core import AuthorizationCodeMixin
from authlib.oidc.core.grants import OpenIDCode
from joserfc.jwk import ECKey
from starlette.responses import Response

from hub.clock import seconds
from hub.errors import HubError
from hub.formats import jws
from hub.ids import public_token
from hub.store.seal import seal, unseal
from hub.web.answer import dumps, json_answer
from hub.web.deps import Hub

CODE_SECONDS = 60
TOKEN_SECONDS = 300
_BOUND = b"demo-login.code"


@dataclass
class Play:
    """The provider of one hub. Its keys are derived from the hub's own secret, so that all processes have the same."""

    hub: Hub
    issuer: str
    key: ECKey
    kid: str
    client: "Client"
    used: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.server = Server(self)

    def secret(self, what: str) -> bytes:
        """A key of its own for one purpose."""
        return self.hub.db.vault.hub_key(f"demo-login.{what}")

    def once(self, word: str) -> bool:
        """Whether a code or `jti` comes for the first time to this process."""
        now = time.monotonic()
        self.used = {one: until for one, until in self.used.items() if until > now}
        fresh = word not in self.used
        self.used[word] = now + TOKEN_SECONDS
        return fresh



class Asked(OAuth2Request):  # type: ignore[misc]
    """A request as Authlib reads it: the authorization request is the address, the token request the form."""

    def __init__(
        self, method: str, uri: str, headers: Mapping[str, str], args: Mapping[str, str], form: Mapping[str, str]
    ) -> None:
        super().__init__(method, uri.replace("http://", "https://", 1), headers=headers)  # we play, on this machine
        self._args, self._form = dict(args), dict(form)
        self.payload = BasicOAuth2Payload(self._form or self._args)

    @property
    def args(self) -> dict[str, str]:
        return self._args

    @property
    def form(self) -> dict[str, str]:
        return self._form


@dataclass(frozen=True)
class Client(ClientMixin):  # type: ignore[misc]
    """The one client: this hub."""

    client_id: str
    redirect_uri: str
    public_key: ECKey
    id_token_signed_response_alg: str = "ES256"

    def get_client_id(self) -> str:
        return self.client_id

    def get_default_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_allowed_scope(self, scope: str) -> str:
        return " ".join(one for one in (scope or "").split() if one in ("openid", "profile"))

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return redirect_uri == self.redirect_uri

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method == "private_key_jwt" and endpoint == "token"

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type == "authorization_code"


@dataclass(frozen=True)
class _Code(AuthorizationCodeMixin):  # type: ignore[misc]
    """What a code stands for. It is the code itself, sealed: any process of the hub can read it."""

    said: dict[str, Any]

    def get_redirect_uri(self) -> str:
        return str(self.said["redirect_uri"])

    def get_scope(self) -> str:
        return str(self.said["scope"])

    def get_nonce(self) -> str:
        return str(self.said["nonce"])

    def get_auth_time(self) -> int:
        return int(self.said["auth_time"])

    def get_acr(self) -> str:
        return "urn:yimen:demo"

    def get_amr(self) -> list[str]:
        return ["user"]

    @property
    def code_challenge(self) -> str:
        return str(self.said["code_challenge"])

    code_challenge_method = "S256"


class _CodeGrant(AuthorizationCodeGrant):  # type: ignore[misc]
    TOKEN_ENDPOINT_AUTH_METHODS = ("private_key_jwt",)

    def generate_authorization_code(self) -> str:
        play: Play = self.server.play
        data = self.request.payload.data
        now = seconds(play.hub.clock())
        said = {
            "redirect_uri": data["redirect_uri"], "scope": data["scope"], "nonce": data["nonce"],
            "code_challenge": data["code_challenge"], "auth_time": now, "claims": self.request.user,
            "ends": now + CODE_SECONDS,
        }  # fmt: skip
        return jws.b64u_encode(seal(play.secret("code"), json.dumps(said).encode(), bound_to=_BOUND))

    def save_authorization_code(self, code: str, request: OAuth2Request) -> None:
        """The code holds it all."""

    def query_authorization_code(self, code: str, client: Client) -> _Code | None:
        play: Play = self.server.play
        try:
            said = json.loads(unseal(play.secret("code"), jws.b64u_decode(code), bound_to=_BOUND))
        except (HubError, ValueError):
            return None
        return _Code(said) if said["ends"] > seconds(play.hub.clock()) and play.once(code) else None

    def delete_authorization_code(self, authorization_code: _Code) -> None:
        """`once` saw to it."""

    def authenticate_user(self, authorization_code: _Code) -> dict[str, str]:
        claims: dict[str, str] = authorization_code.said["claims"]
        return claims


class _OpenID(OpenIDCode):  # type: ignore[misc]
    def __init__(self, play: Play) -> None:
        super().__init__(require_nonce=True)
        self.play = play

    def exists_nonce(self, nonce: str, request: OAuth2Request) -> bool:
        return False  # the client spends each of its tries once

    def resolve_client_private_key(self, client: Client) -> ECKey:
        return self.play.key

    def get_encode_header(self, client: Client) -> dict[str, str]:
        return {"alg": "ES256", "kid": self.play.kid, "typ": "JWT"}

    def get_client_claims(self, client: Client) -> dict[str, Any]:
        now = seconds(self.play.hub.clock())
        return {"iss": self.play.issuer, "aud": client.client_id, "iat": now, "exp": now + TOKEN_SECONDS}

    def generate_user_info(self, user: dict[str, str], scope: str) -> dict[str, str]:
        return user


class _Challenge(CodeChallenge):  # type: ignore[misc]
    """S256 and nothing else, and never without."""

    SUPPORTED_CODE_CHALLENGE_METHOD = ("S256",)

    def validate_code_challenge(self, grant: AuthorizationCodeGrant, redirect_uri: str) -> None:
        if grant.request.payload.data.get("code_challenge_method") != "S256":
            raise OAuth2Error(description="PKCE with S256 is needed")
        super().validate_code_challenge(grant, redirect_uri)


class _Assertion(JWTBearerClientAssertion):  # type: ignore[misc]
    CLIENT_AUTH_METHOD = "private_key_jwt"

    def __init__(self, play: Play) -> None:
        super().__init__()
        self.play = play

    def get_audiences(self) -> list[str]:
        return [self.play.issuer]

    def verify_claims(self, claims: dict[str, Any]) -> None:
        shift = int(time.time()) - seconds(self.play.hub.clock())  # Authlib asks the machine; the hub has its own clock
        moved: dict[str, Any] = {name: claims[name] + shift for name in ("exp", "iat", "nbf") if name in claims}
        super().verify_claims(claims | moved)

    def validate_jti(self, claims: Mapping[str, Any], jti: str) -> bool:
        return self.play.once(jti)

    def resolve_client_public_key(self, client: Client) -> ECKey:
        return client.public_key


class _Issuer(IssuerParameter):  # type: ignore[misc]
    def __init__(self, server: "Server") -> None:
        self.server = server
        self(server)

    def get_issuer(self) -> str:
        return self.server.play.issuer

    def add_issuer_parameter(self, authorization_server: "Server", response: Response) -> None:
        where = response.headers.get("location")
        if where:
            response.headers["location"] = f"{where}{'&' if '?' in where else '?'}iss={self.server.play.issuer}"


class Server(AuthorizationServer):  # type: ignore[misc]
    """Authlib's server with one grant and one client."""

    def __init__(self, play: Play) -> None:
        super().__init__(scopes_supported=["openid", "profile"])
        self.play = play
        self.register_token_generator("default", _bearer)
        self.register_grant(_CodeGrant, [_OpenID(play), _Challenge()])
        self.register_client_auth_method("private_key_jwt", _Assertion(play))
        self.register_extension(_Issuer)

    def query_client(self, client_id: str) -> Client | None:
        return self.play.client if client_id == self.play.client.client_id else None

    def save_token(self, token: Mapping[str, Any], request: OAuth2Request) -> None:
        """Its access tokens open nothing."""

    def send_signal(self, name: str, *args: Any, **kwargs: Any) -> None:
        """Nobody listens."""

    def create_oauth2_request(self, request: OAuth2Request) -> OAuth2Request:
        return request

    def handle_response(self, status: int, body: Any, headers: list[tuple[str, str]]) -> Response:
        if isinstance(body, dict):
            return json_answer(dumps(body), status, headers={"Pragma": "no-cache"})
        return Response(body or "", 303 if status == 302 else status, headers=dict(headers))


def _bearer(**what: Any) -> dict[str, Any]:
    return {
        "access_token": public_token(), "token_type": "Bearer", "expires_in": TOKEN_SECONDS, "scope": what["scope"]
    }  # fmt: skip

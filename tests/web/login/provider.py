"""An OpenID provider that nobody here wrote (idpyoidc), behind a socket: what a department or a province would run."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import uvicorn
from cryptojwt.jwk.jwk import key_from_jwk_dict
from cryptojwt.jwt import JWT
from cryptojwt.key_jar import init_key_jar
from idpyoidc.server import Server
from idpyoidc.server.configure import OPConfiguration
from idpyoidc.server.exception import UnAuthorizedClient
from idpyoidc.server.user_authn.user import UserAuthnMethod
from parts import free_port
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

SECRET = "a-client-secret-of-tests-that-is-long-enough"
ACR = "urn:test:face"
KEYS = [{"type": "EC", "crv": "P-256", "use": ["sig"]}, {"type": "RSA", "use": ["sig"]}]


class Provider:
    """One running provider. `user` signs in at the next visit; `asked`, `hits`, `vouched` is what it heard and said."""

    def __init__(self, folder: Path, port: int, users: dict[str, dict[str, Any]]) -> None:
        self.issuer = f"http://127.0.0.1:{port}"
        self.port = port
        self.user = next(iter(users))
        self.asked: list[dict[str, str]] = []
        self.hits: list[str] = []
        self.vouched: list[dict[str, Any]] = []
        whose = self

        class Chosen(UserAuthnMethod):
            """Whoever the test says; no password."""

            def authenticated_as(self, client_id: str, cookie: Any = None, **more: Any) -> Any:
                from cryptojwt.jwt import utc_time_sans_frac

                return {"uid": whose.user}, utc_time_sans_frac()

        folder.mkdir(parents=True, exist_ok=True)
        conf = {
            "issuer": self.issuer,
            "keys": {"key_defs": KEYS, "uri_path": "jwks.json", "read_only": False},
            "httpc_params": {"verify": False},
            "token_handler_args": {
                "key_conf": {"key_defs": [{"type": "oct", "bytes": 24, "use": ["enc"], "kid": "code"}]},
                "code": {"lifetime": 600, "kwargs": {"crypt_conf": _CRYPT}},
                "token": {"class": "idpyoidc.server.token.jwt_token.JWTToken", "kwargs": {"lifetime": 300}},
                "id_token": {
                    "class": "idpyoidc.server.token.id_token.IDToken",
                    "kwargs": {"base_claims": dict.fromkeys(("id_number", "name", "preferred_username"))},
                },
            },
            "endpoint": {
                "provider_config": {
                    "path": ".well-known/openid-configuration",
                    "class": "idpyoidc.server.oidc.provider_config.ProviderConfiguration",
                    "kwargs": {},
                },
                "authorization": {
                    "path": "authorization",
                    "class": "idpyoidc.server.oidc.authorization.Authorization",
                    "kwargs": {"response_types_supported": ["code"]},
                },
                "token": {
                    "path": "token",
                    "class": "idpyoidc.server.oidc.token.Token",
                    "kwargs": {"client_authn_method": ["client_secret_basic", "client_secret_post", "private_key_jwt"]},
                },
                "userinfo": {
                    "path": "userinfo",
                    "class": "idpyoidc.server.oidc.userinfo.UserInfo",
                    "kwargs": {"claim_types_supported": ["normal"]},
                },
            },
            "add_ons": {
                "pkce": {
                    "function": "idpyoidc.server.oauth2.add_on.pkce.add_support",
                    "kwargs": {"essential": True, "code_challenge_method": "S256"},
                },
            },
            "userinfo": {"class": "idpyoidc.server.user_info.UserInfo", "kwargs": {"db": users}},
            "authentication": {"only": {"acr": ACR, "class": Chosen, "kwargs": {}}},
            "template_dir": str(folder),
            "session_params": {"encrypter": _CRYPT},
        }
        self.server = Server(OPConfiguration(conf=conf, base_path=str(folder)), cwd=str(folder))
        self.server.get_endpoint("token").allowed_targets = [""]  # assertions for the issuer, as FAPI 2.0 has it

    @property
    def context(self) -> Any:
        return self.server.context

    def admit(self, client_id: str, back: str, *, keys: dict[str, Any] | None = None) -> None:
        """Register a client, by its secret or by its keys."""
        how = "private_key_jwt" if keys else "client_secret_basic"
        self.context.cdb[client_id] = {
            "client_id": client_id,
            "client_secret": SECRET,
            "redirect_uris": [(back, {})],
            "response_types_supported": ["code"],
            "token_endpoint_auth_method": how,
            "allowed_scopes": ["openid", "profile"],
            "client_salt": "salted",
        }
        self.context.keyjar.add_symmetric(client_id, SECRET)
        if keys:
            self.context.keyjar.import_jwks(keys, client_id)

    def rotate(self) -> None:
        """New signing keys; the old ones are gone."""
        self.context.keyjar.owners()
        fresh = init_key_jar(key_defs=KEYS, issuer_id=self.issuer)
        private = fresh.export_jwks(private=True, issuer_id=self.issuer)
        jar = self.context.keyjar
        for name in ("", self.issuer):
            if name in jar.owners():
                del jar[name]
            jar.import_jwks(private, name)

    def logout_token(self, client_id: str, **claims: Any) -> str:
        """A back-channel logout token signed by this provider's key."""
        packer = JWT(self.context.keyjar, iss=self.issuer, sign_alg="ES256", lifetime=120)
        event = {"http://schemas.openid.net/event/backchannel-logout": {}}
        return packer.pack({"aud": client_id, "events": event, "jti": "one", **claims}, issuer_id=self.issuer)

    async def answer(self, request: Request) -> Response:
        """One request, as any framework would hand it to the library."""
        path = request.url.path.lstrip("/")
        self.hits.append(path)
        if path == "jwks.json":
            return Response(json.dumps(self.context.keyjar.export_jwks(issuer_id="")), media_type="application/json")
        endpoint = next(e for e in self.server.get_endpoints().values() if e.endpoint_path == path)
        form = dict(request.query_params) if request.method == "GET" else dict(await request.form())
        if path == "authorization":
            self.asked.append(form)
        info = {"headers": dict(request.headers), "method": request.method, "url": str(request.url)}
        try:
            parsed = endpoint.parse_request(form or {}, http_info=info)
        except UnAuthorizedClient:
            return Response('{"error":"invalid_client"}', 401, media_type="application/json")
        if "error" in parsed:
            return Response(parsed.to_json(), 400, media_type="application/json")
        done = endpoint.process_request(parsed, http_info=info)
        if "http_response" in done:
            return Response(done["http_response"])
        told = endpoint.do_response(request=parsed, **done)
        body = told["response"]
        if path == "token" and "id_token" in body:
            payload = json.loads(body)["id_token"].split(".")[1]
            self.vouched.append(json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))))
        if path == "authorization":
            return Response(status_code=302, headers={"location": body})
        return Response(body, told.get("response_code", 200), media_type="application/json")


_CRYPT = {"kwargs": {"keys": {"key_defs": [
    {"type": "OCT", "use": ["enc"], "kid": "password"}, {"type": "OCT", "use": ["enc"], "kid": "salt"},
]}, "iterations": 1}}  # fmt: skip


@asynccontextmanager
async def running(folder: Path, users: dict[str, dict[str, Any]]) -> AsyncIterator[Provider]:
    """A provider that answers on a port of its own."""
    made = Provider(folder, free_port(), users)
    app = Starlette(routes=[Route("/{path:path}", made.answer, methods=["GET", "POST"])])
    server = uvicorn.Server(uvicorn.Config(app, port=made.port, log_level="warning", lifespan="off"))
    task = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn offers no event
        await asyncio.sleep(0.01)
    try:
        yield made
    finally:
        server.should_exit = True
        await task


__all__ = ["ACR", "SECRET", "Provider", "key_from_jwk_dict", "running"]

"""A client library that nobody here wrote (requests-oauth2client) speaks to a running hub, nothing in between.

PAR, RAR, PKCE, private_key_jwt, DPoP, `iss` in the answer, introspection, CIBA, use, revocation and withdrawal.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from urllib.parse import urlsplit

import pytest
import requests
import uvicorn
from jwskate import Jwk
from parts import free_port
from registry.makers import AUDIENCE
from requests.adapters import HTTPAdapter
from requests_oauth2client import DPoPKey, InvalidGrant, OAuth2Client, PrivateKeyJwt
from requests_oauth2client.exceptions import AuthorizationPending
from web.api.test_authorize import decide
from web.pages.family import Browser

from hub.consent.approve import pending
from hub.consent.withdraw import withdraw
from hub.registry import redirects

BACK = "https://edu.example/back"
CHECK = {"asks": [{"type": "degree"}]}


class Front(HTTPAdapter):
    """What a proxy that ends TLS does: the hub's public name leads to the port where it listens."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self.port = port

    def send(self, request, **how):  # type: ignore[no-untyped-def]
        parts = urlsplit(request.url)
        request.headers["Host"] = parts.netloc
        request.url = parts._replace(scheme="http", netloc=f"127.0.0.1:{self.port}").geturl()
        return super().send(request, **how)


@pytest.fixture
async def session(world) -> AsyncIterator[requests.Session]:
    """A session that reaches the hub over a real socket; its clock is the real one, as the library's is."""
    world.clock.moment = datetime.now(UTC).replace(microsecond=0)
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(world.app, port=port, log_level="warning", lifespan="off"))
    running = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn offers no event
        await asyncio.sleep(0.01)
    with requests.Session() as made:
        made.mount(AUDIENCE, Front(port))
        yield made
    server.should_exit = True
    await running


async def test_a_stock_client_from_pushing_to_withdrawal(world, edu, session):
    person = world.person("王小明")
    await world.certificate("degree", (person, "owner"))
    case = await world.case(person)
    details = json.dumps([world.detail(case, ["degree"], max_uses=2).to_json()])
    async with world.tx() as tx:
        await redirects.allow(tx, department="dg-edu", uri=BACK)
    private = {**Jwk.from_cryptography_key(edu.client._key), "kid": edu.client.kid, "alg": "ES256"}
    key = DPoPKey(Jwk.from_cryptography_key(edu.client._key), alg="ES256")

    def connect() -> OAuth2Client:
        return OAuth2Client.from_discovery_endpoint(
            f"{AUDIENCE}/.well-known/oauth-authorization-server",
            issuer=AUDIENCE,
            auth=PrivateKeyJwt("dg-edu", private, aud=AUDIENCE),
            session=session,
            redirect_uri=BACK,
            backchannel_authentication_endpoint=f"{AUDIENCE}/oauth/bc-authorize",  # it reads all others itself
        )

    client = await asyncio.to_thread(connect)

    def call(method, path, token, body=None):
        return asyncio.to_thread(session.request, method, AUDIENCE + path, auth=token, json=body)

    # the same browser: PAR with RAR, PKCE and DPoP; the citizen decides; code for token
    asked = client.authorization_request(scope="verify", authorization_details=details, dpop_key=key)
    pushed = await asyncio.to_thread(client.pushed_authorization_request, asked)
    browser = Browser(world.app, world.hub)
    await browser.sign_in(subject=await world.subject(person))
    location = await decide(browser, await browser.client.get(str(pushed)))
    answer = asked.validate_callback(location)  # `state` and `iss`, as RFC 9207 wants them
    token = await asyncio.to_thread(client.authorization_code, answer, validate=False)
    assert token.authorization_details[0]["datatypes"] == ["degree"]
    with pytest.raises(InvalidGrant):
        await asyncio.to_thread(client.authorization_code, answer, validate=False)

    # that second try killed the token, as RFC 6749 asks: get another one by CIBA, in the background
    assert await asyncio.to_thread(client.introspect_token, token) == {"active": False}
    begun = await asyncio.to_thread(
        client.backchannel_authentication_request, "openid verify", authorization_details=details,
        login_hint=f"{person.id_type}:{person.id_no}", binding_message="A1B2",
    )  # fmt: skip
    by_poll = {"grant_type": "urn:openid:params:grant-type:ciba", "auth_req_id": begun.auth_req_id}
    with pytest.raises(AuthorizationPending):
        await asyncio.to_thread(client.token_request, by_poll, dpop_key=key)
    async with world.view(await world.citizen(person)) as view:
        waiting = (await pending(view, items=world.items, types=world.types))[0].public_id
    grants = await world.agree(person, waiting)
    token = await asyncio.to_thread(client.token_request, by_poll, dpop_key=key)
    await world.publish()

    # use, introspection, grant query
    used = await call("POST", "/v1/verifications", token, CHECK)
    assert [one["outcome"] for one in used.json()["verdicts"]] == ["accepted"]
    assert (await asyncio.to_thread(client.introspect_token, token))["active"] is True
    managing = await asyncio.to_thread(client.client_credentials, "grant_management_query", dpop=True, dpop_key=key)
    stands = (await call("GET", f"/v1/grants/{token.grant_id}", managing)).json()
    assert [(one["state"], one["uses"]) for one in stands["grants"]] == [("standing", 1)]

    # the citizen withdraws: the same token is worth nothing at once
    async with world.tx(await world.citizen(person)) as tx:
        await withdraw(tx, grant=grants[0].public_id)
    refused = (await call("POST", "/v1/verifications", token, CHECK)).json()["verdicts"][0]
    assert (refused["outcome"], refused["reason"]) == ("refused", "grant.withdrawn")
    assert await asyncio.to_thread(client.introspect_token, token) == {"active": False}
    assert await asyncio.to_thread(client.revoke_access_token, token) is True
    assert token.expires_at <= datetime.fromtimestamp(time.time() + 301, UTC)

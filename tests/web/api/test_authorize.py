"""Consent in the same browser (FAPI 2.0 shape): what goes well, and everything that must be refused."""

import asyncio
import hashlib
import json
import re
import secrets
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

import pytest
from registry.makers import AUDIENCE
from web.api.apiworld import ApiWorld
from web.pages.family import Browser

from hub.consent.withdraw import grants_of
from hub.errors import Malformed
from hub.formats import jws
from hub.registry import officers, redirects
from hub.registry.roster import OfficerRow
from keys.signer import generate

BACK = "https://edu.example/back?from=yimen"


def refused(answer, status, word):
    assert (answer.status_code, answer.json()["error"]) == (status, word), answer.text
    assert re.fullmatch(r"[\x20-\x21\x23-\x5b\x5d-\x7e]+", answer.json()["error_description"])
    assert answer.headers["cache-control"] == "no-store"


@dataclass
class Site:
    """The department's own website: pushes, sends the browser off, takes it back."""

    world: ApiWorld
    department: object
    details: list
    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(32))

    async def push(self, **other):
        challenge = jws.b64u_encode(hashlib.sha256(self.verifier.encode()).digest())
        fields = {
            "response_type": "code",
            "redirect_uri": BACK,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
            "state": "st-1",
            "scope": "verify",
            "authorization_details": json.dumps([one.to_json() for one in self.details]),
            **other,
        }
        headers = fields.pop("headers", None)
        fields = {name: value for name, value in fields.items() if value is not None}
        return await self.world.form(self.department, "/oauth/par", headers=headers, **fields)

    async def request_uri(self, **other):
        answer = await self.push(**other)
        assert answer.status_code == 201, answer.text
        assert (set(answer.json()), answer.json()["expires_in"]) == ({"request_uri", "expires_in"}, 60)
        return answer.json()["request_uri"]

    async def redeem(self, code, *, by=None, proof=None, **other):
        by = by or self.department
        fields = {"code": code, "redirect_uri": BACK, "code_verifier": self.verifier, **other}
        headers = {"dpop": proof} if proof else None
        return await self.world.form(
            by, "/oauth/token", with_proof=True, headers=headers, grant_type="authorization_code", **fields
        )


async def go(browser, department, request_uri, *, follow=True):
    """The browser at the authorization endpoint."""
    query = {"client_id": department.slug, "request_uri": request_uri}
    return await browser.client.get("/oauth/authorize", params=query, follow_redirects=follow)


async def decide(browser, page, decision="agree", **fields):
    """Press the button; the address that the browser is sent to."""
    action = urlsplit(str(page.url)).path
    token = re.search(r'name="csrf" value="([^"]+)"', page.text)[1]
    answer = await browser.client.post(
        action,
        data={"csrf": token, "decision": decision, "all": "0.0", **fields},
        headers={"origin": AUDIENCE},
        follow_redirects=False,
    )
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


def said(location):
    return {name: values[0] for name, values in parse_qs(urlsplit(location).query).items()}


@pytest.fixture
async def site(world, edu):
    """(site, browser of the applicant, applicant)."""
    person = world.person("王小明")
    await world.certificate("degree", (person, "owner"))
    case = await world.case(person)
    async with world.tx() as tx:
        await redirects.allow(tx, department="dg-edu", uri=BACK)
    browser = Browser(world.app, world.hub)
    await browser.sign_in(subject=await world.subject(person))
    return Site(world, edu, [world.detail(case, ["degree"])]), browser, person


async def code_of(site, browser, **other):
    page = await go(browser, site.department, await site.request_uri(**other))
    return said(await decide(browser, page))["code"]


async def test_from_pushing_to_using(world, edu, site):
    shop, browser, person = site
    page = await go(browser, edu, await shop.request_uri())
    assert "部门dg-edu想看您的证照" in page.text
    assert "https://edu.example" in page.text
    assert "form-action 'self' https://edu.example;" in page.headers["content-security-policy"]
    location = await decide(browser, page)
    assert location.startswith(BACK + "&")
    assert said(location).keys() == {"from", "code", "state", "iss"}
    assert (said(location)["iss"], said(location)["state"]) == (AUDIENCE, "st-1")
    answer = await shop.redeem(said(location)["code"])
    found = answer.json()
    assert (answer.status_code, found["token_type"], found["scope"]) == (200, "DPoP", "verify")
    assert 0 < found["expires_in"] <= 300
    claims = jws.verify(found["access_token"], typ="at+jwt", key=world.hub.signer("token").public).payload
    assert claims["grant_id"] == found["grant_id"]
    assert claims["cnf"] == {"jkt": edu.client.kid}
    assert person.id_no not in json.dumps(claims)
    await world.publish()
    used = await world.call(
        edu, "POST", "/v1/verifications", {"asks": [{"type": "degree"}]}, token=found["access_token"]
    )
    assert used.json()["verdicts"][0]["outcome"] == "accepted"


async def test_refusing_is_told_with_the_issuer_and_nothing_else(edu, site):
    shop, browser, _ = site
    location = await decide(browser, await go(browser, edu, await shop.request_uri()), "refuse")
    assert said(location) == {"from": "yimen", "error": "access_denied", "state": "st-1", "iss": AUDIENCE}


async def test_whoever_is_not_signed_in_signs_in_first_and_comes_back(world, edu, site):
    shop, _, person = site
    browser = Browser(world.app, world.hub)
    sent = await go(browser, edu, await shop.request_uri(), follow=False)
    assert sent.headers["location"].startswith("/login?next=%2Foauth%2Fauthorize")
    world.clock.advance(seconds=300)  # signing in takes its time; the request was opened within the minute
    await browser.sign_in(subject=await world.subject(person))
    page = await browser.get(parse_qs(urlsplit(sent.headers["location"]).query)["next"][0])
    assert "想看您的证照" in page.text


async def test_anybody_else_is_sent_back_and_the_request_is_over(world, edu, site):
    shop, _, _ = site
    stranger = world.person("李大勇")
    await world.certificate("degree", (stranger, "owner"))
    async with world.tx() as tx:
        rows = [OfficerRow(1, "dg-edu", "clerk", "李办", frozenset({"clerk"}))]
        await officers.import_officers(tx, rows=rows, dry_run=False)
        clerk = (await officers.all_officers(tx))[0].id
    for who in ({"subject": await world.subject(stranger)}, {"officer": clerk}):
        request_uri = await shop.request_uri()
        browser = Browser(world.app, world.hub)
        await browser.sign_in(**who)
        sent = await go(browser, edu, request_uri, follow=False)
        assert said(sent.headers["location"])["error"] == "access_denied"
        again = await go(browser, edu, request_uri, follow=False)
        assert again.status_code == 410


async def test_a_request_uri_is_opened_by_one_browser_in_one_minute(world, edu, degree, site):
    shop, browser, person = site
    uri = await shop.request_uri()
    assert (await go(browser, edu, uri)).status_code == 200
    assert (await go(browser, edu, uri)).status_code == 200  # loading the page again is no second use
    other = Browser(world.app, world.hub)
    await other.sign_in(subject=await world.subject(person))
    assert (await go(other, edu, uri)).status_code == 410
    await decide(browser, await go(browser, edu, uri), "refuse")
    assert (await go(browser, edu, uri)).status_code == 410
    late = await shop.request_uri()
    assert (await go(browser, degree, late)).status_code == 410
    world.clock.advance(seconds=61)
    assert (await go(browser, edu, late)).status_code == 410
    for wrong in ("", "urn:ietf:params:oauth:request_uri:x", late.rpartition(":")[2]):
        assert (await go(browser, edu, wrong)).status_code == 410
    assert (await browser.client.get("/oauth/authorize?client_id=dg-edu")).status_code == 400
    repeated = f"/oauth/authorize?client_id=dg-edu&request_uri={late}&request_uri={late}"
    assert (await browser.client.get(repeated)).status_code == 400


async def test_opened_by_twelve_browsers_at_once_it_is_one_browsers(world, edu, site):
    shop, _, person = site
    uri = await shop.request_uri()
    browsers = [Browser(world.app, world.hub) for _ in range(12)]
    for browser in browsers:
        await browser.sign_in(subject=await world.subject(person))
    answers = await asyncio.gather(*[go(browser, edu, uri) for browser in browsers])
    assert sorted(answer.status_code for answer in answers) == [200] + [410] * 11


async def test_parameters_beside_the_reference_count_nothing(edu, site):
    shop, browser, _ = site
    uri = await shop.request_uri()
    more = {
        "client_id": "dg-edu",
        "request_uri": uri,
        "redirect_uri": "https://evil.example",
        "state": "other",
    }
    page = await browser.client.get("/oauth/authorize", params=more)
    location = await decide(browser, page)
    assert location.startswith(BACK)
    assert said(location)["state"] == "st-1"


async def test_a_code_is_good_once_and_a_second_use_kills_its_token(world, edu, site):
    shop, browser, _ = site
    code = await code_of(shop, browser)
    answers = await asyncio.gather(*[shop.redeem(code) for _ in range(8)])
    good = [answer for answer in answers if answer.status_code == 200]
    assert len(good) == 1
    refused(next(answer for answer in answers if answer.status_code != 200), 400, "invalid_grant")
    token = good[0].json()["access_token"]
    assert (await world.form(edu, "/oauth/introspect", token=token)).json() == {"active": False}
    used = await world.call(edu, "POST", "/v1/verifications", {"asks": [{"type": "degree"}]}, token=token)
    assert (used.status_code, used.json()["code"]) == (401, "token.revoked")


async def test_a_code_with_anything_wrong_is_no_code(world, edu, degree, site):
    shop, browser, _ = site
    code = await code_of(shop, browser)
    for wrong in (
        {"code_verifier": secrets.token_urlsafe(32)},
        {"code_verifier": "short"},
        {"redirect_uri": "https://edu.example/back"},
        {"code": "x" * 43},
        {"by": degree},
    ):
        refused(await shop.redeem(**{"code": code, **wrong}), 400, "invalid_grant")
    for missing in ("code_verifier", "redirect_uri"):
        refused(await shop.redeem(code, **{missing: ""}), 400, "invalid_request")
    other = world.proof(edu, "POST", "/oauth/token", signer=generate())
    refused(await shop.redeem(code, proof=other), 400, "invalid_dpop_proof")
    assert (await shop.redeem(code)).status_code == 200
    late = await code_of(shop, browser)
    world.clock.advance(seconds=61)
    refused(await shop.redeem(late), 400, "invalid_grant")


async def test_a_code_bound_to_another_key_is_refused(world, edu, site):
    shop, browser, _ = site
    bound = await code_of(shop, browser, dpop_jkt=generate().kid)
    refused(await shop.redeem(bound), 400, "invalid_grant")
    right = await code_of(shop, browser, dpop_jkt=edu.client.kid)
    assert (await shop.redeem(right)).status_code == 200
    proof = {"dpop": world.proof(edu, "POST", "/oauth/par")}
    refused(await shop.push(headers=proof, dpop_jkt=generate().kid), 400, "invalid_dpop_proof")
    proof = {"dpop": world.proof(edu, "POST", "/oauth/token")}  # a proof for another door
    refused(await shop.push(headers=proof), 400, "invalid_dpop_proof")


WRONG = [
    ({"response_type": "token"}, "unsupported_response_type"),
    ({"response_type": None}, "unsupported_response_type"),
    ({"code_challenge_method": "plain"}, "invalid_request"),
    ({"code_challenge_method": None}, "invalid_request"),
    ({"code_challenge": None}, "invalid_request"),
    ({"code_challenge": "x"}, "invalid_request"),
    ({"redirect_uri": "https://evil.example/back"}, "invalid_request"),
    ({"redirect_uri": BACK + "&more=1"}, "invalid_request"),
    ({"redirect_uri": None}, "invalid_request"),
    ({"request_uri": "urn:ietf:params:oauth:request_uri:x"}, "invalid_request"),
    ({"request": "eyJ"}, "invalid_request"),
    ({"response_mode": "fragment"}, "invalid_request"),
    ({"state": "状态"}, "invalid_request"),
    ({"scope": "verify issue"}, "invalid_scope"),
    ({"grant_id": "x"}, "invalid_grant_id"),
    ({"grant_management_action": "replace"}, "invalid_request"),
    ({"authorization_details": None}, "invalid_request"),
    ({"authorization_details": "[]"}, "invalid_authorization_details"),
]


async def test_pushed_requests_that_are_none(world, edu, degree, site):
    shop, _, _ = site
    for change, word in WRONG:
        refused(await shop.push(**change), 400, word)
    raw = shop.details[0].to_json()
    for change in (
        {"type": "x"},
        {"extra": 1},
        {"max_uses": 10_000},
        {"case_id": "no"},
        {"fields": {"degree": [["x"]]}},
    ):
        widened = json.dumps([raw | change])
        refused(await shop.push(authorization_details=widened), 400, "invalid_authorization_details")
    async with world.tx() as tx:
        await redirects.allow(tx, department="dg-degree", uri=BACK)
    foreign = Site(world, degree, shop.details)
    refused(await foreign.push(), 400, "invalid_authorization_details")
    refused(
        await shop.push(client_assertion=world.assertion(edu, audience=AUDIENCE + "/oauth/par")),
        401,
        "invalid_client",
    )
    refused(
        await shop.push(client_assertion=world.assertion(edu, audience=[AUDIENCE])), 401, "invalid_client"
    )
    once = world.assertion(edu)
    assert (await shop.push(client_assertion=once)).status_code == 201
    refused(await shop.push(client_assertion=once), 401, "invalid_client")


async def test_what_is_spent_stays_spent_at_another_process_and_after_a_restart(world, edu, site, tmp_path):
    """Codes, assertions and proofs are kept in the database: a second hub over it knows all of them."""
    shop, browser, _ = site
    code = await code_of(shop, browser)
    assertion, proof = world.assertion(edu), world.proof(edu, "POST", "/oauth/token")
    assert (await shop.redeem(code, client_assertion=assertion, proof=proof)).status_code == 200
    other = ApiWorld(str(world.db_url), world.clock, tmp_path / "other", world.keyring)
    other.departments = world.departments
    elsewhere = Site(other, edu, shop.details, shop.verifier)
    refused(await elsewhere.redeem(code), 400, "invalid_grant")
    refused(await elsewhere.redeem(code, client_assertion=assertion), 401, "invalid_client")
    refused(await elsewhere.redeem(code, proof=proof), 400, "invalid_dpop_proof")
    token, path = await world.own_token(edu), "/v1/status-lists/mine"
    used = {"authorization": f"DPoP {token}", "dpop": world.proof(edu, "GET", path, token)}
    assert (await world.http.get(path, headers=used)).status_code == 200
    assert (await other.http.get(path, headers=used)).json()["code"] == "dpop.replayed"
    fresh = used | {"dpop": world.proof(edu, "GET", path, token)}
    assert (await other.http.get(path, headers=fresh)).status_code == 200, "the token itself is good there"
    await other.close()


async def test_the_verifier_sees_and_gives_up_its_own_grants_only(world, edu, degree, site):
    shop, browser, person = site
    found = (await shop.redeem(await code_of(shop, browser))).json()
    path = f"/v1/grants/{found['grant_id']}"

    async def call(department, method, scope, path=path):
        return await world.call(department, method, path, token=await world.own_token(department, scope))

    stands = (await call(edu, "GET", "grant_management_query")).json()
    assert stands["authorization_details"] == found["authorization_details"]
    assert stands["grants"][0]["state"] == "standing"
    wrong_scope = await call(edu, "GET", "verify")
    assert (wrong_scope.status_code, wrong_scope.json()["code"]) == (403, "token.scope")
    assert 'error="insufficient_scope"' in wrong_scope.headers["www-authenticate"]
    assert (await call(edu, "DELETE", "grant_management_query")).status_code == 403
    for answer in (
        await call(degree, "GET", "grant_management_query"),
        await call(degree, "DELETE", "grant_management_revoke"),
        await call(edu, "GET", "grant_management_query", "/v1/grants/nothing"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (404, "grant.unknown")
    assert (await call(edu, "DELETE", "grant_management_revoke")).status_code == 204
    assert (await call(edu, "DELETE", "grant_management_revoke")).status_code == 204
    gone = (await call(edu, "GET", "grant_management_query")).json()
    assert (gone["authorization_details"], gone["grants"][0]["state"]) == ([], "withdrawn")
    assert (await world.form(edu, "/oauth/introspect", token=found["access_token"])).json() == {
        "active": False
    }
    async with world.view(await world.citizen(person)) as view:
        assert (await grants_of(view, subject_id=view.actor.subject_id))[0].state == "withdrawn"


@pytest.mark.parametrize(
    "uri",
    ["http://edu.example/back", "https://edu.example/back#x", "https://u:p@edu.example/", "edu.example", "https://",
     "javascript:alert(1)", "https://edu.example/\u4e2d", "https://edu.example/a b", "https://e.example:x/", "x" * 600],
)  # fmt: skip
async def test_addresses_that_no_browser_may_be_sent_to(world, edu, uri):
    async with world.tx() as tx:
        with pytest.raises(Malformed, match=r"redirect\.uri"):
            await redirects.allow(tx, department="dg-edu", uri=uri)
        await redirects.allow(tx, department="dg-edu", uri="http://127.0.0.1:8000/back")
        await redirects.allow(tx, department="dg-edu", uri="http://127.0.0.1:8000/back")
        assert await redirects.of_department(tx, department="dg-edu") == ["http://127.0.0.1:8000/back"]

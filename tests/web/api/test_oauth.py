import asyncio
import hashlib
import json
import re
from dataclasses import replace
from types import SimpleNamespace

import pytest
from registry.makers import AUDIENCE
from web.api.test_verifier import consent
from world import SCHOOL

from hub.clock import seconds
from hub.consent.approve import pending
from hub.consent.withdraw import withdraw
from hub.errors import Unprocessable
from hub.formats import jws
from hub.registry import departments
from hub.store.memory import Memory
from hub.web import caller
from hub.web.caller import access_token, remembered
from keys.signer import generate

CIBA = "urn:openid:params:grant-type:ciba"
DESCRIPTION = re.compile(r"[\x20-\x21\x23-\x5b\x5d-\x7e]+")


def refused(answer, status, word):
    assert (answer.status_code, answer.json()["error"]) == (status, word), answer.text
    assert set(answer.json()) == {"error", "error_description"}
    assert DESCRIPTION.fullmatch(answer.json()["error_description"])
    assert answer.headers["cache-control"] == "no-store"


async def token(world, department, **fields):
    fields = {"grant_type": "client_credentials", "scope": "issue"} | fields
    return await world.form(department, "/oauth/token", with_proof=True, **fields)


async def test_a_department_gets_a_token_bound_to_its_key(world, edu):
    answer = await token(world, edu)
    found = answer.json()
    assert (found["token_type"], found["expires_in"], found["scope"]) == ("DPoP", 300, "issue")
    assert answer.headers["cache-control"] == "no-store"
    said = jws.verify(found["access_token"], typ="at+jwt", key=world.hub.signer("token").public).payload
    assert (said["sub"], said["client_id"], said["cnf"]) == ("dg-edu", "dg-edu", {"jkt": edu.client.kid})


async def test_a_token_that_was_signed_here_is_known_for_a_minute_and_judged_at_each_use(world, edu, monkeypatch):
    now = [1_000.0]
    monkeypatch.setattr(caller.time, "monotonic", lambda: now[0])
    text = (await token(world, edu, scope="verify")).json()["access_token"]
    assert remembered(world.hub, text) is not None
    with pytest.raises(Unprocessable):
        access_token(world.hub, text, now=seconds(world.clock()) + 400)
    now[0] += 61
    assert remembered(world.hub, text) is None


async def test_an_assertion_is_good_once(world, edu):
    assertion = world.assertion(edu)
    tries = [token(world, edu, client_assertion=assertion) for _ in range(6)]
    answers = await asyncio.gather(*tries)
    assert sorted(a.status_code for a in answers) == [200] + [401] * 5
    refused(next(a for a in answers if a.status_code == 401), 401, "invalid_client")


async def test_two_departments_may_use_the_same_jti(world, edu, degree):
    for department in (edu, degree):
        assertion = world.assertion(department, jti="the-very-same-jti")
        assert (await token(world, department, client_assertion=assertion)).status_code == 200


WRONG = [
    {"audience": AUDIENCE + "/oauth/token"},
    {"audience": [AUDIENCE]},
    {"audience": "https://other.example"},
    {"client_id": "dg-degree"},
    {"client_id": "dg-none"},
    {"now": -400},
    {"now": 100},
    {"lives": 301},
    {"signer": "another"},
    {"signer": "certificate"},
]


async def test_a_wrong_assertion_is_told_alike(world, edu, degree):
    told = set()
    for wrong in map(dict, WRONG):
        if "now" in wrong:
            wrong["now"] += seconds(world.clock())
        if "signer" in wrong:
            wrong["signer"] = generate() if wrong["signer"] == "another" else edu.certificate
        answer = await token(world, edu, client_assertion=world.assertion(edu, **wrong))
        refused(answer, 401, "invalid_client")
        told.add(answer.json()["error_description"].partition(": ")[2])
    assert told == {"The calling department could not be authenticated."}


async def test_a_suspended_department_gets_no_token(world, edu):
    async with world.tx() as tx:
        await departments.suspend(tx, slug="dg-edu", reason="x")
    refused(await token(world, edu), 401, "invalid_client")


async def test_forms_that_are_no_forms(world, edu):
    for body in (b"", b"grant_type=a&grant_type=b", b"\xff=1", b"a", b"x=%zz", b"&" * 50):
        answer = await world.http.post(
            "/oauth/token", content=body, headers={"content-type": "application/x-www-form-urlencoded"}
        )
        assert answer.status_code in (400, 401), answer.text
        assert answer.json()["error"] in ("invalid_request", "unsupported_grant_type", "invalid_client")
    refused(await world.http.post("/oauth/token", json={}), 400, "invalid_request")
    refused(await token(world, edu, grant_type="password"), 400, "unsupported_grant_type")
    refused(await token(world, edu, scope="everything"), 400, "invalid_scope")
    refused(await token(world, edu, client_id="dg-degree"), 401, "invalid_client")
    basic = {"authorization": "Basic eDp5", "dpop": world.proof(edu, "POST", "/oauth/token")}
    refused(
        await world.form(edu, "/oauth/token", headers=basic, grant_type="client_credentials"),
        400,
        "invalid_request",
    )


async def test_a_token_needs_a_proof_by_the_client_key_itself(world, edu):
    other = {"dpop": world.proof(edu, "POST", "/oauth/token", signer=generate())}
    for headers in ({}, other, {"dpop": "a.b.c"}, {"dpop": world.proof(edu, "POST", "/oauth/other")}):
        answer = await world.form(edu, "/oauth/token", headers=headers, grant_type="client_credentials")
        refused(answer, 400, "invalid_dpop_proof")


async def ciba(world, department, case, details, person, **other):
    fields = {
        "scope": "openid verify",
        "login_hint": f"{person.id_type}:{person.id_no}",
        "binding_message": "A1B2",
        "authorization_details": json.dumps([one.to_json() for one in details]),
        **other,
    }
    return await world.form(department, "/oauth/bc-authorize", **fields)


async def poll(world, department, auth_req_id):
    return await token(world, department, grant_type=CIBA, auth_req_id=auth_req_id, scope="verify")


@pytest.fixture
async def asked(world, edu):
    """(person, case, detail) of a parent whose degree the education bureau may ask for."""
    person = world.person("王小明")
    await world.certificate("degree", (person, "owner"))
    case = await world.case(person)
    return person, case, world.detail(case, ["degree"])


async def newest_request(world, person):
    async with world.view(await world.citizen(person)) as view:
        return (await pending(view, items=world.items, types=world.types))[0].public_id


async def test_consent_by_ciba_from_asking_to_withdrawal(world, edu, asked):
    person, case, detail = asked
    started = (await ciba(world, edu, case, [detail], person)).json()
    assert started["interval"] == 5
    refused(await poll(world, edu, started["auth_req_id"]), 400, "authorization_pending")
    refused(await poll(world, edu, started["auth_req_id"]), 400, "slow_down")
    world.clock.advance(seconds=11)
    grants = await world.agree(person, await newest_request(world, person))
    answer = await poll(world, edu, started["auth_req_id"])
    found = answer.json()
    assert (answer.status_code, found["token_type"], found["scope"]) == (200, "DPoP", "verify")
    assert found["grants"] == [grants[0].public_id]
    assert found["authorization_details"][0]["datatypes"] == ["degree"]
    said = jws.verify(found["access_token"], typ="at+jwt", key=world.hub.signer("token").public).payload
    assert person.id_no not in json.dumps(said)
    kept = remembered(world.hub, found["access_token"])
    assert kept == access_token(
        replace(world.hub, db=SimpleNamespace(memory=Memory())), found["access_token"], now=seconds(world.clock())
    ), "what is remembered of a token since it was signed is what checking it would say"
    active = (await world.form(edu, "/oauth/introspect", token=found["access_token"])).json()
    assert (active["active"], active["grants"]) == (True, found["grants"])
    async with world.tx(await world.citizen(person)) as tx:
        await withdraw(tx, grant=grants[0].public_id)
    assert (await world.form(edu, "/oauth/introspect", token=found["access_token"])).json() == {
        "active": False
    }
    refused(await poll(world, edu, started["auth_req_id"]), 400, "invalid_grant")


async def test_only_the_department_that_asked_can_poll(world, edu, degree, asked):
    person, case, detail = asked
    started = (await ciba(world, edu, case, [detail], person)).json()
    refused(await poll(world, degree, started["auth_req_id"]), 400, "invalid_grant")
    refused(await poll(world, edu, "nothing"), 400, "invalid_grant")


async def test_somebody_unknown_is_answered_like_somebody_known(world, edu, asked):
    person, case, detail = asked
    stranger = world.person("无名氏")
    answers = [await ciba(world, edu, case, [detail], who) for who in (person, stranger)]
    impossible = await ciba(world, edu, case, [detail], person, login_hint="111:123")
    for answer in (*answers, impossible):
        assert answer.status_code == 200
        assert set(answer.json()) == {"auth_req_id", "expires_in", "interval"}
        assert len(answer.json()["auth_req_id"]) == 43
    for answer in (*answers, impossible):
        refused(await poll(world, edu, answer.json()["auth_req_id"]), 400, "authorization_pending")


async def test_more_than_the_item_allows_or_another_departments_case_is_refused(world, edu, degree, asked):
    person, case, detail = asked
    raw = detail.to_json()
    for change in (
        {"max_uses": 10_000},
        {"purpose": "curiosity"},
        {"fields": {"degree": [["thesis_title"]]}},
        {"valid_until": seconds(world.clock()) + 86_400 * 4000},
        {"case_id": "nothing"},
        {"surprise": True},
        {"type": "openid_credential"},
    ):
        answer = await ciba(world, edu, case, [], person, authorization_details=json.dumps([raw | change]))
        refused(answer, 400, "invalid_authorization_details")
    refused(await ciba(world, degree, case, [detail], person), 400, "invalid_authorization_details")
    twice = '[{"type":"certificate_verification","type":"x"}]'
    refused(await ciba(world, edu, case, [], person, authorization_details=twice), 400, "invalid_request")


NO_CIBA = [
    ({"login_hint": "no-colon"}, "invalid_request"),
    ({"login_hint_token": "x"}, "invalid_request"),
    ({"client_notification_token": "x"}, "invalid_request"),
    ({"scope": "profile"}, "invalid_scope"),
    ({"binding_message": "x" * 21}, "invalid_binding_message"),
    ({"binding_message": "<b>"}, "invalid_binding_message"),
    ({"requested_expiry": "1"}, "invalid_request"),
    ({"requested_expiry": "-1"}, "invalid_request"),
]


async def test_ciba_requests_that_are_none(world, edu, asked):
    person, case, detail = asked
    for change, word in NO_CIBA:
        refused(await ciba(world, edu, case, [detail], person, **change), 400, word)


async def test_a_revoked_token_is_dead_at_once_and_only_its_owner_can_revoke(world, edu, degree):
    mine = await world.own_token(edu)
    assert (await world.form(degree, "/oauth/revoke", token=mine)).status_code == 200
    assert (await world.call(edu, "GET", "/v1/status-lists/mine", token=mine)).status_code == 200
    assert (await world.form(degree, "/oauth/introspect", token=mine)).json() == {"active": False}
    assert (await world.form(edu, "/oauth/introspect", token=mine)).json()["active"] is True
    assert (await world.form(edu, "/oauth/revoke", token=mine)).status_code == 200
    dead = await world.call(edu, "GET", "/v1/status-lists/mine", token=mine)
    assert (dead.status_code, dead.json()["code"]) == (401, "token.revoked")
    assert (await world.form(edu, "/oauth/introspect", token=mine)).json() == {"active": False}
    assert (await world.form(edu, "/oauth/revoke", token="nonsense")).status_code == 200


async def test_a_person_has_another_name_for_each_department_and_the_same_for_one(world, edu):
    """`sub` is pairwise: not one of our ids, not to be joined or guessed, the same wherever one department meets it."""
    person = world.person("王小明")
    await world.certificate("degree", (person, "owner"))
    hrss, talent = await world.department("dg-hrss"), "441900-hrss-talent-degree"
    subs = {}
    for department, item, purpose in ((edu, SCHOOL, "points-enrolment"), (hrss, talent, "talent-degree")) * 2:
        case = await world.case(person, item=item)
        details = [world.detail(case, ["degree"], purpose=purpose)]
        started = await world.ask(department.slug, case, details, of=person)
        grants = await world.agree(person, started.public_id)
        text = consent(world, department, grants)
        said = jws.verify(text, typ="at+jwt", key=world.hub.signer("token").public).payload["sub"]
        assert subs.setdefault(department.slug, said) == said, "the same again"
        told = (await world.form(department, "/oauth/introspect", token=text)).json()
        assert (told["active"], told["sub"]) == (True, said)
        subject = await world.subject(person)
        assert said not in (subject.hex, str(subject), hashlib.sha256(subject.bytes).hexdigest()[:32])
        used = await world.call(department, "POST", "/v1/verifications", {"asks": [{"type": "degree"}]}, token=text)
        assert used.json()["verdicts"][0]["outcome"] == "accepted"
        for ours in (subject.hex, str(subject)):
            assert ours not in used.text, "neither verdict nor receipt names the person by an id of ours"
    assert len(set(subs.values())) == 2


async def test_metadata_tells_where_everything_is(world):
    found = (await world.http.get("/.well-known/oauth-authorization-server")).json()
    assert found["issuer"] == AUDIENCE
    for name, url in found.items():
        if name.endswith(("_endpoint", "_uri")):
            path = url.removeprefix(AUDIENCE)
            paths = world.app.openapi()["paths"]
            assert any(path in (p, f"{p}/", p.rpartition("/")[0]) for p in paths), name

"""Who may come in at the department doors: every way to be somebody else fails, and fails alike where it must."""

import asyncio
from datetime import timedelta

import sqlalchemy as sa
from registry.makers import AUDIENCE

from hub.clock import seconds
from hub.formats import dpop
from hub.formats.authorization import make_access_token
from hub.registry import departments, keys
from hub.store.model import replays
from hub.web.tidy import tidy
from keys.signer import generate

PATH = "/v1/status-lists/mine"


async def get(world, headers, path=PATH):
    return await world.http.get(path, headers=headers)


def bearing(token, proof):
    return {"authorization": f"DPoP {token}", "dpop": proof}


async def test_a_right_token_with_a_right_proof_comes_in(world, edu):
    token = await world.own_token(edu)
    assert (await get(world, bearing(token, world.proof(edu, "GET", PATH, token)))).status_code == 200


async def test_a_proof_is_good_once_also_for_many_at_the_same_moment(world, edu):
    token = await world.own_token(edu)
    headers = bearing(token, world.proof(edu, "GET", PATH, token))
    answers = await asyncio.gather(*[get(world, headers) for _ in range(8)])
    assert sorted(a.status_code for a in answers) == [200] + [401] * 7
    lost = next(a for a in answers if a.status_code == 401)
    assert lost.json()["code"] == "dpop.replayed"
    assert lost.headers["www-authenticate"] == 'DPoP error="invalid_dpop_proof", algs="ES256"'


async def test_a_proof_stays_spent_for_as_long_as_it_could_be_accepted(world, edu):
    token = await world.own_token(edu)
    headers = bearing(token, world.proof(edu, "GET", PATH, token, now=seconds(world.clock()) + 30))
    assert (await get(world, headers)).status_code == 200
    world.clock.advance(seconds=89)
    assert (await get(world, headers)).json()["code"] == "dpop.replayed"
    world.clock.advance(seconds=3)
    assert (await get(world, headers)).json()["code"] == "dpop.time"


async def test_a_clock_that_ran_ahead_and_was_put_right_makes_nothing_usable_twice(world, edu):
    """It ran an hour ahead, what seemed old was tidied away, and it was put back: what was used stays used."""
    token, assertion = await world.own_token(edu), world.assertion(edu)
    headers = bearing(token, world.proof(edu, "GET", PATH, token))
    asking = {"client_assertion": assertion, "token": token}
    assert (await get(world, headers)).status_code == 200
    assert (await world.form(edu, "/oauth/introspect", **asking)).status_code == 200
    revoked = await world.own_token(edu)
    assert (await world.form(edu, "/oauth/revoke", token=revoked)).status_code == 200
    now = world.clock.moment
    world.clock.advance(hours=1)
    for _ in range(3):
        await tidy(world.hub)
    async with world.view() as view:
        assert {row.kind for row in await view.all(sa.select(replays.c.kind))} == {"revoked"}
    world.clock.moment = now
    assert (await get(world, headers)).json()["code"] == "dpop.replayed"
    assert (await world.form(edu, "/oauth/introspect", **asking)).json()["error"] == "invalid_client"
    late = bearing(revoked, world.proof(edu, "GET", PATH, revoked))
    assert (await get(world, late)).json()["code"] == "token.revoked"
    world.clock.advance(seconds=1)
    fresh = bearing(token, world.proof(edu, "GET", PATH, token))
    assert (await get(world, fresh)).status_code == 200, "what is made now is good at once"


WRONG = [
    ({"method": "POST"}, "dpop.htm"),
    ({"path": "/v1/certificates"}, "dpop.htu"),
    ({"now": -61}, "dpop.time"),
    ({"now": 31}, "dpop.time"),
    ({"token": "another"}, "dpop.ath"),
    ({"token": None}, "dpop.ath"),
]


async def test_a_proof_for_anything_else_is_refused(world, edu):
    token = await world.own_token(edu)
    for wrong, code in WRONG:
        proof = dpop.prove(
            edu.client,
            htm=wrong.get("method", "GET"),
            htu=AUDIENCE + wrong.get("path", PATH),
            now=seconds(world.clock()) + wrong.get("now", 0),
            access_token=wrong.get("token", token),
        )
        answer = await get(world, bearing(token, proof))
        assert (answer.status_code, answer.json()["code"]) == (401, code), wrong


async def test_the_host_header_decides_nothing(world, edu):
    token = await world.own_token(edu)
    proof = dpop.prove(
        edu.client,
        htm="GET",
        htu="https://evil.example" + PATH,
        now=seconds(world.clock()),
        access_token=token,
    )
    answer = await get(world, bearing(token, proof) | {"host": "evil.example"})
    assert (answer.status_code, answer.json()["code"]) == (401, "dpop.htu")


async def test_a_stolen_token_is_worth_nothing_without_the_key(world, edu):
    token, thief = await world.own_token(edu), generate()
    answer = await get(world, bearing(token, world.proof(edu, "GET", PATH, token, signer=thief)))
    assert (answer.status_code, answer.json()["code"]) == (401, "token.invalid")


async def test_a_token_ends_with_its_time(world, edu):
    token = await world.own_token(edu)
    world.clock.advance(seconds=331)
    answer = await get(world, bearing(token, world.proof(edu, "GET", PATH, token)))
    assert (answer.status_code, answer.json()["code"]) == (401, "token.invalid")


async def test_only_the_hubs_token_key_makes_tokens(world, edu):
    now = seconds(world.clock())
    for signer in (generate(), edu.client, world.hub.signer("receipt")):
        token = make_access_token(
            signer,
            issuer=AUDIENCE,
            audience=AUDIENCE,
            subject="dg-edu",
            client_id="dg-edu",
            jkt=edu.client.kid,
            jti="x" * 22,
            now=now,
            expires=now + 300,
            scope="issue verify",
        )
        answer = await get(world, bearing(token, world.proof(edu, "GET", PATH, token)))
        assert (answer.status_code, answer.json()["code"]) == (401, "token.invalid")


async def test_a_token_of_one_scope_does_not_open_the_other_door(world, edu):
    token = await world.own_token(edu, "verify")
    answer = await get(world, bearing(token, world.proof(edu, "GET", PATH, token)))
    assert (answer.status_code, answer.json()["code"]) == (403, "token.scope")
    assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]
    token = await world.own_token(edu, "issue")
    path = "/v1/cases/none"
    answer = await get(world, bearing(token, world.proof(edu, "GET", path, token)), path)
    assert (answer.status_code, answer.json()["code"]) == (403, "token.scope")


async def test_suspending_a_department_or_retiring_its_key_shuts_the_door_at_once(world, edu):
    token = await world.own_token(edu)
    async with world.tx() as tx:
        await departments.suspend(tx, slug="dg-edu", reason="x")
    answer = await get(world, bearing(token, world.proof(edu, "GET", PATH, token)))
    assert (answer.status_code, answer.json()["code"]) == (401, "client.unknown")
    async with world.tx() as tx:
        await departments.resume(tx, slug="dg-edu", reason="x")
        await keys.distrust(tx, kid=edu.client.kid, from_=world.clock() - timedelta(seconds=1))
    answer = await get(world, bearing(token, world.proof(edu, "GET", PATH, token)))
    assert (answer.status_code, answer.json()["code"]) == (401, "client.unknown")


async def test_ways_to_present_a_token_that_are_no_way(world, edu):
    token = await world.own_token(edu)

    def proof():
        return world.proof(edu, "GET", PATH, token)

    missing = await get(world, {})
    assert (missing.status_code, missing.json()["code"]) == (401, "token.missing")
    assert missing.headers["www-authenticate"] == 'DPoP algs="ES256"'
    bearer = await get(world, {"authorization": f"Bearer {token}", "dpop": proof()})
    assert (bearer.status_code, bearer.json()["code"]) == (401, "token.not_bound")
    naked = await get(world, {"authorization": f"DPoP {token}"})
    assert (naked.status_code, naked.json()["code"]) == (401, "token.not_bound")
    query = await get(world, bearing(token, proof()), f"{PATH}?access_token={token}")
    assert (query.status_code, query.json()["code"]) == (400, "token.twice")
    twice = await world.http.get(
        PATH, headers=[("authorization", f"DPoP {token}"), ("dpop", proof()), ("dpop", proof())]
    )
    assert (twice.status_code, twice.json()["code"]) == (400, "token.twice")
    answers = [await get(world, bearing(t, proof())) for t in ("x", "a.b.c", "x" * 70_000)]
    assert {a.status_code for a in answers} == {401}


async def test_every_department_door_asks_who_is_there(world):
    """No route below /v1/ that is not public answers anything but 401 to a stranger, whatever is sent."""
    public = {
        "/v1/departments/{slug}/enrol",
        "/v1/types",
        "/v1/types/{code}",
        "/v1/items",
        "/v1/items/{code}",
        "/v1/status-lists/{list_id}",
        "/v1/proofs/{leaf_hash}",
        "/v1/consistency/{old}/{new}",
        "/v1/trust-bundle",
    }
    paths = world.app.openapi()["paths"]
    asked = 0
    for path, methods in paths.items():
        if path.startswith("/v1/") and path not in public:
            for method in methods:
                answer = await world.http.request(method.upper(), path, json={})
                assert (answer.status_code, answer.json()["code"]) == (401, "token.missing"), path
                asked += 1
    assert asked >= 15

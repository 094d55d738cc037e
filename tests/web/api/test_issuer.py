import asyncio
import hashlib
import json
from dataclasses import replace

import httpx
import pytest
import sqlalchemy as sa
from registry.makers import credit, key_proof, rotation_proof

from hub.certificates.model import certificates
from hub.clock import seconds
from hub.consent.withdraw import by_public_id
from hub.formats import statuslist
from hub.formats.receipt import read as read_receipt
from hub.oversight.reliance import notices_of
from hub.registry import departments, keys
from hub.registry.model import department_keys
from hub.verification.model import Ask
from hub.web import issuer
from keys.signer import generate


async def fresh_department(world, slug="dg-new"):
    async with world.tx() as tx:
        await departments.add(tx, slug=slug, uscc=credit(900), name_zh="新部门", name_en="New")
        return await keys.make_enrolment_code(tx, department=slug, made_by="a", approved_by="b")


def offers(world, code, slug="dg-new"):
    digest = hashlib.sha256(code.encode()).hexdigest()
    made = {purpose: generate() for purpose in ("certificate", "status", "client")}
    told = [
        {
            "purpose": purpose,
            "jwk": signer.public.jwk,
            "proof": key_proof(signer, purpose, world.clock, department=slug, code_sha256=digest),
        }
        for purpose, signer in made.items()
    ]
    return made, told


async def test_a_department_enrols_its_keys_over_http_and_gets_a_receipt(world):
    code = await fresh_department(world)
    made, told = offers(world, code)
    answer = await world.http.post("/v1/departments/dg-new/enrol", json={"code": code, "keys": told})
    assert answer.status_code == 201, answer.text
    found = answer.json()
    assert {(k["kid"], k["purpose"]) for k in found["keys"]} == {(s.kid, p) for p, s in made.items()}
    receipt = read_receipt(found["receipt"], key=world.hub.signer("receipt").public)
    async with world.view() as view:
        assert receipt.leaf_hash == await view.value(
            sa.select(department_keys.c.leaf_hash).where(department_keys.c.kid == made["status"].kid)
        )
    again = await world.http.post("/v1/departments/dg-new/enrol", json={"code": code, "keys": told})
    assert (again.status_code, again.json()["code"]) == (401, "enrolment.refused")


async def test_rotation_and_retirement_over_http(world, edu):
    new = generate()
    body = {
        "purpose": "certificate",
        "jwk": new.public.jwk,
        "proof": key_proof(new, "certificate", world.clock),
        "previous_proof": rotation_proof(edu.certificate, "certificate", new.kid, world.clock),
    }
    answer = await world.call(edu, "POST", "/v1/keys", body)
    assert (answer.status_code, answer.json()["keys"]) == (201, [{"kid": new.kid, "purpose": "certificate"}])
    gone = await world.call(edu, "POST", f"/v1/keys/{edu.certificate.kid}/retire")
    assert gone.status_code == 200
    last = await world.call(edu, "POST", f"/v1/keys/{new.kid}/retire")
    assert (last.status_code, last.json()["code"]) == (409, "key.last")


async def test_status_lists_are_reserved_signed_pushed_and_served(world, edu):
    answer = await world.call(edu, "POST", "/v1/status-lists/reserve", {"count": 3})
    assert answer.status_code == 201
    found = answer.json()
    assert len({(r["uri"], r["idx"]) for r in found["reserved"]}) == 3
    head = found["lists"][0]
    assert (head["seq"], head["sha256"]) == (0, None)
    token = edu.sign_list(head["uri"], {}, seconds(world.clock()))
    pushed = await world.call(edu, "PUT", "/v1/status-lists", {"token": token})
    assert pushed.json() == {
        "uri": head["uri"],
        "seq": 1,
        "sha256": hashlib.sha256(token.encode()).hexdigest(),
    }
    served = await world.http.get(head["uri"])
    assert (served.text, served.headers["content-type"]) == (token, "application/statuslist+jwt")
    assert (
        await world.http.get(head["uri"], headers={"if-none-match": served.headers["etag"]})
    ).status_code == 304
    mine = (await world.call(edu, "GET", "/v1/status-lists/mine")).json()["lists"]
    assert [(one["seq"], one["token"]) for one in mine] == [(1, token)]
    conflict = await world.call(edu, "PUT", "/v1/status-lists", {"token": token})
    assert conflict.status_code == 409
    assert (conflict.json()["seq"], conflict.json()["sha256"]) == (1, pushed.json()["sha256"])


async def test_a_certificate_is_registered_read_and_revoked(world, degree):
    person = world.person("王小明")
    body = await world.body_of_certificate("degree", (person, "owner"))
    answer = await world.call(degree, "POST", "/v1/certificates", body)
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert (made["state"], made["replayed"]) == ("current", False)
    again = (await world.call(degree, "POST", "/v1/certificates", body)).json()
    assert (again["certificate_id"], again["replayed"]) == (made["certificate_id"], True)
    state = (await world.call(degree, "GET", f"/v1/certificates/{made['certificate_id']}")).json()
    assert (state["state"], state["type"]) == ("current", "degree")
    uri, idx = state["status"]["uri"], state["status"]["idx"]
    change = {
        "event": "revoke",
        "reason": "issued-in-error",
        "status_list": degree.sign_list(uri, {idx: statuslist.INVALID}, seconds(world.clock())),
    }
    revoked = await world.call(degree, "POST", f"/v1/certificates/{made['certificate_id']}/status", change)
    assert revoked.json() == {"certificate_id": made["certificate_id"], "state": "revoked"}


async def test_many_changes_are_one_call_and_the_same_call_is_answered_alike(world, degree):
    people = [world.person(f"王{n}") for n in range(3)]
    old = []
    for person in people:
        body = await world.body_of_certificate("degree", (person, "owner"))
        old.append((await world.call(degree, "POST", "/v1/certificates", body)).json()["certificate_id"])
    states = [(await world.call(degree, "GET", f"/v1/certificates/{one}")).json()["status"] for one in old]
    new = await world.body_of_certificate("degree", (people[0], "owner"))
    changes = [
        {"certificate_id": old[0], "event": "supersede", "sd_jwt": new["sd_jwt"], "source": new["source"]},
        {"certificate_id": old[1], "event": "revoke", "reason": "vanished"},
        {"certificate_id": "nothing", "event": "suspend", "reason": "asked"},
    ]

    async def sent(*these: int) -> httpx.Response:
        entries = {states[n]["idx"]: statuslist.INVALID for n in these if n < 2}
        token = degree.sign_list(states[0]["uri"], entries, seconds(world.clock()))
        body = {"status_lists": [token], "changes": [changes[n] for n in these]}
        calls.append(body)
        return await world.call(degree, "POST", "/v1/certificates/changes", body)

    calls: list[dict] = []
    refused = await sent(0, 1, 2)
    assert (refused.status_code, refused.json()["code"]) == (422, "changes.refused")
    assert [(one["change"], one["kind"], one["code"]) for one in refused.json()["refused"]] == [
        (3, "not_found", "certificate.unknown")
    ]
    done = await sent(0, 1)
    assert done.status_code == 200, done.text
    found = done.json()["results"]
    assert [(one["certificate_id"], one["state"], one["replayed"]) for one in found] == [
        (old[0], "superseded", False), (old[1], "revoked", False)
    ]  # fmt: skip
    receipt_key = world.hub.signer("receipt").public
    receipts = [read_receipt(one["new"]["receipt"], key=receipt_key) for one in found if one["new"]]
    assert {one.kind for one in receipts} == {"certificate.registered"}
    again = (await world.call(degree, "POST", "/v1/certificates/changes", calls[-1])).json()["results"]
    assert [one["replayed"] for one in again] == [True, True]
    assert again[0]["new"]["certificate_id"] == found[0]["new"]["certificate_id"]
    assert read_receipt(again[0]["new"]["receipt"], key=receipt_key) == receipts[0]
    for wrong in ({"status_lists": [], "changes": []}, {"status_lists": [], "changes": [{"certificate_id": "x"}]}):
        answer = await world.call(degree, "POST", "/v1/certificates/changes", wrong)
        assert (answer.status_code, answer.json()["code"]) == (422, "body.invalid")


async def test_whoever_relied_on_one_of_many_is_told(world, degree):
    wang = world.person("王小明")
    mine = await world.certificate("employment", (wang, "worker"))
    other = await world.certificate("employment", (world.person("李小红"), "worker"))
    case = await world.case(wang)
    asked = await world.ask("dg-edu", case, [world.detail(case, ["employment"])], of=wang)
    (given,) = await world.agree(wang, asked.public_id)
    (verdict,) = await world.verify(
        case, [given], [Ask("employment")], token=world.token([given], holder=await world.department("dg-edu"))
    )
    assert verdict.outcome == "accepted"
    issuer_of = await world.department("dg-hrss")
    ids = [mine.certificate, other.certificate]
    entries = {}
    for one in ids:
        found = (await world.call(issuer_of, "GET", f"/v1/certificates/{one}")).json()["status"]
        entries[found["idx"]] = statuslist.INVALID
    body = {
        "status_lists": [issuer_of.sign_list(found["uri"], entries, seconds(world.clock()))],
        "changes": [{"certificate_id": one, "event": "revoke", "reason": "issued-in-error"} for one in ids],
    }
    assert (await world.call(issuer_of, "POST", "/v1/certificates/changes", body)).status_code == 200
    async with world.view() as view:
        told = await notices_of(view, department="dg-edu")
    assert [(one.certificate, one.event) for one in told] == [(mine.certificate, "revoked")]


@pytest.mark.parametrize("door", ["batch", "changes"])
async def test_what_rests_on_a_superseded_certificate_ends_with_it_by_either_door(world, door):
    mother, child = world.person("李䶮"), world.person("王𬭎", "20200301")
    people = [(child, "child"), (mother, "mother")]
    birth = (await world.certificate("birth", *people, born_on="2020-03-01")).certificate
    await world.certificate("school_record", (child, "child"))
    case = await world.case(mother, child)
    asked = await world.ask("dg-edu", case, [world.detail(case, ["school_record"], basis="guardian")], of=mother)
    (given,) = await world.agree(mother, asked.public_id)
    health = await world.department("dg-health")
    place = (await world.call(health, "GET", f"/v1/certificates/{birth}")).json()["status"]
    token = health.sign_list(place["uri"], {place["idx"]: statuslist.INVALID}, seconds(world.clock()))
    new = await world.body_of_certificate("birth", *people, born_on="2020-03-01")
    if door == "batch":
        line = new | {"supersedes": {"certificate_id": birth, "status_list": token}}
        sent = {"content": json.dumps(line).encode() + b"\n", "media_type": "application/x-ndjson"}
    else:
        change = {"certificate_id": birth, "event": "supersede", "sd_jwt": new["sd_jwt"], "source": new["source"]}
        sent = {"body": {"status_lists": [token], "changes": [change]}}
    answer = await world.call(health, "POST", f"/v1/certificates/{door}", **sent)
    assert answer.status_code == 200, answer.text
    assert "problem" not in answer.text
    async with world.view() as view:
        assert (await by_public_id(view, given.public_id)).state == "withdrawn"


async def test_another_departments_certificate_is_not_found(world, degree, edu):
    body = await world.body_of_certificate("degree", (world.person("王小明"), "owner"))
    made = (await world.call(degree, "POST", "/v1/certificates", body)).json()
    path = f"/v1/certificates/{made['certificate_id']}"
    theirs, none = (
        await world.call(edu, "GET", path),
        await world.call(edu, "GET", "/v1/certificates/nothing"),
    )
    assert (theirs.status_code, none.status_code) == (404, 404)
    for answer in (theirs, none):
        assert answer.json() | {"request_id": ""} == none.json() | {"request_id": ""}
    change = {"event": "revoke", "reason": "x", "status_list": "a.b.c"}
    assert (await world.call(edu, "POST", path + "/status", change)).status_code == 404
    face = await world.call(edu, "PUT", path + "/face", content=b"%PDF-", media_type="application/pdf")
    assert face.status_code == 404


async def test_a_department_cannot_register_anothers_type_even_with_its_own_keys(world, edu):
    token = await world.sign("degree", [world.person("王小明").as_holder("owner")], by="dg-edu")
    answer = await world.call(
        edu, "POST", "/v1/certificates", {"sd_jwt": token, "source": None, "supersedes": None}
    )
    assert (answer.status_code, answer.json()["code"]) == (403, "certificate.type_not_yours")


async def test_a_batch_answers_every_line_in_order_and_a_bad_one_spoils_no_other(world, degree):
    person = world.person("王小明")
    good = [await world.body_of_certificate("degree", (person, "owner")) for _ in range(3)]
    lines = [
        good[0] | {"line": 1},
        {"line": 2, "sd_jwt": "not a token"},
        good[1],
        {"line": 4, "sd_jwt": good[2]["sd_jwt"], "surprise": True},
        good[2],
        good[0],
    ]
    content = b"".join(json.dumps(line).encode() + b"\n" for line in lines) + b'{"a":1,"a":2}\n{broken\n'
    answer = await world.call(
        degree, "POST", "/v1/certificates/batch", content=content, media_type="application/x-ndjson"
    )
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/x-ndjson")
    found = [json.loads(line) for line in answer.text.splitlines()]
    assert [one["line"] for one in found] == list(range(1, 9))
    assert [one["status"] for one in found] == [201, 400, 201, 422, 201, 201, 400, 400]
    assert found[5]["replayed"]
    assert found[5]["certificate_id"] == found[0]["certificate_id"]
    assert found[6]["problem"]["code"] == "json.duplicate_key"
    registered = [found[place] for place in (0, 2, 4)]
    assert len({one["receipt"].partition("~")[0] for one in registered}) == 1, "one signature for one commit"
    async with world.view() as view:
        for one in registered:
            leaf = read_receipt(one["receipt"], key=world.hub.signer("receipt").public).leaf_hash
            name = sa.select(certificates.c.public_id).where(certificates.c.leaf_hash == leaf)
            assert await view.value(name) == one["certificate_id"]
        assert await view.value(sa.select(sa.func.count()).select_from(certificates)) == 3


async def test_what_is_over_the_limits_of_a_batch_is_refused_at_its_place(world, degree, monkeypatch):
    monkeypatch.setattr(issuer, "LIMITS", replace(issuer.LIMITS, lines=5))
    good = await world.body_of_certificate("degree", (world.person("王小明"), "owner"))
    long = b'{"sd_jwt":"' + b"a" * 512 * 1024 + b'"}\n'
    lines = long + json.dumps(good).encode() + b"\n" + b"7\n" * 9
    answer = await world.call(
        degree, "POST", "/v1/certificates/batch", content=lines, media_type="application/x-ndjson"
    )
    found = [json.loads(line) for line in answer.text.splitlines()]
    assert (found[0]["status"], found[0]["problem"]["code"]) == (413, "batch.line_too_long")
    assert found[1]["status"] == 201
    assert [one["status"] for one in found[2:]] == [422, 422, 422, 413]
    assert (found[-1]["line"], found[-1]["problem"]["code"]) == (6, "batch.too_many_lines")


async def test_the_same_key_and_body_get_the_same_bytes_and_another_body_is_refused(world, degree):
    body = await world.body_of_certificate("degree", (world.person("王小明"), "owner"))
    first = await world.call(degree, "POST", "/v1/certificates", body, key="k-1")
    again = await world.call(degree, "POST", "/v1/certificates", body, key="k-1")
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.content == again.content
    other = await world.body_of_certificate("degree", (world.person("李小红"), "owner"))
    refused = await world.call(degree, "POST", "/v1/certificates", other, key="k-1")
    assert (refused.status_code, refused.json()["code"]) == (422, "idempotency.other_body")
    bad = await world.call(degree, "POST", "/v1/certificates", other, key="k" * 129)
    assert (bad.status_code, bad.json()["code"]) == (400, "idempotency.key")


async def test_two_departments_may_use_the_same_key(world, degree, edu):
    mine = await world.body_of_certificate("degree", (world.person("王小明"), "owner"))
    theirs = await world.body_of_certificate("school_record", (world.person("小明", "20180903"), "student"))
    assert (await world.call(degree, "POST", "/v1/certificates", mine, key="same")).status_code == 201
    assert (await world.call(edu, "POST", "/v1/certificates", theirs, key="same")).status_code in (201, 422)


async def test_eight_at_once_with_one_key_register_once_and_all_get_the_same(world, degree):
    body = await world.body_of_certificate("degree", (world.person("王小明"), "owner")) | {"source": None}
    tokens = [await world.own_token(degree) for _ in range(8)]
    calls = [world.call(degree, "POST", "/v1/certificates", body, key="once", token=t) for t in tokens]
    answers = await asyncio.gather(*calls)
    assert {a.status_code for a in answers} == {201}
    assert len({a.content for a in answers}) == 1


async def test_a_refused_call_does_not_use_its_key_up(world, degree):
    body = await world.body_of_certificate("degree", (world.person("王小明"), "owner"))
    wrong = body | {"sd_jwt": "a.b.c~"}
    assert (await world.call(degree, "POST", "/v1/certificates", wrong, key="k")).status_code == 400
    assert (await world.call(degree, "POST", "/v1/certificates", body, key="k")).status_code == 201


NO_BODIES = [
    (b'{"count":1,"count":2}', "application/json", 400, "json.duplicate_key"),
    (b'{"count":NaN}', "application/json", 400, "json.not_finite"),
    (b'{"count":"1"}', "application/json", 422, "body.invalid"),
    (b'{"count":true}', "application/json", 422, "body.invalid"),
    (b'{"count":1,"more":1}', "application/json", 422, "body.invalid"),
    (b"[]", "application/json", 422, "body.invalid"),
    (b'{"count":1}', "text/plain", 400, "body.media_type"),
    (b"[" * 5000, "application/json", 400, "json.too_deep"),
    (b"x" * 20_000, "application/json", 413, "body.too_large"),
    (b'{"count":0}', "application/json", 422, "status.count_out_of_range"),
    (b"", "application/json", 400, "json.syntax"),
]


async def test_bodies_are_read_strictly(world, edu):
    for content, media_type, status, code in NO_BODIES:
        answer = await world.call(
            edu, "POST", "/v1/status-lists/reserve", content=content, media_type=media_type
        )
        assert (answer.status_code, answer.json()["code"]) == (status, code), content[:40]
        assert answer.headers["content-type"] == "application/problem+json"

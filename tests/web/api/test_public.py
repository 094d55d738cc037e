import sqlalchemy as sa
from web.api.apiworld import ApiWorld, own_keys

from hub.formats.note import parse
from hub.formats.sdjwt import parse as parse_sd_jwt
from hub.formats.tiles import tiles_at
from hub.ledger.head import log_key
from hub.ledger.model import leaves
from hub.registry import keys
from hub.verification import offline


async def test_types_and_items_are_public_documents(world):
    found = (await world.http.get("/v1/types")).json()["types"]
    assert {one["code"] for one in found} == set(world.types)
    answer = await world.http.get("/v1/types/degree")
    assert answer.json() == world.types["degree"].document
    again = await world.http.get("/v1/types/degree", headers={"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert (await world.http.get("/v1/items/441900-edu-points-enrolment")).status_code == 200
    for path in ("/v1/types/none", "/v1/items/none"):
        missing = await world.http.get(path)
        assert (missing.status_code, missing.headers["content-type"]) == (404, "application/problem+json")


async def test_issuer_keys_stay_published_after_they_were_retired_but_not_after_they_leaked(world, degree):
    path = "/.well-known/jwt-vc-issuer/dept/dg-degree"
    found = (await world.http.get(path)).json()
    assert found["issuer"] == f"{world.settings.public_url}/dept/dg-degree"
    assert {k["kid"] for k in found["jwks"]["keys"]} == {degree.certificate.kid, degree.status.kid}
    assert all("d" not in k and k["use"] == "sig" for k in found["jwks"]["keys"])
    async with world.tx() as tx:
        await keys.distrust(tx, kid=degree.certificate.kid, from_=world.clock())
    left = (await world.http.get(path)).json()["jwks"]["keys"]
    assert {k["kid"] for k in left} == {degree.status.kid}
    assert (await world.http.get("/.well-known/jwt-vc-issuer/dept/none")).status_code == 404


async def test_the_hubs_own_keys_sign_no_certificate(world, degree):
    own = {k["kid"] for k in (await world.http.get("/.well-known/jwks.json")).json()["keys"]}
    assert own == {world.hub.signer("token").kid, world.hub.signer("receipt").kid}
    async with world.view() as view:
        assert own.isdisjoint(k.kid for k in await keys.history(view))


async def test_checkpoint_tiles_and_proofs_are_what_the_ledger_says(world, degree):
    waiting = await world.http.get("/checkpoint")
    assert waiting.status_code == 404
    await world.publish()
    note = parse((await world.http.get("/checkpoint")).text)
    size = int(note.text.split("\n")[1])
    assert size > 0
    for tile in tiles_at(size):
        answer = await world.http.get("/" + tile.path)
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
    async with world.view() as view:
        hashes = [r.leaf_hash.hex() for r in await view.all(sa.select(leaves.c.leaf_hash))]
    assert len(hashes) == size
    for one in hashes:
        proof = await world.http.get(f"/v1/proofs/{one}")
        assert (proof.status_code, proof.text.startswith("c2sp.org/tlog-proof@v1\n")) == (200, True)
    assert (await world.http.get(f"/v1/consistency/1/{size}")).json()["path"]


NOWHERE = [
    ("/tile/0/x001/000", 404),
    ("/tile/0/1", 400),
    ("/tile/../../etc/passwd", 404),
    ("/tile/0/000.p/999", 400),
    ("/v1/proofs/abc", 400),
    ("/v1/proofs/" + "0" * 64, 404),
    ("/v1/proofs/" + "A" * 64, 400),
    ("/v1/status-lists/none", 404),
    ("/v1/status-lists/..%2f..", 404),
    ("/v1/status-lists/x?time=yesterday", 400),
    ("/v1/consistency/a/b", 400),
    ("/v1/consistency/5/99999", 422),
    ("/v1/certificates", 405),
]


async def test_addresses_that_lead_nowhere_are_told_as_problems(world):
    await world.publish()
    for path, status in NOWHERE:
        answer = await world.http.get(path)
        assert answer.status_code == status, path
        assert answer.headers["content-type"] == "application/problem+json"
        told = answer.json()
        assert told["status"] == status
        assert told["request_id"] == answer.headers["x-request-id"]
        assert {"type", "title", "detail", "code", "zh", "en", "next"} <= set(told)


async def test_a_certificate_holds_offline_by_the_trust_bundle_alone(world, degree):
    from hub.registry.publish import publish_types

    async with world.tx() as tx:
        await publish_types(tx, world.types.values())
    person = world.person("王小明")
    token = await world.sign("degree", [person.as_holder("owner")])
    registered = await world.register(token, by="dg-degree")
    await world.publish()
    bundle = (await world.http.get("/v1/trust-bundle")).text
    claims = parse_sd_jwt(token)
    assert claims.disclosures
    uri = next(iter(degree.lists))
    listed = (await world.http.get(uri)).text
    key = log_key(world.settings.origin, world.hub.signer("ledger"))
    now = int(world.clock().timestamp())
    found = offline.check(token, bundle=bundle, log_key=key, status_lists=[listed], now=now)
    assert found.ok, found.findings
    assert not offline.check(token[:-20] + "~", bundle=bundle, log_key=key, status_lists=[listed], now=now).ok
    assert registered.certificate


async def test_health_says_nothing_and_readiness_says_why_not(sqlite_database, clock, tmp_path):
    world = ApiWorld(sqlite_database, clock, tmp_path, own_keys(tmp_path / "keys"))
    await world.begin()
    await world.publish()
    assert (await world.http.get("/healthz")).json() == {"status": "ok"}
    assert (await world.http.get("/readyz")).json() == {"status": "ready"}
    kid = world.hub.signer("receipt").kid
    world.keyring.retire(kid, world.clock())
    answer = await world.http.get("/readyz")
    assert (answer.status_code, answer.json()["code"]) == (503, "hub.not_ready")
    assert answer.headers["retry-after"]
    await world.close()


async def test_a_fault_inside_tells_its_number_and_nothing_else(world, monkeypatch):
    async def broken(*_, **__):
        raise RuntimeError("张三 441900199003070013")

    monkeypatch.setattr("hub.registry.departments.get", broken)
    answer = await world.http.get("/.well-known/jwt-vc-issuer/dept/dg-edu")
    assert (answer.status_code, answer.json()["code"]) == (500, "http.internal")
    assert "441900" not in answer.text
    assert "张三" not in answer.text
    assert len(answer.json()["request_id"]) == 12

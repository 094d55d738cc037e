import asyncio
import json
import os
from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa
from registry.makers import AUDIENCE, credit

from hub.access.model import accesses, anonymous_refusals
from hub.actor import SYSTEM
from hub.catalogue.sources import answers_pulls
from hub.certificates.model import certificate_holders
from hub.consent.model import grants as granted
from hub.consent.token import sign_token
from hub.consent.withdraw import withdraw
from hub.errors import HubError, Unavailable
from hub.formats import jws, sdjwt
from hub.formats.merkle import verify_inclusion
from hub.formats.note import verify_checkpoint
from hub.formats.receipt import read as read_receipt
from hub.formats.tlogproof import read
from hub.ledger.head import log_key
from hub.registry import keys
from hub.registry.publish import publish_types
from hub.store.model import idempotent_replies
from hub.web import pulling, redeem, verifier, verifying, workers
from hub.web.pulling import pull_first
from keys.public import PublicKey
from keys.signer import generate

ASKS = {"asks": [{"type": "degree"}]}


@pytest.fixture
async def wang(world, edu):
    person = world.person("王小明")
    await world.certificate("degree", (person, "owner"))
    return person


def consent(world, department, grants, **other):
    """The consent token of these grants, as the OAuth door signs it."""
    said = {
        "issuer": AUDIENCE,
        "grants": grants,
        "jkt": department.client.kid,
        "pairwise_key": world.keyring.secret("pairwise"),
        "now": world.clock(),
    }
    return sign_token(world.hub.signer("token"), **(said | other))[0]


async def count(world, table=accesses):
    async with world.view() as view:
        return await view.value(sa.select(sa.func.count()).select_from(table))


async def test_a_verification_gives_what_was_granted_signed_by_the_issuer_and_a_provable_receipt(
    world, edu, degree, wang
):
    _, grants = await world.grant(wang, ["degree"])
    answer = await world.call(edu, "POST", "/v1/verifications", ASKS, token=consent(world, edu, grants))
    assert answer.status_code == 200, answer.text
    (verdict,) = answer.json()["verdicts"]
    assert (verdict["outcome"], verdict["issuer"]) == ("accepted", "dg-degree")
    assert [check["number"] for check in verdict["checks"]] == list(range(1, 11))
    assert {check["result"] for check in verdict["checks"]} <= {"passed", "not_needed", "undecided"}
    parts = sdjwt.parse(verdict["sd_jwt"])
    jws.verify(parts.issuer_jwt, typ=sdjwt.TYP, key=degree.certificate.public)
    receipt = read_receipt(verdict["receipt"], key=world.hub.signer("receipt").public)
    assert receipt.kind == "access"
    await world.publish()
    proof = read((await world.http.get(f"/v1/proofs/{receipt.leaf_hash.hex()}")).text)
    key = log_key(world.settings.origin, world.hub.signer("ledger"))
    tree = verify_checkpoint(proof.checkpoint, key).checkpoint
    assert verify_inclusion(proof.index, tree.size, receipt.leaf_hash, proof.path, tree.root)


async def test_a_one_use_grant_is_used_once_by_twelve_at_once(world, edu, wang):
    _, grants = await world.grant(wang, ["degree"])
    token = consent(world, edu, grants)
    calls = [world.call(edu, "POST", "/v1/verifications", ASKS, token=token) for _ in range(12)]
    answers = [a.json()["verdicts"][0] for a in await asyncio.gather(*calls)]
    assert sorted(a["outcome"] for a in answers) == ["accepted"] + ["refused"] * 11
    assert all(a["sd_jwt"] is None and a["claims"] is None for a in answers if a["outcome"] == "refused")
    assert await count(world) == 12, "refusals are recorded too"


async def test_the_same_key_gets_the_same_answer_and_takes_no_second_use(world, edu, wang):
    _, grants = await world.grant(wang, ["degree"])
    first = await world.call(
        edu, "POST", "/v1/verifications", ASKS, token=consent(world, edu, grants), key="v1"
    )
    again = await world.call(
        edu, "POST", "/v1/verifications", ASKS, token=consent(world, edu, grants), key="v1"
    )
    assert first.content == again.content
    assert first.json()["verdicts"][0]["outcome"] == "accepted"
    assert await count(world) == 1
    async with world.view() as view:
        sealed = (await view.first(sa.select(idempotent_replies))).sealed
    assert first.json()["verdicts"][0]["sd_jwt"][:40].encode() not in sealed


async def test_the_same_key_by_eight_at_once_is_one_use_and_one_answer(world, edu, wang):
    _, grants = await world.grant(wang, ["degree"])
    token = consent(world, edu, grants)
    calls = [world.call(edu, "POST", "/v1/verifications", ASKS, token=token, key="v1") for _ in range(8)]
    answers = await asyncio.gather(*calls)
    assert {answer.content for answer in answers} == {answers[0].content}
    assert answers[0].json()["verdicts"][0]["outcome"] == "accepted"
    assert await count(world) == 1


async def test_what_befalls_those_who_wait_touches_no_answer_that_is_durable(world, edu, wang, monkeypatch):
    """Of two calls with one key in a group the second waits; when it then fails, the first keeps its answer."""
    _, grants = await world.grant(wang, ["degree"])
    token = consent(world, edu, grants)
    await pull_first(world.hub, by=SYSTEM, asked=[])  # reads which sources there are: neither call waits for that
    plain, groups = redeem.together, []

    async def second_fails(hub, calls):
        groups.append(len(calls))
        if len(groups) > 1:
            raise Unavailable("store.try_again", "否", "no")
        return await plain(hub, calls)

    monkeypatch.setattr(redeem, "together", second_fails)
    calls = [world.call(edu, "POST", "/v1/verifications", ASKS, token=token, key="v1") for _ in range(2)]
    answers = await asyncio.gather(*calls)
    assert groups == [2, 1], "both came in one group"
    assert sorted(answer.status_code for answer in answers) == [200, 503]
    assert await count(world) == 1


async def test_a_kept_answer_is_gone_after_withdrawal_and_after_ten_minutes(world, edu, wang):
    _, grants = await world.grant(wang, ["degree"])
    token = consent(world, edu, grants)
    await world.call(edu, "POST", "/v1/verifications", ASKS, token=token, key="v1")
    async with world.tx(await world.citizen(wang)) as tx:
        await withdraw(tx, grant=grants[0].public_id)
    after = await world.call(edu, "POST", "/v1/verifications", ASKS, token=token, key="v1")
    assert after.status_code == 410 or after.json()["verdicts"][0]["outcome"] == "refused"
    assert "sd_jwt" not in after.json() or after.json()["verdicts"][0]["sd_jwt"] is None


async def test_a_kept_answer_ends_after_ten_minutes(world, edu, wang):
    _, grants = await world.grant(wang, ["degree"])
    await world.call(edu, "POST", "/v1/verifications", ASKS, token=consent(world, edu, grants), key="v1")
    world.clock.advance(minutes=10)
    late = await world.call(
        edu, "POST", "/v1/verifications", ASKS, token=consent(world, edu, grants), key="v1"
    )
    assert late.json()["verdicts"][0]["outcome"] == "refused", "the one use is spent"


async def test_another_departments_consent_token_opens_nothing(world, edu, degree, wang):
    _, grants = await world.grant(wang, ["degree"])
    for token in (
        consent(world, edu, grants),
        consent(world, degree, grants),
    ):  # stolen; or bound to the thief's key
        answer = await world.call(degree, "POST", "/v1/verifications", ASKS, token=token)
        assert answer.status_code == 401 or answer.json()["verdicts"][0]["outcome"] == "refused"
        assert "sd_jwt" not in answer.json()
        assert all(one["sd_jwt"] is None for one in answer.json().get("verdicts", []))
    forged = sign_token(
        generate(),
        issuer=AUDIENCE,
        grants=grants,
        jkt=edu.client.kid,
        pairwise_key=b"x" * 32,
        now=world.clock(),
    )[0]
    answer = await world.call(edu, "POST", "/v1/verifications", ASKS, token=forged)
    assert (answer.status_code, answer.json()["code"]) == (401, "token.invalid")
    (mine,) = (
        await world.call(edu, "POST", "/v1/verifications", ASKS, token=consent(world, edu, grants))
    ).json()["verdicts"]
    assert mine["outcome"] == "accepted", "no try of others took the use"


async def test_the_departments_own_token_is_no_consent(world, edu):
    answer = await world.call(edu, "POST", "/v1/verifications", ASKS)
    assert (answer.status_code, answer.json()["code"]) == (403, "token.no_consent")


async def test_a_batch_of_verifications_answers_each_line(world, edu, wang):
    li = world.person("李小红")
    await world.certificate("degree", (li, "owner"))
    (_, first), (_, second) = await world.grant(wang, ["degree"]), await world.grant(li, ["degree"])
    lines = [
        {"token": consent(world, edu, first), **ASKS},
        {"token": "nonsense", **ASKS},
        {"token": consent(world, edu, second), **ASKS},
        {"token": consent(world, edu, first), **ASKS},
        {"asks": []},
    ]
    content = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    answer = await world.call(
        edu, "POST", "/v1/verifications/batch", content=content, media_type="application/x-ndjson"
    )
    found = [json.loads(line) for line in answer.text.splitlines()]
    assert [one["line"] for one in found] == [1, 2, 3, 4, 5]
    assert [one["status"] for one in found] == [200, 401, 200, 200, 422]
    outcomes = [found[i]["verdicts"][0]["outcome"] for i in (0, 2, 3)]
    assert sorted(outcomes[::2]) == ["accepted", "refused"]
    assert outcomes[1] == "accepted"
    assert await count(world) == 3
    await world.publish()
    receipts = [found[place]["verdicts"][0]["receipt"] for place in (0, 2, 3)]
    promised = [read_receipt(one, key=world.hub.signer("receipt").public) for one in receipts]
    assert len({one.leaf_hash for one in promised}) == 3
    for one in promised:
        assert (await world.http.get(f"/v1/proofs/{one.leaf_hash.hex()}")).status_code == 200


async def test_a_department_opens_reads_and_scores_its_own_case(world, edu, degree, wang):
    child = world.person("王小宝", "20200505")
    body = {
        "item_code": "441900-edu-points-enrolment",
        "applicant": {"id_type": wang.id_type, "id_no": wang.id_no},
        "beneficiary": {"id_type": child.id_type, "id_no": child.id_no},
    }
    opened = await world.call(edu, "POST", "/v1/cases", body, key="case-1")
    assert opened.status_code == 201, opened.text
    assert wang.id_no not in opened.text
    assert (await world.call(edu, "POST", "/v1/cases", body, key="case-1")).content == opened.content
    path = f"/v1/cases/{opened.json()['case_id']}"
    assert (await world.call(edu, "GET", path)).json()["state"] == "open"
    assert (await world.call(degree, "GET", path)).status_code == 404
    score = await world.call(edu, "POST", path + "/score", {"disclosures": []})
    assert score.status_code == 201, score.text
    assert float(score.json()["total"]) >= 0
    assert (await world.call(degree, "POST", path + "/score", {"disclosures": []})).status_code == 404
    foreign = await world.call(degree, "POST", "/v1/cases", body)
    assert (foreign.status_code, foreign.json()["code"]) == (403, "case.not_yours_to_open")
    nothing = await world.call(edu, "POST", "/v1/cases", body | {"item_code": "none"})
    assert (nothing.status_code, nothing.json()["code"]) == (422, "item.unknown")


async def test_a_kept_answer_is_for_the_same_grants_only(world, edu, wang):
    """A withdrawn grant is left out of the next token: its kept answer must not come out under the rest."""
    child = world.person("王小宝", "20200505")
    await world.certificate("birth", (child, "child"), (wang, "mother"), born_on="2020-05-05")
    await world.certificate("school_record", (child, "child"))
    case = await world.case(wang, child)
    details = [world.detail(case, ["degree"]), world.detail(case, ["school_record"], basis="guardian")]
    started = await world.ask("dg-edu", case, details, of=wang)
    own, childs = await world.agree(wang, started.public_id)
    asks = {"asks": [{"type": "degree"}, {"type": "school_record"}]}
    both = consent(world, edu, [own, childs])
    first = await world.call(edu, "POST", "/v1/verifications", asks, token=both, key="v1")
    assert [one["outcome"] for one in first.json()["verdicts"]] == ["accepted", "accepted"]
    async with world.tx(await world.citizen(wang)) as tx:
        await withdraw(tx, grant=childs.public_id)
    after = await world.call(edu, "POST", "/v1/verifications", asks, token=consent(world, edu, [own]), key="v1")
    assert (after.status_code, after.json()["code"]) == (422, "idempotency.other_body")


@pytest.fixture
async def tokens(world, edu, wang):
    """Many consent tokens of one person; four of them are no good: changed, too old, by nobody, and cut short."""
    _, grants = await world.grant(wang, ["degree"])
    made = [consent(world, edu, grants) for _ in range(150)]
    header, payload, signature = made[10].split(".")
    made[10] = f"{header}.{jws.b64u_encode(jws.b64u_decode(payload).replace(b'dg-edu', b'dg-psb'))}.{signature}"
    made[20] = consent(world, edu, grants, now=world.clock() - timedelta(hours=1))
    made[30] = sign_token(
        generate(), issuer=AUDIENCE, grants=grants, jkt=edu.client.kid,
        pairwise_key=world.keyring.secret("pairwise"), now=world.clock(),
    )[0]  # fmt: skip
    made[40] = made[41][:-1]
    yield made
    world.hub.batches.close()


async def test_workers_check_the_signatures_of_many_tokens_and_the_hub_judges_the_rest(
    world, tokens, monkeypatch
):
    lines = [json.dumps({"token": token, **ASKS}).encode() for token in tokens]
    checked = []
    verify = PublicKey.verify
    monkeypatch.setattr(PublicKey, "verify", lambda key, *said: checked.append(said) or verify(key, *said))
    found = await verifying._check(world.hub, lines)
    assert world.hub.batches._pool is not None
    assert len(checked) <= 3  # those that workers did not find to hold; the one that is too old did
    assert [place for place, one in enumerate(found) if isinstance(one, HubError)] == [10, 20, 30, 40]
    assert {found[place].code for place in (10, 20, 30, 40)} == {"token.invalid"}
    again = await verifying._check(world.hub, lines)  # what held is remembered
    assert [type(one) for one in again] == [type(one) for one in found]


@pytest.mark.parametrize("end", ["every worker dies", "none can be started"])
async def test_without_workers_the_hub_checks_the_signatures_of_a_batch_itself(world, tokens, monkeypatch, end):
    if end == "every worker dies":
        monkeypatch.setattr(workers, "_hold", die)
    else:
        monkeypatch.setattr(world.hub.batches, "_started", full)
    found = await verifying._check(world.hub, [json.dumps({"token": token, **ASKS}).encode() for token in tokens])
    assert [place for place, one in enumerate(found) if isinstance(one, HubError)] == [10, 20, 30, 40]


def die(*_) -> None:
    os._exit(1)


def full(_) -> None:
    raise OSError(12, "no room")


async def test_a_long_batch_is_answered_line_by_line_and_every_look_recorded(world, edu, wang, monkeypatch):
    """Two commits go on at once, workers check what the department signed, and answers keep the order of the lines."""
    monkeypatch.setattr(verifier, "LIMITS", replace(verifier.LIMITS, lines_a_commit=140))
    monkeypatch.setattr(verifier, "ON_SQLITE", replace(verifier.ON_SQLITE, lines_a_commit=140))
    _, spent = await world.grant(wang, ["degree"])
    _, grants = await world.grant(wang, ["degree"])
    async with world.tx() as tx:  # as many people as lines would take the test a minute
        named = granted.c.public_id == grants[0].public_id
        await tx.run(granted.update().where(named).values(max_uses=400))
    good, once = consent(world, edu, grants), consent(world, edu, spent)
    lines = [{"token": good, **ASKS} for _ in range(300)]
    lines[3] = lines[290] = {"token": once, **ASKS}
    lines[7] = {"token": "no token", **ASKS}
    content = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    brought = []
    really = world.hub.batches._elsewhere

    def elsewhere(types, work, some):
        brought.extend(some if work is workers._bring else [])
        return really(types, work, some)

    monkeypatch.setattr(world.hub.batches, "_elsewhere", elsewhere)
    try:
        answer = await world.call(
            edu, "POST", "/v1/verifications/batch", content=content, media_type="application/x-ndjson"
        )
    finally:
        world.hub.batches.close()
    found = [json.loads(line) for line in answer.text.splitlines()]
    assert [one["line"] for one in found] == list(range(1, 301))
    assert [place for place, one in enumerate(found) if one["status"] != 200] == [7]
    verdicts = {place: one["verdicts"][0] for place, one in enumerate(found) if one["status"] == 200}
    refused = [place for place, one in verdicts.items() if one["outcome"] != "accepted"]
    assert refused in ([3], [290])
    assert verdicts[refused[0]]["reason"] == "grant.spent"
    shown = {sdjwt.parse(one["sd_jwt"]) for place, one in verdicts.items() if place not in refused}
    assert len(shown) == 1
    assert brought, "the first of them were not remembered"
    assert await count(world) == 299
    assert await count(world, anonymous_refusals) == 1


async def test_what_a_batch_did_not_ask_a_source_for_is_no_no_record(world, edu, monkeypatch):
    monkeypatch.setattr(pulling, "REMEMBERED_SECONDS", 0)
    li = world.person("李小红")
    issuer = world.acting(await world.department("dg-degree"))
    async with world.tx() as tx:
        await publish_types(tx, world.types.values())
    _, grants = await world.grant(li, ["degree"], max_uses=2)

    async def said():
        content = json.dumps({"token": consent(world, edu, grants), **ASKS}).encode() + b"\n"
        answer = await world.call(
            edu, "POST", "/v1/verifications/batch", content=content, media_type="application/x-ndjson"
        )
        (verdict,) = json.loads(answer.text)["verdicts"]
        return verdict["outcome"], verdict["reason"]

    assert await said() == ("no_record", "certificate.none_registered")
    async with world.tx(issuer) as tx:
        await answers_pulls(tx, types=["degree"], until=world.clock() + timedelta(minutes=1))
    assert await said() == ("undecided", "pull.not_made")


@pytest.mark.parametrize("code", ["x" * 49, "x" * 64, "度", "a b"])
async def test_an_impossible_type_spoils_no_other_line(world, edu, wang, code):
    _, grants = await world.grant(wang, ["degree"])
    lines = [
        {"token": consent(world, edu, grants), "asks": [{"type": code}]},
        {"token": consent(world, edu, grants), **ASKS},
    ]
    content = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    answer = await world.call(
        edu, "POST", "/v1/verifications/batch", content=content, media_type="application/x-ndjson"
    )
    bad, good = [json.loads(line) for line in answer.text.splitlines()]
    assert (bad["status"], good["status"]) == (422, 200)
    assert good["verdicts"][0]["outcome"] == "accepted"


async def test_a_broken_consent_token_in_a_batch_is_recorded_too(world, edu):
    content = json.dumps({"token": "nonsense", **ASKS}).encode() + b"\n"
    await world.call(
        edu, "POST", "/v1/verifications/batch", content=content, media_type="application/x-ndjson"
    )
    async with world.view() as view:
        (row,) = await view.all(sa.select(anonymous_refusals))
    assert (row.department, row.reason) == ("dg-edu", "token.invalid")


async def test_a_consent_token_is_not_the_departments_own(world, edu, wang):
    _, grants = await world.grant(wang, ["degree"])
    answer = await world.call(edu, "GET", "/v1/cases", token=consent(world, edu, grants))
    assert (answer.status_code, answer.json()["code"]) == (403, "token.consent_only")


@pytest.mark.parametrize("who", ["applicant", "beneficiary"])
async def test_an_organisations_number_is_no_person_known_or_not(world, edu, wang, who):
    """Otherwise a case could turn a number into the wrong kind for ever, and tell who is known."""
    person = {"id_type": wang.id_type, "id_no": wang.id_no}
    company = {"id_type": "001", "id_no": credit(77)}
    body = {"item_code": "441900-edu-points-enrolment", "applicant": person, "beneficiary": None}
    answer = await world.call(edu, "POST", "/v1/cases", body | {who: company})
    assert (answer.status_code, answer.json()["code"]) == (422, "subject.kind")


async def test_a_score_rests_on_no_key_that_is_distrusted(world, edu, degree, wang):
    case, grants = await world.grant(wang, ["degree"])
    answer = await world.call(edu, "POST", "/v1/verifications", ASKS, token=consent(world, edu, grants))
    body = {"disclosures": [answer.json()["verdicts"][0]["sd_jwt"]]}
    path = f"/v1/cases/{case.public_id}/score"
    assert (await world.call(edu, "POST", path, body)).status_code == 201
    async with world.tx() as tx:
        await keys.distrust(tx, kid=degree.certificate.kid, from_=world.clock())
    refused = await world.call(edu, "POST", path, body)
    assert (refused.status_code, refused.json()["why"]) == (422, "key_not_trusted")


async def test_an_erased_person_in_a_batch_spoils_no_other_line(world, edu, wang):
    gone = world.person("李小红")
    await world.certificate("degree", (gone, "owner"))
    (_, theirs), (_, grants) = await world.grant(gone, ["degree"]), await world.grant(wang, ["degree"])
    of_them = certificate_holders.c.subject_id == await world.subject(gone)
    async with world.tx() as tx:
        await tx.run(certificate_holders.update().where(of_them).values(wrapped_key=None))
    lines = [{"token": consent(world, edu, some), **ASKS} for some in (theirs, grants)]
    content = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    answer = await world.call(
        edu, "POST", "/v1/verifications/batch", content=content, media_type="application/x-ndjson"
    )
    erased, good = [json.loads(line) for line in answer.text.splitlines()]
    assert (erased["status"], erased["problem"]["code"]) == (410, "subject.erased")
    assert (good["status"], good["verdicts"][0]["outcome"]) == (200, "accepted")

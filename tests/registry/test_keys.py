import asyncio
import hashlib
from datetime import timedelta

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from registry.makers import AUDIENCE, key_proof, rotation_proof

from hub.errors import Conflict, Forbidden, HubError, Malformed, NotFound, Unauthenticated, Unprocessable
from hub.ledger.model import leaves
from hub.registry import clients, departments, keys
from hub.registry.model import KeyPurpose, enrolment_codes
from keys.signer import generate

PURPOSES = ("certificate", "status", "client")

pytestmark = pytest.mark.usefixtures("two_departments")


async def make_code(open_tx, department="dg-edu", **more):
    async with open_tx() as tx:
        return await keys.make_enrolment_code(
            tx, department=department, made_by="officer:dg-gov:1", approved_by="officer:dg-gov:2", **more
        )


def offer(signer, purpose, clock, code, **more):
    digest = hashlib.sha256(code.encode()).hexdigest()
    return {
        "purpose": purpose,
        "jwk": signer.public.jwk,
        "proof": key_proof(signer, purpose, clock, code_sha256=digest, **more),
    }


async def enrol(open_tx, code, offers, department="dg-edu"):
    async with open_tx() as tx:
        return await keys.enrol(tx, department=department, code=code, offers=offers, audience=AUDIENCE)


async def enrolled(open_tx, clock, department="dg-edu"):
    code = await make_code(open_tx, department)
    signers = {purpose: generate() for purpose in PURPOSES}
    offers = [offer(s, p, clock, code, department=department) for p, s in signers.items()]
    await enrol(open_tx, code, offers, department)
    return signers


async def key_at(open_tx, kid, moment, purpose=KeyPurpose.CERTIFICATE, department="dg-edu"):
    async with open_tx() as tx:
        return await keys.key_at(tx, department=department, kid=kid, purpose=purpose, moment=moment)


async def test_first_keys_enter_by_a_code_and_each_stands_for_its_own_purpose_only(open_tx, clock):
    signers = await enrolled(open_tx, clock)
    found = await key_at(open_tx, signers["status"].kid, clock(), KeyPurpose.STATUS)
    assert found == signers["status"].public
    for other in (KeyPurpose.CERTIFICATE, KeyPurpose.CLIENT):
        with pytest.raises(Unprocessable, match=r"key\.unknown"):
            await key_at(open_tx, signers["status"].kid, clock(), other)
    with pytest.raises(Unprocessable, match=r"key\.unknown"):
        await key_at(open_tx, signers["status"].kid, clock(), KeyPurpose.STATUS, department="dg-ps")


async def test_the_code_itself_is_not_in_the_database(open_tx):
    code = await make_code(open_tx)
    async with open_tx() as tx:
        rows = await tx.all(sa.select(enrolment_codes))
        data = b"".join(r.data for r in await tx.all(sa.select(leaves.c.data)))
    assert rows[0].code_hash == hashlib.sha256(code.encode()).digest()
    assert code.encode() not in data


async def test_one_person_alone_cannot_make_a_code(open_tx):
    async with open_tx() as tx:
        with pytest.raises(Forbidden, match=r"enrolment\.same_person"):
            await keys.make_enrolment_code(
                tx, department="dg-edu", made_by="officer:a:1", approved_by="officer:a:1"
            )
        with pytest.raises(Malformed, match=r"enrolment\.hours"):
            await keys.make_enrolment_code(tx, department="dg-edu", made_by="a", approved_by="b", hours=0)


async def test_wrong_late_used_and_foreign_codes_get_the_same_answer(open_tx, clock):
    signer = generate()
    used = await make_code(open_tx)
    await enrol(open_tx, used, [offer(generate(), "client", clock, used)])
    foreign = await make_code(open_tx, "dg-ps")
    late = await make_code(open_tx, hours=1)
    clock.advance(hours=1)
    answers = set()
    for code in ("nonsense", "", "\ud800", used, foreign, late):
        with pytest.raises(Unauthenticated) as refused:
            await enrol(open_tx, code, [offer(signer, "client", clock, "x")])
        answers.add((refused.value.code, refused.value.zh, refused.value.en, str(refused.value.facts)))
    assert len(answers) == 1


async def test_a_code_given_to_a_department_that_was_then_suspended_does_not_work(open_tx, clock):
    code = await make_code(open_tx)
    async with open_tx() as tx:
        await departments.suspend(tx, slug="dg-edu", reason="x")
    with pytest.raises(Unauthenticated):
        await enrol(open_tx, code, [offer(generate(), "client", clock, code)])


async def test_a_failed_enrolment_leaves_the_code_unspent_and_no_key_behind(open_tx, clock):
    code = await make_code(open_tx)
    good, bad = generate(), generate()
    wrong = offer(bad, "status", clock, code) | {"jwk": generate().public.jwk}
    with pytest.raises(Malformed, match=r"key\.proof"):
        await enrol(open_tx, code, [offer(good, "client", clock, code), wrong])
    async with open_tx() as tx:
        assert await keys.history(tx) == []
    await enrol(open_tx, code, [offer(good, "client", clock, code)])


async def test_many_at_once_spend_a_code_exactly_once(open_tx, clock):
    code = await make_code(open_tx)
    tries = [enrol(open_tx, code, [offer(generate(), "client", clock, code)]) for _ in range(8)]
    results = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(not isinstance(r, BaseException) for r in results) == 1
    assert all(isinstance(r, keys.Admitted | Unauthenticated) for r in results)


WRONG = [
    {"aud": "https://other.example"},
    {"aud": [AUDIENCE]},
    {"department": "dg-ps"},
    {"purpose": "status"},
    {"code_sha256": "0" * 64},
    {"code_sha256": None},
    {"iat": 0},
    {"iat": True},
    {"iat": None},
    {"iat": 1 << 40},
]


async def test_a_proof_for_anything_else_is_refused(open_tx, clock):
    code = await make_code(open_tx)
    signer = generate()
    said = {"purpose": "client", "code_sha256": hashlib.sha256(code.encode()).hexdigest()}
    for change in WRONG:
        proof = key_proof(signer, clock=clock, **{**said, **change})
        with pytest.raises(Malformed, match=r"key\.proof"):
            await enrol(open_tx, code, [{"purpose": "client", "jwk": signer.public.jwk, "proof": proof}])
    right = key_proof(signer, clock=clock, **said)
    await enrol(open_tx, code, [{"purpose": "client", "jwk": signer.public.jwk, "proof": right}])


async def test_a_key_serves_one_purpose_of_one_department_for_ever(open_tx, clock):
    signers = await enrolled(open_tx, clock)
    for department, purpose in (("dg-ps", "certificate"), ("dg-edu", "status")):
        code = await make_code(open_tx, department)
        reused = offer(signers["certificate"], purpose, clock, code, department=department)
        with pytest.raises(Conflict, match=r"key\.in_use"):
            await enrol(open_tx, code, [reused], department)


async def test_offers_that_repeat_a_purpose_or_bring_another_algorithm_or_nothing_are_refused(open_tx, clock):
    code = await make_code(open_tx)
    first, second, other = generate(), generate(), generate("EdDSA")
    for offers, fault in (
        ([offer(first, "client", clock, code), offer(second, "client", clock, code)], r"enrolment\.offers"),
        ([], r"enrolment\.offers"),
        ([offer(other, "client", clock, code)], r"key\.algorithm"),
        ([offer(first, "client", clock, code) | {"purpose": "ledger"}], r"key\.purpose"),
        ([offer(first, "client", clock, code) | {"not_after": 1}], r"key\.not_after"),
        (
            [offer(first, "client", clock, code) | {"jwk": {**first.public.jwk, "d": "AA"}}],
            r"key\.private_member",
        ),
        ([{"purpose": "client"}], r"key\.jwk"),
    ):
        with pytest.raises(Malformed, match=fault):
            await enrol(open_tx, code, offers)


async def rotate(open_tx, clock, old, new, role="certificate", **more):
    said = {"purpose": role, "next_kid": new.kid, **more}
    async with open_tx() as tx:
        return await keys.rotate(
            tx,
            department="dg-edu",
            purpose=role,
            jwk=new.public.jwk,
            proof=key_proof(new, role, clock),
            previous_proof=rotation_proof(old, clock=clock, **said),
            audience=AUDIENCE,
        )


async def test_after_a_rotation_both_keys_stand_until_the_old_one_is_retired(open_tx, clock):
    signers = await enrolled(open_tx, clock)
    old, new = signers["certificate"], generate()
    clock.advance(days=1)
    await rotate(open_tx, clock, old, new)
    assert await key_at(open_tx, old.kid, clock())
    assert await key_at(open_tx, new.kid, clock())
    with pytest.raises(Unprocessable, match=r"key\.not_standing"):
        await key_at(open_tx, new.kid, clock() - timedelta(seconds=1))
    async with open_tx() as tx:
        await keys.retire(tx, department="dg-edu", kid=old.kid)
    with pytest.raises(Unprocessable, match=r"key\.not_standing"):
        await key_at(open_tx, old.kid, clock())
    assert await key_at(open_tx, old.kid, clock() - timedelta(seconds=1)), "what it signed before stays good"


async def test_only_a_standing_key_of_the_same_purpose_can_vouch_for_the_next(open_tx, clock):
    signers = await enrolled(open_tx, clock)
    foreign = await enrolled(open_tx, clock, "dg-ps")
    for voucher in (signers["status"], foreign["certificate"], generate()):
        with pytest.raises(Unprocessable, match=r"key\.unknown"):
            await rotate(open_tx, clock, voucher, generate())
    old = signers["certificate"]
    for change in (
        {"department": "dg-ps"},
        {"aud": "x"},
        {"iat": 1},
        {"next_kid": old.kid},
        {"purpose": "status"},
    ):
        with pytest.raises(Malformed, match=r"key\.proof"):
            await rotate(open_tx, clock, old, generate(), **change)


async def test_the_last_key_of_a_purpose_cannot_be_retired_but_can_be_distrusted(open_tx, clock):
    signers = await enrolled(open_tx, clock)
    kid = signers["certificate"].kid
    leaked = clock.advance(days=2)
    clock.advance(days=2)
    async with open_tx() as tx:
        with pytest.raises(Conflict, match=r"key\.last"):
            await keys.retire(tx, department="dg-edu", kid=kid)
        with pytest.raises(NotFound, match=r"key\.unknown"):
            await keys.retire(tx, department="dg-ps", kid=kid)
        await keys.distrust(tx, kid=kid, from_=leaked)
        with pytest.raises(Conflict, match=r"key\.distrusted"):
            await keys.distrust(tx, kid=kid, from_=leaked + timedelta(hours=1))
        await keys.distrust(tx, kid=kid, from_=leaked - timedelta(hours=1))
    assert await key_at(open_tx, kid, leaked - timedelta(hours=2))
    with pytest.raises(Unprocessable, match=r"key\.not_standing"):
        await key_at(open_tx, kid, leaked - timedelta(hours=1))


async def test_two_that_retire_each_others_key_at_once_cannot_leave_a_purpose_without_key(open_tx, clock):
    signers = await enrolled(open_tx, clock)
    new = generate()
    await rotate(open_tx, clock, signers["certificate"], new)

    async def retire(kid):
        async with open_tx() as tx:
            await keys.retire(tx, department="dg-edu", kid=kid)

    results = await asyncio.gather(
        retire(signers["certificate"].kid), retire(new.kid), return_exceptions=True
    )
    assert sorted(type(r).__name__ for r in results) == ["Conflict", "NoneType"]


async def test_a_client_key_authenticates_an_active_department_only(open_tx, clock):
    signers = await enrolled(open_tx, clock)
    async with open_tx() as tx:
        kid = signers["client"].kid
        assert await clients.client_key(tx, department="dg-edu", kid=kid) == signers["client"].public
        for department, wrong in (
            ("dg-edu", signers["status"].kid),
            ("dg-ps", kid),
            ("dg-none", kid),
            ("dg-edu", ""),
        ):
            with pytest.raises(Unauthenticated, match=r"client\.unknown"):
                await clients.client_key(tx, department=department, kid=wrong)
        await departments.suspend(tx, slug="dg-edu", reason="x")
        with pytest.raises(Unauthenticated, match=r"client\.unknown"):
            await clients.client_key(tx, department="dg-edu", kid=kid)


async def test_history_keeps_retired_keys_and_names_the_leaf_of_each(open_tx, clock):
    signers = await enrolled(open_tx, clock)
    new = generate()
    clock.advance(hours=1)
    await rotate(open_tx, clock, signers["client"], new, "client")
    async with open_tx() as tx:
        await keys.retire(tx, department="dg-edu", kid=signers["client"].kid)
        told = await keys.history(tx, "dg-edu")
        hashes = {r.leaf_hash for r in await tx.all(sa.select(leaves.c.leaf_hash))}
    assert {k.kid for k in told} == {s.kid for s in signers.values()} | {new.kid}
    assert told[-1].kid == new.kid
    assert all(k.leaf_hash in hashes for k in told)
    assert [k.kid for k in told if k.retired_at] == [signers["client"].kid]


@given(
    junk=st.one_of(
        st.none(), st.integers(), st.text(), st.lists(st.text()), st.dictionaries(st.text(), st.text())
    )
)
async def test_hostile_offers_only_ever_get_a_hub_error(open_tx, clock, junk):
    code = await make_code(open_tx)
    for member in ("purpose", "jwk", "proof"):
        with pytest.raises(HubError):
            await enrol(open_tx, code, [offer(generate(), "client", clock, code) | {member: junk}])

"""Promise 5. A grant dies when withdrawn, is used once when it says once, and names one verifier."""

import asyncio

import pytest
from world import World

from hub.access import history
from hub.access.model import Outcome
from hub.actor import Actor, ActorKind
from hub.certificates.model import StatusEvent
from hub.consent import approve
from hub.consent.model import GrantState
from hub.consent.represent import children_of
from hub.consent.withdraw import grants_of, withdraw
from hub.errors import HubError
from hub.ledger.model import leaves
from hub.registry import keys
from hub.verification.model import Ask


async def test_withdrawn_is_over_at_once(world: World) -> None:
    wang = world.person("王小莞")
    await world.certificate("degree", (wang, "owner"))
    case, grants = await world.grant(wang, ["degree"], max_uses=2)
    token = world.token(grants, holder=await world.department("dg-edu"))
    (before,) = await world.verify(case, grants, [Ask("degree")], token=token)
    async with world.tx(await world.citizen(wang)) as tx:
        await withdraw(tx, grant=grants[0].public_id)
    (after,) = await world.verify(case, grants, [Ask("degree")], token=token)
    assert (before.outcome, after.outcome) == (Outcome.ACCEPTED, Outcome.REFUSED)
    assert after.reason == "grant.withdrawn"
    assert after.sd_jwt is None


async def test_only_the_holder_or_approver_can_withdraw(world: World) -> None:
    wang, stranger = world.person("王小莞"), world.person("李四")
    _, grants = await world.grant(wang, ["degree"])
    with pytest.raises(HubError, match=r"grant\.unknown"):
        async with world.tx(await world.citizen(stranger)) as tx:
            await withdraw(tx, grant=grants[0].public_id)


async def test_a_one_use_grant_is_used_once_under_attack(world: World) -> None:
    wang = world.person("王小莞")
    await world.certificate("degree", (wang, "owner"))
    case, grants = await world.grant(wang, ["degree"])
    answers = await asyncio.gather(*(world.verify(case, grants, [Ask("degree")]) for _ in range(16)))
    outcomes = [verdict.outcome for (verdict,) in answers]
    assert outcomes.count(Outcome.ACCEPTED) == 1
    assert outcomes.count(Outcome.REFUSED) == 15
    async with world.view() as view:
        rows = await history.of_subject(view, subject_id=await world.subject(wang))
    assert len(rows) == 16
    assert not any(row.gap for row in rows)


async def test_another_verifiers_token_is_refused_and_the_citizen_sees_who_tried(world: World) -> None:
    wang = world.person("王小莞")
    await world.certificate("degree", (wang, "owner"))
    case, grants = await world.grant(wang, ["degree"])
    stolen = world.token(grants, holder=await world.department("dg-edu"))
    (verdict,) = await world.verify(case, grants, [Ask("degree")], by="dg-tax", token=stolen)
    assert verdict.reason == "token.other_verifier"
    async with world.view() as view:
        (row,) = await history.of_subject(view, subject_id=await world.subject(wang))
    assert row.look.department == "dg-tax"
    (still,) = await world.verify(case, grants, [Ask("degree")])
    assert still.outcome is Outcome.ACCEPTED


async def test_a_grant_that_ended_is_refused(world: World) -> None:
    wang = world.person("王小莞")
    await world.certificate("degree", (wang, "owner"))
    case, grants = await world.grant(wang, ["degree"])
    token = world.token(grants, holder=await world.department("dg-edu"))
    async with world.tx() as tx:
        await tx.run(leaves.update().values(idx=leaves.c.seq))
    world.clock.advance(days=2)
    (verdict,) = await world.verify(case, grants, [Ask("degree")], token=token)
    assert verdict.reason == "grant.expired"


async def test_a_guardian_consents_for_a_child_and_a_stranger_cannot(world: World) -> None:
    mother, stranger, child = world.person("李䶮"), world.person("赵六"), world.person("王𬭎", "20200301")
    await world.certificate("birth", (child, "child"), (mother, "mother"), born_on="2020-03-01")
    await world.certificate("school_record", (child, "child"))
    for parent, proved in ((mother, True), (stranger, False)):
        case = await world.case(parent, child)
        detail = world.detail(case, ["school_record"], basis="guardian")
        started = await world.ask("dg-edu", case, [detail], of=parent)
        if not proved:
            with pytest.raises(HubError, match=r"guardian\.not_proved"):
                await world.agree(parent, started.public_id)
            continue
        grants = await world.agree(parent, started.public_id)
        (verdict,) = await world.verify(case, grants, [Ask("school_record")])
        assert verdict.outcome is Outcome.ACCEPTED
    async with world.view() as view:
        rows = await history.of_subject(view, subject_id=await world.subject(child))
    assert [row.look.reason for row in rows] == ["accepted", "guardian.proved"]


async def test_a_guardians_power_ends_at_midnight_in_shanghai_on_the_18th_birthday(world: World) -> None:
    mother, child = world.person("李䶮"), world.person("王大", "20081124")
    await world.certificate("birth", (child, "child"), (mother, "mother"), born_on="2008-11-24")
    await world.certificate("school_record", (child, "child"))
    case = await world.case(mother, child)
    detail = world.detail(case, ["school_record"], basis="guardian")
    evening = await world.ask("dg-edu", case, [detail], of=mother)
    midnight = await world.ask("dg-edu", case, [detail], of=mother)
    world.clock.advance(hours=14, minutes=29)  # 23:59 in Shanghai
    (given,) = await world.agree(mother, evening.public_id)
    token = world.token([given], holder=await world.department("dg-edu"))
    world.clock.advance(minutes=1)
    async with world.tx() as tx:
        await tx.run(leaves.update().values(idx=leaves.c.seq))
    (verdict,) = await world.verify(case, [given], [Ask("school_record")], token=token)
    assert verdict.reason == "grant.expired"
    with pytest.raises(HubError, match=r"guardian\.child_of_age"):
        await world.agree(mother, midnight.public_id)


async def test_somebody_else_cannot_decide_and_nobody_decides_twice(world: World) -> None:
    wang, stranger = world.person("王小莞"), world.person("李四")
    case = await world.case(wang)
    started = await world.ask("dg-edu", case, [world.detail(case, ["degree"])], of=wang)
    with pytest.raises(HubError, match=r"consent\.request_unknown"):
        await world.agree(stranger, started.public_id)
    await world.agree(wang, started.public_id)
    with pytest.raises(HubError, match=r"consent\.already_decided"):
        await world.agree(wang, started.public_id)


async def test_agreeing_to_nothing_is_no_agreement(world: World) -> None:
    wang = world.person("王小莞")
    case = await world.case(wang)
    started = await world.ask("dg-edu", case, [world.detail(case, ["degree"])], of=wang)
    with pytest.raises(HubError, match=r"consent\.nothing_ticked"):
        async with world.tx(await world.citizen(wang)) as tx:
            await approve.approve(
                tx, public_id=started.public_id, chosen=[{}], items=world.items, types=world.types
            )
    assert await world.agree(wang, started.public_id)  # the request still waits


async def test_a_person_nobody_knows_is_answered_alike_and_nobody_ever_sees_it(world: World) -> None:
    wang, unknown = world.person("王小莞"), world.person("无名氏")
    case = await world.case(wang)
    known = await world.ask("dg-edu", case, [world.detail(case, ["degree"])], of=wang)
    other = await world.ask("dg-edu", case, [world.detail(case, ["degree"])], of=unknown)
    assert (known.expires_in, known.interval) == (other.expires_in, other.interval)
    assert len(known.auth_req_id) == len(other.auth_req_id)


async def test_grants_are_listed_for_their_holder(world: World) -> None:
    wang = world.person("王小莞")
    _, grants = await world.grant(wang, ["degree"])
    actor = Actor(ActorKind.CITIZEN, subject_id=await world.subject(wang))
    async with world.view(actor) as view:
        (found,) = await grants_of(view, subject_id=grants[0].holder)
    assert found.public_id == grants[0].public_id


async def test_what_is_asked_of_the_child_is_never_answered_with_the_parents_own(world: World) -> None:
    wang, child = world.person("王小莞"), world.person("王𬭎", "20200301")
    await world.certificate("degree", (wang, "owner"))
    await world.certificate("birth", (child, "child"), (wang, "mother"), born_on="2020-03-01")
    case = await world.case(wang, child)
    details = [world.detail(case, ["degree"]), world.detail(case, ["school_record"], basis="guardian")]
    started = await world.ask("dg-edu", case, details, of=wang)
    grants = await world.agree(wang, started.public_id)
    (verdict,) = await world.verify(case, grants, [Ask("degree", basis="guardian")])
    assert (verdict.outcome, verdict.reason, verdict.sd_jwt) == (Outcome.REFUSED, "coverage.not_granted", None)


@pytest.mark.parametrize("spoiled", ["suspended", "revoked", "distrusted"])
async def test_a_birth_certificate_that_does_not_stand_proves_no_guardian(world: World, spoiled: str) -> None:
    mother, child = world.person("李䶮"), world.person("王𬭎", "20200301")
    birth = await world.certificate("birth", (child, "child"), (mother, "mother"), born_on="2020-03-01")
    case = await world.case(mother, child)
    detail = world.detail(case, ["school_record"], basis="guardian")
    started = await world.ask("dg-edu", case, [detail], of=mother)
    owner = world.types["birth"].owner
    if spoiled == "distrusted":
        async with world.tx() as tx:
            kid = (await world.department(owner)).certificate.kid
            await keys.distrust(tx, kid=kid, from_=world.clock())
    else:
        event = StatusEvent.SUSPEND if spoiled == "suspended" else StatusEvent.REVOKE
        await world.change(birth.certificate, event, by=owner)
    with pytest.raises(HubError, match=r"guardian\.not_proved"):
        await world.agree(mother, started.public_id)
    async with world.view() as view:
        assert not await children_of(view, guardian=await world.subject(mother))


async def test_either_parent_can_withdraw_what_one_gave_for_the_child(world: World) -> None:
    mother, father, child = world.person("李䶮"), world.person("王大"), world.person("王𬭎", "20200301")
    await world.certificate(
        "birth", (child, "child"), (mother, "mother"), (father, "father"), born_on="2020-03-01"
    )
    await world.certificate("degree", (mother, "owner"))
    case = await world.case(mother, child)
    details = [world.detail(case, ["degree"]), world.detail(case, ["school_record"], basis="guardian")]
    own, childs = await world.agree(mother, (await world.ask("dg-edu", case, details, of=mother)).public_id)
    async with world.tx(await world.citizen(father)) as tx:
        assert (await withdraw(tx, grant=childs.public_id)).state is GrantState.WITHDRAWN
    with pytest.raises(HubError, match=r"grant\.unknown"):
        async with world.tx(await world.citizen(father)) as tx:
            await withdraw(tx, grant=own.public_id)

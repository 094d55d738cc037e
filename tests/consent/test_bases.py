"""Who may decide for whom: delegates, companies, disputed guardians, and proofs that fall (DESIGN, rule 9)."""

from datetime import timedelta

import pytest
from registry.makers import credit
from world import SCHOOL, Person, World

from hub.access import history
from hub.actor import Actor, ActorKind
from hub.certificates.model import StatusEvent
from hub.consent import approve, dispute, entrust
from hub.consent.model import GrantState
from hub.consent.withdraw import by_public_id, end_all_resting_on, end_resting_on, withdraw
from hub.errors import HubError
from hub.verification.model import Ask

STARTUP = "441900-market-company-startup"


def handler() -> Actor:
    return Actor(
        ActorKind.OFFICER, department="dg-audit", officer_id=None, roles=frozenset({"complaint_handler"})
    )


async def entrust_to(
    world: World, giver: Person, taker: Person, *, of: Person | None = None, item: str = SCHOOL,
    types: tuple[str, ...] = ("degree",), days: int = 30,
) -> str:  # fmt: skip
    """Offer and take; the public id of what then stands."""
    principal = await world.subject(of or giver)
    async with world.tx(await world.citizen(giver)) as tx:
        made = await entrust.offer(
            tx, principal=principal, items=[item], types=types,
            valid_until=tx.now + timedelta(days=days),
        )  # fmt: skip
    async with world.tx(await world.citizen(taker)) as tx:
        taken = await entrust.take(tx, code=made.code.lower())
    assert taken.public_id == made.public_id
    return made.public_id


async def test_a_delegate_decides_for_an_old_person_within_what_was_entrusted(world: World) -> None:
    grandma, nephew = world.person("陈奶奶", "19400101"), world.person("陈小平")
    await world.certificate("degree", (grandma, "owner"))
    await world.certificate("property", (grandma, "owner"))
    case = await world.case(grandma)
    entrustment = await entrust_to(world, grandma, nephew, days=2)
    started = await world.ask("dg-edu", case, [world.detail(case, ["degree"], basis="delegate")], of=nephew)
    (given,) = await world.agree(nephew, started.public_id)
    assert (given.holder, given.approver) == (await world.subject(grandma), await world.subject(nephew))
    (verdict,) = await world.verify(case, [given], [Ask("degree")])
    assert verdict.outcome == "accepted"
    async with world.view() as view:
        looks = await history.of_subject(view, subject_id=await world.subject(grandma))
    assert [row.look.basis for row in looks] == ["delegate"]

    beyond = await world.ask("dg-edu", case, [world.detail(case, ["property"], basis="delegate")], of=nephew)
    as_holder = await world.ask("dg-edu", case, [world.detail(case, ["degree"])], of=nephew)
    for unseen in (beyond, as_holder):
        with pytest.raises(HubError, match=r"consent\.request_unknown"):
            await world.agree(nephew, unseen.public_id)

    again = await world.ask("dg-edu", case, [world.detail(case, ["degree"], basis="delegate")], of=nephew)
    (late,) = await world.agree(nephew, again.public_id)
    waiting = await world.ask("dg-edu", case, [world.detail(case, ["degree"], basis="delegate")], of=nephew)
    token = world.token([late], holder=await world.department("dg-edu"))
    async with world.tx(await world.citizen(grandma)) as tx:
        await entrust.finish(tx, public_id=entrustment)
    (verdict,) = await world.verify(case, [late], [Ask("degree")], token=token)
    assert verdict.reason == "grant.withdrawn"
    with pytest.raises(HubError, match=r"delegate\.not_entrusted"):
        await world.agree(nephew, waiting.public_id)


async def test_what_a_delegate_gave_ends_with_the_entrustment(world: World) -> None:
    grandma, nephew = world.person("陈奶奶", "19400101"), world.person("陈小平")
    case = await world.case(grandma)
    await entrust_to(world, grandma, nephew, days=2)
    month = world.detail(
        case, ["degree"], basis="delegate", valid_until=int(world.clock().timestamp()) + 30 * 86_400
    )
    (given,) = await world.agree(nephew, (await world.ask("dg-edu", case, [month], of=nephew)).public_id)
    assert given.valid_until == world.clock() + timedelta(days=2)


async def test_codes_that_are_none(world: World) -> None:
    grandma, nephew, other = world.person("陈奶奶"), world.person("陈小平"), world.person("李四")
    me = await world.subject(grandma)

    async def offer(**change: object) -> entrust.Offered:
        async with world.tx(await world.citizen(grandma)) as tx:
            said = {
                "items": [SCHOOL],
                "types": ["degree"],
                "valid_until": tx.now + timedelta(days=60),
                **change,
            }
            return await entrust.offer(tx, principal=me, **said)

    async def take(person: Person, code: str) -> None:
        async with world.tx(await world.citizen(person)) as tx:
            await entrust.take(tx, code=code)

    made = await offer()
    for person, code in ((grandma, made.code), (nephew, "AAAA-BBBB-CCCC-DDDD"), (nephew, "")):
        with pytest.raises(HubError, match=r"entrust\.code"):
            await take(person, code)
    await take(nephew, made.code)
    with pytest.raises(HubError, match=r"entrust\.code"):
        await take(other, made.code)
    late = await offer()
    world.clock.advance(days=7)
    with pytest.raises(HubError, match=r"entrust\.code"):
        await take(nephew, late.code)
    for wrong in ({"items": []}, {"types": []}, {"items": ["x"] * 33}):
        with pytest.raises(HubError, match=r"entrust\.scope"):
            await offer(**wrong)
    for until in (world.clock(), world.clock() + timedelta(days=367)):
        with pytest.raises(HubError, match=r"entrust\.end"):
            await offer(valid_until=until)
    with pytest.raises(HubError, match=r"entrust\.unknown"):
        async with world.tx(await world.citizen(other)) as tx:
            await entrust.finish(tx, public_id=made.public_id)


async def test_one_person_decides_about_one_request(world: World) -> None:
    grandma = world.person("陈奶奶")
    case = await world.case(grandma)
    mixed = [world.detail(case, ["degree"]), world.detail(case, ["degree"], basis="delegate")]
    for details in (mixed, [world.detail(case, ["degree"], basis="office_power")]):
        with pytest.raises(HubError, match=r"consent\.(over_caps|basis_without_holder)"):
            await world.ask("dg-edu", case, details, of=grandma)


async def company(world: World) -> tuple[Person, Person, str]:
    """(company, its legal representative, the licence)."""
    firm = Person("东莞市某机械有限公司", credit(77), "001")
    boss = world.person("周法人")
    made = await world.certificate("business_licence", (firm, "company"), (boss, "legal_representative"))
    await world.certificate("property", (firm, "owner"))
    return firm, boss, made.certificate


async def asked_of(world: World, firm: Person, who: Person) -> tuple[object, str]:
    case = await world.case(firm, item=STARTUP, by="dg-market")
    detail = world.detail(case, ["property"], basis="legal_representative", purpose="company-startup")
    return case, (await world.ask("dg-market", case, [detail], of=who)).public_id


async def test_a_company_is_represented_by_its_licence_or_by_an_agent(world: World) -> None:
    firm, boss, licence = await company(world)
    agent, stranger = world.person("吴经办"), world.person("李四")
    case, asked = await asked_of(world, firm, boss)
    (given,) = await world.agree(boss, asked)
    (verdict,) = await world.verify(case, [given], [Ask("property")], by="dg-market")
    assert (verdict.outcome, given.holder) == ("accepted", await world.subject(firm))

    _, unseen = await asked_of(world, firm, stranger)
    with pytest.raises(HubError, match=r"consent\.request_unknown"):
        await world.agree(stranger, unseen)

    await entrust_to(world, boss, agent, of=firm, item=STARTUP, types=("property",))
    case, asked = await asked_of(world, firm, agent)
    (by_agent,) = await world.agree(agent, asked)
    (verdict,) = await world.verify(case, [by_agent], [Ask("property")], by="dg-market")
    assert verdict.outcome == "accepted"
    async with world.view() as view:
        looks = await history.of_subject(view, subject_id=await world.subject(firm))
    assert [row.look.reason for row in looks] == ["accepted", "company.proved", "accepted", "company.proved"]

    case, asked = await asked_of(world, firm, agent)
    await world.change(licence, StatusEvent.REVOKE, by="dg-market")
    with pytest.raises(HubError, match=r"company\.not_representative"):
        await world.agree(agent, asked)


async def test_the_representative_takes_back_what_an_agent_gave(world: World) -> None:
    firm, boss, _ = await company(world)
    agent = world.person("吴经办")
    await entrust_to(world, boss, agent, of=firm, item=STARTUP, types=("property",))
    _, asked = await asked_of(world, firm, agent)
    (given,) = await world.agree(agent, asked)
    async with world.tx(await world.citizen(boss)) as tx:
        assert (await withdraw(tx, grant=given.public_id)).state is GrantState.WITHDRAWN


@pytest.fixture
async def parents(world: World) -> tuple[Person, Person, Person, str]:
    mother, father, child = world.person("李䶮"), world.person("王大"), world.person("王𬭎", "20200301")
    made = await world.certificate(
        "birth", (child, "child"), (mother, "mother"), (father, "father"), born_on="2020-03-01"
    )
    await world.certificate("school_record", (child, "child"))
    return mother, father, child, made.certificate


async def test_a_disputed_guardian_is_frozen_until_it_is_settled(
    world: World, parents: tuple[Person, Person, Person, str]
) -> None:
    mother, father, child, _ = parents
    case = await world.case(father, child)
    detail = world.detail(case, ["school_record"], basis="guardian", max_uses=2)
    (given,) = await world.agree(father, (await world.ask("dg-edu", case, [detail], of=father)).public_id)
    token = world.token([given], holder=await world.department("dg-edu"))
    waiting = await world.ask("dg-edu", case, [detail], of=father)

    async def look() -> str:
        return (await world.verify(case, [given], [Ask("school_record")], token=token))[0].reason

    async def settle(*, uphold: bool) -> None:
        async with world.tx(handler()) as tx:
            (one,) = await dispute.open_disputes(tx)
            await dispute.settle(tx, child=one.child, guardian=one.guardian, uphold=uphold)

    assert await look() == "accepted"
    for person in (father, world.person("李四")):  # not oneself, not a stranger
        with pytest.raises(HubError, match=r"grant\.unknown"):
            async with world.tx(await world.citizen(person)) as tx:
                await dispute.raise_dispute(tx, grant=given.public_id)
    for _ in range(2):  # twice is the same as once
        async with world.tx(await world.citizen(mother)) as tx:
            await dispute.raise_dispute(tx, grant=given.public_id)
    assert await look() == "grant.frozen"
    with pytest.raises(HubError, match=r"guardian\.frozen"):
        await world.agree(father, waiting.public_id)
    with pytest.raises(HubError, match=r"dispute\.not_yours"):
        async with world.tx(await world.citizen(mother)) as tx:
            await dispute.open_disputes(tx)
    await settle(uphold=True)
    assert await look() == "accepted"
    both = {"child": await world.subject(child), "guardian": await world.subject(father)}
    async with world.tx(handler()) as tx:
        with pytest.raises(HubError, match=r"dispute\.none"):
            await dispute.settle(tx, **both, uphold=True)
    async with world.tx(await world.citizen(mother)) as tx:
        await dispute.raise_dispute(tx, grant=given.public_id)
    await settle(uphold=False)
    assert await look() == "grant.withdrawn"


async def test_when_the_birth_certificate_falls_so_does_what_rests_on_it(
    world: World, parents: tuple[Person, Person, Person, str]
) -> None:
    mother, _, child, birth = parents
    case = await world.case(mother, child)
    detail = world.detail(case, ["school_record"], basis="guardian")
    (given,) = await world.agree(mother, (await world.ask("dg-edu", case, [detail], of=mother)).public_id)
    token = world.token([given], holder=await world.department("dg-edu"))
    await world.change(birth, StatusEvent.REVOKE, by="dg-health")  # by whatever door: the use itself looks at it
    (verdict,) = await world.verify(case, [given], [Ask("school_record")], token=token)
    assert verdict.reason == "grant.proof_fallen"
    async with world.tx() as tx:
        assert await end_all_resting_on(tx, evidence=["nothing", birth]) == 1
        assert await end_all_resting_on(tx, evidence=[birth]) == 0
        assert await end_resting_on(tx, evidence=birth) == 0
        assert (await by_public_id(tx, given.public_id)).state is GrantState.WITHDRAWN
    async with world.view(await world.citizen(mother)) as view:
        assert await approve.pending(view, items=world.items, types=world.types) == []

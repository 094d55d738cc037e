"""A case in the hands of several departments: clocks, mending, promises, and one final state whoever is first."""

import asyncio
from dataclasses import dataclass
from datetime import date, timedelta

import pytest
import sqlalchemy as sa
from cases.applicants import decider
from world import SCHOOL, Person, World

from hub.access.model import Outcome, accesses
from hub.actor import Actor
from hub.cases import steps
from hub.cases.accept import accept
from hub.cases.evidence import evidence_of
from hub.cases.gather import ask, asked_for, gather
from hub.cases.model import CaseOutcome, CaseState, MaterialState, StepState
from hub.cases.open import Case, by_public_id
from hub.cases.prereview import PreReview, Uploaded, prereview
from hub.cases.procedure import load_procedures, procedure_of
from hub.cases.scope import in_scope
from hub.catalogue.items import load_items
from hub.consent.withdraw import withdraw
from hub.errors import Conflict, Forbidden, HubError, NotFound, Unprocessable
from hub.ledger.model import leaves

PROCEDURE = load_procedures()[SCHOOL]
DEPARTMENTS = {step.code: step.department for step in PROCEDURE.steps}
CLERK = decider("dg-edu", number=9, roles=("clerk",))
TODAY = date(2026, 11, 23)


@dataclass
class Applied:
    """A parent with a case, and what was found of it so far."""

    person: Person
    case: Case

    async def now(self, world: World) -> Case:
        async with world.view() as view:
            return await by_public_id(view, self.case.public_id)


async def applied(world: World) -> Applied:
    person = world.person("陈大文")
    await world.department("dg-edu")
    return Applied(person, await world.case(person))


def nothing_missing() -> PreReview:
    return PreReview(True, (), ())


async def accepted(world: World, one: Applied, review: PreReview | None = None, **more: object) -> Case:
    async with world.tx(CLERK) as tx:
        case, scope = await in_scope(tx, one.case.public_id)
        return await accept(
            tx, case=case, scope=scope, procedure=PROCEDURE, review=review or nothing_missing(), **more
        )


async def decided(
    world: World, one: Applied, code: str, *, passed: bool = True, by: Actor | None = None, reason: str = ""
) -> Case:
    async with world.tx(by or decider(DEPARTMENTS[code])) as tx:
        case, _ = await in_scope(tx, one.case.public_id)
        return await steps.decide(
            tx, case=case, procedure=PROCEDURE, code=code, passed=passed,
            reason_code=reason or ("verified" if passed else "not_eligible"), note="" if passed else "居住证已过期",
        )  # fmt: skip


async def told(world: World, kind: str) -> int:
    async with world.view() as view:
        return await view.value(sa.select(sa.func.count()).where(leaves.c.kind == kind))


@pytest.mark.parametrize("against", [None, "residence"], ids=["all agree", "one rejects"])
async def test_eight_departments_decide_at_once(world: World, against: str | None) -> None:
    one = await applied(world)
    await accepted(world, one)
    assert len(DEPARTMENTS) == len(set(DEPARTMENTS.values())) == 8

    async def attempt(code: str, officer: int) -> str:
        try:
            by = decider(DEPARTMENTS[code], number=officer)
            await decided(world, one, code, passed=code != against, by=by)
        except HubError as refused:
            return refused.code
        return "decided"

    # Two officers of each of the eight departments, all at the same moment.
    answers = await asyncio.gather(*(attempt(code, n) for code in DEPARTMENTS for n in (1, 2)))
    assert answers.count("decided") == 8, answers
    assert {a for a in answers if a != "decided"} <= {"step.decided_before", "case.final", "store.try_again"}
    case = await one.now(world)
    assert case.outcome == (CaseOutcome.REJECTED if against else CaseOutcome.PASSED)
    assert case.state is CaseState.DECIDED
    async with world.view() as view:
        found = await steps.steps_of(view, case=case)
    assert [step.state for step in found] == [StepState.DECIDED] * 8
    assert all(step.decided_by and step.reason_code and step.leaf_hash for step in found)
    assert await told(world, "step.decided") == 8, "each decision once, also in the ledger"
    assert await told(world, "case.decided") == 1, "one final state"
    with pytest.raises(Conflict):
        await decided(world, one, "tax")
    async with world.tx(await world.citizen(one.person)) as tx:
        with pytest.raises(Conflict) as final:
            await steps.withdraw(tx, case=case)
    assert final.value.code == "case.final"


async def test_a_withdrawal_and_the_last_decision_race_for_one_final_state(world: World) -> None:
    one = await applied(world)
    await accepted(world, one)
    *most, last = DEPARTMENTS
    for code in most:
        await decided(world, one, code)
    citizen = await world.citizen(one.person)

    async def take_back() -> None:
        async with world.tx(citizen) as tx:
            await steps.withdraw(tx, case=await by_public_id(tx, one.case.public_id))

    results = await asyncio.gather(decided(world, one, last), take_back(), return_exceptions=True)
    assert sum(isinstance(result, HubError) for result in results) == 1, results
    case = await one.now(world)
    assert case.outcome == (CaseOutcome.PASSED if isinstance(results[1], HubError) else CaseOutcome.WITHDRAWN)
    assert await told(world, "case.decided") == 1


async def test_a_step_is_its_own_departments_with_a_reason_of_the_list(world: World) -> None:
    one = await applied(world)
    await accepted(world, one)
    with pytest.raises(Forbidden):
        await decided(world, one, "tax", by=decider("dg-si"))
    with pytest.raises(Forbidden):
        await decided(world, one, "tax", by=decider("dg-tax", roles=("clerk",)))
    with pytest.raises(NotFound):
        await decided(world, one, "tax", by=decider("dg-market"))
    for passed, reason in ((True, "not_eligible"), (False, "verified"), (True, "because")):
        with pytest.raises(Unprocessable) as wrong:
            await decided(world, one, "tax", passed=passed, reason=reason)
        assert wrong.value.code == "step.reason_unknown"
    assert (await one.now(world)).outcome is None
    async with world.view(decider("dg-tax")) as view:
        assert [code for _, code, _, _ in await steps.waiting(view, department="dg-tax")] == ["tax"]
    await decided(world, one, "tax")
    async with world.view(decider("dg-tax")) as view:
        assert await steps.waiting(view, department="dg-tax") == []


async def test_mending_stops_the_departments_clock_and_nothing_else(world: World) -> None:
    one = await applied(world)
    await accepted(world, one)
    world.clock.advance(days=3)  # Thursday
    async with world.tx(decider("dg-health")) as tx:
        case = await by_public_id(tx, one.case.public_id)
        await steps.pause(tx, case=case, code="family", reason_code="unclear", ask="请补拍第二页")
        with pytest.raises(Conflict) as paused:
            await steps.decide(
                tx, case=case, procedure=PROCEDURE, code="family", passed=True, reason_code="verified"
            )
        assert paused.value.code == "step.paused"
    world.clock.advance(days=6)  # Wednesday of the next week
    async with world.view() as view:
        found = {step.code: step for step in await steps.steps_of(view, case=case)}
    family, tax = found["family"], found["tax"]
    assert (family.clock.ours, family.clock.theirs, family.clock.paused, family.clock.due_on) == (3, 4, True, None)
    assert (tax.clock.ours, tax.clock.theirs, tax.clock.paused) == (7, 0, False)
    assert [pause.ask for pause in family.pauses] == ["请补拍第二页"]
    async with world.tx(await world.citizen(one.person)) as tx:
        await steps.resume(tx, case=case, code="family")
        with pytest.raises(Conflict):
            await steps.resume(tx, case=case, code="family")
    async with world.view() as view:
        family = next(s for s in await steps.steps_of(view, case=case) if s.code == "family")
    # Ten working days after 23 November, and the four that the applicant took.
    assert family.clock.due_on == date(2026, 12, 11)
    await decided(world, one, "family")


async def test_what_is_missing_may_follow_if_it_is_promised(world: World) -> None:
    one, item = await applied(world), world.items[SCHOOL]
    review = prereview(item, looks={}, uploads={}, as_of=TODAY)
    missing = [found.code for found in review.materials if found.blocks]
    assert missing
    for lacking in ({}, dict.fromkeys(missing, TODAY), dict.fromkeys([*missing, "more"], TODAY + timedelta(9))):
        with pytest.raises(Unprocessable) as refused:
            await accepted(world, one, review, lacking=lacking)
        assert refused.value.code == "case.material_missing"
    case = await accepted(world, one, review, lacking=dict.fromkeys(missing, TODAY + timedelta(9)))
    assert case.state is CaseState.ACCEPTED
    with pytest.raises(Conflict):
        await accepted(world, one)


async def test_two_clerks_accept_at_once(world: World) -> None:
    one = await applied(world)
    results = await asyncio.gather(*(accepted(world, one) for _ in range(4)), return_exceptions=True)
    assert sum(isinstance(result, Case) for result in results) == 1
    async with world.view() as view:
        assert len(await steps.steps_of(view, case=await one.now(world))) == 8


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
async def test_one_consent_gathers_everything_and_a_withdrawal_silences_it(world: World) -> None:
    one, item = await applied(world), world.items[SCHOOL]
    await world.certificate("employment", (one.person, "worker"), service_months=60)
    await world.certificate("degree", (one.person, "owner"), education_level="bachelor")
    citizen = await world.citizen(one.person)
    async with world.tx(citizen) as tx:
        with pytest.raises(Conflict):
            await gather(tx, case=one.case, items=world.items, types=world.types, issuer="https://hub.example")
        await ask(tx, case=one.case, item=item)
        request = (await asked_for(tx, case=one.case))[0]
    granted = await world.agree(one.person, request.public_id)
    async with world.tx(citizen) as tx:
        verdicts = await gather(
            tx, case=one.case, items=world.items, types=world.types, issuer="https://hub.example"
        )
    assert {v.type_code for v in verdicts if v.outcome is Outcome.ACCEPTED} == {"employment", "degree"}
    case = await one.now(world)
    assert case.state is CaseState.GATHERED
    async with world.view() as view:
        found = {look.type_code: look for look in await evidence_of(view, case=case)}
        assert found["employment"].claims["service_months"] == 60
        assert found["tax_record"].outcome is Outcome.NO_RECORD
        looked = await view.all(sa.select(accesses.c.department).distinct())
        assert [row.department for row in looked] == ["dg-edu"], "the item's department, and nobody else"
    async with world.tx(citizen) as tx:
        await withdraw(tx, grant=granted[0].public_id)
    async with world.view() as view:
        assert all(look.claims is None and look.sd_jwt is None for look in await evidence_of(view, case=case))
    stranger = world.person("卞仁")
    async with world.tx(await world.citizen(stranger)) as tx:
        with pytest.raises(Forbidden):
            await ask(tx, case=one.case, item=item)


def test_pre_review_says_what_is_there_and_what_blocks() -> None:
    item = load_items()[SCHOOL]
    required = [m for m in item.materials if m.required]
    looks = {evidence.type: (Outcome.ACCEPTED, "ok") for m in required for evidence in m.satisfied_by}
    assert prereview(item, looks=looks, uploads={}, as_of=TODAY).passes is True
    first = required[0]
    for kind in first.satisfied_by:
        looks[kind.type] = (Outcome.NO_RECORD, "certificate.none_registered")
    assert prereview(item, looks=looks, uploads={}, as_of=TODAY).passes is None
    for state, passes in (
        (MaterialState.ACCEPTED, True), (MaterialState.PENDING, None), (MaterialState.MEND, None),
        (MaterialState.REFUSED, False),
    ):  # fmt: skip
        found = prereview(item, looks=looks, uploads={first.code: Uploaded(state, "why")}, as_of=TODAY)
        assert found.passes is passes, state
    for kind in first.satisfied_by:
        looks[kind.type] = (Outcome.REFUSED, "status.revoked")
    revoked = prereview(item, looks=looks, uploads={}, as_of=TODAY)
    assert revoked.passes is False
    assert next(f for f in revoked.materials if f.code == first.code).reason == "status.revoked"


def test_an_item_without_a_procedure_has_one_step_of_its_own_department() -> None:
    for item in load_items().values():
        found = procedure_of(item)
        assert found.steps
        if item.code not in load_procedures():
            assert [step.department for step in found.steps] == [item.department]

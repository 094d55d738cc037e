"""Office power: a statute, somebody else's case, a second officer, numbers a day; and a scraper that is stopped."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest
import sqlalchemy as sa
from world import SCHOOL, Person, World

from hub.access import history
from hub.access.model import Outcome, accesses
from hub.actor import Actor, ActorKind
from hub.cases.office import LookState, ask_office, confirm_office, look_by_office, record_stopped
from hub.cases.open import open_case
from hub.consent.office import load_rules, newest_alarms, parse, parse_delay
from hub.consent.withdraw import grants_of, withdraw
from hub.errors import HubError, TooMany
from hub.ledger.model import leaves
from hub.oversight.search import Query, search
from hub.verification.model import Ask, Verdict

ROOT = Path(__file__).parents[2]
RULE = load_rules()["441900-edu-points-recheck"]
DELAYED = load_rules()["441900-ps-household-papers"]
SMALL = replace(
    RULE, limits=replace(RULE.limits, officer_day=3, item_day=5, department_day=5, second_above=2)
)


def officer(number: int, department: str = "dg-edu") -> Actor:
    return Actor(
        ActorKind.OFFICER, department=department, officer_id=UUID(int=number), roles=frozenset({"clerk"})
    )


async def people(world: World, count: int, *, opener: Actor | None = None) -> list[tuple[Person, str]]:
    """(person, case): opened by the citizen, or by an officer who works with the scraper."""
    made = []
    await world.department("dg-edu")
    for number in range(count):
        person = world.person(f"某{number}")
        if opener is None:
            case = await world.case(person)
        else:
            applicant = await world.subject(person)
            async with world.tx(opener) as tx:
                case = await open_case(tx, item=world.items[SCHOOL], applicant=applicant)
        made.append((person, case.public_id))
    return made


async def attempt(world: World, actor: Actor, case: str, *, second: Actor | None = None, rule=RULE) -> str:
    """What a scraper's script does for one person; the outcome in a word."""
    try:
        async with world.tx(actor) as tx:
            look = await ask_office(tx, case_id=case, rule=rule)
    except HubError as stopped:
        async with world.tx(actor) as tx:
            await record_stopped(tx, case_id=case, rule=rule, reason=stopped.code)
        return stopped.code
    if look.state is LookState.WAITING:
        if second is None:
            return "waiting"
        async with world.tx(second) as tx:
            await confirm_office(tx, public_id=look.public_id, agree=True)
    await made(world, actor, look.public_id)
    return "seen"


async def made(world: World, actor: Actor, public_id: str, unasked: Sequence[str] = ()) -> Sequence[Verdict]:
    async with world.tx(actor) as tx:
        return await look_by_office(
            tx, public_id=public_id, rules=load_rules(), items=world.items, types=world.types, issuer="x",
            unasked=unasked,
        )  # fmt: skip


async def seen_persons(world: World) -> int:
    async with world.view() as view:
        query = sa.select(sa.func.count(sa.distinct(accesses.c.subject_id)))
        return int(await view.value(query.where(accesses.c.outcome != Outcome.REFUSED)))


async def test_one_look_is_made_once_and_the_citizen_sees_it(world: World) -> None:
    ((person, case),) = await people(world, 1)
    await world.certificate("degree", (person, "owner"))
    clerk = officer(1)
    async with world.tx(clerk) as tx:
        look = await ask_office(tx, case_id=case, rule=RULE)
    assert look.state is LookState.OPEN
    with pytest.raises(HubError, match=r"office\.not_yours"):
        await made(world, officer(2), look.public_id)
    verdicts = await made(world, clerk, look.public_id, unasked=["residence_permit"])
    told = {v.type_code: (v.outcome, v.reason) for v in verdicts}
    assert told["degree"] == ("accepted", "accepted")
    assert told["residence_permit"] == ("undecided", "pull.not_made"), "its department would know"
    assert told["social_insurance"] == ("no_record", "certificate.none_registered")
    with pytest.raises(HubError, match=r"office\.state"):
        await made(world, clerk, look.public_id)
    async with world.tx(await world.citizen(person)) as tx:
        looks = await history.of_subject(tx, subject_id=tx.actor.subject_id)
        assert {row.look.basis for row in looks} == {"office_power"}
        assert {row.look.officer_id for row in looks} == {clerk.officer_id}
        (grant,) = await grants_of(tx, subject_id=tx.actor.subject_id)
        with pytest.raises(HubError, match=r"grant\.unknown"):  # it is not a consent: nobody can take it back
            await withdraw(tx, grant=grant.public_id)


async def test_no_case_of_ones_own_no_other_department_no_other_item(world: World) -> None:
    clerk = officer(1)
    await world.department("dg-si")
    ((_, own),) = await people(world, 1, opener=clerk)
    ((_, others),) = await people(world, 1, opener=officer(2))
    assert await attempt(world, clerk, own) == "office.own_case"
    assert await attempt(world, clerk, others) == "seen"
    for actor, rule, code in (
        (officer(3, "dg-si"), RULE, "case.unknown"),
        (clerk, replace(RULE, item_code="441900-hrss-talent-degree"), "office.not_yours"),
    ):
        with pytest.raises(HubError, match=code):
            async with world.tx(actor) as tx:
                await ask_office(tx, case_id=others, rule=rule)


async def test_above_a_number_and_at_night_a_second_officer_must_agree(world: World) -> None:
    cases = await people(world, 4)
    clerk, second = officer(1), officer(2)
    assert [await attempt(world, clerk, case, rule=SMALL) for _, case in cases[:3]] == [
        "seen",
        "seen",
        "waiting",
    ]
    async with world.tx(clerk) as tx:
        look = await ask_office(tx, case_id=cases[2][1], rule=SMALL)  # the same person counts once
    with pytest.raises(HubError, match=r"office\.same_officer"):
        async with world.tx(clerk) as tx:
            await confirm_office(tx, public_id=look.public_id, agree=True)
    with pytest.raises(HubError, match=r"office\.unknown"):
        async with world.tx(officer(9, "dg-si")) as tx:
            await confirm_office(tx, public_id=look.public_id, agree=True)
    with pytest.raises(HubError, match=r"office\.state"):
        await made(world, clerk, look.public_id)
    async with world.tx(second) as tx:
        await confirm_office(tx, public_id=look.public_id, agree=False)
    with pytest.raises(HubError, match=r"office\.state"):
        await made(world, clerk, look.public_id)
    world.clock.advance(hours=13)  # 22:30 in Shanghai
    assert await attempt(world, second, cases[3][1]) == "waiting"


async def test_limits_hold_when_everybody_asks_at_once(world: World) -> None:
    cases = await people(world, 10)

    async def ask(number: int, case: str) -> bool:
        try:
            async with world.tx(officer(number)) as tx:
                await ask_office(tx, case_id=case, rule=SMALL)
        except TooMany:
            return False
        return True

    asked = [ask(1 + number % 4, case) for number, (_, case) in enumerate(cases)]
    assert sum(await asyncio.gather(*asked)) == SMALL.limits.item_day


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
async def test_a_fast_scraper_sees_at_most_twenty_and_alone_only_five(world: World) -> None:
    cases = await people(world, 30, opener=officer(7))
    scraper, friend = officer(1), officer(2)
    alone = [await attempt(world, scraper, case) for _, case in cases[:8]]
    assert alone == ["seen"] * 5 + ["waiting"] * 3
    helped = [await attempt(world, scraper, case, second=friend) for _, case in cases[8:]]
    assert helped.count("seen") == 12
    assert set(helped[12:]) == {"office.limit_officer"}
    assert await seen_persons(world) == 17
    async with world.view() as view:
        alarms = await newest_alarms(view, limit=50)
        assert [alarm.kind for alarm in alarms] == ["office.limit_officer"] * 10
        assert {alarm.officer_id for alarm in alarms} == {scraper.officer_id}
    for (person, _), reason in (
        (cases[0], "certificate.none_registered"),
        (cases[-1], "office.limit_officer"),
    ):
        subject = await world.subject(person)
        async with world.view() as view:
            looks = await history.of_subject(view, subject_id=subject)
        assert {row.look.reason for row in looks} == {reason}


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
async def test_a_slow_scraper_with_twenty_accounts_sees_at_most_a_hundred_a_day(world: World) -> None:
    cases = await people(world, 120, opener=officer(99))
    told = []
    for number, (_, case) in enumerate(cases):
        world.clock.advance(minutes=1)  # 120 persons in two hours, six an account: nobody is fast
        account = 1 + number % 20
        told.append(await attempt(world, officer(account), case, second=officer(50)))
    assert told.count("seen") == 100
    assert set(told[100:]) == {"office.limit_item"}
    assert await seen_persons(world) == 100
    async with world.view() as view:
        assert len(await newest_alarms(view, limit=50)) == 20
    world.clock.advance(days=1)
    async with world.tx() as tx:
        await tx.run(leaves.update().values(idx=leaves.c.seq))  # the sequencer did its work meanwhile
    assert await attempt(world, officer(1), cases[-1][1]) == "seen"  # a new day


async def test_a_look_is_delayed_only_by_the_published_rule_and_appears_by_itself(world: World) -> None:
    await world.department("dg-ps")
    person = world.person("某人")
    await world.certificate("household_register", (person, "head"))
    case = await world.case(person, item=DELAYED.item_code)
    clerk, second = officer(1, "dg-ps"), officer(2, "dg-ps")
    assert await attempt(world, clerk, case.public_id, rule=DELAYED) == "waiting", "always a second officer"
    assert await attempt(world, clerk, case.public_id, rule=DELAYED, second=second) == "seen"
    auditor = Actor(ActorKind.OFFICER, department="dg-audit", officer_id=UUID(int=9), roles=frozenset({"auditor"}))

    async def seen() -> tuple[int, int, int]:
        async with world.view(await world.citizen(person)) as view:
            me = view.actor.subject_id
            rows = await history.of_subject(view, subject_id=me)
            assert not any(row.gap for row in rows)
            assert not await history.newest_missing(view, subject_id=me)
            later, _ = await history.delayed(view, subject_id=me)
            return len(rows), len(await grants_of(view, subject_id=me)), later

    async with world.tx(auditor) as tx:
        total = (await search(tx, query=Query(case_id=case.public_id))).total
    assert total == len(DELAYED.types)
    assert await seen() == (0, 0, total)
    # A look of another kind meanwhile: seen at once, with no gap where the delayed ones stand.
    _, grants = await world.grant(person, ["degree"])
    await world.department("dg-edu")
    await world.verify(await world.case(person), grants, [Ask("degree")])
    assert await seen() == (1, 1, total)
    world.clock.advance(days=DELAYED.delay.days)
    assert await seen() == (1 + total, 2, 0)


def test_no_delay_is_endless() -> None:
    raw = json.loads((ROOT / "hub" / "consent" / "data" / "delays" / "pipl-35-inquiry.json").read_text())
    assert parse_delay(raw) == DELAYED.delay
    for change in ({"days": 61}, {"maximum_days": 91, "days": 91}, {"days": 0}, {"owner": ""}, {"more": 1}):
        with pytest.raises(ValueError):  # noqa: PT011 - each of them, whatever it says
            parse_delay({**raw, **change})


@pytest.mark.parametrize(
    "change",
    [
        {"delay_days": 30}, {"delay": "no-such-rule"}, {"limits": {"officer_day": 0}}, {"statute": []},
        {"limits": None},
    ],
)
def test_rules_that_say_too_little_or_ask_to_hide_are_refused(change: dict) -> None:
    raw = {
        "code": "x", "version": 1, "owner": "dg-data", "department": "dg-edu", "item_code": SCHOOL,
        "purpose": "points-review", "types": ["degree"], "unconfirmed": [],
        "display": [{"locale": "zh-CN", "name": "甲"}, {"locale": "en", "name": "A"}],
        "statute": [{"locale": "zh-CN", "name": "甲"}, {"locale": "en", "name": "A"}],
        "limits": {"officer_day": 1, "item_day": 1, "department_day": 1, "second_above": 1,
                   "from_hour": 7, "to_hour": 21},
        "delay": None,
    }  # fmt: skip
    assert parse(raw).code == "x"
    with pytest.raises((ValueError, TypeError)):
        parse({**raw, **change})

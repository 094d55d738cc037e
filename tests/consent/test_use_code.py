"""用证码: sixty seconds, one use, only what was ticked; guessing is counted; what rests is a keyed hash."""

import asyncio
from dataclasses import dataclass, replace
from uuid import UUID

import pytest
import sqlalchemy as sa
from registry.makers import AUDIENCE
from world import SCHOOL, Person, World

from hub.access import history
from hub.access.model import accesses
from hub.actor import Actor, ActorKind
from hub.cases.gather import details_of, gather
from hub.cases.open import Case, by_public_id
from hub.cases.showncode import agree_by_code
from hub.clock import seconds
from hub.consent import usecode
from hub.consent.guard import Stopped, alarm_once, load_guard
from hub.consent.model import Grant, use_codes
from hub.consent.office import newest_alarms
from hub.consent.withdraw import grants_of
from hub.errors import HubError
from hub.verification.model import Verdict

TRIES = next(one for one in load_guard().limits if one.code == "wrong_codes_officer").most


def clerk(number: int = 1, department: str = "dg-edu") -> Actor:
    roles = frozenset({"clerk"})
    return Actor(ActorKind.OFFICER, department=department, officer_id=UUID(int=number), roles=roles)


@dataclass(frozen=True)
class Seen:
    """What a code opened: the case, the grants that came of it, and the verdicts."""

    case: Case
    grants: tuple[Grant, ...]
    verdicts: tuple[Verdict, ...]


async def shows(world: World, person: Person, *, item: str = SCHOOL, types: tuple[str, ...] = ("degree",)):
    """The person ticks everything of these types and opens the page: (choice, code)."""
    found = world.items[item]
    detail = details_of(found, case_id="use-code", with_child=False, now=seconds(world.clock()))[0]
    kept = detail.narrowed({code: detail.fields[code] for code in types})
    async with world.tx(await world.citizen(person)) as tx:
        made = await usecode.choose(
            tx, item=found, applicant=tx.actor.subject_id, beneficiary=None, details=[kept]
        )
    return made, await reload(world, person, made.public_id)


async def reload(world: World, person: Person, choice: str) -> usecode.Shown:
    async with world.tx(await world.citizen(person)) as tx:
        return await usecode.fresh_code(tx, public_id=choice)


async def look(world: World, code: str, *, by: Actor | None = None, case=None, item: str = SCHOOL) -> Seen | None:
    """What a door does: an officer types the code; where the guard stops it, the auditors are told afterwards."""
    try:
        async with world.tx(by or clerk()) as tx:
            rules = {"items": world.items, "types": world.types}
            agreed = await agree_by_code(tx, code=code, item=world.items[item], case=case, **rules)
            if agreed is None:
                return None
            verdicts = await gather(tx, case=agreed.case, issuer=AUDIENCE, **rules)
            return Seen(await by_public_id(tx, agreed.case.public_id), agreed.grants, tuple(verdicts))
    except Stopped as stopped:
        async with world.tx(stopped.actor) as tx:
            await alarm_once(tx, stopped.limit, stopped.place)
        raise


@pytest.fixture
async def wang(world: World) -> Person:
    person = world.person("王小明")
    await world.department("dg-edu")
    await world.certificate("degree", (person, "owner"))
    await world.certificate("property", (person, "owner"))
    return person


async def test_a_code_opens_one_look_at_what_was_ticked_and_nothing_is_typed(world: World, wang: Person) -> None:
    _, code = await shows(world, wang)
    seen = await look(world, f" {code.short[:4].lower()}-{code.short[4:]} ")
    assert seen is not None
    (verdict,) = seen.verdicts
    assert (verdict.outcome, verdict.type_code) == ("accepted", "degree")  # a home was held too, and not ticked
    assert seen.case.applicant == await world.subject(wang)
    (grant,) = seen.grants
    assert (grant.uses, grant.max_uses, grant.assurance) == (0, 1, "use_code")
    async with world.view(await world.citizen(wang)) as view:
        (now,) = await grants_of(view, subject_id=view.actor.subject_id)
        looks = await history.of_subject(view, subject_id=view.actor.subject_id)
    assert now.uses == 1
    assert [(row.look.basis, row.look.officer_id) for row in looks] == [("holder", UUID(int=1))]
    assert await look(world, code.short) is None, "one use"
    assert await look(world, code.long, case=seen.case) is None, "the other spelling is spent with it"


async def test_sixty_seconds_and_a_reload_ends_the_code_before(world: World, wang: Person) -> None:
    made, first = await shows(world, wang)
    second = await reload(world, wang, made.public_id)
    assert await look(world, first.short) is None
    world.clock.advance(seconds=60)
    assert await look(world, second.long) is None
    third = await reload(world, wang, made.public_id)
    world.clock.advance(seconds=59)
    assert await look(world, third.long) is not None
    with pytest.raises(HubError, match=r"use_code\.used"):
        await reload(world, wang, made.public_id)
    made, _ = await shows(world, wang)
    world.clock.advance(minutes=30)
    with pytest.raises(HubError, match=r"use_code\.over"):
        await reload(world, wang, made.public_id)
    with pytest.raises(HubError, match=r"use_code\.unknown"):
        await reload(world, world.person("李四"), made.public_id)


async def test_under_twenty_officers_at_once_exactly_one_gets_it(world: World, wang: Person) -> None:
    _, code = await shows(world, wang)
    spelled = [code.short, code.long]
    tried = [look(world, spelled[number % 2], by=clerk(number)) for number in range(1, 21)]
    opened = [one for one in await asyncio.gather(*tried) if one is not None]
    assert len(opened) == 1
    async with world.view() as view:
        assert await view.value(sa.select(sa.func.count()).select_from(accesses)) == 1


async def test_it_opens_nothing_for_another_person_matter_or_department_and_its_owner_is_told(
    world: World, wang: Person
) -> None:
    _, code = await shows(world, wang)
    others = await world.case(world.person("李四"))
    await world.department("dg-hrss")
    assert await look(world, code.short, case=others) is None
    assert await look(world, code.short, item="441900-hrss-talent-degree", by=clerk(3, "dg-hrss")) is None
    with pytest.raises(HubError, match=r"use_code\.not_yours"):
        await look(world, code.short, by=clerk(4, "dg-hrss"))
    async with world.view(await world.citizen(wang)) as view:
        looks = await history.of_subject(view, subject_id=view.actor.subject_id)
    assert [row.look.reason for row in looks] == ["use_code.other_matter"] * 2
    assert await look(world, code.short, case=await world.case(wang)) is not None, "and it is not spent by that"


async def test_guessing_is_counted_per_officer_and_a_right_code_does_not_get_through_then(
    world: World, wang: Person
) -> None:
    _, code = await shows(world, wang)
    guesses = [look(world, f"ABCDEFG{number}") for number in range(2, 2 + TRIES + 3)]  # at once: the count is atomic
    told = await asyncio.gather(*guesses, return_exceptions=True)
    assert [type(one) for one in told].count(Stopped) == 3
    with pytest.raises(Stopped, match=r"guard\.stop"):
        await look(world, code.short)
    async with world.view() as view:
        alarms = await newest_alarms(view)
    assert [(one.kind, one.officer_id) for one in alarms] == [("guard.wrong_code", UUID(int=1))], "told once"
    assert await look(world, code.short, by=clerk(2)) is not None, "another officer of the counter is not held up"
    world.clock.advance(hours=1)
    async with world.tx() as tx:
        from hub.ledger.model import leaves

        await tx.run(leaves.update().values(idx=leaves.c.seq))  # the sequencer did its work meanwhile
    _, fresh = await shows(world, wang)
    assert await look(world, fresh.short) is not None, "and the next hour is a new one"


async def test_what_rests_is_no_code_and_an_item_may_want_more_than_a_code(world: World, wang: Person) -> None:
    _, code = await shows(world, wang)
    async with world.view() as view:
        (row,) = await view.all(sa.select(use_codes))
    rests = repr(tuple(row))
    assert code.short not in rests
    assert code.long not in rests
    assert row.short_hash == world.vault.blind("use-code", code.short)
    demanding = replace(world.items[SCHOOL], code="441900-realestate-transfer")
    with pytest.raises(HubError, match=r"use_code\.passkey_needed"):
        async with world.tx(await world.citizen(wang)) as tx:
            await usecode.choose(tx, item=demanding, applicant=tx.actor.subject_id, beneficiary=None, details=[])

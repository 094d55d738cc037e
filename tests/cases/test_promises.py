"""告知承诺: promised in the case, checked afterwards, and what follows when it was false."""

from dataclasses import replace
from datetime import timedelta

import pytest
from cases.applicants import decider
from catalogue.test_two_officers import City, city, refused  # noqa: F401 - a fixture

from hub.cases import close, promises
from hub.cases.asseen import AsSeen, as_seen
from hub.cases.model import PromiseState
from hub.cases.open import Case, by_public_id
from hub.cases.scope import in_scope
from hub.catalogue.plan import Way, plan_item
from hub.catalogue.waivers import standing
from hub.clock import civil_day
from hub.errors import Conflict, Forbidden, HubError, Unprocessable
from hub.oversight.reliance import flags_of
from hub.web.items import facts

RELIEF, PAPER = "441900-civil-temporary-relief", "income_proof"


async def seen(town: City, case: Case) -> AsSeen:
    async with town.world.view() as view:
        return await as_seen(view, case=case, item=town.catalogue[RELIEF], scheme=None)


async def promised(town: City, person: object, case: Case, material: str = PAPER) -> promises.Promise:
    async with town.world.tx(await town.world.citizen(person)) as tx:
        return await promises.promise(
            tx, case=case, item=town.catalogue[RELIEF], city=await standing(tx), material=material
        )


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
async def test_promised_instead_of_brought_then_checked_and_acted_on(city: City) -> None:  # noqa: F811
    world = city.world
    world.items[RELIEF] = city.catalogue[RELIEF]
    person, other = world.person("陈大文"), world.person("林小满")
    case = await world.case(person, item=RELIEF)
    assert await refused(Unprocessable, promised(city, person, case)) == "promise.not_taken", "only announced"
    await city.moved(PAPER, "connected", "in_force", check_days=30)
    now = await seen(city, case)
    assert "收入" in now.offered[PAPER]
    assert "30 日内核查" in now.offered[PAPER]
    assert await refused(Forbidden, promised(city, other, case)) == "promise.not_yours"
    assert await refused(HubError, promised(city, person, case, "diagnosis")) == "promise.not_taken"
    made = await promised(city, person, case)
    assert await refused(Conflict, promised(city, person, case)) == "promise.made_before"
    assert made.check_by == civil_day(world.clock()) + timedelta(days=30)
    found = {one.code: one for one in (await seen(city, case)).review.materials}
    assert (found[PAPER].how, found[PAPER].blocks) == ("promised", False)

    # Decided, but not closed before the promise was checked; late is seen.
    async with world.tx() as tx:
        await tx.run(close.cases.update().values(outcome="passed", state="decided", decided_at=tx.now))
        assert await close.close_ripe(tx) == 0
    world.clock.advance(days=31)
    officer = decider("dg-civil")
    async with world.view(officer) as view:
        ((late, material, by),) = await promises.to_check(view, department="dg-civil")
        assert (late.public_id, material, by < civil_day(view.now)) == (case.public_id, PAPER, True)
        assert (await promises.promises_of(view, case=case))[0].overdue(civil_day(view.now))

    async def checked(by: object, *, kept: bool, note: str = "") -> promises.Promise:
        async with world.tx(by) as tx:
            mine, scope = await in_scope(tx, case.public_id)
            return await promises.check(tx, case=mine, scope=scope, public_id=made.public_id, kept=kept, note=note)

    assert await refused(Forbidden, checked(replace(officer, roles=frozenset({"clerk"})), kept=True))
    assert await refused(Unprocessable, checked(officer, kept=False)) == "promise.words_missing"
    broken = await checked(officer, kept=False, note="另有收入未申报")
    assert (broken.state, broken.note) == (PromiseState.BROKEN, "另有收入未申报")
    assert await refused(Conflict, checked(officer, kept=True)) == "promise.checked_before"

    # Acted on: the case is flagged, and the next case of this person takes no promise, the planner says to bring it.
    async with world.view(officer) as view:
        (flag,) = await flags_of(view, case=await by_public_id(view, case.public_id))
        assert (flag.event, flag.cleared_at) == (promises.BROKEN_EVENT, None)
    again = await world.case(person, item=RELIEF)
    assert (await seen(city, again)).offered == {}
    assert await refused(Unprocessable, promised(city, person, again)) == "promise.not_taken"
    ways = {}
    async with world.view() as view:
        for who in (person, other):
            me = await world.subject(who)
            known = await facts(
                view, person=me, types=world.types, promises=not await promises.barred(view, me)
            )
            plan = plan_item(city.catalogue[RELIEF], known)
            ways[who.name] = next(
                o.way for r in plan.requirements for o in r.options if o.material.code == PAPER
            )
    assert ways == {person.name: Way.BRING, other.name: Way.PROMISE}
    world.clock.advance(days=366)
    assert PAPER in (await seen(city, again)).offered, "not for ever"

"""The planner: held, pulled, waived, promised or to be brought, each with the reason that is true at that moment."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from registry.makers import credit
from world import World

from hub.actor import SYSTEM
from hub.catalogue.catalogue import load_catalogue
from hub.catalogue.items import Material
from hub.catalogue.model import WaiverState
from hub.catalogue.plan import (
    Facts,
    Filed,
    Holding,
    ItemPlan,
    Planned,
    Reason,
    Way,
    plan_all,
    plan_item,
    planned,
)
from hub.catalogue.planner import companies_of, facts
from hub.catalogue.sources import Source, answers_pulls, declare
from hub.catalogue.waivers import Standing, Waiver
from hub.certificates.model import CertificateState, StatusEvent
from hub.registry import subjects
from hub.registry.publish import publish_types
from hub.registry.types import load_types

ITEMS = load_catalogue()
TYPES = load_types()
NOW = datetime(2026, 11, 23, 1, 30, tzinfo=UTC)
DEED = "441900-realestate-gift"


def material(code: str, item: str = DEED) -> Material:
    return ITEMS[item].material(code)


def held(type_code: str = "property", **other: Any) -> Holding:
    said = {
        "type_code": type_code, "public_id": "p", "department": "dg-realestate", "state": CertificateState.CURRENT,
        "valid_until": None, "as_of": None, "registered_at": NOW, "list_stands": True,
    }  # fmt: skip
    return Holding(**(said | other))


def source(type_code: str = "property", **other: Any) -> Source:
    said = {
        "type_code": type_code, "department": "dg-realestate", "live": True, "last_signed": NOW, "pulls": False,
        "covers_from": None, "gaps": {"zh-CN": "", "en": ""},
    }  # fmt: skip
    return Source(**(said | other))


def waiver(
    code: str, kind: str, state: WaiverState = WaiverState.IN_FORCE, at: Source | None = None
) -> Waiver:
    return Waiver(code, kind, state, "sanfan", 30 if kind == "commitment" else None, NOW, at)


def known(
    *held_: tuple[str, Holding],
    sources: tuple[Source, ...] = (),
    waivers: tuple[Waiver, ...] = (),
    **other: Any,
) -> Facts:
    standing = Standing({one.material: one for one in waivers}, {one.type_code: one for one in sources})
    return Facts(NOW, {(who, one.type_code): one for who, one in held_}, standing, TYPES, **other)


def told(one: Planned) -> tuple[Way, Reason]:
    return one.way, one.reason


@pytest.mark.parametrize(
    ("facts_", "way", "reason"),
    [
        (known(), Way.BRING, Reason.NOT_CONNECTED),
        (known(sources=(source(),)), Way.BRING, Reason.NO_RECORD),
        (known(sources=(source(live=False),)), Way.BRING, Reason.SOURCE_SILENT),
        (known(sources=(source(covers_from=date(2005, 1, 1)),)), Way.BRING, Reason.NOT_COVERED),
        (known(sources=(source(gaps={"zh-CN": "缺", "en": "gap"}),)), Way.BRING, Reason.NOT_COVERED),
        (known(sources=(source(pulls=True),)), Way.PULL, Reason.SOURCE_ANSWERS),
        (known(("applicant", held())), Way.HELD, Reason.VALID),
        (known(("applicant", held(valid_until=NOW + timedelta(days=20)))), Way.HELD, Reason.EXPIRING),
        (known(("applicant", held(valid_until=NOW))), Way.BRING, Reason.EXPIRED),
        (known(("applicant", held(state=CertificateState.REVOKED))), Way.BRING, Reason.REVOKED),
        (known(("applicant", held(state=CertificateState.SUSPENDED))), Way.BRING, Reason.SUSPENDED),
        (known(("applicant", held(list_stands=False))), Way.BRING, Reason.UNKNOWN),
        (known(("child", held())), Way.BRING, Reason.NOT_CONNECTED),
        (known(filed={"property": Filed(date(2026, 1, 1), None)}), Way.FILED, Reason.BROUGHT_ONCE),
        (known(filed={"property": Filed(date(2026, 1, 1), NOW)}), Way.BRING, Reason.NOT_CONNECTED),
        (known(waivers=(waiver("property", "abolished"),)), Way.WAIVED, Reason.ABOLISHED),
        (known(waivers=(waiver("property", "commitment"),)), Way.PROMISE, Reason.PROMISE),
        (known(waivers=(waiver("property", "verified", at=source()),)), Way.WAIVED, Reason.OFFICE_CHECKS),
        (known(waivers=(waiver("property", "verified"),)), Way.BRING, Reason.NOT_CONNECTED),
        *(
            (known(waivers=(waiver("property", kind, state, source()),)), Way.BRING, Reason.NOT_CONNECTED)
            for kind in ("abolished", "commitment", "verified")
            for state in WaiverState
            if state is not WaiverState.IN_FORCE
        ),
    ],
)
def test_each_way_and_each_reason(facts_: Facts, way: Way, reason: Reason) -> None:
    assert told(planned(material("property"), facts_)) == (way, reason)


def test_a_revoked_certificate_is_neither_pulled_nor_waived_around() -> None:
    revoked = ("applicant", held(state=CertificateState.REVOKED))
    for other in (
        known(revoked, sources=(source(pulls=True),)),
        known(revoked, waivers=(waiver("property", "verified", at=source()),)),
    ):
        assert told(planned(material("property"), other)) == (Way.BRING, Reason.REVOKED)


@pytest.mark.parametrize(("age", "way"), [(0, Way.HELD), (62, Way.HELD), (63, Way.BRING), (400, Way.BRING)])
def test_a_living_certificate_is_fresh_to_the_last_day_its_item_accepts(age: int, way: Way) -> None:
    day = date(2026, 11, 23) - timedelta(days=age)
    one = held("social_insurance", as_of=day)
    found = planned(material("social_insurance", "441900-hrss-startup-grant"), known(("applicant", one)))
    assert found.way is way
    assert found.reason is (Reason.VALID if way is Way.HELD else Reason.OUTDATED)


def test_of_alternatives_the_easiest_decides() -> None:
    item = ITEMS["441900-market-sole-trader"]
    plan = plan_item(item, known(("applicant", held())))
    premises = next(one for one in plan.requirements if one.best.material.code == "premises")
    assert [option.material.code for option in premises.options] == ["premises", "lease", "premises_promise"]
    assert [one.best.material.code for one in plan.to_bring] == ["identity"]
    promised = plan_item(item, known(waivers=(waiver("premises_promise", "commitment"),)))
    assert [one.best.material.code for one in promised.by(Way.PROMISE)] == ["premises_promise"]


def test_only_what_every_applicant_needs_counts_as_to_be_brought() -> None:
    plan = plan_item(ITEMS[DEED], known())
    codes = [one.best.material.code for one in plan.to_bring]
    assert codes == ["identity", "property", "gift_contract", "deed_tax"]
    assert any(one.best.material.code == "kinship" and not one.required for one in plan.requirements)


def test_a_skeleton_has_no_plan_and_says_so() -> None:
    skeleton = next(one for one in ITEMS.listed if not one.complete)
    plans = plan_all(ITEMS, known())
    assert skeleton.code not in plans
    assert len(plans) == 90
    assert plan_item(ITEMS[skeleton.code], known()).requirements == ()


@given(
    st.dictionaries(
        st.sampled_from(sorted(TYPES)),
        st.builds(
            lambda state, left, stands: (state, left, stands),
            st.sampled_from(list(CertificateState)),
            st.one_of(st.none(), st.integers(-5, 400)),
            st.booleans(),
        ),
    )
)
def test_a_better_world_never_asks_for_more(
    world_: dict[str, tuple[CertificateState, int | None, bool]],
) -> None:
    """Making every certificate valid, and every source answer pulls, can only shorten the list."""
    now, best = [], []
    for code, (state, left, stands) in world_.items():
        until = None if left is None else NOW + timedelta(days=left)
        now.append(("applicant", held(code, state=state, valid_until=until, list_stands=stands)))
        best.append(("applicant", held(code)))
    before = plan_all(ITEMS, known(*now))
    after = plan_all(ITEMS, known(*best))
    pulled = plan_all(ITEMS, known(*best, sources=tuple(source(code, pulls=True) for code in TYPES)))
    for code, plan in before.items():
        assert names(after[code]) <= names(plan)
        assert names(pulled[code]) <= names(after[code])
        assert len(plan.requirements) == len({m.either or m.code for m in plan.item.materials})


def names(plan: ItemPlan) -> set[str]:
    return {one.best.material.either or one.best.material.code for one in plan.to_bring}


async def test_the_story_of_one_person_from_registration_to_revocation(world: World) -> None:
    wang, li = world.person("王"), world.person("李")
    me = await world.subject(wang)
    item = ITEMS[DEED]

    async def ways() -> dict[str, tuple[Way, Reason]]:
        async with world.view() as view:
            plan = plan_item(item, await facts(view, person=me, types=world.types))
        return {one.best.material.code: told(one.best) for one in plan.requirements}

    assert (await ways())["property"] == (Way.BRING, Reason.NOT_CONNECTED)
    first = await world.certificate("property", (wang, "owner"), ownership="sole")
    assert (await ways())["property"] == (Way.HELD, Reason.VALID)
    await world.certificate("marriage", (wang, "spouse"), (li, "spouse"))
    await world.change(first.certificate, StatusEvent.SUSPEND, by="dg-realestate")
    assert (await ways())["property"] == (Way.BRING, Reason.SUSPENDED)
    await world.change(first.certificate, StatusEvent.REVOKE, by="dg-realestate")
    assert (await ways())["property"] == (Way.BRING, Reason.REVOKED)
    second = await world.certificate("property", (wang, "owner"), ownership="sole")
    assert (await ways())["property"] == (Way.HELD, Reason.VALID)
    world.clock.advance(days=8)  # the department's list has ended
    assert (await ways())["property"] == (Way.BRING, Reason.UNKNOWN)
    async with world.view() as view:
        found = await facts(view, person=me, types=world.types)
        assert found.holdings[("applicant", "property")].public_id == second.certificate
        nobody = await facts(view, person=uuid4(), types=world.types)
        assert nobody.holdings == {}


async def test_a_source_says_what_it_covers_and_when_it_answers(world: World) -> None:
    wang = world.person("王")
    me = await world.subject(wang)
    department = await world.department("dg-realestate")
    async with world.tx(SYSTEM) as tx:
        await publish_types(tx, world.types.values())
    async with world.tx(world.acting(department)) as tx:
        await declare(
            tx, type_code="property", covers_from=date(2005, 1, 1), gaps_zh="2005年以前未入库",
            gaps_en="none before 2005",
        )  # fmt: skip
        until = tx.now + timedelta(minutes=5)
        assert await answers_pulls(tx, types=["property", "degree"], until=until) == ["property"]
    async with world.view() as view:
        found = planned(material("property"), await facts(view, person=me, types=world.types))
    assert told(found) == (Way.PULL, Reason.SOURCE_ANSWERS)
    await world.index(department)  # it signs its first status list
    world.clock.advance(minutes=6)
    async with world.view() as view:
        found = planned(material("property"), await facts(view, person=me, types=world.types))
    assert told(found) == (Way.BRING, Reason.NOT_COVERED)
    assert found.source is not None
    assert found.source.covers_from == date(2005, 1, 1)


async def test_a_company_is_planned_for_with_what_its_representative_holds(world: World) -> None:
    boss, clerk = world.person("赵"), world.person("钱")
    number = credit(777)
    company = [{"name": "东莞一厂", "id_type": "001", "id_no": number, "role": "company"}]
    licence = await world.sign("business_licence", [*company, boss.as_holder("legal_representative")])
    await world.register(licence, by="dg-market")
    filing = await world.sign("project_filing", company, project_code="2609-441900-04-01-000001")
    await world.register(filing, by="dg-dr")
    async with world.view() as view:
        of_boss = await companies_of(view, await world.subject(boss))
        assert await companies_of(view, await world.subject(clerk)) == []
        assert of_boss == [await subjects.find(view, id_type="001", id_no=number)]
        known_ = await facts(view, person=await world.subject(boss), company=of_boss[0], types=world.types)
    plan = plan_item(ITEMS["441900-water-soil"], known_)
    assert {one.best.material.code for one in plan.by(Way.HELD)} == {"licence", "project_filing"}


async def test_one_statement_whatever_the_person_holds(world: World) -> None:
    wang = world.person("王")
    me = await world.subject(wang)
    for _ in range(3):
        await world.certificate("degree", (wang, "owner"))
    counted = 0

    def count(*_: Any) -> None:
        nonlocal counted
        counted += 1

    async with world.view() as view:
        city = (await facts(view, person=me, types=world.types)).standing
        sync = view.conn.sync_engine
        sa.event.listen(sync, "before_cursor_execute", count)
        found = await facts(view, person=me, types=world.types, city=city)
        plan_all(ITEMS, found)
        sa.event.remove(sync, "before_cursor_execute", count)
    assert counted == 1
    assert set(found.holdings) == {("applicant", "degree")}

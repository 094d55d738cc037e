"""The catalogue changed on pages by two officers, and a department's own board behind its sign-in."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from parts import FixedClock
from web.pages.family import Family, make_family
from world import World

from hub.actor import SYSTEM, Actor, ActorKind
from hub.cases.model import StepState, case_steps
from hub.cases.open import open_case
from hub.catalogue import drafts, waivers
from hub.ids import uuid7
from hub.registry import subjects

SCHOOL = "441900-edu-points-enrolment"


@pytest.fixture
async def office(sqlite_database: str, clock: FixedClock, tmp_path: Path) -> Family:
    world = World(sqlite_database, clock)
    yield await make_family(world, tmp_path)
    await world.close()


async def test_one_drafts_another_reviews_then_it_is_published(office: Family) -> None:
    maker, reviewer = await office.as_officer("issuing"), await office.as_officer("second")
    page = await maker.get(f"/catalogue?item={SCHOOL}")
    document = json.loads(page.one("//textarea[@id='document']").text)
    now = office.hub.items[SCHOOL]
    assert document["version"] == now.version + 1
    bad = await maker.send(page, "/catalogue/items", {"document": '{"code": 1}'})
    assert (bad.status, "事项内容不成立" in bad.text) == (422, True)
    document["intro"] = [
        {"locale": "zh-CN", "name": "新的说明"}, {"locale": "en", "name": "A new introduction"},
    ]  # fmt: skip
    kept = await maker.send(page, "/catalogue/items", {"document": json.dumps(document)})
    assert "改动：intro、version" in kept.text
    action = next(a for a in kept.root.xpath("//form/@action") if a.startswith("/catalogue/") and len(a) > 25)
    assert not kept.root.xpath("//button[@value='review']"), "not one's own"
    assert (await maker.send(kept, action, {"decision": "review"})).status == 403
    other = await reviewer.get("/catalogue")
    reviewed = await reviewer.send(other, action, {"decision": "review"})
    office.world.clock.advance(minutes=11)
    asked = await reviewer.send(reviewed, action, {"decision": "publish"})
    assert asked.url.path.startswith("/again/"), "what everybody will go by is published after a fresh proof only"
    reviewer = await office.as_officer("second")
    done = await reviewer.send(await reviewer.get("/catalogue"), action, {"decision": "publish"})
    assert "已公布" in done.text
    maker = await office.as_officer("issuing")
    async with office.hub.view(SYSTEM) as view:
        versions = await drafts.history(view, code=SCHOOL)
    assert versions[-1][0].intro["zh-CN"] == "新的说明"

    # A waiver of a paper that the bureau issues: announced, so nothing but "connected" comes next.
    said = {"material": "school_record", "reason": "数据源已接通", "check_days": "", "item": ""}
    kept = await maker.get("/catalogue")
    wrong = await maker.send(kept, "/catalogue/waivers", {**said, "state": "connected", "item": "x"})
    assert wrong.status == 404
    moved = await maker.send(await maker.get("/catalogue"), "/catalogue/waivers", {**said, "state": "connected"})
    assert "school_record → connected" in moved.text
    stranger = {**said, "material": "marriage", "state": "connected"}
    assert (await maker.send(moved, "/catalogue/waivers", stranger)).status == 403
    async with office.hub.view(SYSTEM) as view:
        assert (await waivers.standing(view)).waivers["school_record"].state == "announced", "only drafted"
    assert (await (await office.as_officer("clerk")).get("/catalogue")).status == 403


async def test_a_department_sees_its_own_figures_and_nobody_elses(office: Family) -> None:
    case = await office.world.case(office.parent)
    async with office.hub.tx(SYSTEM) as tx:
        for number in range(12):
            day = tx.now - timedelta(minutes=number)
            code, slug = ("schooling", "dg-edu") if number < 11 else ("residence", "dg-ps")
            await tx.insert(
                case_steps,
                {"id": uuid7(), "case_id": case.id if number in (0, 11) else (await _another(office, tx)).id,
                 "code": code, "department": slug, "state": StepState.DECIDED, "days": 32, "days_unconfirmed": False,
                 "calendar": "x", "started_at": day - timedelta(days=3), "decided_at": day, "passed": True},
            )  # fmt: skip
    decider = await office.as_officer("decider")
    page = await decider.get("/desk/board")
    assert "核定就读年限" in page.text
    assert "11" in page.one("//section[contains(., '按事项和环节')]//tbody").text_content()
    lines = (await decider.client.get("/desk/board.csv")).text.splitlines()
    assert len(lines) == 2
    assert lines[1].startswith(f"2026-11,{SCHOOL},schooling,11,")
    own = await office.as_officer("si-decider")
    theirs = await own.get("/desk/board")
    assert "核定就读年限" not in theirs.text
    assert (await own.client.get("/desk/board.csv")).text.count("\n") == 1
    assert (await (await office.as_officer("clerk")).get("/desk/board")).status == 403
    assert (await decider.get("/desk/board?month=x")).status == 400


async def _another(office: Family, tx: object) -> object:
    person = office.world.person("某人")
    subject = await subjects.resolve(tx, id_type=person.id_type, id_no=person.id_no, kind="natural")
    before, tx.actor = tx.actor, Actor(ActorKind.CITIZEN, subject_id=subject)
    case = await open_case(tx, item=office.hub.items[SCHOOL], applicant=subject)
    tx.actor = before
    return case

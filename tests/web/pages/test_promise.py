"""A promise in the place of a paper, on the pages: read, ticked, made; checked at the desk; told to the citizen."""

from pathlib import Path

import pytest
from catalogue.test_two_officers import City
from parts import FixedClock
from web.pages.family import Family, make_family
from world import World

from hub.actor import SYSTEM
from hub.catalogue.catalogue import load_catalogue
from hub.registry import officers
from hub.registry.roster import OfficerRow

RELIEF, PAPER = "441900-civil-temporary-relief", "income_proof"


@pytest.fixture
async def office(sqlite_database: str, clock: FixedClock, tmp_path: Path) -> Family:
    world = World(sqlite_database, clock)
    world.items = load_catalogue()
    family = await make_family(world, tmp_path)
    await world.department("dg-civil")
    rows = [
        OfficerRow(1, "dg-civil", "drafts", "甲", frozenset({"issuing_officer"})),
        OfficerRow(2, "dg-civil", "reviews", "乙", frozenset({"second_approver"})),
        OfficerRow(3, "dg-civil", "civil-decider", "丙", frozenset({"decider"})),
    ]
    async with family.hub.tx(SYSTEM) as tx:
        assert not (await officers.import_officers(tx, rows=rows, dry_run=False)).errors
        family.officers.update({one.login: one.id for one in await officers.all_officers(tx)})
    await City(world, family.officers, world.items).moved(PAPER, "connected", "in_force", check_days=30)
    yield family
    await world.close()


async def test_promised_on_the_page_and_checked_at_the_desk(office: Family) -> None:
    parent = await office.as_parent()
    page = await parent.get(f"/items/{RELIEF}")
    case = await parent.send(page, "/cases", {"item": RELIEF})
    at = case.url.path
    assert "30 日内核查" in case.text
    unread = await parent.send(case, f"{at}/promises", {"material": PAPER})
    assert unread.status == 400, "the box is not ticked"
    made = await parent.send(case, f"{at}/promises", {"material": PAPER, "read": "1"})
    assert "我的承诺" in made.text
    assert "已承诺，事后核查" in made.text

    decider = await office.as_officer("civil-decider")
    desk = await decider.get("/desk")
    assert "待核查的承诺" in desk.text
    number = at.rpartition("/")[2]
    mine = await decider.get(f"/desk/cases/{number}")
    action = next(a for a in mine.root.xpath("//form/@action") if "/promises/" in a)
    assert (await decider.send(mine, action, {"found": "broken", "note": ""})).status == 422
    done = await decider.send(mine, action, {"found": "broken", "note": "另有收入未申报"})
    assert "核查不实" in done.text
    assert "告知承诺经核查不实" in done.text, "the case is to be looked at again"
    told = await parent.get(at)
    assert "另有收入未申报" in told.text
    again = await parent.send(await parent.get(f"/items/{RELIEF}"), "/cases", {"item": RELIEF})
    assert "书面承诺：" not in again.text, "for a while no promise is taken"

"""Entrusting and disputing on the pages: what people see and press."""

from web.pages.family import Browser, Family

SCHOOL = "441900-edu-points-enrolment"


async def as_other(family: Family) -> Browser:
    browser = family.browser()
    await browser.sign_in(subject=await family.world.subject(family.other))
    return browser


async def test_one_offers_with_a_code_and_the_other_takes_it(family: Family) -> None:
    await family.world.certificate("degree", (family.other, "owner"))
    giver, taker = await family.as_parent(), await as_other(family)
    page = await giver.get("/entrust")
    page = await giver.send(page, "/entrust", {"item": SCHOOL, "until": "2026-12-31"})
    code = page.one("//p[@class='big']/code").text
    assert "还没有人接受" in page.text
    assert code not in (await giver.get("/entrust")).text  # shown once
    wrong = await taker.send(await taker.get("/entrust"), "/entrust/take", {"code": "AAAA-BBBB-CCCC-DDDD"})
    assert (wrong.status, "委托码不对" in wrong.text) == (422, True)
    taken = await taker.send(await taker.get("/entrust"), "/entrust/take", {"code": code})
    assert "委托给我的" in taken.text
    assert "陈*安" in taken.text
    assert family.parent.id_no not in taken.text
    both = await giver.get("/entrust")
    assert "林*满" in both.text
    action = both.one("//form[contains(@action, '/end')]").get("action")
    ended = await giver.send(both, action)
    assert "同时失效" in ended.text
    assert "委托给我的" not in (await taker.get("/entrust")).text


async def test_nothing_chosen_and_no_day_are_explained_at_their_fields(family: Family) -> None:
    giver = await family.as_parent()
    for fields, words in (
        ({"until": "2026-12-31"}, "请选择委托办理的事项"),
        ({"item": SCHOOL, "until": "2030-01-01"}, "最长一年"),
        ({"item": SCHOOL, "until": ""}, "请写明委托到哪一天"),
        ({"item": SCHOOL, "until": "x"}, "请写明委托到哪一天"),
    ):
        page = await giver.send(await giver.get("/entrust"), "/entrust", fields)
        assert (page.status, words in page.text) == (422, True), page.text


async def test_the_other_parent_disputes_and_an_officer_settles(family: Family) -> None:
    world = family.world
    mother = world.person("林小满", "19880203")
    await world.certificate(
        "birth", (family.child, "child"), (family.parent, "father"), (mother, "mother"), born_on="2019-04-12"
    )
    await world.certificate("school_record", (family.child, "child"))
    case = await world.case(family.parent, family.child)
    detail = world.detail(case, ["school_record"], basis="guardian")
    started = await world.ask("dg-edu", case, [detail], of=family.parent)
    (given,) = await world.agree(family.parent, started.public_id)
    browser = family.browser()
    await browser.sign_in(subject=await world.subject(mother))
    page = await browser.send(await browser.get("/accesses?of=1"), f"/grants/{given.public_id}/dispute")
    assert "有争议，已冻结" in (await browser.get("/accesses?of=1")).text
    officer = await family.as_officer("complaints")
    page = await officer.get("/disputes")
    assert "孩子 陈*诺，监护人 陈*安" in page.text
    page = await officer.send(page, "/disputes", {"decision": "stop"})
    assert "已处理" in page.text
    assert "已收回或终止" in (await browser.get("/accesses?of=1")).text

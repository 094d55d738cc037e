"""Whole stories over the real pages, without a script: who decides for whom, from opening a case to the decision.

A guardian, a delegate, a company's agent, and somebody without a phone; two guardians of whom one withdraws; a disputed
one; and the midnight of an 18th birthday.
"""

from datetime import date, timedelta

import pytest
from registry.makers import credit
from web.pages.family import Browser, Family, Page, make_family
from web.pages.test_paper_consent import hand_in, printed, scanned
from web.pages.test_use_code import spoken
from world import Person, World

from hub.actor import SYSTEM
from hub.cases.procedure import load_procedures
from hub.clock import day_start
from hub.registry import officers
from hub.registry.roster import OfficerRow

SCHOOL, STARTUP = "441900-edu-points-enrolment", "441900-market-company-startup"


@pytest.fixture
async def city(world: World, tmp_path) -> Family:
    """The family with all departments, each with a decider and a clerk."""
    family = await make_family(world, tmp_path, all_papers=True)
    deciding = {step.department for step in load_procedures()[SCHOOL].steps} | {"dg-market"}
    rows = [OfficerRow(n, slug, f"{slug} decides", "某批", frozenset({"decider"})) for n, slug in enumerate(deciding)]
    rows.append(OfficerRow(99, "dg-market", "market clerk", "某办", frozenset({"clerk"})))
    async with world.tx(SYSTEM) as tx:
        assert not (await officers.import_officers(tx, rows=rows, dry_run=False)).errors
        family.officers |= {one.login: one.id for one in await officers.all_officers(tx)}
    return family


@pytest.fixture
def database(sqlite_database: str) -> str:
    """Pages are the same on both databases; the rows behind them have tests of their own."""
    return sqlite_database


async def signed_in(family: Family, person: Person) -> Browser:
    browser = family.browser()
    await browser.sign_in(subject=await family.world.subject(person))
    return browser


async def agrees(browser: Browser, page: Page | None = None) -> str:
    """Open what waits, read it, tick everything, agree; the words that were read."""
    listed = await browser.get("/requests")
    link = next(one for one in listed.links() if one.startswith("/requests/"))
    page = await browser.get(link)
    every = [box.get("value") for box in page.root.xpath("//input[@name='field' or @name='all']")]
    done = await browser.send(page, link, {"decision": "agree", "field": every})
    assert "您已同意" in done.text
    return page.text


async def accepted_and_decided(family: Family, clerk: Browser, case: Page, *, steps: dict[str, str]) -> None:
    """What is missing is promised, the case is accepted, and every department decides its own step."""
    at = case.url.path
    promised = {box.get("name"): "2026-12-20" for box in case.root.xpath("//input[@type='date']")}
    accepted = await clerk.send(case, f"{at}/accept", promised)
    assert "各部门办理情况" in accepted.text, accepted.text[:300]
    number = at.rpartition("/")[2]
    for code, department in steps.items():
        decider = await family.as_officer(f"{department} decides")
        page = await decider.get(f"/desk/cases/{number}")
        done = await decider.send(page, f"/desk/cases/{number}/steps/{code}", {"decision": "verified"})
        assert done.status == 200
    assert "各部门都已通过" in (await clerk.get(at)).text


def steps_of(item: str) -> dict[str, str]:
    known = load_procedures().get(item)
    return {step.code: step.department for step in known.steps} if known else {"decide": "dg-market"}


async def test_a_guardian_at_the_counter_with_a_use_code(city: Family) -> None:
    phone, clerk = await city.as_parent(), await city.as_officer("clerk")
    page = await phone.get(f"/usecode?item={SCHOOL}&for=k1")
    every = [box.get("value") for box in page.root.xpath("//input[@name='all' or @name='field']")]
    page = await phone.send(page, "/usecode/choice", {"all": every})
    given = {"item": SCHOOL, "code": spoken(page)}
    case = await clerk.send(await clerk.get("/counter"), "/counter/codes", given)
    scored = await clerk.send(case, f"{case.url.path}/score")
    assert float(scored.root.xpath("string(//*[@id='score']//tfoot//td[1])")) > 0
    await accepted_and_decided(city, clerk, await clerk.get(case.url.path), steps=steps_of(SCHOOL))
    assert "各部门都已通过" in (await phone.get(f"/cases/{case.url.path.rpartition('/')[2]}")).text
    assert "监护人同意" in (await phone.get("/accesses?of=1")).text


async def test_a_delegate_stands_in_line_for_the_parent(city: Family) -> None:
    grandfather = city.world.person("陈老伯", "19550301")
    await city.world.certificate("degree", (grandfather, "owner"))
    parent, old, clerk = await city.as_parent(), await signed_in(city, grandfather), await city.as_officer("clerk")
    made = await parent.send(await parent.get("/entrust"), "/entrust", {"item": SCHOOL, "until": "2026-12-31"})
    code = made.one("//p[@class='big']/code").text
    await old.send(await old.get("/entrust"), "/entrust/take", {"code": code})
    page = await old.get(f"/usecode?item={SCHOOL}&for=p1")
    assert "委托人 陈*安 的证照（您受委托决定）" in page.text
    every = [box.get("value") for box in page.root.xpath("//input[@name='all']")]
    page = await old.send(page, "/usecode/choice", {"all": every, "for": "p1"})
    case = await clerk.send(await clerk.get("/counter"), "/counter/codes", {"item": SCHOOL, "code": spoken(page)})
    assert "1181942007001234" in case.text, "the parent's degree, not the grandfather's"
    await accepted_and_decided(city, clerk, case, steps=steps_of(SCHOOL))
    seen = await parent.get("/accesses")
    assert ("受委托人同意" in seen.text, "登录后出示用证码" in seen.text) == (True, False), "spent: it stands no more"
    ended = await parent.send(await parent.get("/entrust"), (await parent.get("/entrust")).one(
        "//form[contains(@action, '/end')]").get("action"))  # fmt: skip
    assert "同时失效" in ended.text
    gone = await old.get(f"/usecode?item={SCHOOL}")
    assert "p1" not in gone.root.xpath("//select[@name='for']/option/@value")


async def test_an_agent_sets_up_a_company(city: Family) -> None:
    world = city.world
    firm, boss = Person("东莞市某机械有限公司", credit(77), "001"), world.person("周法人")
    agent = world.person("吴经办")
    await world.certificate("business_licence", (firm, "company"), (boss, "legal_representative"))
    await world.certificate("property", (firm, "owner"))
    chief, phone = await signed_in(city, boss), await signed_in(city, agent)
    made = await chief.send(
        await chief.get("/entrust"), "/entrust", {"item": STARTUP, "until": "2026-12-31", "company": "1"}
    )
    await phone.send(await phone.get("/entrust"), "/entrust/take", {"code": made.one("//p[@class='big']/code").text})
    clerk = await city.as_officer("market clerk")
    case = await clerk.send(await clerk.get("/counter"), "/counter/cases", {"item": STARTUP, "applicant": firm.id_no})
    at = case.url.path
    stranger = await clerk.send(case, f"{at}/ask", {"decider": city.other.id_no})
    assert "等申请人决定" in stranger.text, "not told that this one may not"
    asked_of_her = (await (await signed_in(city, city.other)).get("/requests")).links()
    assert not [link for link in asked_of_her if link.startswith("/requests/")]
    wrong = await clerk.client.post(f"{at}/ask", data={"csrf": _csrf(stranger), "decider": "123"})
    assert wrong.status_code == 422
    assert (await clerk.client.post(f"{at}/ask", data={"csrf": _csrf(stranger), "decider": agent.id_no})).status_code
    read = await agrees(phone)
    assert "东莞市某机械有限公司 的证照（您代表公司决定）" in read
    verdict = await clerk.send(await clerk.get(at), f"{at}/verify")
    assert "可采信 2 份" in verdict.text, "premises and licence"
    await accepted_and_decided(city, clerk, await clerk.get(at), steps=steps_of(STARTUP))
    looks = await chief.get("/accesses?of=1")
    assert "法定代表人或经办人同意" in looks.text


def seen_of(page: Page, certificate: str) -> str:
    """What the verdict says of certificates of this name."""
    found = page.root.xpath(f"//section[.//h2='{certificate}']")
    assert found, page.text[:300]
    return " ".join(one.text_content() for one in found)


def _csrf(page: Page) -> str:
    return page.root.xpath("//input[@name='csrf']/@value")[0]


async def test_somebody_without_a_phone_from_the_door_to_the_decision(city: Family) -> None:
    clerk, second = await city.as_officer("clerk"), await city.as_officer("decider")
    page, pdf = await printed(city, clerk)
    ticks = [box.get("value") for box in page.root.xpath("//input[@name='all']")]
    await hand_in(clerk, page, scanned(pdf), *ticks)
    granted = await second.send(await second.get(page.url.path), page.url.path, {"decision": "confirm"})
    at = granted.one("//p[@class='crumb']/a[1]").get("href")
    await clerk.send(await clerk.get(at), f"{at}/verify")
    scored = await clerk.send(await clerk.get(at), f"{at}/score")
    assert scored.root.xpath("//*[@id='score']")
    await accepted_and_decided(city, clerk, await clerk.get(at), steps=steps_of(SCHOOL))


async def test_two_guardians_one_withdraws_and_one_is_disputed(city: Family) -> None:
    world = city.world
    mother = world.person("林小满", "19880203")
    await world.certificate(
        "birth", (city.child, "child"), (city.parent, "father"), (mother, "mother"), born_on="2019-04-12"
    )
    father, her, clerk = await city.as_parent(), await signed_in(city, mother), await city.as_officer("clerk")
    given = {"item": SCHOOL, "applicant": city.parent.id_no, "child_type": "111", "child": city.child.id_no}
    case = await clerk.send(await clerk.get("/counter"), "/counter/cases", given)
    at = case.url.path
    await clerk.send(case, f"{at}/ask")
    await agrees(father)
    assert "可采信" in (await clerk.send(await clerk.get(at), f"{at}/verify")).text
    # The mother did not agree; she may take back what was given over their child, and sees what was seen.
    hers = await her.get("/accesses?of=1")
    assert "已查看" in hers.text
    withdraw = next(one for one in hers.root.xpath("//form/@action") if one.endswith("/withdraw"))
    done = await her.send(hers, withdraw)
    assert "已收回" in done.text
    again = await clerk.get(at)
    assert "申请人已收回同意" in again.text
    # Asked again, the father agrees again; she disputes that he may, and all of his for the child freezes.
    await clerk.send(again, f"{at}/ask")
    await agrees(father)
    hers = await her.get("/accesses?of=1")
    await her.send(hers, next(one for one in hers.root.xpath("//form/@action") if one.endswith("/dispute")))
    verdict = await clerk.send(await clerk.get(at), f"{at}/verify")
    assert "监护有争议，授权已冻结" in seen_of(verdict, "出生医学证明")
    officer = await city.as_officer("complaints")
    await officer.send(await officer.get("/disputes"), "/disputes", {"decision": "uphold"})
    cleared = await clerk.send(await clerk.get(at), f"{at}/verify")
    assert "不可采信" not in seen_of(cleared, "出生医学证明")


async def test_at_midnight_of_the_18th_birthday_the_guardian_is_none_any_more(city: Family) -> None:
    world = city.world
    born = date(2008, 11, 25)  # 18 on 25 November 2026, in two days
    youth = world.person("陈大一", "20081125")
    await world.certificate("birth", (youth, "child"), (city.parent, "father"), born_on=born.isoformat())
    clerk = await city.as_officer("clerk")
    given = {"item": SCHOOL, "applicant": city.parent.id_no, "child_type": "111", "child": youth.id_no}
    case = await clerk.send(await clerk.get("/counter"), "/counter/cases", given)
    at = case.url.path
    await clerk.send(case, f"{at}/ask")
    await agrees(await city.as_parent())
    midnight = day_start(born.replace(year=2026))
    world.clock.advance(seconds=int((midnight - world.clock() - timedelta(seconds=1)).total_seconds()))
    await city.sequence()
    clerk = await city.as_officer("clerk")
    last = await clerk.send(await clerk.get(at), f"{at}/verify")
    assert "不可采信" not in seen_of(last, "出生医学证明"), "one second before"
    world.clock.advance(seconds=1)
    late = await clerk.send(await clerk.get(at), f"{at}/verify")
    assert "授权已到期" in seen_of(late, "出生医学证明"), "at midnight"
    parent = await city.as_parent()
    assert "我的孩子 陈*一" not in (await parent.get(f"/usecode?item={SCHOOL}")).text, "and shows no code for them"

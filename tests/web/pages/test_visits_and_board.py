"""A citizen takes a time at a window and a calendar file; everybody reads the board."""

from datetime import timedelta

from web.pages.family import Family, Page

from hub.clock import SHANGHAI

SCHOOL = "441900-edu-points-enrolment"


async def post(browser, action: str, page: Page, **fields: str) -> Page:
    token = page.root.xpath("//input[@name='csrf']/@value")[0]
    return Page(await browser.client.post(action, data={"csrf": token, **fields}))


async def test_a_clerk_opens_slots_a_citizen_takes_one_and_gives_it_back(family: Family) -> None:
    clerk = await family.as_officer("clerk")
    page = await clerk.get("/counter/slots")
    first = (family.world.clock() + timedelta(days=2)).astimezone(SHANGHAI).strftime("%Y-%m-%dT09:00")
    wrong = await post(clerk, "/counter/slots", page, place_zh="甲", place_en="a", first="soon")
    assert wrong.status == 422
    fields = {"place_zh": "市民中心 3 号窗", "place_en": "Window 3", "number": "2", "minutes": "30", "capacity": "1"}
    made = await post(clerk, "/counter/slots", page, first=first, **fields)
    assert "市民中心 3 号窗" in made.text
    assert "/counter/slots" in (await clerk.get("/counter")).links()

    parent = await family.as_parent()
    page = await parent.get(f"/visits?item={SCHOOL}")
    slots = page.root.xpath("//input[@name='slot']/@value")
    assert len(slots) == 2
    mine = await post(parent, "/visits", page, item=SCHOOL, slot=slots[0])
    assert "市民中心 3 号窗" in mine.text
    link = next(link for link in mine.links() if link.endswith(".ics"))
    calendar = await parent.client.get(link)
    assert calendar.headers["content-type"].startswith("text/calendar")
    assert b"BEGIN:VEVENT" in calendar.content
    assert family.parent.name.encode() not in calendar.content

    stranger = family.browser()
    await stranger.sign_in(subject=await family.world.subject(family.other))
    other = await stranger.get(f"/visits?item={SCHOOL}")
    assert len(other.root.xpath("//input[@name='slot']")) == 1
    assert (await stranger.client.get(link)).status_code == 404
    full = await post(stranger, "/visits", other, item=SCHOOL, slot=slots[0])
    assert full.status == 409
    assert "约满" in full.text

    gone = await post(parent, link.replace("visit.ics", "cancel"), mine)
    assert "没有预约" in gone.text
    assert (await (await family.as_officer("decider")).get("/counter/slots")).status == 403


async def test_everybody_reads_the_board_and_small_numbers_stay_hidden(family: Family) -> None:
    browser = family.browser()
    page = await browser.get("/board")
    assert page.status == 200
    assert "本月至今" in page.text
    assert "免提交" in page.text
    english = await browser.get("/board?lang=en")
    assert "How the offices do" in english.text
    told = (await browser.client.get("/board.json")).json()
    assert told["board"]["hidden_below"] == 10
    assert all(row["materials_saved"] in (None, 0) for row in told["board"]["departments"])
    csv = await browser.client.get("/board.csv")
    assert csv.text.startswith("\ufeffmonth,department,name")
    assert (await browser.get("/board?month=2020-01")).status == 404
    assert (await browser.get("/board?month=x")).status == 400

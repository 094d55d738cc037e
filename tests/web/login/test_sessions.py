"""What a sign-in is good for: fresh proof before dangerous acts, the list of devices, signing out of one and of all."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from parts import FixedClock
from web.pages.family import Browser, Family, Page, make_family
from world import World

from hub.actor import SYSTEM
from hub.consent.model import entrustments
from hub.registry import ceremony, sessions
from hub.registry.model import interrupted_forms
from hub.registry.model import sessions as table
from hub.web.pages.cookies import cookie_name
from hub.web.pages.device import device_of
from hub.web.tidy import tidy


@pytest.fixture
async def family(sqlite_database: str, clock: FixedClock, tmp_path: Path) -> AsyncIterator[Family]:
    world = World(sqlite_database, clock)
    yield await make_family(world, tmp_path)
    await world.close()


def offer(family: Family) -> dict[str, object]:
    return {"item": ["441900-edu-points-enrolment"], "until": "2026-12-24"}


def cookie(browser: Browser) -> str:
    return browser.client.cookies[cookie_name(browser.hub, "session")]


async def choose(browser: Browser, page: Page, value: str) -> Page:
    """At the demonstration's provider: be this person."""
    return await browser.send(page, str(page.url.raw_path, "ascii"), {"who": value})


async def test_a_dangerous_act_asks_for_a_fresh_proof_and_goes_on_with_the_very_form(family: Family) -> None:
    browser = await family.as_parent()
    me = f"person:{await family.world.subject(family.parent)}"
    page = await browser.get("/entrust")
    family.world.clock.advance(minutes=11)
    asked = await browser.send(page, "/entrust", offer(family))
    assert (asked.status, asked.url.path.rpartition("/")[0]) == (200, "/again")
    async with family.hub.view(SYSTEM) as view:
        assert (await view.all(sa.select(entrustments))) == []
        row = await view.first(sa.select(interrupted_forms))
    assert b"2026-12-24" not in bytes(row.sealed)
    before = cookie(browser)
    there = await browser.get(asked.one("//a[contains(@href, '/provider')]/@href"))
    assert {"prompt": "login", "max_age": "0"}.items() <= dict(there.url.params).items()
    # somebody else at the provider is not the one who is at work here
    clerk = await choose(browser, there, f"officer:{family.officers['clerk']}")
    assert (clerk.status, "不是您现在的身份" in clerk.text) == (403, True)
    assert cookie(browser) == before
    there = await browser.get(f"{asked.url.path}/provider")
    ready = await choose(browser, there, me)
    assert ready.url.path == f"{asked.url.path}/go"
    assert cookie(browser) != before, "a fresh proof gets a fresh token"
    fields = {(i.get("name"), i.get("value")) for i in ready.form("/entrust").xpath(".//input")}
    assert {("item", "441900-edu-points-enrolment"), ("until", "2026-12-24")} <= fields
    done = await browser.send(ready, "/entrust")
    assert done.status == 200
    async with family.hub.view(SYSTEM) as view:
        assert len(await view.all(sa.select(entrustments))) == 1
    thief = family.browser()
    thief.client.cookies.set(cookie_name(family.hub, "session"), before, domain="hub.example", path="/")
    assert (await thief.get("/wallet")).url.path == "/login", "the old token is worth nothing"


async def test_what_was_interrupted_is_for_its_own_session_and_for_ten_minutes(family: Family) -> None:
    browser, other = await family.as_parent(), await family.as_parent()
    page = await browser.get("/entrust")
    family.world.clock.advance(minutes=11)
    asked = await browser.send(page, "/entrust", offer(family))
    for step in ("", "/provider", "/go"):
        assert (await other.get(asked.url.path + step)).status == 410
    assert (await browser.get(f"{asked.url.path}/go")).url.path == asked.url.path, "no proof, no going on"
    family.world.clock.advance(minutes=11)
    assert (await browser.get(asked.url.path)).status == 410
    await tidy(family.hub)
    async with family.hub.view(SYSTEM) as view:
        assert await view.all(sa.select(interrupted_forms)) == []


async def test_whoever_came_by_a_link_has_no_office_power_and_proves_anew_by_another_link(family: Family) -> None:
    async with family.hub.tx(SYSTEM) as tx:
        link = await ceremony.make_link(tx, officer_id=family.officers["second"])
        clerks = await ceremony.make_link(tx, officer_id=family.officers["clerk"])
    browser = family.browser()
    await browser.send(await browser.get(f"/enter/{link.token}"), f"/enter/{link.token}")
    family.world.clock.advance(minutes=11)
    page = await browser.get("/officer")
    token = page.one("//form[@action='/logout']//input[@name='csrf']/@value")
    sent = await browser.client.post("/officer/orders/x", data={"csrf": token, "decision": "confirm"})
    asked = Page(sent)
    assert "一次性链接" in asked.text
    assert (await browser.get(f"{asked.url.path}/provider")).status == 400
    clerk = family.browser()
    page = await clerk.send(await clerk.get(f"/enter/{clerks.token}"), f"/enter/{clerks.token}")
    token = page.one("//form[@action='/logout']//input[@name='csrf']/@value")
    refused = Page(await clerk.client.post("/office/cases/x", data={"csrf": token}))
    assert (refused.status, "统一身份认证" in refused.text) == (403, True)


async def test_the_list_of_devices_and_signing_out_of_one_and_of_all(family: Family) -> None:
    phone, desk, other = await family.as_parent(), await family.as_parent(), await family.as_officer("clerk")
    async with family.hub.tx(SYSTEM) as tx:
        await tx.run(
            table.update()
            .where(table.c.token_hash == sessions.token_hash(cookie(phone)))
            .values(device="微信 WeChat · Android")
        )
    page = await desk.get("/devices")
    assert "微信 WeChat · Android" in page.text
    assert page.text.count("退出这台设备") == 2
    assert "（就是这台）" in page.root.xpath("//h2")[0].text_content(), "this one first"
    theirs = (await other.get("/devices")).root.xpath("//form[contains(@action, '/devices/')]/@action")
    token = page.one("//form[@action='/logout']//input[@name='csrf']/@value")
    stranger = next(one for one in theirs if one != "/devices/end")
    assert Page(await desk.client.post(stranger, data={"csrf": token})).status == 404
    mine = [one for one in page.root.xpath("//form/@action") if one.startswith("/devices/") and one != "/devices/end"]
    done = await desk.send(page, mine[1])
    assert done.url.path == "/devices"
    assert (await phone.get("/wallet")).url.path == "/login"
    assert (await desk.get("/wallet")).url.path == "/wallet"
    third = await family.as_parent()
    out = await desk.send(await desk.get("/devices"), "/devices/end")
    assert (out.url.path, out.links().count("/login/demo/leave")) == ("/", 1)
    left = await desk.get("/login/demo/leave")
    assert [one.headers["location"].partition("?")[0] for one in left.answer.history] == [
        "https://hub.example/demo-login/leave", "https://hub.example/"
    ], "the provider's own sign-out, and home"  # fmt: skip
    for browser in (desk, third):
        assert (await browser.get("/wallet")).url.path == "/login"
    assert (await other.get("/counter")).url.path == "/counter"


def test_a_browser_is_named_as_coarsely_as_a_person_would() -> None:
    phone = "Mozilla/5.0 (Linux; Android 14; ABC) AppleWebKit/537.36 Chrome/120.0 Mobile MicroMessenger/8.0.47"
    desk = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/140.0 Safari/537.36 Edg/140.0"
    assert (device_of(phone), device_of(desk)) == ("微信 WeChat · Android", "Edge · Windows")
    assert device_of("curl/8") == device_of("") == ""

"""The frame of every page: headers, one heading, languages, large text, forms that nobody else can send."""

import json
from pathlib import Path

import httpx
import pytest
from registry.makers import AUDIENCE
from web.pages.family import Family, Page, count, make_hub
from world import World

from hub.actor import SYSTEM
from hub.main import app as make_app
from hub.registry import ceremony
from hub.registry.model import sessions
from hub.web.demodirectory import demo_provider
from hub.web.pages.render import environment


@pytest.fixture
def database(sqlite_database: str) -> str:
    """The frame is the same on every database; one is enough."""
    return sqlite_database


OPEN_PAGES = ["/", "/login", "/help", "/verify", "/v/unknown", "/no-such-page"]
CITIZEN_PAGES = ["/wallet", "/requests", "/accesses"]
OFFICER_PAGES = {"clerk": "/counter", "issuing": "/officer", "auditor": "/auditor", "operator": "/admin"}


def assert_framed(page: Page) -> None:
    """What is true of every page, whatever it says."""
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["cache-control"] == "no-store"
    assert page.headers["strict-transport-security"].startswith("max-age=")
    assert len(page.root.xpath("//h1")) == 1
    assert page.root.xpath("//body/a[1]/@class") == ["skip"]
    assert not page.root.xpath("//*[@style] | //style | //script | //*[starts-with(name(@*), 'on')]")
    assert " - " in page.one("//title").text
    ids = page.root.xpath("//@id")
    assert len(ids) == len(set(ids)), "an id appears twice"
    for form in page.root.xpath("//form"):
        assert form.get("action")
        assert form.get("method") in ("get", "post")
        if form.get("method") == "post":
            assert form.xpath(".//input[@name='csrf' and string-length(@value) > 20]")
    for field in page.root.xpath("//input[not(@type='hidden')] | //select | //textarea"):
        named = page.root.xpath(f"//label[@for='{field.get('id')}']") if field.get("id") else []
        assert named or field.xpath("ancestor::label"), f"no label: {field.get('name')}"
    for image in page.root.xpath("//svg"):
        assert image.get("aria-hidden") == "true"


@pytest.mark.parametrize("path", OPEN_PAGES)
async def test_open_pages_are_framed(family: Family, path: str) -> None:
    browser = family.browser()
    assert_framed(await browser.get(path))
    english = await browser.get(f"{path}?lang=en")
    assert_framed(english)
    assert english.root.get("lang") == "en"


@pytest.mark.parametrize("path", CITIZEN_PAGES)
async def test_citizen_pages_are_framed_and_closed_to_others(family: Family, path: str) -> None:
    assert_framed(await (await family.as_parent()).get(path))
    stranger = await family.browser().get(path)
    assert stranger.url.path == "/login"
    officer = await (await family.as_officer("clerk")).get(path)
    assert officer.status == 403
    assert_framed(officer)


@pytest.mark.parametrize("login", OFFICER_PAGES)
async def test_officer_pages_are_framed_and_closed_to_other_roles(family: Family, login: str) -> None:
    path = OFFICER_PAGES[login]
    assert_framed(await (await family.as_officer(login)).get(path))
    for other in OFFICER_PAGES:
        answer = await (await family.as_officer(other)).get(path)
        assert (answer.status == 200) == (other == login), (other, path)
    assert (await (await family.as_parent()).get(path)).status == 403


async def test_no_chinese_is_left_in_the_frame_of_an_english_page(family: Family) -> None:
    browser = await family.as_parent()
    page = await browser.get("/help?lang=en")
    texts = [t.strip() for t in page.root.xpath("//text()") if any("\u4e00" <= c <= "\u9fff" for c in t)]
    assert set(texts) <= {"一门 Yimen", "Help - 一门 Yimen", "中文", "陈*安"}, texts


async def test_language_and_large_text_are_remembered(family: Family) -> None:
    browser = family.browser()
    await browser.get("/?lang=en&care=1")
    page = await browser.get("/help")
    assert page.root.get("lang") == "en"
    assert page.root.get("data-care") == "1"
    back = await browser.get("/help?care=0&lang=zh-CN")
    assert back.root.get("data-care") == "0"
    assert back.root.get("lang") == "zh-CN"


async def test_session_cookie_is_bound_to_the_host_and_hidden_from_scripts(family: Family) -> None:
    browser = family.browser()
    page = await browser.get("/login/demo")
    choice = page.root.xpath("//input[@name='who' and starts-with(@value, 'officer:')]/@value")[0]
    arrived = (await browser.send(page, str(page.url.raw_path, "ascii"), {"who": choice})).answer
    answer = arrived.history[-1]
    assert (answer.status_code, answer.url.path) == (303, "/login/demo/back")
    cookie = next(c for c in answer.headers.get_list("set-cookie") if "-session=" in c)
    assert cookie.startswith("__Host-yimen-session=")
    for attribute in ("HttpOnly", "Secure", "SameSite=lax", "Path=/"):
        assert attribute in cookie


@pytest.mark.parametrize(
    ("headers", "token"),
    [
        ({"sec-fetch-site": "cross-site"}, "right"),
        ({"sec-fetch-site": "same-site"}, "right"),
        ({"origin": "https://evil.example"}, "right"),
        ({"origin": "null"}, "right"),
        ({"origin": "https://["}, "right"),
        ({}, "wrong"),
        ({}, "missing"),
    ],
)
async def test_forged_posts_do_nothing(family: Family, headers: dict[str, str], token: str) -> None:
    browser = family.browser()
    page = await browser.get("/login/demo")
    address = str(page.url.raw_path, "ascii")
    form = page.form(address)
    data = {"who": form.xpath(".//*[@name='who']/@value | .//option/@value")[0]}
    if token != "missing":
        right = form.xpath(".//input[@name='csrf']/@value")[0]
        data["csrf"] = right if token == "right" else right[:-1] + ("A" if right[-1] != "A" else "B")
    before = await count(family.hub, sessions)
    answer = Page(await browser.client.post(address, data=data, headers=headers))
    assert answer.status == 403
    assert "没有办理" in answer.text
    assert await count(family.hub, sessions) == before


async def test_login_leads_only_to_our_own_pages(family: Family) -> None:
    for target in ("https://evil.example/", "//evil.example", "/\\evil.example", "//[", "javascript:alert(1)"):
        browser = family.browser()
        page = Page(await browser.client.get("/login/demo", params={"next": target}))
        choice = page.root.xpath("//input[@name='who']/@value")[0]
        answer = await browser.send(page, str(page.url.raw_path, "ascii"), {"who": choice})
        assert answer.answer.history[-1].headers["location"] == "/"


async def test_signing_out_ends_the_session_on_the_server(family: Family) -> None:
    browser = await family.as_parent()
    kept = dict(browser.client.cookies)
    page = await browser.get("/wallet")
    await browser.send(page, "/logout")
    browser.client.cookies.clear()
    for name, value in kept.items():
        browser.client.cookies.set(name, value, domain="hub.example", path="/")
    assert (await browser.get("/wallet")).url.path == "/login"


async def test_demo_login_refuses_to_exist_in_production(world: World, tmp_path: Path) -> None:
    hub = make_hub(world, tmp_path, production=True)
    with pytest.raises(RuntimeError, match="production"):
        demo_provider(hub)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(make_app(hub)), base_url=AUDIENCE) as client:
        page = Page(await client.get("/login", headers={"accept": "text/html"}))
        assert not page.root.xpath("//a[starts-with(@href, '/login/')]")
        assert "尚未接入" in page.text
        assert not page.root.xpath("//*[@id='sandbox']")
        for path in ("/demo-login/authorize", "/demo-login/.well-known/openid-configuration", "/login/demo"):
            assert (await client.get(path)).status_code == 404


async def test_one_time_link_is_spent_by_the_button_and_not_by_looking(family: Family) -> None:
    async with family.hub.tx(SYSTEM) as tx:
        link = await ceremony.make_link(tx, officer_id=family.officers["operator"])
    browser = family.browser()
    for _ in range(2):
        page = await browser.get(f"/enter/{link.token}")
    assert (await browser.send(page, f"/enter/{link.token}")).url.path == "/admin"
    again = family.browser()
    page = await again.get(f"/enter/{link.token}")
    assert (await again.send(page, f"/enter/{link.token}")).status == 401


async def test_errors_are_told_as_pages_with_a_number(family: Family) -> None:
    page = await family.browser().get("/no-such-page")
    assert page.status == 404
    assert [h.text for h in page.root.xpath("//main//h2")] == ["发生了什么", "这意味着什么", "现在可以怎么办"]
    assert "请求编号" in page.text


async def test_footer_shows_the_checkpoint(family: Family) -> None:
    await family.sequence()
    page = await family.browser().get("/")
    footer = " ".join(page.one("//footer").text_content().split())
    assert "透明日志：共 " in footer
    assert "2026年11月23日 09:30" in footer


def test_every_template_compiles() -> None:
    loaded = environment()
    names = loaded.list_templates(extensions=["html"])
    assert len(names) > 15
    for name in names:
        loaded.get_template(name)


async def test_people_of_the_story_are_offered_by_key(family: Family) -> None:
    people = [
        {"key": f"p{n}", "zh": f"人{n}", "en": f"person {n}", "id_type": "111", "id_no": family.parent.id_no}
        for n in range(9)
    ]
    path = family.hub.settings.data_dir / "demo" / "people.json"
    path.parent.mkdir()
    path.write_text(json.dumps(people), encoding="utf-8")
    browser = family.browser()
    page = await browser.get("/login?as=p7&next=/accesses")
    assert family.parent.id_no not in page.root.text_content()
    assert (await browser.send(page, str(page.url.raw_path, "ascii"))).url.path == "/accesses"
    every = await browser.get("/login/demo")
    assert len(every.root.xpath("//option")) == 5
    assert not every.root.xpath("//*[starts-with(@value, 'person:')]"), "nobody but the story's people"

"""The nine pages in a real browser without scripts: one school place, from asking to who looked.

The screenshots are looked at by a person; YIMEN_WRITE_SCREENSHOTS=1 puts them into docs/screenshots/.
"""

import shutil
from pathlib import Path

import pytest
from parts import FixedClock
from playwright.async_api import Page
from walks.screens import BASE, DOCS, WRITE, Eyes, chromium_at, picture, served
from web.pages.family import Family, make_family
from world import World

IN_DOCS = (
    "home", "login", "wallet", "approve", "who-looked", "counter", "verdict", "score", "department", "auditor",
    "verified", "altered",
)  # fmt: skip


async def enter(page: Page, family: Family, who: str) -> None:
    """Sign in through the demo login by pressing the button that a person would press."""
    await page.goto(f"{BASE}/login/demo")
    if who == "parent":
        chosen = str(await family.world.subject(family.parent))
        await page.locator("#who-person").select_option(f"person:{chosen}")
        await page.locator("form:has(#who-person) button").click()
    else:
        await page.locator(f"form:has(input[value='officer:{family.officers[who]}']) button").click()


@pytest.fixture
async def family(sqlite_database: str, clock: FixedClock, tmp_path: Path) -> Family:
    world = World(sqlite_database, clock)
    return await make_family(world, tmp_path, all_papers=True)


async def test_the_nine_pages(family: Family, tmp_path: Path, chromium: str) -> None:
    folder = tmp_path / "screens"
    folder.mkdir()
    async with served(family.app, tmp_path) as port, chromium_at(port, chromium) as browser:
        eyes = Eyes(browser, folder)
        async with eyes.visitor() as page:
            await walk(page, eyes, family)
        await large_text(eyes, family)
    await family.world.close()
    if WRITE:
        DOCS.mkdir(parents=True, exist_ok=True)
        for name in IN_DOCS:
            for width in ("phone", "desktop"):
                shutil.copy(folder / f"{name}-{width}.png", DOCS)
    assert eyes.complaints == []
    assert {f"{name}-phone.png" for name in IN_DOCS} <= {p.name for p in folder.iterdir()}


async def walk(page: Page, eyes: Eyes, family: Family) -> None:
    await page.goto(BASE)
    await eyes.look(page, "home")
    await page.goto(f"{BASE}/login")
    await eyes.look(page, "login")

    await enter(page, family, "clerk")
    await page.wait_for_url(f"{BASE}/counter")
    await eyes.look(page, "counter")
    await page.fill("#applicant", family.parent.id_no)
    await page.fill("#child", family.child.id_no)
    await page.click("text=开办件 >> nth=-1")
    case = page.url
    await page.click("button:has-text('请申请人同意')")
    await eyes.look(page, "counter-asked")
    assert family.parent.id_no not in page.url

    await enter(page, family, "parent")
    await family.sequence()
    await page.goto(f"{BASE}/wallet")
    await eyes.look(page, "wallet")
    await page.click("a:has-text('看内容') >> nth=0")
    await eyes.look(page, "certificate")
    await page.goto(f"{BASE}/apply")
    await eyes.look(page, "apply")
    await page.goto(f"{BASE}/requests")
    await page.click("a:has-text('看看要什么')")
    await eyes.look(page, "approve")
    agree, refuse = [await page.locator(f"button[value={word}]").bounding_box() for word in ("agree", "refuse")]
    assert agree
    assert refuse
    assert (agree["width"], agree["height"]) == (refuse["width"], refuse["height"]), "no answer is the easier one"
    for box in await page.locator("input[name=all]:visible").all():
        await box.check()
    await page.click("button[value=agree]")
    await eyes.look(page, "approved")

    await enter(page, family, "clerk")
    await page.goto(case)
    await page.click("button:has-text('核验证照')")
    await eyes.look(page, "verdict", at="#verdict")
    await page.click("button:has-text('按核验结果评分')")
    await eyes.look(page, "score", at="#score")

    await enter(page, family, "parent")
    await page.goto(f"{BASE}/accesses")
    await eyes.look(page, "who-looked-pending")
    await family.sequence()
    await page.goto(f"{BASE}/accesses")
    await eyes.look(page, "who-looked", at="#looks")
    await page.click("button:has-text('收回同意')")
    await eyes.look(page, "withdrawn")

    await enter(page, family, "issuing")
    sheet = "姓名,证件号码\n甲,1\n".encode("gb18030")
    await page.set_input_files("#file", {"name": "a.csv", "mimeType": "text/csv", "buffer": sheet})
    await page.click("button:has-text('提交')")
    await enter(page, family, "second")
    await eyes.look(page, "department")

    await enter(page, family, "auditor")
    await eyes.look(page, "auditor")
    await page.click("a:has-text('追溯') >> nth=0")
    await eyes.look(page, "trace")
    await enter(page, family, "operator")
    await eyes.look(page, "system")

    await page.goto(f"{BASE}/verify")
    await eyes.look(page, "verify")
    await page.fill("#text", await family.token())
    await page.click("button:has-text('核验') >> nth=-1")
    await eyes.look(page, "verified")
    await page.fill("#text", (await family.token())[:-30] + "A" * 29 + "~")
    await page.click("button:has-text('核验') >> nth=-1")
    await eyes.look(page, "altered")
    await page.goto(f"{BASE}/v/{family.degree}")
    await eyes.look(page, "landing")
    await page.goto(f"{BASE}/nowhere")
    await eyes.look(page, "error")
    assert "404" in eyes.complaints.pop(), "the browser itself notes the 404"
    await enter(page, family, "parent")
    await page.goto(f"{BASE}/wallet?lang=en")
    await eyes.look(page, "english")


async def large_text(eyes: Eyes, family: Family) -> None:
    """The version for old people: larger letters, targets of 60 px, still nothing sticks out at 320 px."""
    async with eyes.visitor() as page:
        await enter(page, family, "parent")
        await page.goto(f"{BASE}/wallet?care=1")
        await picture(page, eyes.folder / "care-phone.png", whole=True)
        for path in ("/wallet", "/accesses", "/requests", "/inbox/settings", "/verify", "/help", "/"):
            await page.goto(f"{BASE}{path}")
            await eyes.check(page, f"care {path}", tap=60)

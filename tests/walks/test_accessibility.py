"""Every kind of page, standard and large text, has no violation of WCAG 2.2 A and AA that axe can find.

axe cannot find everything: tap sizes, folding at 320 px and the order of things are in `test_screens.py`.
"""

import hashlib
from pathlib import Path

from parts import FixedClock
from playwright.async_api import Page
from walks.screens import BASE, Eyes, chromium_at, served
from walks.test_screens import enter
from web.pages.family import Family, make_family
from world import World

from hub.actor import SYSTEM
from hub.notices.derive import derive
from hub.notices.looks import read_looks

AXE = Path(__file__).parent / "vendor" / "axe-4.12.1.min.js"
SHA256 = "84494fec757e4710dc751c8d7a636e457f4532f08f85c86dc9070133fbff53bc"
RULES = "['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa']"


class Judge:
    """Runs axe on a page and remembers what it found."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.script = AXE.read_text(encoding="utf-8")
        self.found: list[str] = []
        self.seen = 0

    async def see(self, name: str, path: str = "") -> None:
        if path:
            await self.page.goto(BASE + path)
        for fold in await self.page.locator("summary").all():
            await fold.click()
        run = f"axe.run(document, {{runOnly: {RULES}}}).then(r => r.violations.map(v => v.id + ' ' + v.nodes[0].html))"
        self.found += [f"{name}: {fault}" for fault in await self.page.evaluate(f"{self.script};{run}")]
        self.seen += 1


def test_the_vendored_script_is_the_one_named() -> None:
    assert hashlib.sha256(AXE.read_bytes()).hexdigest() == SHA256


async def test_no_violation(sqlite_database: str, clock: FixedClock, tmp_path: Path, chromium: str) -> None:
    world = World(sqlite_database, clock)
    family = await make_family(world, tmp_path, all_papers=True)
    async with (
        served(family.app, tmp_path) as port,
        chromium_at(port, chromium) as browser,
        Eyes(browser, tmp_path).visitor(scripts=True) as page,
    ):
        judge = Judge(page)
        await page.set_content("<p style='color: #bbb'>grey</p><input>")
        await judge.see("a bad page")
        assert len(judge.found) >= 3, "the judge sees faults where there are some"
        judge.found.clear()
        await walk(judge, family)
        await page.goto(f"{BASE}/?care=1")
        for path in (
            "/",
            "/wallet",
            "/requests",
            "/accesses",
            "/verify",
        ):  # large text changes sizes and colours only
            await judge.see(f"{path} in large text", path)
    await world.close()
    assert judge.found == []
    assert judge.seen > 18


async def walk(judge: Judge, family: Family) -> None:
    page = judge.page
    for path in ("/", "/login", "/login/demo", "/help", "/verify", "/nowhere"):
        await judge.see(path, path)
    await enter(page, family, "clerk")
    await page.fill("#applicant", "123")
    await page.click("text=开办件 >> nth=-1")
    await judge.see("counter with an error")
    await page.fill("#applicant", family.parent.id_no)
    await page.fill("#child", family.child.id_no)
    await page.click("text=开办件 >> nth=-1")
    case = page.url
    await page.click("button:has-text('请申请人同意')")
    await enter(page, family, "parent")
    for path in (
        "/wallet",
        "/requests",
        "/inbox/settings",
        "/accesses",
        f"/wallet/{family.degree}",
        "/devices",
    ):
        await judge.see(path, path)
    for path in ("/usecode?item=441900-edu-points-enrolment", "/office-rules"):
        await judge.see(path, path)
    await page.goto(f"{BASE}/usecode?item=441900-edu-points-enrolment")
    await page.click("button:has-text('出示用证码')")
    await judge.see("a use code")
    await page.goto(f"{BASE}/requests")
    await page.click("a:has-text('看看要什么')")
    await judge.see("approve")
    await page.click("button[value=agree]")
    await judge.see("approved")
    await enter(page, family, "clerk")
    await page.goto(case)
    await page.click("button:has-text('核验证照')")
    await page.click("button:has-text('按核验结果评分')")
    await judge.see("verdict and score")
    await enter(page, family, "parent")
    await judge.see("who looked", "/accesses")
    await family.sequence()
    async with family.hub.tx(SYSTEM) as tx:
        assert (await derive(tx, types=family.hub.types, looks=await read_looks(tx))).leaves
    await judge.see("messages", "/inbox")
    for who in ("issuing", "auditor", "operator"):
        await enter(page, family, who)
        await judge.see(who)
    await enter(page, family, "auditor")
    await page.click("a:has-text('追溯') >> nth=0")
    await judge.see("trace")
    await page.goto(f"{BASE}/verify")
    await page.fill("#text", await family.token())
    await page.click("button:has-text('核验') >> nth=-1")
    await judge.see("verified")
    await judge.see("landing", f"/v/{family.degree}")

"""用证码 on the pages, without a script: choose, show, reload, typed or scanned at the counter, told afterwards."""

from datetime import timedelta

import pytest
import sqlalchemy as sa
from web.pages.family import Browser, Family, Page

from hub.access.model import accesses
from hub.actor import SYSTEM
from hub.catalogue.sources import answers_pulls
from hub.paper import qr
from hub.registry.publish import publish_types
from hub.verification import pull
from hub.web import pulling

SCHOOL = "441900-edu-points-enrolment"


@pytest.fixture
def database(sqlite_database: str) -> str:
    """Pages are the same on both databases; `tests/consent/test_use_code.py` is about the rows."""
    return sqlite_database


async def shown(family: Family, browser: Browser, *, child: bool = True) -> Page:
    """The parent chooses, ticks the degree, and looks at the page with the code."""
    page = await browser.get(f"/usecode?item={SCHOOL}" + ("&for=k1" if child else "&for=me"))
    label = page.one("//section[h3='学历学位证书']//label[.//input[@name='all']]")
    ticked = label.xpath(".//input/@value")
    return await browser.send(page, "/usecode/choice", {"all": ticked})


def spoken(page: Page) -> str:
    return page.one("//p[contains(@class, 'spoken')]/code").text


async def test_what_the_citizen_reads_before_showing_a_code(family: Family) -> None:
    browser = await family.as_parent()
    first = await browser.get("/usecode")
    assert SCHOOL in first.root.xpath("//select[@name='item']/option/@value")
    page = await browser.get(f"/usecode?item={SCHOOL}")
    assert not page.root.xpath("//input[@type='checkbox'][@checked]"), "optional claims start unticked"
    for words in ("东莞市教育局的窗口", "1 次，用过就作废", "60 秒", "为什么：", "看不到：", "不出示会怎样"):
        assert words in page.text, words
    demanded = await browser.get("/usecode?item=441900-realestate-transfer")
    assert "须用通行密钥" in demanded.text


async def test_a_code_is_typed_at_the_counter_and_the_phone_tells_who_looked(family: Family) -> None:
    phone, clerk = await family.as_parent(), await family.as_officer("clerk")
    page = await shown(family, phone)
    first = spoken(page)
    again = await phone.get(page.url.path)
    assert spoken(again) != first, "a reload shows a new one"
    assert first not in str(page.url)
    assert again.headers["cache-control"] == "no-store"
    counter = await clerk.get("/counter")
    wrong = await clerk.send(counter, "/counter/codes", {"item": SCHOOL, "code": first})
    assert (wrong.status, "请申请人刷新页面" in wrong.text) == (422, True)
    case = await clerk.send(wrong, "/counter/codes", {"item": SCHOOL, "code": spoken(again).lower()})
    assert case.url.path.startswith("/counter/cases/")
    assert "学历学位证书" in case.one("//section[.//h2='学历学位证书']").text_content()
    assert "陈䶮安" in case.text
    assert family.parent.id_no not in case.root.text_content()
    used = await phone.get(page.url.path)
    assert ("已经用过" in used.text, "东莞市教育局" in used.text) == (True, True)
    assert "已查看" in (await phone.get("/accesses")).text
    assert "出生医学证明" in (await phone.get("/accesses?of=1")).text, "and at the child's, as guardian"


async def test_what_only_a_source_has_is_asked_for_before_the_look(family: Family, monkeypatch) -> None:
    """The agent for employment is at the line, but does not answer: that is no "no record", and the rest is shown."""
    monkeypatch.setattr(pulling, "REMEMBERED_SECONDS", 0)
    monkeypatch.setattr(pull, "WAIT_SECONDS", 0.5)
    issuer = family.world.acting(await family.world.department("dg-hrss"))
    async with family.hub.tx(SYSTEM) as tx:
        await publish_types(tx, family.hub.types.values())
    async with family.hub.tx(issuer) as tx:
        until = family.hub.clock() + timedelta(minutes=1)
        assert await answers_pulls(tx, types=["employment"], until=until) == ["employment"]
    phone, clerk = await family.as_parent(), await family.as_officer("clerk")
    page = await shown(family, phone, child=False)
    given = {"item": SCHOOL, "code": spoken(page)}
    case = await clerk.send(await clerk.get("/counter"), "/counter/codes", given)
    assert "可采信" in case.one("//section[.//h2='学历学位证书']").text_content()
    asked = case.one("//section[.//h2='在莞就业与经营记录']").text_content()
    assert "暂无法核验" in asked
    assert "不等于没有记录" in asked
    async with family.hub.view(SYSTEM) as view:
        rows = await view.all(sa.select(accesses).order_by(accesses.c.subject_seq))
    looks = [(row.reason, row.outcome) for row in rows if row.type_code == "employment"]
    assert looks == [("pull.asked", "undecided"), ("pull.unavailable", "undecided")], "both are told to the citizen"


async def test_the_qr_code_says_the_long_code_and_works_in_the_persons_own_case(family: Family) -> None:
    phone, clerk = await family.as_parent(), await family.as_officer("clerk")
    case = await family.world.case(family.parent)
    page = await shown(family, phone, child=False)
    picture = page.one("//*[local-name()='svg'][@class='code']")
    size = int(picture.get("viewbox").split()[2])
    assert size == qr.modules("A" * 26) + 8
    text = _read(page.one("//*[local-name()='svg'][@class='code']/*[local-name()='path']").get("d"), size)
    seen = await clerk.get(f"/counter/cases/{case.public_id}")
    seen = await clerk.send(seen, f"/counter/cases/{case.public_id}/code", {"code": text})
    assert "可采信" in seen.text
    score = await clerk.send(seen, f"/counter/cases/{case.public_id}/score")
    assert score.root.xpath("//*[@id='score']")


def _read(path: str, size: int) -> str:
    """The text of a QR code that is drawn as squares `Mx,yHx'Vy'Hxz`, read back by a reader of such codes."""
    scale = 4
    gray = bytearray(b"\xff" * (size * scale) ** 2)
    for square in path.replace("z", " ").replace("M", "").split():
        x, _, rest = square.partition(",")
        y = rest.partition("H")[0]
        for row in range(int(y) * scale, (int(y) + 1) * scale):
            start = row * size * scale + int(x) * scale
            gray[start : start + scale] = bytes(scale)
    (text,) = qr.decode(bytes(gray), size * scale, size * scale)
    return text


async def test_stopped_and_another_ones(family: Family) -> None:
    phone, clerk = await family.as_parent(), await family.as_officer("clerk")
    page = await shown(family, phone)
    code = spoken(page)
    stopped = await phone.send(page, f"{page.url.path}/stop")
    assert "没有人用过" in stopped.text
    wrong = await clerk.send(await clerk.get("/counter"), "/counter/codes", {"item": SCHOOL, "code": code})
    assert wrong.status == 422
    other = family.browser()
    await other.sign_in(subject=await family.world.subject(family.other))
    assert (await other.get(page.url.path)).status == 404


async def test_too_many_wrong_codes_reach_the_auditors(family: Family) -> None:
    clerk = await family.as_officer("clerk")
    page = await clerk.get("/counter")
    for number in range(6):
        given = {"item": SCHOOL, "code": f"ABCDEFG{number + 2}"}
        page = await clerk.send(page if number == 0 else await clerk.get("/counter"), "/counter/codes", given)
    assert (page.status, "已告知审计人员" in page.text) == (429, True)
    assert 0 < int(page.headers["retry-after"]) <= 3600
    audit = await (await family.as_officer("auditor")).get("/auditor")
    assert "多次输错用证码" in audit.one("//*[@id='alarms']").text_content()


@pytest.mark.parametrize("lang", ["zh-CN", "en"])
async def test_the_rules_are_published(family: Family, lang: str) -> None:
    page = await family.browser().get(f"/office-rules?lang={lang}")
    wanted = ["dg-data", "article 35", "30 days", "Wrong use codes"]
    if lang == "zh-CN":
        wanted = ["dg-data", "第三十五条", "30 天", "工作人员输错用证码"]
    for words in wanted:
        assert words in page.text, words

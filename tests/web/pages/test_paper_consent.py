"""Assisted consent: a form printed, signed and scanned, a second officer, told later, withdrawn at any counter."""

import pytest
import sqlalchemy as sa
from web.pages.family import Browser, Family, Page

from hub.actor import SYSTEM
from hub.consent.model import paper_consents
from hub.notices.derive import derive
from hub.notices.model import NoticeKind, notices
from hub.paper.mupdf import mupdf
from hub.registry import officers
from hub.registry.roster import OfficerRow

SCHOOL = "441900-edu-points-enrolment"


@pytest.fixture
def database(sqlite_database: str) -> str:
    """Pages are the same on both databases."""
    return sqlite_database


async def printed(family: Family, clerk: Browser) -> tuple[Page, bytes]:
    """A clerk opens a case for the parent and child, has seen the card, and prints: (the form's page, its PDF)."""
    given = {"item": SCHOOL, "applicant": family.parent.id_no, "child_type": "111", "child": family.child.id_no}
    case = await clerk.send(await clerk.get("/counter"), "/counter/cases", given)
    page = await clerk.send(case, f"{case.url.path}/paper", {"document_no": family.parent.id_no})
    pdf = (await clerk.client.get(f"{page.url.path}/form.pdf")).content
    return page, pdf


def scanned(pdf: bytes, pages: int | None = None) -> bytes:
    """The signed form as an office scanner gives it: a PDF of pictures."""
    with mupdf.open("pdf", pdf) as document, mupdf.open() as scan:
        for sheet in list(document)[:pages]:
            page = scan.new_page(width=sheet.rect.width, height=sheet.rect.height)
            page.insert_image(page.rect, stream=sheet.get_pixmap(dpi=110, colorspace=mupdf.csGRAY).tobytes("png"))
        return bytes(scan.tobytes(deflate=True, no_new_id=True))


async def hand_in(clerk: Browser, page: Page, scan: bytes, *ticks: str) -> Page:
    files = {"file": ("scan.pdf", scan, "application/pdf")}
    return await clerk.send(page, f"{page.url.path}/scan", {"all": list(ticks)}, files=files)


async def test_somebody_without_a_phone_gets_the_school_place_checked(family: Family) -> None:
    first, second = await family.as_officer("clerk"), await family.as_officer("decider")
    page, pdf = await printed(family, first)
    with mupdf.open("pdf", pdf) as document:
        text = "".join("".join(sheet.get_text().split()) for sheet in document)
    for words in ("东莞市教育局", "必须看：", "看不到：", "为什么：", "□", "不同意", "收回", "已查验居民身份证原件"):
        assert words in text, words
    assert family.parent.id_no not in text
    assert family.parent.id_no not in page.root.text_content()
    degree = page.one("//label[contains(., '学历学位证书')]/input").get("value")
    waiting = await hand_in(first, page, scanned(pdf), degree)
    assert "等另一名工作人员" in waiting.text
    assert not waiting.root.xpath("//button[@value='confirm']"), "not the one who saw the signature"
    csrf = waiting.one("//form[@action='/logout']//input[@name='csrf']").get("value")
    own = Page(await first.client.post(page.url.path, data={"csrf": csrf, "decision": "confirm"}))
    assert (own.status, "须由本部门另一名" in own.text) == (403, True)

    todo = await second.get("/counter/paper")
    assert "等另一名工作人员复核" in todo.text
    page2 = await second.get(page.url.path)
    assert "已勾选" in page2.text
    assert (await second.client.get(f"{page.url.path}/scan")).content == scanned(pdf)
    granted = await second.send(page2, page.url.path, {"decision": "confirm"})
    assert "已生效" in granted.text
    assert (await second.get(f"{page.url.path}/scan")).status == 404, "nobody at the counter opens it again"
    slip = (await first.client.get(f"{page.url.path}/slip.pdf")).content
    with mupdf.open("pdf", slip) as document:
        text = "".join("".join(sheet.get_text().split()) for sheet in document)
    number = granted.one("//dl/dd[2]").text
    assert (number in text, "任何一个部门的窗口" in text) == (True, True)

    case = await first.get(granted.one("//p[@class='crumb']/a[1]").get("href"))
    verdict = await first.send(case, f"{case.url.path}/verify")
    assert "1181942007001234" in verdict.text
    async with family.hub.view(await family.world.citizen(family.parent)) as view:
        (row,) = await view.all(sa.select(paper_consents))
    sealed = await family.hub.blobs.get(row.blob, sha256=row.blob_sha256)
    assert b"%PDF" not in sealed

    async with family.hub.tx(SYSTEM) as tx:
        await derive(tx, types=family.hub.types)
    async with family.hub.view(await family.world.citizen(family.parent)) as view:
        kinds = {row.kind for row in await view.all(sa.select(notices.c.kind))}
    assert (NoticeKind.GIVEN in kinds, NoticeKind.ASKED in kinds) == (True, False), "told, and not asked anything"
    later = await family.as_parent()
    assert "您签过一份纸质同意" in (await later.get("/wallet")).text
    told = await later.get("/accesses")
    assert "纸质签字，两名工作人员见证（可信程度较低）" in told.text

    stranger = await family.as_officer("stranger")  # a counter of another department
    at_counter = await stranger.get("/counter/paper")
    given = {"document_type": "111", "document_no": family.parent.id_no}
    nobody = {"document_type": "111", "document_no": family.other.id_no}
    assert "（如有）" in (await stranger.send(at_counter, "/counter/paper/withdraw", nobody)).text
    done = await stranger.send(at_counter, "/counter/paper/withdraw", {**given, "slip": number.lower()})
    assert "已收回，立即生效" in done.text
    assert "申请人已收回同意" in (await first.get(case.url.path)).text
    again = Page(await first.client.post(f"{case.url.path}/verify", data={"csrf": csrf}))
    assert again.status == 409


async def test_the_wrong_document_another_form_and_a_photo_of_nothing_are_refused(family: Family) -> None:
    clerk = await family.as_officer("clerk")
    page, pdf = await printed(family, clerk)
    case = page.one("//a[contains(@href, '/counter/cases/')]").get("href")
    wrong = await clerk.send(await clerk.get(case), f"{case}/paper", {"document_no": family.other.id_no})
    assert (wrong.status, "不能由别人代签" in wrong.text) == (403, True)
    degree = page.one("//label[contains(., '学历学位证书')]/input").get("value")
    other, _ = await printed(family, clerk)
    assert "拿错了表" in (await hand_in(clerk, other, scanned(pdf), degree)).text
    own = (await clerk.client.get(f"{other.url.path}/form.pdf")).content
    assert "扫描件不全" in (await hand_in(clerk, other, scanned(own, 1), degree)).text, "the signature is at the end"
    assert (await hand_in(clerk, other, b"%PDF-1.7 (nothing)", degree)).status == 422
    waiting = await hand_in(clerk, page, scanned(pdf), degree)
    second = await family.as_officer("decider")
    refused = await second.send(await second.get(waiting.url.path), waiting.url.path, {"decision": "refuse"})
    assert "复核不通过" in refused.text
    assert (await (await family.as_officer("stranger")).get(page.url.path)).status == 404


async def test_a_form_is_good_for_a_day_and_the_days_number_is_capped(family: Family) -> None:
    world = family.world
    clerk, second = await family.as_officer("clerk"), await family.as_officer("decider")
    page, pdf = await printed(family, clerk)
    degree = page.one("//label[contains(., '学历学位证书')]/input").get("value")
    waiting = await hand_in(clerk, page, scanned(pdf), degree)
    world.clock.advance(hours=24)
    await family.sequence()
    clerk, second = await family.as_officer("clerk"), await family.as_officer("decider")
    late = await second.send(await second.get(waiting.url.path), waiting.url.path, {"decision": "confirm"})
    assert (late.status, "已过 24 小时" in late.text) == (409, True)
    pages = []
    for number in range(16):
        person = world.person(f"某{number}")
        case = await world.case(person)
        opened = await clerk.get(f"/counter/cases/{case.public_id}")
        pages.append(await clerk.send(opened, f"/counter/cases/{case.public_id}/paper", {"document_no": person.id_no}))
    assert [one.status for one in pages] == [200] * 15 + [429]
    audit = await (await family.as_officer("auditor")).get("/auditor")
    assert "许多纸质同意" in audit.one("//*[@id='alarms']").text_content()


async def test_an_item_that_takes_a_passkey_only_takes_no_paper(family: Family) -> None:
    world = family.world
    await world.department("dg-realestate")
    row = OfficerRow(9, "dg-realestate", "estate", "何某", frozenset({"clerk"}))
    async with world.tx() as tx:
        assert not (await officers.import_officers(tx, rows=[row], dry_run=False)).errors
        family.officers["estate"] = next(o.id for o in await officers.all_officers(tx) if o.login == "estate")
    case = await world.case(family.parent, item="441900-realestate-transfer")
    clerk = await family.as_officer("estate")
    page = await clerk.get(f"/counter/cases/{case.public_id}")
    told = await clerk.send(page, f"{page.url.path}/paper", {"document_no": family.parent.id_no})
    assert (told.status, "不能用纸质同意" in told.text) == (403, True)

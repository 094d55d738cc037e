"""The counter: a case from the id number, consent asked, verified once, scored line by line."""

import pytest
from web.pages.family import Browser, Family, Page, count

from hub.access.model import accesses
from hub.certificates.model import StatusEvent


async def opened(family: Family, browser: Browser) -> Page:
    page = await browser.get("/counter")
    fields = {"applicant": family.parent.id_no, "child_type": "111", "child": family.child.id_no}
    fields["item"] = "441900-edu-points-enrolment"
    return await browser.send(page, "/counter/cases", fields)


async def agreed(family: Family, clerk: Browser, case: Page) -> Page:
    """The clerk asks, the parent agrees to everything, and the clerk reloads."""
    await clerk.send(case, f"{case.url.path}/ask")
    parent = await family.as_parent()
    request = next(link for link in (await parent.get("/requests")).links() if link.startswith("/requests/"))
    page = await parent.get(request)
    every = [box.get("value") for box in page.root.xpath("//input[@name='field']")]
    await parent.send(page, request, {"decision": "agree", "field": every})
    return await clerk.get(case.url.path)


async def test_the_id_number_never_gets_into_an_address(family: Family) -> None:
    case = await opened(family, await family.as_officer("clerk"))
    assert case.url.path.startswith("/counter/cases/")
    assert family.parent.id_no not in str(case.url)
    assert family.parent.id_no not in case.root.text_content()
    assert "陈" not in case.text, "nothing about the person is shown before they agreed"


@pytest.mark.parametrize("number", ["", "441900198506010017X", "441900198506010011", "<script>"])
async def test_a_mistyped_number_is_explained_at_its_field(family: Family, number: str) -> None:
    browser = await family.as_officer("clerk")
    page = await browser.get("/counter")
    answer = await browser.send(
        page, "/counter/cases", {"applicant": number, "item": "441900-edu-points-enrolment", "child": ""}
    )
    assert answer.status == 422
    field = answer.one("//input[@id='applicant']")
    assert field.get("aria-invalid") == "true"
    assert field.get("value") == number
    assert answer.one("//div[@role='alert']//a").get("href") == "#applicant"


async def test_nothing_can_be_verified_before_the_applicant_agreed(family: Family) -> None:
    clerk = await family.as_officer("clerk")
    case = await opened(family, clerk)
    asked = await clerk.send(case, f"{case.url.path}/ask")
    assert "等申请人决定" in asked.text
    assert not [f for f in asked.root.xpath("//form/@action") if f.endswith("/verify")]
    token = asked.root.xpath("//input[@name='csrf']/@value")[0]
    answer = Page(await clerk.client.post(f"{case.url.path}/verify", data={"csrf": token}))
    assert answer.status == 409
    assert await count(family.hub, accesses) == 0


async def test_a_case_is_verified_and_scored_line_by_line(family: Family) -> None:
    clerk = await family.as_officer("clerk")
    case = await agreed(family, clerk, await opened(family, clerk))
    assert "申请人已同意" in case.text
    before = await count(family.hub, accesses)
    verdict = await clerk.send(case, f"{case.url.path}/verify")
    assert verdict.url.path == case.url.path, "a reload must not verify again"
    assert await count(family.hub, accesses) > before
    assert "可采信 3 份" in verdict.text
    assert "陈䶮安" in verdict.text
    assert family.parent.id_no not in verdict.root.text_content(), "masked on a screen that others can see"
    checks = verdict.root.xpath("//section[.//h2='学历学位证书']//ol[@class='checks']/li")
    assert len(checks) == 10
    after = await count(family.hub, accesses)
    again = await clerk.get(case.url.path)
    assert "可采信 3 份" in again.text
    assert await count(family.hub, accesses) == after
    score = await clerk.send(again, f"{case.url.path}/score")
    rows = score.root.xpath("//*[@id='score']//tbody/tr")
    assert len(rows) >= 5
    shown = [float(row.xpath("string(td[1])")) for row in rows]
    total = float(score.root.xpath("string(//*[@id='score']//tfoot//td[1])"))
    assert abs(sum(shown) - total) < 0.001
    assert total > 0
    assert "学历学位证书" in score.root.xpath("string(//*[@id='score']//tbody)")


async def test_a_revoked_certificate_is_refused_with_its_reason(family: Family) -> None:
    clerk = await family.as_officer("clerk")
    case = await agreed(family, clerk, await opened(family, clerk))
    await family.world.change(family.degree, StatusEvent.REVOKE, by="dg-degree")
    verdict = await clerk.send(case, f"{case.url.path}/verify")
    assert "不可采信 1 份" in verdict.text
    assert "证照已被发证部门撤销" in verdict.text
    assert "1181942007001234" not in verdict.text


async def test_a_kept_verdict_dies_with_the_consent(family: Family) -> None:
    clerk = await family.as_officer("clerk")
    case = await agreed(family, clerk, await opened(family, clerk))
    verdict = await clerk.send(case, f"{case.url.path}/verify")
    assert "1181942007001234" in verdict.text
    parent = await family.as_parent()
    page = await parent.get("/accesses")
    action = page.root.xpath("//form[contains(@action, 'withdraw')]/@action")[0]
    await parent.send(page, action)
    after = await clerk.get(case.url.path)
    assert "申请人已收回同意" in after.text
    assert "1181942007001234" not in after.text
    assert "陈䶮安" not in after.text


async def test_a_kept_verdict_ends_after_ten_minutes(family: Family) -> None:
    clerk = await family.as_officer("clerk")
    case = await agreed(family, clerk, await opened(family, clerk))
    assert "1181942007001234" in (await clerk.send(case, f"{case.url.path}/verify")).text
    family.world.clock.advance(minutes=11)
    await family.sequence()
    assert "1181942007001234" not in (await clerk.get(case.url.path)).text


async def test_another_departments_clerk_does_not_find_the_case(family: Family) -> None:
    case = await opened(family, await family.as_officer("clerk"))
    stranger = await family.as_officer("stranger")
    assert (await stranger.get(case.url.path)).status == 404
    token = (await stranger.get("/counter")).root.xpath("//input[@name='csrf']/@value")[0]
    for act in ("ask", "verify", "score"):
        answer = Page(await stranger.client.post(f"{case.url.path}/{act}", data={"csrf": token}))
        assert answer.status == 404, act

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

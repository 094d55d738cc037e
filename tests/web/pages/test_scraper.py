"""A script that reads a list of identity numbers through the counter's pages and office power, and what stops it."""

import pytest
from web.pages.family import Family, Page

SCHOOL = "441900-edu-points-enrolment"


@pytest.fixture
def database(sqlite_database: str) -> str:
    """Pages are the same on both databases; `tests/consent/test_guard.py` counts on both."""
    return sqlite_database


async def test_a_list_of_numbers_read_fast_by_two_officers_who_work_together(family: Family) -> None:
    world = family.world
    people = [world.person(f"某{number}") for number in range(25)]
    for person in people:
        await world.certificate("degree", (person, "owner"))
    opener, reader = await family.as_officer("clerk"), await family.as_officer("decider")
    second = await family.as_officer("clerk")
    counter = await opener.get("/counter")
    cases: list[str] = []
    stopped: Page | None = None
    for person in people:
        page = await opener.send(counter, "/counter/cases", {"item": SCHOOL, "applicant": person.id_no})
        if page.status == 429:
            stopped = page
            break
        cases.append(page.url.path.rpartition("/")[2])
    assert (len(cases), stopped is not None) == (20, True), "twenty cases an hour, then another officer is needed"
    assert "已告知审计人员" in stopped.text
    token = counter.root.xpath("//input[@name='csrf']/@value")[0]
    refused = await opener.client.post(f"/counter/cases/{cases[0]}/ask", data={"csrf": token})
    assert refused.status_code == 429, "nor may the same officer go on at the next door"

    seen, waiting = 0, 0
    for case in cases:
        page = await reader.get(f"/counter/cases/{case}")
        page = await reader.send(page, f"/office/cases/{case}")
        if "等第二人同意" in page.text:
            waiting += 1
            if waiting <= 3:  # the friend agrees to some
                await second.send(await second.get(page.url.path), page.url.path, {"decision": "agree"})
                page = await reader.get(page.url.path)
        if "可以查验" in page.text:
            await reader.send(page, f"{page.url.path}/look")
            seen += 1
    assert (seen, waiting) == (8, 15), "five alone, the others only as far as a second officer agrees"

    first = family.browser()
    await first.sign_in(subject=await world.subject(people[0]))
    told = await first.get("/accesses")
    assert "依职能查验" in told.text
    auditor = await family.as_officer("auditor")
    audit = await auditor.get("/auditor?basis=office_power")
    assert "替许多人开办件" in audit.one("//*[@id='alarms']").text_content()
    assert f"共 {seen * 3} 条" in audit.text, "every look, certificate by certificate"

    # Another officer of the department knows why, and vouches: as many again, and the ledger says who did.
    page = await reader.get("/office")
    assert "等另一名工作人员放行" in page.text
    page = await reader.send(page, "/office/holds")
    assert "等另一名工作人员放行" not in page.text
    again = await opener.send(counter, "/counter/cases", {"item": SCHOOL, "applicant": people[24].id_no})
    assert again.status == 200


async def test_numbers_that_nobody_has_are_a_list_being_tried(family: Family) -> None:
    clerk = await family.as_officer("clerk")
    counter = await clerk.get("/counter")
    told = []
    for number in range(11):
        person = family.world.person(f"无{number}")
        told.append((await clerk.send(counter, "/counter/cases", {"item": SCHOOL, "applicant": person.id_no})).status)
    assert told == [200] * 10 + [429]
    audit = await (await family.as_officer("auditor")).get("/auditor")
    assert "连续输入没有记录的证件号码" in audit.one("//*[@id='alarms']").text_content()


async def test_wanting_to_see_somebody_without_their_document_or_case_is_counted(family: Family) -> None:
    clerk = await family.as_officer("clerk")
    case = await family.world.case(family.parent)
    page = await clerk.get(f"/counter/cases/{case.public_id}")
    told = []
    for _ in range(12):
        again = await clerk.send(page, f"{page.url.path}/paper", {"document_no": family.other.id_no})
        told.append(again.status)
    assert told == [403] * 11 + [429]
    audit = await (await family.as_officer("auditor")).get("/auditor")
    assert "没有在办办件却想看" in audit.one("//*[@id='alarms']").text_content()

"""Office power on the pages: a clerk asks and looks once; the citizen and the auditors see it."""

from web.pages.family import Family


async def test_a_clerk_looks_by_office_power_and_everybody_concerned_sees_it(family: Family) -> None:
    case = await family.world.case(family.parent, family.child)
    clerk = await family.as_officer("clerk")
    page = await clerk.get(f"/counter/cases/{case.public_id}")
    page = await clerk.send(page, f"/office/cases/{case.public_id}")
    assert "可以查验" in page.text
    page = await clerk.send(page, f"{page.url.path}/look")
    assert ("已查验" in page.text, "学位" in page.text) == (True, True)
    assert family.parent.id_no not in page.text
    assert "未核实" in (await clerk.get("/office-rules")).text
    mine = await (await family.as_parent()).get("/accesses")
    assert "依职能查验" in mine.text
    assert not mine.root.xpath("//form[contains(@action, '/withdraw')]")
    stranger = await family.as_officer("stranger")
    assert (await stranger.get(page.url.path.removesuffix("/look"))).status == 404


async def test_a_stopped_look_reaches_the_citizen_and_the_auditors(family: Family) -> None:
    clerk = await family.as_officer("clerk")
    page = await clerk.get("/counter")
    given = {"item": "441900-edu-points-enrolment", "applicant": family.parent.id_no}
    page = await clerk.send(page, "/counter/cases", given)
    case = page.url.path.rpartition("/")[2]
    stopped = await clerk.send(page, f"/office/cases/{case}")  # a case that she opened herself
    assert (stopped.status, "另一名工作人员开立" in stopped.text) == (403, True)
    assert "办件是同一名工作人员开立的" in (await (await family.as_parent()).get("/accesses")).text
    audit = await (await family.as_officer("auditor")).get("/auditor")
    assert "办件是同一名工作人员开立的" in audit.one("//*[@id='alarms']").text_content()

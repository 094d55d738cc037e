"""A case on the pages: gathered with one consent, uploaded, accepted, decided, mended; a wrong record corrected."""

import pytest
from cases.test_uploads import pdf
from web.pages.family import Family, Page

from hub.cases.procedure import load_procedures

SCHOOL = "441900-edu-points-enrolment"


async def applied(family: Family) -> tuple[object, Page]:
    """The parent applies for the child and agrees once; everything is gathered."""
    parent = await family.as_parent()
    apply = await parent.get("/apply")
    case = await parent.send(apply, "/cases", {"item": SCHOOL, "child": "1"})
    at = case.url.path
    request = await parent.send(case, f"{at}/gather")
    assert request.url.path.startswith("/requests/")
    every = [box.get("value") for box in request.root.xpath("//input[@name='field']")]
    await parent.send(request, request.url.path, {"decision": "agree", "field": every})
    gathered = await parent.send(await parent.get(at), f"{at}/gather")
    assert gathered.url.path == at
    return parent, gathered


async def test_from_the_application_to_the_decisions(family: Family) -> None:
    parent, case = await applied(family)
    at = case.url.path
    number = at.rpartition("/")[2]
    assert "平台已核验，不用带" in case.text
    assert "预审：还有内容不清楚" in case.text
    bad = await parent.send(case, f"{at}/materials", {"material": "work"}, files={"file": ("a.pdf", pdf(script=True))})
    assert bad.status == 422
    assert "不能接收" in bad.root.text_content()
    paper = pdf()
    sent = await parent.send(case, f"{at}/materials", {"material": "work"}, files={"file": ("a.pdf", paper)})
    assert "已上传，等工作人员看" in sent.text

    clerk = await family.as_officer("clerk")
    desk = await clerk.get(f"/counter/cases/{number}")
    link = next(link for link in desk.links() if link.endswith("/file"))
    file = await clerk.client.get(link)
    assert file.content == paper
    assert file.headers["content-disposition"].startswith("attachment")
    judged = await clerk.send(desk, link.removesuffix("/file"), {"decision": "accepted"})
    compared = await clerk.send(judged, link.removesuffix("/file"), {"decision": "compare"})
    assert "B 级：原件已核对" in compared.text
    refused = await clerk.send(compared, f"/counter/cases/{number}/accept")
    assert refused.status == 422
    fields = {box.get("name"): "2026-12-01" for box in compared.root.xpath("//input[@type='date']")}
    assert fields, "what is still missing may be promised"
    accepted = await clerk.send(compared, f"/counter/cases/{number}/accept", fields)
    assert "各部门办理情况" in accepted.text

    stranger = await family.as_officer("si-decider")
    own = await stranger.get(f"/desk/cases/{number}")
    assert "SI-0019283" not in own.text, "conclusions only"
    assert "核定参保年限" in own.text
    step = f"/desk/cases/{number}/steps/insurance"
    assert not [f for f in own.root.xpath("//form/@action") if "/steps/" in f and f != step]
    mend = await stranger.send(own, step, {"decision": "mend", "note": "请补 2020 年缴费证明"})
    assert not [f for f in mend.root.xpath("//form/@action") if f == step]
    told = await parent.get(at)
    assert "请补 2020 年缴费证明" in told.text
    back = await parent.send(told, f"{at}/steps/insurance/resume")
    assert "请补 2020 年缴费证明" not in back.text
    no = await stranger.send(await stranger.get(f"/desk/cases/{number}"), step, {"decision": "not_eligible"})
    assert no.status == 422, "a rejection needs words"
    page = await stranger.get(f"/desk/cases/{number}")
    done = await stranger.send(page, step, {"decision": "not_eligible", "note": "参保不满一年"})
    assert "不通过" in done.text
    assert "参保不满一年" in (await parent.get(at)).text
    ended = await parent.send(await parent.get(at), f"{at}/withdraw")
    assert "申请人已撤回" in ended.text
    assert len(load_procedures()[SCHOOL].steps) == 8


async def test_a_wrong_certificate_is_objected_to_and_answered(family: Family) -> None:
    parent = await family.as_parent()
    page = await parent.get(f"/wallet/{family.degree}")
    filed = await parent.send(page, f"/wallet/{family.degree}/object", {"words": "专业写错了"})
    assert filed.url.path == "/objections"
    assert "专业写错了" in filed.text
    assert "2026年12月14日" in filed.text
    handler = await family.as_officer("degree-complaints")
    queue = await handler.get("/complaints")
    assert "专业写错了" in queue.text
    action = queue.root.xpath("//form[contains(@action, '/complaints/')]/@action")[0]
    early = await handler.send(queue, action, {"outcome": "superseded", "words": "已更正"})
    assert early.status == 422
    answered = await handler.send(queue, action, {"outcome": "explained", "words": "与学籍档案一致"})
    assert "没有错，已说明" in answered.text
    assert "与学籍档案一致" in (await parent.get("/objections")).text


@pytest.mark.parametrize("path", ["/objections", "/complaints"])
async def test_nobody_else_comes_in(family: Family, path: str) -> None:
    assert (await family.browser().get(path)).url.path == "/login"

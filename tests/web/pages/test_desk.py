"""The desk: a review of a score asked for and answered, a ranking announced, closed, drawn and checked by anybody."""

import csv
import hashlib
import io

from web.pages.family import Family, Page
from web.pages.test_counter import agreed, opened


async def scored(family: Family) -> Page:
    clerk = await family.as_officer("clerk")
    case = await agreed(family, clerk, await opened(family, clerk))
    return await clerk.send(await clerk.send(case, f"{case.url.path}/verify"), f"{case.url.path}/score")


async def test_a_review_is_asked_for_and_answered(family: Family) -> None:
    number = (await scored(family)).url.path.rpartition("/")[2]
    parent = await family.as_parent()
    mine = await parent.get(f"/cases/{number}")
    asked = await parent.send(mine, f"/cases/{number}/review", {"reason": "社保少算了一年"})
    assert "等待答复" in asked.text
    assert "2026年11月30日" in asked.text
    assert not asked.root.xpath("//textarea"), "once for each score"
    stranger = await family.as_officer("si-decider")
    assert (await stranger.get(f"/desk/cases/{number}")).status == 404
    assert (await (await family.as_officer("clerk")).get("/desk")).status == 403
    decider = await family.as_officer("decider")
    desk = await decider.get("/desk")
    page = await decider.get(next(link for link in desk.links() if number in link).partition("#")[0])
    assert "社保少算了一年" in page.text
    assert "重算" in page.text
    action = page.root.xpath("//form[contains(@action, 'reviews')]/@action")[0]
    answer = await decider.send(page, action, {"answer": "按同一依据重算，结果一致"})
    assert "维持原评分" in answer.text
    after = await parent.get(f"/cases/{number}")
    assert "按同一依据重算，结果一致" in after.text
    assert "没有等待答复的复核" in (await decider.get("/desk")).text


async def test_a_ranking_is_announced_closed_drawn_and_checked(family: Family) -> None:
    number = (await scored(family)).url.path.rpartition("/")[2]
    decider = await family.as_officer("decider")
    fields = {"item": "441900-edu-points-enrolment", "title": "松山湖小学一年级", "places": "2"}
    made = await decider.send(await decider.get("/desk"), "/desk/rankings", fields)
    assert "已公告" in made.text
    at = made.url.path
    closed = await decider.send(made, f"/desk{at}/close")
    assert "名单已截止" in closed.text
    drawn = await decider.send(closed, f"/desk{at}/draw")
    assert "已公示" in drawn.text

    anybody = family.browser()
    notice = await anybody.client.get(f"{at}/1/notice.csv")
    facts = (await anybody.client.get(f"{at}/facts.json")).json()
    assert hashlib.sha256(notice.content).hexdigest() == facts["drawn"][0]["notice_sha256"]
    assert hashlib.sha256(bytes.fromhex(facts["seed"])).hexdigest() == facts["announced"]["seed_sha256"]
    row = next(csv.DictReader(io.StringIO(notice.text)))
    parent = await family.as_parent()
    mine = await parent.get(f"/cases/{number}")
    assert row["receipt"] in mine.text
    assert "第 1 名" in mine.text
    assert number not in notice.text
    found = await anybody.get(f"{at}?receipt={row['receipt']}")
    assert "第 1 名" in found.text
    assert "在学位数以内" in found.text
    assert "没有这个回执号" in (await anybody.get(f"{at}?receipt=nobody")).text
    assert "松山湖小学一年级" in (await anybody.get("/rankings")).text
    assert not [f for f in (await anybody.get(at)).root.xpath("//form/@action") if "/desk/" in f]
    again = await decider.send(drawn, f"/desk{at}/draw", {"reason": ""})
    assert again.status == 400

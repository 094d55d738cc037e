"""Auditors: facets, one look followed to its proof, and their own searches recorded."""

import sqlalchemy as sa
from web.pages.family import Family, count
from web.pages.test_citizen import looked

from hub.access.model import profiles
from hub.actor import SYSTEM
from hub.ledger.model import leaves
from hub.oversight.model import audit_searches
from hub.verification.model import Ask


async def test_a_look_is_followed_from_request_to_leaf(family: Family) -> None:
    await looked(family)
    browser = await family.as_officer("auditor")
    page = await browser.get("/auditor")
    trace = next(link for link in page.links() if link.startswith("/auditor/accesses/"))
    waiting = await browser.get(trace)
    assert "正在编入日志" in waiting.text
    await family.sequence()
    proved = await browser.get(trace)
    assert "证明成立" in proved.text
    assert "没有超出授权" in proved.text
    assert "本人同意" in proved.text
    assert family.parent.id_no not in proved.root.text_content()
    assert "陈" not in proved.text


async def test_an_auditors_own_search_is_recorded_and_shown(family: Family) -> None:
    browser = await family.as_officer("auditor")
    before = await count(family.hub, leaves)
    await browser.get("/auditor?outcome=refused")
    assert await count(family.hub, audit_searches) == 1
    assert await count(family.hub, leaves) == before + 1
    assert "outcome=refused" in (await browser.get("/auditor")).text


async def test_facets_narrow_the_search(family: Family) -> None:
    case, grants = await family.world.grant(family.parent, ["degree"])
    for _ in range(2):
        await family.world.verify(case, grants, [Ask("degree")])
    browser = await family.as_officer("auditor")
    page = await browser.get("/auditor")
    assert "共 2 条" in page.text
    refused = next(link for link in page.links() if "outcome=refused" in link)
    assert "共 1 条" in (await browser.get(refused)).text
    assert "共 0 条" in (await browser.get("/auditor?until=2020-01-01")).text
    wrong = await browser.get("/auditor?since=yesterday")
    assert wrong.one("//div[@role='alert']//a").get("href") == "#since"


async def test_what_went_beyond_the_grant_is_seen(family: Family) -> None:
    await looked(family)
    async with family.hub.tx(SYSTEM) as tx:
        await tx.run(profiles.update().values(fields=[["number"], ["secret_extra"]]))
        assert await tx.value(sa.select(sa.func.count()).select_from(profiles)) == 1
    browser = await family.as_officer("auditor")
    page = await browser.get("/auditor")
    trace = next(link for link in page.links() if link.startswith("/auditor/accesses/"))
    assert "超出授权" in (await browser.get(trace)).text


async def test_a_stranger_cannot_follow_a_look(family: Family) -> None:
    await looked(family)
    browser = await family.as_officer("clerk")
    assert (await browser.get("/auditor/accesses/x")).status == 403

"""Old people on a phone: search in everyday words, read what is still to be brought; never "nothing" by accident."""

from pathlib import Path

import pytest
from web.pages.family import Family, Page, make_family
from world import World

from hub.catalogue.catalogue import load_catalogue
from hub.registry.publish import publish_types

SCHOOL = "441900-edu-points-enrolment"
UNEMPLOYMENT = "441900-hrss-unemployment"


@pytest.fixture
async def town(world: World, tmp_path: Path) -> Family:
    """The family, in a hub with the whole catalogue."""
    world.items = load_catalogue()  # type: ignore[assignment]
    made = await make_family(world, tmp_path)
    async with world.tx() as tx:
        await publish_types(tx, world.types.values())
    return made


async def test_anybody_searches_in_everyday_words_without_javascript(town: Family) -> None:
    page = await town.browser().get("/items?q=小孩上学")
    assert page.status == 200
    form = page.form("/items")
    assert form.get("method") == "get"
    assert f"/items/{SCHOOL}" in page.links()
    assert not page.root.xpath("//script")
    assert "没有找到" in (await town.browser().get("/items?q=zzzz")).text
    assert "1817" in (await town.browser().get("/items?q=zzzz")).text


async def test_a_skeleton_never_says_that_nothing_must_be_brought(town: Family) -> None:
    code = next(one.code for one in town.hub.items.listed if not one.complete)  # type: ignore[attr-defined]
    for browser in (town.browser(), await town.as_parent()):
        page = await browser.get(f"/items/{code}")
        assert "尚未编目，请咨询窗口" in page.text
        assert "不等于什么都不用带" in page.text
        assert "您不用带" not in page.text
        assert not page.root.xpath("//form[@action='/cases']")
    plan = (await (await town.as_parent()).client.get(f"/items/{code}/plan")).json()
    assert (plan["catalogued"], plan["bring"], plan["requirements"]) == (False, None, [])


async def test_the_plan_says_what_to_bring_and_why_in_both_languages(town: Family) -> None:
    browser = await town.as_parent()
    page = await browser.get(f"/items/{SCHOOL}")
    assert "陈*诺" in page.text
    assert "不用带，已登记" in page.text
    assert "您还要带" in page.text
    english = await browser.get(f"/items/{SCHOOL}?lang=en")
    assert "thing(s) to bring" in english.text
    stranger = await town.browser().get(f"/items/{SCHOOL}")
    assert "登录查看" in stranger.text
    assert "您还要带" not in stranger.text


async def test_the_plan_of_somebody_who_is_not_signed_in_is_nobodys(town: Family) -> None:
    answer = await town.browser().client.get(f"/items/{SCHOOL}/plan", headers={"Accept": "application/json"})
    assert answer.status_code == 401
    officer = await town.as_officer("clerk")
    assert (await officer.client.get(f"/items/{SCHOOL}/plan")).status_code == 403


async def test_the_json_plan_agrees_with_the_page_and_carries_no_contents(town: Family) -> None:
    browser = await town.as_parent()
    plan = (await browser.client.get(f"/items/{SCHOOL}/plan")).json()
    page = await browser.get(f"/items/{SCHOOL}")
    assert f"您还要带 {len(plan['bring'])} 样" in page.text
    degree = next(r for r in plan["requirements"] if r["options"][0]["type"] == "degree")
    assert degree["way"] == "held"
    assert degree["options"][0]["certificate"] == town.degree
    assert "东莞理工学院" not in str(plan)
    assert town.parent.id_no not in str(plan)


async def test_a_citizen_applies_from_the_page_of_the_item(town: Family) -> None:
    browser = await town.as_parent()
    page = await browser.get(f"/items/{SCHOOL}")
    form = page.form("/cases")
    fields = {i.get("name"): i.get("value") for i in form.xpath(".//input[@type='hidden']")}
    opened = Page(await browser.client.post("/cases", data=fields))
    assert opened.status == 200
    assert "/cases/" in str(opened.url)
    skeleton = next(one.code for one in town.hub.items.listed if not one.complete and one.subject == "natural")  # type: ignore[attr-defined]
    refused = Page(await browser.client.post("/cases", data={"csrf": fields["csrf"], "item": skeleton}))
    assert refused.status == 422
    assert "尚未编目" in refused.text


async def test_the_list_says_how_many_things_are_left(town: Family) -> None:
    page = await (await town.as_parent()).get("/items?q=失业")
    assert "您还要带" in page.text
    assert f"/items/{UNEMPLOYMENT}" in page.links()


@pytest.mark.parametrize("query", ["q=" + "啊" * 300, "page=999", "page=-1", "class=nothing&level=x", "q=%00%01"])
async def test_odd_addresses_are_told_calmly(town: Family, query: str) -> None:
    assert (await town.browser().get(f"/items?{query}")).status in (200, 400)


async def test_programs_search_too(town: Family) -> None:
    client = town.browser().client
    found = (await client.get("/v1/items?q=驾照&subject=natural")).json()
    assert found["items"][0]["zh"] == "驾驶证期满换证"
    every = (await client.get("/v1/items?offset=1800")).json()
    assert (every["total"], len(every["items"]), every["has_more"]) == (1817, 17, False)
    assert (await client.get(f"/v1/items/{UNEMPLOYMENT}")).json()["level"] == "town"

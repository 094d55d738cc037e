"""A citizen applies with nothing but who they are; the office sees the case, and nobody else does."""

from web.pages.family import Family, Page

SCHOOL = "441900-edu-points-enrolment"


async def opened(family: Family) -> Page:
    browser = await family.as_parent()
    page = await browser.get("/apply")
    form = next(
        f for f in page.root.xpath("//form[@action='/cases']") if SCHOOL in f.xpath(".//input/@value")
    )
    fields = {i.get("name"): i.get("value") for i in form.xpath(".//input[@type='hidden']")}
    child = form.xpath(".//select[@name='child']/option/@value")[0]
    answer = await browser.client.post("/cases", data={**fields, "child": child})
    return Page(answer)


async def test_a_case_is_opened_for_a_child_without_typing_a_number(family: Family) -> None:
    page = await opened(family)
    assert page.status == 200
    assert "随迁子女积分制入学" in page.text
    assert "陈*诺" in page.text
    for private in (family.child.id_no, family.parent.id_no, family.child.name):
        assert private not in page.root.text_content() + str(page.url)
    case = str(page.url).rpartition("/")[2]
    counter = await (await family.as_officer("clerk")).get("/counter")
    assert any(link.endswith(case) for link in counter.links())
    mine = await (await family.as_parent()).get("/apply")
    assert f"/cases/{case}" in mine.links()


async def test_items_of_offices_that_are_not_connected_are_not_offered(family: Family) -> None:
    page = await (await family.as_parent()).get("/apply")
    offered = set(page.root.xpath("//form[@action='/cases']/input[@name='item']/@value"))
    assert SCHOOL in offered
    assert offered == {
        code
        for code, item in family.hub.items.items()
        if item.subject == "natural"
        and item.department in {"dg-edu", "dg-degree", "dg-health", "dg-si", "dg-ps"}
    }


async def test_another_persons_case_and_another_persons_child_are_refused(family: Family) -> None:
    case = str((await opened(family)).url).rpartition("/")[2]
    stranger = family.browser()
    await stranger.sign_in(subject=await family.world.subject(family.other))
    assert (await stranger.get(f"/cases/{case}")).status == 404
    page = await stranger.get("/apply")
    assert "请到窗口办理" in page.text
    token = page.one("//form[@action='/logout']/input[@name='csrf']").get("value")
    for data, status in (
        ({"csrf": token, "item": SCHOOL, "child": "1"}, 400),
        ({"csrf": token, "item": "no-such-item"}, 400),
        ({"csrf": "x" * 22, "item": SCHOOL}, 403),
    ):
        assert Page(await stranger.client.post("/cases", data=data)).status == status, data
    assert "/cases/" not in " ".join((await stranger.get("/apply")).links())


async def test_both_languages(family: Family) -> None:
    case = (await opened(family)).url.path
    browser = await family.as_parent()
    english = await browser.get(f"{case}?lang=en")
    assert "Handled by" in english.text
    assert "Dongguan Education Bureau" in english.text

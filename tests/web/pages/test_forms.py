"""The filled form: everything the hub may use and nothing else, for the eyes of the person it is about."""

from pathlib import Path

import pytest
from web.pages.family import Family, make_family
from world import World

from hub.paper.mupdf import mupdf

SCHOOL = "441900-edu-points-enrolment"


def text_of(data: bytes) -> str:
    with mupdf.open("pdf", data) as document:
        return "".join("".join(page.get_text().split()) for page in document)


@pytest.fixture
async def family(world: World, tmp_path: Path) -> Family:
    return await make_family(world, tmp_path, all_papers=True)


async def test_nothing_registered_is_retyped_and_nothing_else_is_shown(family: Family) -> None:
    browser = await family.as_parent()
    page = await browser.get(f"/items/{SCHOOL}")
    link = next(link for link in page.links() if "form.pdf" in link)
    answer = await browser.client.get(link)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/pdf")
    assert answer.headers["cache-control"] == "no-store"
    text = text_of(answer.content)
    for said in (
        "陈䶮安",
        family.parent.id_no,
        "东莞理工学院",
        "学士",
        "随迁子女积分制入学申请表",
        "申请人（签名）",
    ):
        assert said in text, said
    assert family.other.name not in text
    assert family.child.id_no not in text, "a child's own record is read with consent, not printed here"
    assert family.parent.id_no not in str(answer.url)


async def test_a_stranger_gets_their_own_and_nobody_else_gets_any(family: Family) -> None:
    stranger = family.browser()
    await stranger.sign_in(subject=await family.world.subject(family.other))
    own = await stranger.client.get(f"/items/{SCHOOL}/form.pdf?for=1")
    assert family.parent.id_no not in text_of(own.content)
    nobody = await family.browser().client.get(f"/items/{SCHOOL}/form.pdf")
    assert nobody.url.path == "/login"
    clerk = await family.as_officer("clerk")
    assert (await clerk.client.get(f"/items/{SCHOOL}/form.pdf")).status_code == 403

"""A department's page: a file becomes a work order, never a certificate signed by the hub."""

from dataclasses import replace

import pytest
from web.pages.family import Family, count

from hub.actor import Actor, ActorKind
from hub.certificates import workorders
from hub.certificates.model import certificates, work_orders
from hub.errors import Conflict, Forbidden, NotFound
from hub.web.pages.cookies import cookie_name

SHEET = "姓名,证件号码,学校\n甲,1,一小\n乙,2,二小\n"


def upload(text: str, encoding: str = "utf-8") -> dict[str, object]:
    return {"file": ("名单.csv", text.encode(encoding), "text/csv")}


async def handed_in(family: Family, **more: object) -> str:
    browser = await family.as_officer("issuing")
    page = await browser.get("/officer")
    done = await browser.send(page, "/officer/orders", {"type": "school_record"}, files=upload(SHEET, **more))
    assert "待复核" in done.text
    async with family.hub.view(Actor(ActorKind.DEPARTMENT, department="dg-edu")) as view:
        return (await workorders.of_department(view))[0].public_id


@pytest.mark.parametrize("encoding", ["utf-8", "gb18030"])
async def test_a_file_waits_for_a_second_officer_and_then_for_the_agent(family: Family, encoding: str) -> None:
    before = await count(family.hub, certificates)
    order = await handed_in(family, encoding=encoding)
    agent = Actor(ActorKind.DEPARTMENT, department="dg-edu")
    async with family.hub.tx(agent) as tx:
        with pytest.raises(Conflict):
            await workorders.fetch(tx, public_id=order, blobs=family.hub.blobs)
    second = await family.as_officer("second")
    page = await second.get("/officer")
    done = await second.send(page, f"/officer/orders/{order}", {"decision": "confirm"})
    assert "待代理程序取走" in done.text
    async with family.hub.tx(agent) as tx:
        data = await workorders.fetch(tx, public_id=order, blobs=family.hub.blobs)
        assert data.decode(encoding) == SHEET
        await workorders.finish(tx, public_id=order, signed=1, quarantined=1)
    assert "已签 1 行，隔离 1 行" in (await second.get("/officer")).text
    assert await count(family.hub, certificates) == before, "the hub signed nothing"


async def test_the_file_rests_sealed(family: Family) -> None:
    await handed_in(family)
    for path in (family.hub.settings.data_dir / "blobs").rglob("*"):
        assert not path.is_file() or "一小".encode() not in path.read_bytes()


async def test_whoever_made_an_order_cannot_confirm_it(family: Family) -> None:
    order = await handed_in(family)
    maker = await family.as_officer("issuing")
    assert not maker.client.cookies.get(cookie_name(family.hub, "none"))
    page = await maker.get("/officer")
    assert f"/officer/orders/{order}" not in page.root.xpath("//form/@action")
    maker_actor = Actor(
        ActorKind.OFFICER, "dg-edu", officer_id=family.officers["issuing"], roles=frozenset({"second_approver"})
    )
    async with family.hub.tx(maker_actor) as tx:
        with pytest.raises(Forbidden):
            await workorders.confirm(tx, public_id=order, agree=True)


async def test_another_department_can_neither_confirm_nor_fetch(family: Family) -> None:
    order = await handed_in(family)
    other = Actor(
        ActorKind.OFFICER, "dg-si", officer_id=family.officers["stranger"], roles=frozenset({"second_approver"})
    )
    async with family.hub.tx(other) as tx:
        with pytest.raises(NotFound):
            await workorders.confirm(tx, public_id=order, agree=True)
    async with family.hub.tx(replace(other, kind=ActorKind.DEPARTMENT)) as tx:
        with pytest.raises(NotFound):
            await workorders.fetch(tx, public_id=order, blobs=family.hub.blobs)


@pytest.mark.parametrize("text", ["", "姓名\n", "姓名,姓名\n甲,乙\n", 'a,b\n"x'])
async def test_a_file_that_is_no_list_is_explained(family: Family, text: str) -> None:
    browser = await family.as_officer("issuing")
    page = await browser.get("/officer")
    answer = await browser.send(page, "/officer/orders", {"type": "school_record"}, files=upload(text))
    assert answer.status == 422
    assert answer.one("//div[@role='alert']//a").get("href") == "#file"
    assert await count(family.hub, work_orders) == 0


async def test_a_type_of_another_department_is_refused(family: Family) -> None:
    browser = await family.as_officer("issuing")
    page = await browser.get("/officer")
    answer = await browser.send(page, "/officer/orders", {"type": "degree"}, files=upload(SHEET))
    assert answer.status == 403
    assert await count(family.hub, work_orders) == 0

"""Messages in the wallet, contacts proved by a code, wishes, and what the clerk is told about a request's delivery."""

import re
from pathlib import Path

import pytest
from parts import FixedClock
from web.pages.family import Browser, Family, Page, make_family
from web.pages.test_counter import opened
from world import World

from hub.main import deliverer
from hub.notices import endpoints
from hub.notices.egress import Egress
from hub.notices.files import newest
from hub.notices.message import Attempt, Message
from hub.notices.model import EndpointState, webhook_endpoints
from hub.notices.run import tell_once
from hub.notices.ways import Ways, open_ways

MAIL = "chen@example.cn"


@pytest.fixture
async def family(sqlite_database: str, clock: FixedClock, tmp_path: Path) -> Family:
    """On SQLite alone: what is asked of the database is shown on both by tests/notices."""
    made = await make_family(World(sqlite_database, clock), tmp_path)
    settings = made.hub.settings.model_copy(update={"notice_files_dir": tmp_path / "out"})
    object.__setattr__(made.hub, "settings", settings)
    return made


async def tell(family: Family, ways: Ways | None = None) -> None:
    await family.sequence()
    mine = deliverer(family.hub, ways or open_ways(family.hub.settings))
    while await tell_once(family.hub.db, types=family.hub.types, deliverer=mine):
        pass


def sent(family: Family) -> list[str]:
    folder = family.hub.settings.notice_files_dir
    return [one.text for one in newest(folder)] if folder else []


async def contact(family: Family, parent: Browser, address: str = MAIL) -> Page:
    """Add a contact and confirm it, as a person does who reads their mail."""
    page = await parent.send(await parent.get("/inbox/settings"), "/inbox/contacts", {"address": address})
    assert page.status == 200
    await tell(family)
    code = re.findall(r"\b[0-9]{6}\b", sent(family)[0])[0]
    action = next(form.get("action") for form in page.root.xpath("//form") if form.get("action").endswith("/code"))
    wrong = await parent.send(page, action, {"code": f"{(int(code) + 1) % 10**6:06d}"})
    assert wrong.status == 422
    assert wrong.one("//input[@name='code']").get("aria-invalid") == "true"
    assert wrong.one("//div[@role='alert']//a").get("href").startswith("#code-")
    done = await parent.send(wrong, action, {"code": code})
    assert "已确认" in done.text
    return done


async def test_a_citizen_adds_a_contact_and_is_told_there(family: Family) -> None:
    parent = await family.as_parent()
    page = await contact(family, parent)
    assert MAIL not in page.root.text_content()
    assert "c***@***.cn" in page.text
    await tell(family)
    box = await parent.get("/inbox")
    assert "您的联系方式有变化" in box.text
    assert box.one("//nav//a[@href='/inbox']//span[@class='count']").text_content().split()[0] == "1"

    clerk = await family.as_officer("clerk")
    case = await opened(family, clerk)
    await clerk.send(case, f"{case.url.path}/ask")
    await tell(family)
    shown = await clerk.get(case.url.path)
    assert "已发到申请人邮箱" in shown.text
    box = await parent.get("/inbox")
    assert [link for link in box.links() if link.startswith("/requests/")]
    assert "东莞市教育局 请您同意查看证照" in box.text
    text = sent(family)[0]
    assert "东莞市教育局" in text
    assert "陈" not in text
    assert "积分" not in text, "not even the matter"
    box = await parent.send(box, "/inbox/read")
    assert not box.root.xpath("//span[@class='count']")
    assert not box.root.xpath("//form[@action='/inbox/read']")
    out = await (family.browser()).get("/outbox")
    assert "演示发件箱" in out.text
    assert text in out.text


async def test_the_clerk_is_told_what_did_not_arrive(family: Family) -> None:
    clerk = await family.as_officer("clerk")
    case = await opened(family, clerk)
    await clerk.send(case, f"{case.url.path}/ask")
    await tell(family)
    shown = await clerk.get(case.url.path)
    assert "没有发出，只在网页上" in shown.text
    assert "申请人可能不知道这个请求" in shown.text
    parent = await family.as_parent()
    await contact(family, parent)

    class Away:
        async def send(self, message: Message) -> Attempt:
            return Attempt(sent=False, fault="smtp.recipient", for_good=True)

    ways = open_ways(family.hub.settings)
    broken = Ways(dict.fromkeys(ways.transports, Away()), ways.egress, ways.http)
    page = await parent.get((await parent.get("/requests")).links()[-1])
    request = next(link for link in (await parent.get("/requests")).links() if link.startswith("/requests/"))
    page = await parent.get(request)
    await parent.send(page, request, {"decision": "refuse"})
    await clerk.send(await clerk.get(case.url.path), f"{case.url.path}/ask")
    await tell(family, broken)
    shown = await clerk.get(case.url.path)
    assert "没有送达" in shown.text
    assert "请当面或打电话告诉他" in shown.text


async def test_wishes_are_kept_and_wrong_times_explained(family: Family) -> None:
    parent = await family.as_parent()
    page = await parent.get("/inbox/settings")
    kinds = [box.get("value") for box in page.root.xpath("//input[@name='kind']")]
    assert "office" not in kinds
    assert "contact" not in kinds
    fields = {"language": "en", "quiet": "1", "from": "22:30", "to": "06:15", "kind": kinds[1:]}
    page = await parent.send(page, "/inbox/settings", fields)
    assert page.one("//input[@id='from']").get("value") == "22:30"
    assert page.one("//input[@id='to']").get("value") == "06:15"
    assert page.one("//select[@id='language']/option[@selected]").get("value") == "en"
    ticked = [box.get("value") for box in page.root.xpath("//input[@name='kind' and @checked]")]
    assert ticked == kinds[1:]
    wrong = await parent.send(page, "/inbox/settings", {**fields, "to": "22:30"})
    assert wrong.status == 422
    assert "免打扰" in wrong.one("//div[@role='alert']").text_content()
    for address, word in (("12345", "手机号码"), ("a@b", "电子邮箱")):
        wrong = await parent.send(page, "/inbox/contacts", {"address": address})
        assert wrong.status == 422
        assert word in wrong.one("//p[@id='address-error']").text_content()
        assert wrong.one("//input[@id='address']").get("value") == address


async def test_one_person_cannot_touch_anothers_contacts(family: Family) -> None:
    parent = await family.as_parent()
    page = await contact(family, parent)
    action = next(form.get("action") for form in page.root.xpath("//form") if form.get("action").endswith("/remove"))
    other = family.browser()
    await other.sign_in(subject=await family.world.subject(family.other))
    mine = await other.get("/inbox/settings")
    assert "c***" not in mine.text
    csrf = mine.one("(//input[@name='csrf'])[1]").get("value")
    headers = {"origin": "https://hub.example", "sec-fetch-site": "same-origin"}
    answer = await other.client.post(action, data={"csrf": csrf}, headers=headers)
    assert answer.status_code == 404
    gone = await parent.send(page, action)
    assert "已删除" in gone.text


async def test_without_a_way_out_the_page_says_so(family: Family) -> None:
    settings = family.hub.settings.model_copy(update={"notice_files_dir": None})
    object.__setattr__(family.hub, "settings", settings)
    parent = await family.as_parent()
    page = await parent.get("/inbox/settings")
    assert "还不能发短信或邮件" in page.text
    assert not page.root.xpath("//form[@action='/inbox/contacts']")
    assert (await parent.get("/outbox")).status == 404


async def test_a_department_sees_that_its_address_was_disabled(family: Family) -> None:
    async with family.hub.tx(await family.world.citizen(family.parent)) as tx:
        await endpoints.add(
            tx, department="dg-edu", url="https://edu.example/s3cret", events=["grant.withdrawn"], egress=Egress()
        )
        await tx.run(
            webhook_endpoints.update().values(
                state=EndpointState.DISABLED, disabled_at=tx.now, fault="webhook.status_500"
            )
        )
    page = await (await family.as_officer("issuing")).get("/officer")
    card = page.one("//section[@id='webhooks']").text_content()
    assert "edu.example" in card
    assert "已停发" in card
    assert "s3cret" not in card

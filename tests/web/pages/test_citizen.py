"""What a citizen sees and decides: wallet, requests, who looked, withdrawal; and nothing of anybody else's."""

from web.pages.family import Family, Page

from hub.access import history
from hub.access.model import Outcome
from hub.actor import SYSTEM
from hub.certificates.model import StatusEvent
from hub.consent.model import Grant
from hub.verification.model import Ask


async def asked(family: Family, types: list[str] | None = None) -> str:
    """The education bureau asks the parent for their own and the child's certificates."""
    case = await family.world.case(family.parent, family.child)
    details = [
        family.world.detail(case, types or ["degree", "social_insurance"], max_uses=2),
        family.world.detail(case, ["birth"], basis="guardian", max_uses=2),
    ]
    return (await family.world.ask("dg-edu", case, details, of=family.parent)).public_id


async def looked(family: Family) -> Grant:
    """One look under a grant of the parent's."""
    case, grants = await family.world.grant(family.parent, ["degree"], max_uses=2)
    await family.world.verify(case, grants, [Ask("degree")])
    return grants[0]


async def test_wallet_shows_cards_with_word_icon_and_own_button_names(family: Family) -> None:
    await family.world.change(family.degree, StatusEvent.REVOKE, by="dg-degree")
    page = await (await family.as_parent()).get("/wallet")
    cards = {c.xpath("string(.//h2)"): c for c in page.root.xpath("//section[.//h2]")}
    degree = cards["学历学位证书"]
    assert degree.xpath(".//span[@class='tag bad']//svg")
    assert "已撤销" in degree.text_content()
    assert "PDF" not in degree.text_content()
    assert "有效" in cards["社会保险参保证明"].text_content() if "社会保险参保证明" in cards else len(cards) >= 3
    names = [" ".join(a.text_content().split()) for a in page.root.xpath("//main//a[contains(@class,'btn')]")]
    assert len(names) == len(set(names)), names
    assert "出生医学证明" in page.text


async def test_numbers_are_masked_until_asked_for(family: Family) -> None:
    browser = await family.as_parent()
    number = family.parent.id_no
    page = await browser.get(f"/wallet/{family.degree}")
    assert number not in page.root.text_content()
    assert number[:4] + "**********" + number[-4:] in page.text
    assert "陈*安" in page.text
    assert "陈䶮安" not in page.text
    shown = await browser.get(f"/wallet/{family.degree}?show=1")
    assert number in shown.text
    assert "陈䶮安" in shown.text
    assert number not in str(shown.url)


async def test_another_citizens_objects_are_not_found(family: Family) -> None:
    request = await asked(family)
    grant = await looked(family)
    stranger = family.browser()
    await stranger.sign_in(subject=await family.world.subject(family.other))
    for path in (f"/wallet/{family.degree}", f"/wallet/{family.degree}/face.pdf", f"/requests/{request}"):
        assert (await stranger.get(path)).status == 404, path
    token = (await stranger.get("/wallet")).one("//form[@action='/logout']/input[@name='csrf']").get("value")
    for path in (f"/requests/{request}", f"/grants/{grant.public_id}/withdraw"):
        data = {"csrf": token, "decision": "agree"}
        assert Page(await stranger.client.post(path, data=data)).status == 404, path
    assert family.parent.id_no not in (await stranger.get("/wallet")).text


async def test_a_request_is_read_in_plain_words_before_it_is_decided(family: Family) -> None:
    public_id = await asked(family)
    browser = await family.as_parent()
    wallet = await browser.get("/wallet")
    assert "有 1 个请求等您决定" in wallet.text
    assert wallet.text.index("有 1 个请求等您决定") < wallet.text.index("学历学位证书")
    page = await browser.get(f"/requests/{public_id}")
    for words in (
        "东莞市教育局想看您的证照", "随迁子女积分制入学", "为什么：", "必须看：", "看不到：",
        "您孩子 陈*诺 的证照（您作为监护人决定）", "不同意会怎样", "每份授权 2 次", "A1B2",
    ):  # fmt: skip
        assert words in page.text, words
    assert not page.root.xpath("//input[@type='checkbox'][@checked]")
    assert page.root.xpath("//input[@type='checkbox']")
    agree, refuse = page.root.xpath("//div[@class='choice']/button")
    assert (agree.get("value"), refuse.get("value")) == ("agree", "refuse")


async def test_what_is_not_ticked_is_not_granted(family: Family) -> None:
    public_id = await asked(family)
    browser = await family.as_parent()
    page = await browser.get(f"/requests/{public_id}")
    box = page.root.xpath("//section[.//h3='学历学位证书']//input[@name='field']")[0]
    label = box.xpath("string(ancestor::label)").strip()
    done = await browser.send(page, f"/requests/{public_id}", {"decision": "agree", "field": box.get("value")})
    assert "您已同意" in done.text
    async with family.hub.view(await family.world.citizen(family.parent)) as view:
        from hub.consent.withdraw import grants_of

        grants = await grants_of(view, subject_id=await family.world.subject(family.parent))
    granted = grants[0].detail["fields"]["degree"]
    kind = family.hub.types["degree"]
    assert [kind.claim_label(tuple(path)) for path in granted] == [label]


async def test_refusing_gives_nothing_and_cannot_be_turned_round(family: Family) -> None:
    public_id = await asked(family)
    browser = await family.as_parent()
    page = await browser.get(f"/requests/{public_id}")
    done = await browser.send(page, f"/requests/{public_id}", {"decision": "refuse"})
    assert "您没有同意" in done.text
    again = await browser.send(page, f"/requests/{public_id}", {"decision": "agree"})
    assert again.status == 409
    accesses = await browser.get("/accesses")
    assert "还没有人看过" in accesses.text


async def test_who_looked_names_office_item_fields_basis_and_outcome(family: Family) -> None:
    grant = await looked(family)
    browser = await family.as_parent()
    page = await browser.get("/accesses")
    for words in ("东莞市教育局", "随迁子女积分制入学", "学历学位证书", "毕业院校", "本人同意", "已查看"):
        assert words in page.text, words
    assert "已记录，正在编入日志" in page.text
    assert "记录编号连续，没有缺失" in page.text
    assert family.parent.id_no not in page.root.text_content()
    await family.sequence()
    sequenced = await browser.get("/accesses")
    assert "日志第" in sequenced.text
    proof = next(link for link in sequenced.links() if link.startswith("/v1/proofs/"))
    assert (await browser.client.get(proof)).text.startswith("c2sp.org/tlog-proof")
    done = await browser.send(page, f"/grants/{grant.public_id}/withdraw")
    assert "已收回" in done.text
    assert not done.root.xpath(f"//form[@action='/grants/{grant.public_id}/withdraw']")


async def test_a_refused_look_is_shown_too(family: Family) -> None:
    case, grants = await family.world.grant(family.parent, ["degree"])
    await family.world.verify(case, grants, [Ask("degree")])
    await family.world.verify(case, grants, [Ask("degree")])
    page = await (await family.as_parent()).get("/accesses")
    assert "被拒绝，没有看到" in page.text
    assert "同意的次数已用完" in page.text


async def test_a_missing_record_is_told_in_words(family: Family) -> None:
    import sqlalchemy as sa

    from hub.access.model import rows as access_rows
    from hub.actor import SYSTEM

    await looked(family)
    await looked(family)
    browser = await family.as_parent()
    async with family.hub.tx(SYSTEM) as tx:
        first = sa.select(sa.func.min(access_rows.c.subject_seq)).scalar_subquery()
        await tx.run(access_rows.delete().where(access_rows.c.subject_seq == first))
    page = await browser.get("/accesses")
    assert "记录不连续" in page.one("//*[@role='alert']").text_content()


async def test_a_guardian_sees_who_looked_at_the_child(family: Family) -> None:
    public_id = await asked(family)
    browser = await family.as_parent()
    page = await browser.get(f"/requests/{public_id}")
    await browser.send(page, f"/requests/{public_id}", {"decision": "agree"})
    child = await browser.get("/accesses?of=1")
    assert "谁看过 陈*诺 的证照" in child.text
    assert "监护人同意" in child.text
    grant = child.root.xpath("//form[contains(@action, 'withdraw')]/@action")[0]
    assert "已收回" in (await browser.send(child, grant)).text


async def test_somebody_who_is_no_guardian_gets_nothing_and_the_attempt_is_recorded(family: Family) -> None:
    world, stranger = family.world, family.other
    case = await world.case(stranger, family.child)
    details = [world.detail(case, ["birth", "school_record"], basis="guardian")]
    public_id = (await world.ask("dg-edu", case, details, of=stranger)).public_id
    browser = family.browser()
    await browser.sign_in(subject=await world.subject(stranger))
    page = await browser.get(f"/requests/{public_id}")
    assert "陈*诺" not in page.text, "a stranger is told neither the child's name nor what the child holds"
    assert "平台上还没有" not in page.text
    refused = await browser.send(page, f"/requests/{public_id}", {"decision": "agree"})
    assert refused.status == 403
    async with family.hub.view(SYSTEM) as view:
        (row,) = await history.of_subject(view, subject_id=await world.subject(family.child))
    assert (row.look.outcome, row.look.reason) == (Outcome.REFUSED, "guardian.not_proved")

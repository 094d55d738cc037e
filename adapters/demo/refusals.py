"""What must fail fails: eight attempts, each refused with its reason, over the same doors as the story."""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from adapters import certtypes
from adapters.agent import Agent
from adapters.answers import Registration
from adapters.certtypes import CertificateType
from adapters.demo import asking, stores
from adapters.demo import people_at_pages as pages
from adapters.demo.asking import Bureau
from adapters.demo.browser import Browser, Page
from adapters.demo.story import NOT_GIVEN, Stage, Told
from adapters.demo.telling import expect, surprise
from adapters.mapping import Mapped
from adapters.sign import issuer_url, sign_certificate
from hub.clock import now
from hub.errors import HubError
from keys.signer import Signer, generate


@dataclass(frozen=True, slots=True)
class Refusal:
    """One attempt that was refused: its short name, who refused, the code, and the words that were given."""

    name: str
    where: str
    code: str
    zh: str
    en: str

    def as_json(self) -> dict[str, str]:
        """For the summary."""
        return {"name": self.name, "where": self.where, "code": self.code, "reason": self.zh}


def show(stage: Stage, told: Told) -> list[Refusal]:
    """All eight. Raises `Surprise` when one of them gets through, or is refused for another reason."""
    stage.teller.chapter("该失败的都失败", "What must fail fails")
    wanted = asking.details(stage.item, told.round.case_id, uses=2)
    consent, _ = asking.consent_of(
        stage.bureau, stage.parent, stage.family, wanted, lambda box: NOT_GIVEN[1] not in box.heading
    )
    token, grants = consent.token, consent.grants
    attempts: list[tuple[str, str, Callable[[], Refusal]]] = [
        (
            "别的部门拿教育局的授权凭证来核验",
            "Another verifier uses the token",
            lambda: _stolen(stage, token),
        ),
        ("一次性的授权再用一次", "A one-use consent is used again", lambda: _again(stage, told)),
        ("核验没有同意的结婚证", "A type that was not granted", lambda: _not_granted(stage, token)),
        ("家长收回同意以后再核验", "A withdrawn consent", lambda: _withdrawn(stage, token, grants)),
        ("学位被撤销以后再核验", "A degree is revoked, then verified", lambda: _revoked(stage)),
        ("自己造一把密钥，伪造学位证", "A degree forged with a self-made key", lambda: _forged(stage)),
        ("市场监管局签发学位证", "Market supervision signs a degree", lambda: _anothers_type(stage)),
        ("改动 PDF 里的一个字节", "One byte of a PDF is changed", lambda: _one_byte(stage)),
    ]
    found = []
    for zh, en, attempt in attempts:
        one = attempt()
        stage.teller.refused(zh, f"{en}: {one.en}", f"{one.zh}（{one.code}）")
        found.append(one)
    return found


def _stolen(stage: Stage, token: str) -> Refusal:
    with Bureau(stage.world, "dg-hrss") as other:
        return _refused("another_verifiers_token", other, token, [{"type": "degree"}], "token.other_verifier")


def _again(stage: Stage, told: Told) -> Refusal:
    ask = [{"type": "degree", "basis": "holder"}]
    token = told.round.consent.token
    return _refused("second_use", stage.bureau, token, ask, "grant.spent")


def _not_granted(stage: Stage, token: str) -> Refusal:
    ask = [{"type": NOT_GIVEN[0], "basis": "holder"}]
    return _refused("claim_not_granted", stage.bureau, token, ask, "coverage.not_granted")


def _withdrawn(stage: Stage, token: str, grants: tuple[str, ...]) -> Refusal:
    ask = [{"type": "degree", "basis": "holder"}]
    before = stage.bureau.client.verify(token, ask)
    expect(before[0]["outcome"] == "accepted", "收回之前就不能核验", "it failed before the withdrawal")
    pages.withdraw(stage.parent, grants)
    return _refused("withdrawn_grant", stage.bureau, token, ask, "grant.withdrawn")


def _revoked(stage: Stage) -> Refusal:
    """Accepted first; then the degree office strikes its own row, its agent syncs, and the next look says revoked."""
    world, family = stage.world, stage.world.written.family("revoked_degree")
    with Browser(world.url) as browser:
        pages.sign_in(browser, pages.person_key(family), "/apply")
        case_id = pages.apply_for_child(browser, stage.item["code"])
        wanted = asking.details(stage.item, case_id, uses=2, types=["degree"])
        consent, _ = asking.consent_of(stage.bureau, browser, family, wanted, lambda box: True)
    ask = [{"type": "degree"}]
    before = stage.bureau.client.verify(consent.token, ask)
    expect(
        before[0]["outcome"] == "accepted",
        "撤销之前就不可采信",
        "the degree was refused before its revocation",
    )
    struck = stores.revoke_degree(world.folder / "departments", family.parent.person.id_no)
    expect(struck == 1, "学位库里没有这一行", "the degree office has no such row")
    revoked = 0
    for _ in range(3):  # a row must be gone in several complete passes before its absence counts
        revoked += int(world.agent("dg-degree", "sync")["revoked"])
        if revoked:
            break
    expect(revoked == 1, f"代理撤销了 {revoked} 份", f"the agent revoked {revoked} certificates")
    return _refused("revoked_degree", stage.bureau, consent.token, ask, "status.revoked")


def _forged(stage: Stage) -> Refusal:
    """Everything right but the key: the department's name, a real status list, valid claims, a fresh key."""
    uri = f"{stage.world.url}/v1/status-lists/{secrets.token_urlsafe(16)}"
    token = _degree(stage, "dg-degree", generate("ES256"), (uri, 7))
    with Browser(stage.world.url) as anybody:
        page = anybody.open("/verify")
        answer = anybody.send(page.form("/verify"), fill={"text": token})
    return _page_refuses("forged_certificate", answer, "签发部门未在本平台登记")


def _anothers_type(stage: Stage) -> Refusal:
    world = stage.world
    with Agent.load(
        world.office("dg-market") / "agent.yaml", passphrase=world.passphrase("dg-market")
    ) as agent:
        desk = agent.desk
        [index] = desk.client.reserve(1).indices
        token = _degree(stage, "dg-market", desk.signer(), index)
        item = Registration(token, "forged", secrets.token_urlsafe(16), 1, secrets.token_hex(32))
        try:
            desk.client.register(item)
        except HubError as fault:
            return Refusal("anothers_type", "/v1/certificates", fault.code, fault.zh, fault.en)
    return surprise("市场监管局登记了学位证", "market supervision registered a degree")


def _one_byte(stage: Stage) -> Refusal:
    wallet = stage.parent.open("/wallet")
    links = [link for link in wallet.links_to("/wallet/") if link.endswith("/face.pdf")]
    expect(bool(links), "钱包里没有 PDF", "the wallet offers no PDF")
    pdf = stage.parent.download(links[0])
    with Browser(stage.world.url) as anybody:
        answer = _drop(anybody, pdf)
        expect(answer.says("真实有效"), "原件没有通过核验", "the untouched file does not pass")
        place = len(pdf) // 2
        changed = pdf[:place] + bytes([pdf[place] ^ 1]) + pdf[place + 1 :]
        return _page_refuses("one_byte_changed", _drop(anybody, changed), "被改动")


def _drop(browser: Browser, pdf: bytes) -> Page:
    form = browser.open("/verify").form("/verify")
    return browser.send(form, file=("file", "certificate.pdf", pdf, "application/pdf"))


def _page_refuses(name: str, page: Page, words: str) -> Refusal:
    expect(page.status == 200, f"公开核验页答 {page.status}", f"the public page answers {page.status}")
    expect("不可采信" in page.text, "公开核验页没有说不可采信", "the public page does not refuse it")
    said = next((line.strip() for line in page.text.split("\n") if words in line), "")
    expect(bool(said), f"公开核验页没有说“{words}”", "the public page gives another reason")
    return Refusal(name, "/verify", "不可采信", said, "Do not rely on it")


def _refused(name: str, bureau: Bureau, token: str, ask: list[dict[str, Any]], code: str) -> Refusal:
    """Verify, and expect this refusal: nothing disclosed, and the refusal itself recorded with a receipt."""
    try:
        verdicts = bureau.client.verify(token, ask)
    except HubError as fault:
        return surprise(
            f"{name}：门口就拒绝了（{fault.code}），没有留下记录", f"{name}: {fault.code} at the door"
        )
    one: Mapping[str, Any] = verdicts[0]
    expect(
        one["outcome"] == "refused" and one["reason"] == code,
        f"{name}：结论是 {one['outcome']}（{one['reason']}），应为 {code}",
        f"{name}: {one['outcome']} ({one['reason']}) instead of {code}",
    )
    expect(not one["sd_jwt"] and not one["claims"], f"{name}：泄露了内容", f"{name}: something was disclosed")
    expect(bool(one["receipt"]), f"{name}：拒绝没有回执", f"{name}: the refusal has no receipt")
    check = next(check for check in one["checks"] if check["result"] == "failed")
    return Refusal(name, "/v1/verifications", code, check["zh"], check["en"])


def _degree(stage: Stage, department: str, signer: Signer, status: tuple[str, int]) -> str:
    kind = certtypes.from_document(stage.bureau.client.type_document("degree"))
    person = stage.family.parent.person
    issuer = issuer_url(stage.world.url, department)
    return signed_degree(
        kind, (person.name, person.id_no), issuer=issuer, signer=signer, status=status, now=now()
    )


def signed_degree(
    kind: CertificateType,
    person: tuple[str, str],
    *,
    issuer: str,
    signer: Signer,
    status: tuple[str, int],
    now: datetime,
) -> str:
    """A degree for (name, resident number) that says what a real one would, signed with whatever key is given."""
    mapped = Mapped(
        holders=({"role": "owner", "name": person[0], "id_type": "111", "id_no": person[1]},),
        claims={
            "number": "9999942010999999",
            "education_level": "postgraduate",
            "degree_level": "doctor",
            "school": "东江学院（演示）",
            "conferred_on": date(2010, 6, 30).isoformat(),
        },
        valid_from=None,
        valid_until=None,
        as_of=None,
    )
    return sign_certificate(mapped, kind, issuer=issuer, generation=1, status=status, now=now, signer=signer)

"""The story of the family "school": a place for 陈㛃, from the application to the score, point by point."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from adapters.demo import asking
from adapters.demo import people_at_pages as pages
from adapters.demo.asking import Bureau, Round
from adapters.demo.browser import Box, Browser, Page
from adapters.demo.families import Family
from adapters.demo.stores import NAMES
from adapters.demo.telling import Teller, expect
from adapters.demo.world import World
from adapters.offline import Checker
from hub.formats.note import parse_vkey

PHONE = "13800138000"
NOT_GIVEN = ("marriage", "结婚")
"""The type that the parent leaves unticked, and a word of its heading on the page."""
OUTCOMES = {"accepted": "可采信", "no_record": "无登记", "refused": "已拒绝", "undecided": "暂无法核验"}
CERTAIN = {"service": "21", "social_insurance": "46.5", "tax.wage": "30", "tax.other_income": "1", "tax.deed": "12",
           "schooling.grade_1": "10", "education": "20"}  # fmt: skip
"""Points of the story's family that do not depend on the day."""


@dataclass(slots=True)
class Told:
    """What came of the story: the round, the leaves of its looks, and what was measured."""

    round: Round
    leaves: list[bytes] = field(default_factory=list)
    offline_ms: dict[str, float] = field(default_factory=dict)
    ledger_size: int = 0


@dataclass(slots=True)
class Stage:
    """What every act needs: the city, the family, the parent's browser, the bureau's system, the checker.

    `names` are the certificate types in Chinese.
    """

    world: World
    teller: Teller
    family: Family
    item: Mapping[str, Any]
    parent: Browser
    bureau: Bureau
    checker: Checker
    names: Mapping[str, str]


def checker_of(world: World, bureau: Bureau) -> Checker:
    """A checker that trusts the ledger key which `yimen init` printed, and nothing else of the hub."""
    return Checker(bureau.client, parse_vkey(world.log_key))


def tell(stage: Stage) -> Told:
    """All acts that succeed. Raises `Surprise`."""
    case_id = _apply(stage)
    told = Told(_ask(stage, case_id))
    _verify(stage, told)
    _check_offline(stage, told)
    _score(stage, told)
    return told


def _apply(stage: Stage) -> str:
    teller, person = stage.teller, stage.family.parent.person
    teller.chapter("家长申请", "The parent applies")
    pages.sign_in(stage.parent, pages.person_key(stage.family), "/wallet")
    cards = pages.cards(stage.parent)
    expect(
        len(cards) >= 10,
        f"钱包里只有 {len(cards)} 份证照",
        f"the wallet shows only {len(cards)} certificates",
    )
    teller.good(
        f"{person.name}用演示身份登录，“我的证照”里已有 {len(cards)} 份，没有交过一张纸",
        f"The father signs in; his wallet holds {len(cards)} certificates, and he handed in no paper",
    )
    pages.add_phone(stage.parent, PHONE)
    teller.good(
        "他登记手机并用验证码确认；演示不真的发短信，都写进 /outbox",
        "He adds his phone and confirms it with a code; the demonstration sends no texts, see /outbox",
    )
    case_id = pages.apply_for_child(stage.parent, asking.SCHOOL)
    teller.good(
        "为孩子申请积分入学，开出办件", "He applies for a school place for his child: a case is opened"
    )
    with Browser(stage.world.url) as clerk:
        who = pages.officer_identity(clerk, "教育局", "窗口")
        counter = pages.sign_in(clerk, who, "/counter")
        seen = any(link.endswith(case_id) for link in counter.links_to("/counter/cases/"))
        expect(seen, "教育局窗口没有看到办件", "the bureau's counter does not show the case")
    teller.good("教育局窗口看到了这个办件", "The education bureau's counter sees the case")
    return case_id


def _ask(stage: Stage, case_id: str) -> Round:
    teller = stage.teller
    teller.chapter("教育局请求，家长同意", "The bureau asks, the parent agrees")
    wanted = asking.details(stage.item, case_id, uses=1)
    types = [code for detail in wanted for code in detail["datatypes"]]
    hint, code = f"111:{stage.family.parent.person.id_no}", "EDU 4472"
    asked = stage.bureau.client.ask(wanted, login_hint=hint, binding_message=code)
    teller.good(
        f"教育局按事项目录请求 {len(types)} 类证照（private_key_jwt + DPoP，CIBA），对照码 {code}",
        f"It asks for {len(types)} types, within the caps of the item, with code {code}",
    )
    pages.message(stage.parent, "教育局 请您同意查看证照")
    teller.good(
        "手机收到通知：哪个部门请他同意，没有链接，没有姓名和证件号",
        "His phone is told which department asks: no link, no name, no number",
    )
    expect(stage.bureau.client.poll(asked) is None, "还没同意就拿到了凭证", "a token came before any consent")
    page = pages.agree(stage.parent, code, _tick)
    _expect_plain_words(page)
    consent = stage.bureau.client.poll(asked)
    expect(consent is not None, "同意后没有拿到授权凭证", "no consent token after agreeing")
    assert consent is not None  # noqa: S101  (said above in both languages)
    granted = [code for detail in consent.details for code in detail["datatypes"]]
    expect(NOT_GIVEN[0] not in granted, "没勾的也给了", "what was not ticked was granted")
    expect(
        len(granted) == len(types) - 1, "授权的类型不对", "the granted types are not those that were ticked"
    )
    teller.good(
        f"家长在页面上看清用途，同意 {len(granted)} 类，没有勾选“结婚证”：教育局就拿不到",
        f"The parent reads why, agrees to {len(granted)} types and leaves the marriage certificate out",
    )
    return Round(case_id, code, consent)


def _tick(box: Box) -> bool:
    return NOT_GIVEN[1] not in box.heading


def _expect_plain_words(page: Page) -> None:
    for word in ("教育局", "随迁子女积分制入学", "为什么", "看不到", "监护人"):
        expect(page.says(word), f"授权页面缺少“{word}”", f"the consent page lacks {word}")


def _verify(stage: Stage, told: Told) -> None:
    teller, round_ = stage.teller, told.round
    teller.chapter("核验作答", "Verification answers")
    asking.verify(stage.bureau, round_)
    by_basis = {code: detail["basis"] for detail in round_.consent.details for code in detail["datatypes"]}
    rows = []
    for one in round_.verdicts:
        code = one["type"]
        passed = sum(check["result"] == "passed" for check in one["checks"])
        expected = "no_record" if code == "business_licence" else "accepted"
        expect(one["outcome"] == expected, f"{code} 的结论是 {one['outcome']}（{one['reason']}）",
               f"{code}: {one['outcome']} ({one['reason']}) instead of {expected}")  # fmt: skip
        basis = "本人" if by_basis[code] == "holder" else "监护人"
        issuer = NAMES[one["issuer"]][0] if one["issuer"] in NAMES else ""
        rows.append((stage.names[code], basis, OUTCOMES[one["outcome"]], f"{passed}/10", issuer))
    teller.table("", ("证照 type", "依据 basis", "结论 outcome", "核验项", "发证 issuer"), rows, right=(3,))
    accepted = sum(one["outcome"] == "accepted" for one in round_.verdicts)
    teller.good(
        f"{len(rows)} 项一次核验完，{accepted} 项可采信，用时 {round_.verify_seconds * 1000:.0f} 毫秒；"
        "没有营业执照记为“无登记”，不算失败",
        f"{len(rows)} types in one call of {round_.verify_seconds * 1000:.0f} ms; no business licence is no failure",
    )


def _check_offline(stage: Stage, told: Told) -> None:
    """Signatures, status lists, receipts and proofs, by keys alone; then `yimen verify` with no hub at all."""
    teller, checker = stage.teller, stage.checker
    teller.chapter("不靠平台，自己再核一遍", "Checked again without trusting the hub")
    for one in told.round.verdicts:
        promised = checker.receipt(str(one["receipt"]))
        expect(promised.kind == "access", "回执说的不是这次查看", "the receipt is about something else")
        told.leaves.append(promised.leaf_hash)
        if one["sd_jwt"]:
            checker.prepare(str(one["sd_jwt"]), str(one["issuer"]))
            began = time.perf_counter()
            claims = checker.certificate(str(one["sd_jwt"]), str(one["issuer"]))
            told.offline_ms[str(one["type"])] = (time.perf_counter() - began) * 1000
            same = {name: value for name, value in claims.items() if name in one["claims"]}
            expect(
                same == one["claims"],
                "平台转述的内容与签名内容不同",
                "the hub's words differ from what is signed",
            )
    for leaf in told.leaves:
        _, told.ledger_size = checker.in_ledger(leaf)
    teller.good(
        f"{len(told.offline_ms)} 份部门签名和状态列表、{len(told.leaves)} 张回执和日志证明全部成立",
        f"{len(told.offline_ms)} signatures and status lists, {len(told.leaves)} receipts and ledger proofs all hold",
    )
    shown = yimen_verify(stage, next(one for one in told.round.verdicts if one["type"] == "degree"))
    expect(bool(shown["ok"]), f"离线核验不通过：{shown['checks']}", "yimen verify says no")
    teller.good(
        "yimen verify：断开平台，只凭信任包、固定的日志公钥和状态列表，学位证六项全部通过",
        "yimen verify: with a trust bundle, a pinned ledger key and a status list alone, all six checks hold",
    )


def yimen_verify(stage: Stage, verdict: Mapping[str, Any]) -> dict[str, Any]:
    """`yimen verify FILE` on files alone: the disclosed SD-JWT, the trust bundle, the status list it names."""
    place = stage.world.folder / "offline"
    place.mkdir(mode=0o700, exist_ok=True)
    client, token = stage.bureau.client, str(verdict["sd_jwt"])
    files = {"certificate.sd-jwt": token.encode(), "trust.jwt": client.public("/v1/trust-bundle")}
    uri = verdict["claims"].get("status", {}).get("status_list", {}).get("uri", "")
    files["status.jwt"] = stage.checker.status_list(uri).encode() if uri else b""
    for name, content in files.items():
        (place / name).write_bytes(content)
    return stage.world.yimen(
        "verify", str(place / "certificate.sd-jwt"), "--bundle", str(place / "trust.jwt"), "--log-key",
        stage.world.log_key, "--status-list", str(place / "status.jwt"), codes=(0, 1, 3),
    )  # fmt: skip


def _score(stage: Stage, told: Told) -> None:
    teller, round_ = stage.teller, told.round
    teller.chapter("逐项算分", "The score, point by point")
    asking.score(stage.bureau, round_)
    lines = round_.score["score"]["lines"]
    rows = [
        (line["display"]["zh-CN"], "未核实" if line["unconfirmed"] else line["points"], line["explanation"]["zh-CN"],
         "、".join(stage.names[one["type"]] for one in line["citations"]))
        for line in lines
    ]  # fmt: skip
    teller.table("", ("项目", "分", "怎么算的", "依据证照"), rows, right=(1,))
    total = round_.score["total"]
    points = {line["rule"]: line["points"] for line in lines}
    for rule, expected in CERTAIN.items():
        expect(points.get(rule) == expected, f"{rule} 得 {points.get(rule)} 分，应为 {expected}",
               f"{rule}: {points.get(rule)} points instead of {expected}")  # fmt: skip
    uncited = [line["rule"] for line in lines if float(line["points"]) > 0 and not line["citations"]]
    expect(not uncited, f"有分没有依据：{uncited}", f"points without a certificate: {uncited}")
    page = stage.parent.open(f"/cases/{round_.case_id}")
    expect(page.says(str(total)), "家长的页面上没有这个分数", "the parent's page does not show the score")
    teller.good(
        f"合计 {total} 分；家长在自己的办件页上看到同样的逐项说明。标“未核实”的分值不猜、不计",
        f"{total} points in all; the parent reads the same lines on the case page. Unconfirmed values count nothing",
    )


def summary_of(told: Told) -> dict[str, Any]:
    """What the JSON summary says of the story."""
    return {
        "score": told.round.score["total"],
        "verify_ms": round(told.round.verify_seconds * 1000),
        "verdicts": len(told.round.verdicts),
        "offline_checked": len(told.offline_ms),
        "proofs_checked": len(told.leaves),
    }

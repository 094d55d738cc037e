"""The closed lists of words that people read: states, outcomes, bases, roles, each with an icon and a tone.

Status is always word + icon + colour, never colour alone (WCAG 1.4.1). A code that is not in a list is shown as
the code: nothing is hidden because somebody forgot a word.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Literal

from hub.access.model import Outcome
from hub.cases.copies import ARCHIVE
from hub.cases.model import CaseOutcome, CaseState, ReviewState, StepState
from hub.certificates.find import STATUS_WORDS, StatusWord
from hub.certificates.workorders import OrderState
from hub.clock import SHANGHAI, civil_day
from hub.consent.model import Basis
from hub.formats.masking import mask_by
from hub.notices.inbox import Reached
from hub.oversight.model import ObjectionState
from hub.registry.model import DepartmentState, KeyPurpose
from hub.registry.types import CertificateType
from hub.verification.model import STEP_WORDS, CheckResult
from hub.web.pages.reasons import reason as reason  # where templates look for words

Tone = Literal["ok", "warn", "bad", "mute", "info"]
Icon = Literal["check", "cross", "pause", "clock", "dots", "minus", "info", "eye", "lock", "paper", "person"]


@dataclass(frozen=True, slots=True)
class Word:
    """One state in both languages, with the icon and the tone it always comes with."""

    zh: str
    en: str
    icon: Icon
    tone: Tone


_LOOKS_OF_STATUS: dict[StatusWord, tuple[Icon, Tone]] = {
    StatusWord.VALID: ("check", "ok"),
    StatusWord.EXPIRING: ("clock", "warn"),
    StatusWord.EXPIRED: ("cross", "bad"),
    StatusWord.SUSPENDED: ("pause", "warn"),
    StatusWord.REVOKED: ("cross", "bad"),
    StatusWord.SUPERSEDED: ("minus", "mute"),
    StatusWord.OUTDATED: ("clock", "warn"),
    StatusWord.UNKNOWN: ("dots", "mute"),
}

STATUS: dict[str, Word] = {
    word: Word(*STATUS_WORDS[word], icon, tone) for word, (icon, tone) in _LOOKS_OF_STATUS.items()
}

USABLE = frozenset({StatusWord.VALID, StatusWord.EXPIRING, StatusWord.OUTDATED, StatusWord.UNKNOWN})
"""Certificates whose printed face may be taken away: not a revoked, suspended, expired or replaced one."""

OUTCOMES: dict[str, Word] = {
    Outcome.ACCEPTED: Word("可采信", "Can be relied on", "check", "ok"),
    Outcome.REFUSED: Word("不可采信", "Cannot be relied on", "cross", "bad"),
    Outcome.UNDECIDED: Word("暂无法核验", "Cannot be checked now", "dots", "warn"),
    Outcome.NO_RECORD: Word("发证部门没有记录", "The issuer has no record", "minus", "mute"),
}

LOOKS: dict[str, Word] = {
    Outcome.ACCEPTED: Word("已查看", "Seen", "eye", "info"),
    Outcome.REFUSED: Word("被拒绝，没有看到", "Refused, nothing was seen", "lock", "ok"),
    Outcome.UNDECIDED: Word("未能核验，没有看到", "Could not be checked, nothing was seen", "dots", "mute"),
    Outcome.NO_RECORD: Word("没有记录，没有看到", "No record, nothing was seen", "minus", "mute"),
}

CHECKS: dict[str, Word] = {
    CheckResult.PASSED: Word("通过", "Passed", "check", "ok"),
    CheckResult.FAILED: Word("未通过", "Failed", "cross", "bad"),
    CheckResult.UNDECIDED: Word("暂时无法判断", "Undecided", "dots", "warn"),
    CheckResult.NOT_NEEDED: Word("不需要", "Not needed", "minus", "mute"),
}

AUDIT: dict[str, Word] = {
    Outcome.ACCEPTED: Word("已提供", "Disclosed", "eye", "info"),
    Outcome.REFUSED: Word("已拒绝", "Refused", "lock", "bad"),
    Outcome.UNDECIDED: Word("未能核验", "Undecided", "dots", "warn"),
    Outcome.NO_RECORD: Word("没有登记", "Nothing registered", "minus", "mute"),
}

CONSENT: dict[str, Word] = {
    "pending": Word("等申请人决定", "Waiting for the applicant", "clock", "info"),
    "approved": Word("申请人已同意", "The applicant agreed", "check", "ok"),
    "refused": Word("申请人不同意", "The applicant refused", "cross", "bad"),
    "expired": Word("请求已过期", "The request expired", "clock", "mute"),
    "withdrawn": Word("申请人已收回同意", "The applicant withdrew", "cross", "bad"),
}

CONTACT: dict[str, Word] = {
    "verified": Word("已确认", "Confirmed", "check", "ok"),
    "waiting": Word("等您填验证码", "Waits for its code", "clock", "warn"),
}

CHANGES: dict[str, tuple[str, str]] = {
    "current": ("恢复有效", "valid again"),
    "suspended": ("暂停使用", "suspended"),
    "revoked": ("已撤销", "revoked"),
    "superseded": ("已换成新版本", "replaced by a new version"),
}

REACHED: dict[str, Word] = {
    Reached.PHONE: Word("已发到申请人手机", "Sent to the applicant's phone", "check", "ok"),
    Reached.EMAIL: Word("已发到申请人邮箱", "Sent to the applicant's e-mail", "check", "ok"),
    Reached.SENDING: Word("正在发送", "Being sent", "clock", "info"),
    Reached.LATER: Word("申请人设了免打扰，之后再发", "Quiet hours: sent afterwards", "clock", "warn"),
    Reached.FAILED: Word("没有送达", "Not delivered", "cross", "bad"),
    Reached.WALLET: Word("没有发出，只在网页上", "Not sent: only on the web pages", "minus", "warn"),
}

ENDPOINTS: dict[str, Word] = {
    "active": Word("正常", "Well", "check", "ok"),
    "failing": Word("打不通，正在重试", "Fails, being retried", "clock", "warn"),
    "disabled": Word("已停发", "Disabled", "cross", "bad"),
}

MATERIAL: dict[str, Word] = {
    "open": Word("待核验", "To be verified", "dots", "mute"),
    "held": Word("已核验，免提交", "Verified, not needed", "check", "ok"),
    "bring": Word("请出示原件", "Look at the original", "paper", "warn"),
}

CASES: dict[str, tuple[str, str]] = {
    CaseState.OPEN: ("已开立", "open"),
    CaseState.GATHERED: ("材料齐备", "gathered"),
    CaseState.ACCEPTED: ("已受理，部门办理中", "accepted, departments at work"),
    CaseState.DECIDED: ("部门已作决定", "decided"),
    CaseState.SCORED: ("已评分", "scored"),
    CaseState.CLOSED: ("已办结", "closed"),
}

CASE_OUTCOMES: dict[str, Word] = {
    CaseOutcome.PASSED: Word("各部门都已通过", "Passed by every department", "check", "ok"),
    CaseOutcome.REJECTED: Word("不予通过", "Rejected", "cross", "bad"),
    CaseOutcome.WITHDRAWN: Word("申请人已撤回", "Withdrawn", "minus", "mute"),
}

STEP_STATES: dict[str, Word] = {
    StepState.RUNNING: Word("正在办理", "In hand", "clock", "info"),
    StepState.PAUSED: Word("等您补正", "Waits for you to mend", "pause", "warn"),
    "passed": Word("通过", "Passed", "check", "ok"),
    "rejected": Word("不通过", "Rejected", "cross", "bad"),
}

FINDINGS: dict[str, Word] = {
    "verified": Word("平台已核验，不用带", "Verified, need not be brought", "check", "ok"),
    "uploaded": Word("已收下", "Taken", "check", "ok"),
    "waived": Word("免提交，部门自己核查", "Not handed in: the office checks it", "check", "ok"),
    "promised": Word("已承诺，事后核查", "Promised, checked afterwards", "check", "ok"),
    "waits": Word("已上传，等工作人员看", "Uploaded, waits to be read", "clock", "info"),
    "mend": Word("要补", "To be mended", "info", "warn"),
    "refused": Word("不能用", "Cannot be used", "cross", "bad"),
    "missing": Word("还缺", "Missing", "paper", "warn"),
    "not_needed": Word("没有也可以", "Not needed", "minus", "mute"),
}

PREVIEW: dict[bool | None, Word] = {
    True: Word("预审：可以通过受理", "Pre-review: it can be accepted", "check", "ok"),
    False: Word("预审：按现在的情况不能通过", "Pre-review: as it stands it cannot pass", "cross", "bad"),
    None: Word("预审：还有内容不清楚", "Pre-review: something is still open", "dots", "warn"),
}

OBJECTIONS: dict[str, Word] = {
    ObjectionState.OPEN: Word("等待答复", "Waits for an answer", "clock", "warn"),
    ObjectionState.SUPERSEDED: Word("已更正", "Corrected", "check", "ok"),
    ObjectionState.REVOKED: Word("已撤销", "Revoked", "check", "ok"),
    ObjectionState.EXPLAINED: Word("没有错，已说明", "Right as it is, explained", "info", "info"),
    ObjectionState.UPHELD: Word("投诉成立", "Complaint upheld", "check", "ok"),
}

RANKINGS: dict[str, Word] = {
    "announced": Word("已公告", "Announced", "clock", "info"),
    "closed": Word("名单已截止", "List closed", "lock", "warn"),
    "drawn": Word("已公示", "Published", "check", "ok"),
}

REVIEWS: dict[str, Word] = {
    ReviewState.OPEN: Word("等待答复", "Waits for an answer", "clock", "warn"),
    ReviewState.UPHELD: Word("维持原评分", "Score upheld", "check", "ok"),
    ReviewState.CHANGED: Word("已重新评分", "Scored anew", "check", "info"),
}

ORDERS: dict[str, Word] = {
    OrderState.MADE: Word("待复核", "To be confirmed", "clock", "warn"),
    OrderState.CONFIRMED: Word("待代理程序取走", "Waits for the agent", "clock", "info"),
    OrderState.FETCHED: Word("代理程序正在签名", "The agent is signing", "dots", "info"),
    OrderState.DONE: Word("已完成", "Done", "check", "ok"),
    OrderState.REFUSED: Word("已退回", "Refused", "cross", "bad"),
}

KEYS: dict[str, tuple[str, str]] = {
    KeyPurpose.CERTIFICATE: ("证照签名密钥", "Certificate key"),
    KeyPurpose.STATUS: ("状态列表密钥", "Status list key"),
    KeyPurpose.CLIENT: ("接口密钥", "Client key"),
}

DEPARTMENTS: dict[str, Word] = {
    DepartmentState.ACTIVE: Word("在用", "Active", "check", "ok"),
    DepartmentState.SUSPENDED: Word("已暂停", "Suspended", "pause", "warn"),
}

WITHIN: dict[bool, Word] = {
    True: Word("没有超出授权", "Within the grant", "check", "ok"),
    False: Word("超出授权", "Beyond the grant", "cross", "bad"),
}

PROVED = Word("证明成立", "The proof holds", "check", "ok")

STEPS: dict[str, tuple[str, str]] = {str(step): pair for step, pair in STEP_WORDS.items()}

OFFICE: dict[str, Word] = {
    "waiting": Word("等第二人同意", "Waiting for a second officer", "clock", "warn"),
    "open": Word("可以查验", "May be made", "dots", "info"),
    "made": Word("已查验", "Made", "check", "ok"),
    "refused": Word("第二人不同意", "Refused by the second officer", "cross", "mute"),
}

SPANS: dict[str, tuple[str, str]] = {"hour": ("小时", "hour"), "day": ("天", "day"), "month": ("月", "month")}

THEN: dict[str, tuple[str, str]] = {
    "alarm": ("告知审计人员", "auditors are told"),
    "throttle": ("这一时段内暂停", "held up until the span is over"),
    "second": ("须另一名工作人员放行", "another officer must vouch"),
    "stop": ("停止到这一时段结束", "stopped until the span is over"),
}

PAPER: dict[str, Word] = {
    "printed": Word("已打印，等签字扫描", "Printed, to be signed and scanned", "paper", "info"),
    "scanned": Word("等另一名工作人员复核", "Waits for another officer", "clock", "warn"),
    "granted": Word("已生效", "In effect", "check", "ok"),
    "refused": Word("复核不通过", "Not confirmed", "cross", "bad"),
    "withdrawn": Word("已收回", "Withdrawn", "minus", "mute"),
}

NOT_REACHED = Word("没有再查", "Not reached", "minus", "mute")

ASSURANCE: dict[str, tuple[str, str]] = {
    "login": ("登录后点选", "Sign-in and a click"),
    "passkey": ("通行密钥", "Passkey"),
    "office": ("依职能，未经本人同意", "Office power, without consent"),
    "use_code": ("登录后出示用证码", "Sign-in, and a use code at the counter"),
    "paper": ("纸质签字，两名工作人员见证（可信程度较低）", "Signed paper, two officers (lower assurance)"),
}

BASES: dict[str, tuple[str, str]] = {
    Basis.HOLDER: ("本人同意", "The holder's own consent"),
    Basis.DELEGATE: ("受委托人同意", "Consent by a delegate"),
    Basis.GUARDIAN: ("监护人同意", "Consent by a guardian"),
    Basis.LEGAL_REPRESENTATIVE: ("法定代表人或经办人同意", "Consent by the legal representative or agent"),
    Basis.OFFICE_POWER: ("依职能查验", "Office power"),
    ARCHIVE: ("部门自己的办件档案", "The department's own archive of the case"),
}

ID_TYPES: dict[str, tuple[str, str]] = {
    "111": ("居民身份证", "Resident identity card"),
    "001": ("统一社会信用代码", "Unified social credit code"),
    "birth": ("出生医学证明编号", "Birth certificate number"),
}


def when(moment: datetime, lang: str) -> str:
    """An instant on the clock of Shanghai: 2026年11月23日 09:30."""
    local = moment.astimezone(SHANGHAI)
    return f"{local:%Y年%m月%d日 %H:%M}" if lang.startswith("zh") else f"{local:%Y-%m-%d %H:%M}"


def day(value: date, lang: str) -> str:
    """A civil day: 2026年11月23日."""
    return f"{value:%Y年%m月%d日}" if lang.startswith("zh") else value.isoformat()


def last_day(until: datetime, lang: str) -> str:
    """The last day on which something is valid that ends at `until` (a midnight in Shanghai ends the day before)."""
    return day(civil_day(until - timedelta(seconds=1)), lang)


def claim_value(kind: CertificateType, path: tuple[str | int | None, ...], value: object, lang: str) -> str:
    """A claim in words: coded values by name, lists joined, holders' id types spelled out."""
    if path and path[0] == "holders" and path[-1] == "id_type" and str(value) in ID_TYPES:
        return ID_TYPES[str(value)][0 if lang.startswith("zh") else 1]
    if path and path[0] == "holders" and path[-1] == "role":
        for role in kind.roles:
            if role.role == value:
                return role.display.get(lang, role.display["zh-CN"])
    if isinstance(value, list):
        mark = "；" if lang.startswith("zh") else "; "
        return mark.join(claim_value(kind, (*path, None), item, lang) for item in value)
    if isinstance(value, dict):
        return "，".join(
            f"{kind.claim_label((*path, key), lang)} {claim_value(kind, (*path, key), item, lang)}"
            for key, item in value.items()
        )
    return kind.value_label(path, value, lang)


_IDENTITY = frozenset({("holders", None, "name"), ("holders", None, "id_type"), ("holders", None, "id_no")})


def claim_names(kind: CertificateType, paths: Iterable[Sequence[str | int | None]], lang: str) -> list[str]:
    """What claims are called, each once, in the order of the type's file; who somebody is comes first, in one word."""
    general = {tuple(None if isinstance(step, int) else step for step in path) for path in paths}
    names: list[str] = []
    if general >= _IDENTITY:
        names.append("姓名和证件号码" if lang.startswith("zh") else "Name and identity number")
        general -= _IDENTITY
    order = {info.path: place for place, info in enumerate(kind.claims)}
    first = sorted(general, key=lambda path: (path[:1] != ("holders",), order.get(path, len(order)), repr(path)))
    return list(dict.fromkeys([*names, *(kind.claim_label(path, lang) for path in first)]))


def disclosed(
    kind: CertificateType, claims: Mapping[str, Any], lang: str, *, hide_ids: bool = False
) -> list[tuple[str, str]]:
    """What a verifier was shown, line by line: holders first, then the type's claims in the order of its file.

    `hide_ids` masks identity numbers: a screen at a counter is read by more people than the one before it.
    """
    lines = []
    for holder in claims.get("holders", []):
        for name in ("name", "id_type", "id_no", "role"):
            if name in holder:
                path = ("holders", None, name)
                shown = masked if hide_ids and name == "id_no" else claim_value
                lines.append((kind.claim_label(path, lang), shown(kind, path, holder[name], lang)))
    for info in kind.claims:
        if len(info.path) == 1 and info.path[0] in claims:
            value = claim_value(kind, info.path, claims[str(info.path[0])], lang)
            lines.append((kind.claim_label(info.path, lang), value))
    return lines


def masked(kind: CertificateType, path: tuple[str | int | None, ...], value: object, lang: str) -> str:
    """A claim as a list may show it: masked as its type says, on whole characters."""
    rule = kind.mask(path)
    if rule != "none":
        return mask_by(rule, str(value))
    if isinstance(value, list):
        mark = "；" if lang.startswith("zh") else "; "
        return mark.join(masked(kind, (*path, None), item, lang) for item in value)
    if isinstance(value, dict):
        return "，".join(
            f"{kind.claim_label((*path, key), lang)} {masked(kind, (*path, key), item, lang)}"
            for key, item in value.items()
        )
    return claim_value(kind, path, value, lang)

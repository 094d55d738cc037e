"""What notices say: one line for a list, one text for mail and text message, in Chinese and English.

A message that leaves names the department and what it did, and nothing else: no matter, no name, no number, no claim,
and no link. Whoever wants to know more opens the wallet by the way they know; so no message teaches people to follow
links in messages.
"""

from collections.abc import Mapping

from hub.notices.model import NoticeKind

Pair = tuple[str, str]
"""(Chinese, English)."""

TITLES: Mapping[NoticeKind, Pair] = {
    NoticeKind.ASKED: ("{office} 请您同意查看证照", "{office} asks for your consent to see certificates"),
    NoticeKind.USED: ("{office} 按您的同意查看了证照", "{office} looked at certificates under your consent"),
    NoticeKind.TRIED: ("{office} 想查看证照，没有看到", "{office} tried to look at certificates and saw nothing"),
    NoticeKind.OFFICE: (
        "{office} 依职能查看了证照，没有经过您同意",
        "{office} looked at certificates by its office power, without your consent",
    ),
    NoticeKind.GIVEN: ("有人代您同意 {office} 查看证照", "Somebody agreed in your place that {office} may look"),
    NoticeKind.WITHDRAWN: ("给 {office} 的同意已收回或终止", "The consent given to {office} was withdrawn or ended"),
    NoticeKind.CERTIFICATE: ("{office} 改变了一份证照的状态", "{office} changed the state of a certificate"),
    NoticeKind.ANSWERED: ("{office} 答复了异议或投诉", "{office} answered an objection or a complaint"),
    NoticeKind.DECIDED: ("{office} 对办件作出了决定", "{office} decided a case"),
    NoticeKind.MEND: ("{office} 的办件需要您补正", "A case at {office} needs something more from you"),
    NoticeKind.CONTACT: ("您的联系方式有变化", "Your contacts have changed"),
}

KINDS: Mapping[NoticeKind, Pair] = {
    NoticeKind.ASKED: ("请您同意", "Requests for your consent"),
    NoticeKind.USED: ("按同意查看", "Looks under a consent"),
    NoticeKind.GIVEN: ("别人代您同意", "Consent given in your place"),
    NoticeKind.WITHDRAWN: ("同意收回或终止", "Consent withdrawn or ended"),
    NoticeKind.CERTIFICATE: ("证照状态变化", "Changes of certificates"),
    NoticeKind.ANSWERED: ("异议投诉答复", "Answers to objections"),
    NoticeKind.DECIDED: ("办件决定", "Decisions of cases"),
    NoticeKind.MEND: ("办件补正", "Cases that need something more"),
}
"""What can be silenced, as the form of wishes names it."""

ABOUT: Pair = ("（您代办的孩子、委托人或单位）", " (of a child, a principal or a company you act for)")

_OPEN: Pair = (
    "请自行打开“我的证照”查看；本消息不含链接，工作人员不会向您索要验证码。",
    "Open your wallet yourself to read more. This message has no link, and no officer asks you for a code.",
)
_CODE: Pair = (
    "验证码 {code}，10 分钟内有效，用来确认您的联系方式。不要告诉任何人，工作人员也不会索要。",
    "Code {code}, good for 10 minutes, confirms your contact. Tell nobody; no officer asks for it.",
)


def title(kind: NoticeKind, language: str, *, office: str, about: bool) -> str:
    """One line: who did what."""
    said = _in(TITLES[kind], language).format(office=office)
    return said + (_in(ABOUT, language) if about else "")


def message(kind: NoticeKind, language: str, *, brand: str, office: str, about: bool) -> str:
    """The whole text that leaves the hub."""
    full_stop = ". " if language == "en" else "。"
    return f"【{brand}】{title(kind, language, office=office, about=about)}{full_stop}{_in(_OPEN, language)}"


def code_message(code: str, language: str, *, brand: str) -> str:
    """The text with a code."""
    return f"【{brand}】{_in(_CODE, language).format(code=code)}"


def subject_line(kind: NoticeKind | None, language: str, *, brand: str) -> str:
    """Of a mail: it stands on locked screens, so it says less than the text."""
    if kind is None:
        return f"{brand}：{_in(('验证码', 'your code'), language)}"
    asked = kind in (NoticeKind.ASKED, NoticeKind.MEND)
    said = ("有一件事等您处理", "something waits for you") if asked else ("您有一条新消息", "you have a new message")
    return f"{brand}：{_in(said, language)}"


def _in(pair: Pair, language: str) -> str:
    return pair[1] if language == "en" else pair[0]

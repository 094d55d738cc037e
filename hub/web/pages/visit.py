"""One request of a browser: its language and size of letters, its session, its form token, the ledger's head.

What a post must pass before a verb is called: (1) it comes from our own page (Sec-Fetch-Site, Origin), (2) it is
not larger than the door allows, (3) it carries the form token of this session, or of this browser where nobody is
signed in (double submit). The cookies are HttpOnly, SameSite=Lax, and `__Host-` with Secure under https.
"""

import hmac
import re
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal
from urllib.parse import urlencode, urlsplit
from uuid import UUID

import sqlalchemy as sa
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request
from starlette.responses import Response

from hub.actor import PUBLIC, Actor, ActorKind
from hub.errors import Forbidden, Gone, HubError, Malformed, NotFound, TooLarge, Unauthenticated
from hub.formats.masking import mask_name
from hub.ledger.model import head
from hub.notices import inbox
from hub.registry import departments, sessions, subjects
from hub.registry.model import ROLE_LABELS, Role, may
from hub.store.tx import View
from hub.web.deps import Hub, hub_of
from hub.web.pages.again import ProveAgain, interrupt
from hub.web.pages.cookies import cookie_name, put_cookie

Language = Literal["zh-CN", "en"]

FORM_BYTES = 64 * 1024
YEAR = 365 * 24 * 3600

_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,64}")

_CITIZEN_MENU = (
    ("/wallet", "我的证照", "My certificates"),
    ("/apply", "办事", "Apply"),
    ("/items", "要带什么", "What to bring"),
    ("/usecode", "用证码", "Use code"),
    ("/requests", "待我同意", "Waiting for me"),
    ("/inbox", "消息", "Messages"),
    ("/accesses", "谁看过我的证照", "Who looked"),
    ("/entrust", "委托他人", "Entrust"),
    ("/passkeys", "通行密钥", "Passkeys"),
)
_OFFICER_MENU = (
    ("counter.verify", "/counter", "综合窗口", "Counter"),
    ("cases.decide", "/desk", "审批", "Desk"),
    ("certificates.upload", "/officer", "本部门证照", "Our certificates"),
    ("certificates.approve", "/officer", "本部门证照", "Our certificates"),
    ("counter.verify", "/office", "依职能查验", "Office power"),
    ("complaints.handle", "/complaints", "异议投诉", "Complaints"),
    ("complaints.handle", "/disputes", "监护争议", "Disputes"),
    ("complaints.handle", "/replies", "差评答复", "Replies"),
    ("accesses.search", "/auditor", "审计查询", "Audit"),
    ("system.operate", "/admin", "平台运行", "System"),
)


@dataclass(frozen=True, slots=True)
class LedgerHead:
    """The newest signed checkpoint, as the footer shows it."""

    size: int
    signed_at: datetime


@dataclass(slots=True)
class Visit:
    """Everything that a page needs to know about this request; made by `visit_of`, never shared."""

    hub: Hub
    request: Request
    lang: Language
    care: bool
    browser_token: str
    session: sessions.Session | None = None
    actor: Actor = PUBLIC
    name: str = ""
    ledger: LedgerHead | None = None
    unread: int = 0
    cookies: dict[str, str] = field(default_factory=dict)

    def t(self, zh: str, en: str) -> str:
        """The text in the visitor's language."""
        return en if self.lang == "en" else zh

    @property
    def brand(self) -> str:
        """The name of this hub, as its operator set it."""
        return self.hub.settings.brand_name

    @property
    def sandbox(self) -> bool:
        """Whether this hub only plays: every page then says so."""
        return not self.hub.production

    @property
    def path(self) -> str:
        """The path of the request."""
        return self.request.url.path

    @property
    def csrf(self) -> str:
        """The token that every form of this page carries."""
        return self.session.csrf if self.session else self.browser_token

    @property
    def signed_in(self) -> bool:
        """Whether somebody is signed in."""
        return self.session is not None

    @property
    def subject_id(self) -> UUID:
        """The signed-in citizen's id; doors for citizens have made sure that there is one."""
        if self.actor.subject_id is None:
            raise _sign_in()
        return self.actor.subject_id

    def here(self, **changed: str) -> str:
        """The address of this page with some query members changed; form posts lead back to the page itself."""
        query = dict(self.request.query_params) | changed
        return f"{self.path}?{urlencode(query)}" if query else self.path

    def menu(self) -> list[tuple[str, str, str]]:
        """Where this person may go: (address, Chinese, English)."""
        if self.actor.kind is ActorKind.CITIZEN:
            return list(_CITIZEN_MENU)
        found = [(href, zh, en) for act, href, zh, en in _OFFICER_MENU if may(self.actor.roles, act)]
        return list(dict.fromkeys(found))

    def who(self) -> str:
        """Who is signed in, in words: an officer's department and roles, a citizen's masked name."""
        if self.actor.kind is not ActorKind.OFFICER:
            return self.name or self.t("本人", "Yourself")
        roles = [ROLE_LABELS[Role(role)][self.lang == "en"] for role in sorted(self.actor.roles)]
        return f"{self.name} · {self.t('、', ', ').join(roles)}"

    def set_cookies(self, response: Response) -> None:
        """Write the cookies that this request changed."""
        for name, value in self.cookies.items():
            put_cookie(response, self.hub, name, value, max_age=YEAR)


async def visit_of(request: Request) -> Visit:
    """The visit of this request, with its session if a living one came along."""
    return await _visit(request, longest=400)


async def visit_back(request: Request) -> Visit:
    """The same where an identity provider sends a browser back: its codes may be long."""
    return await _visit(request, longest=4096)


async def _visit(request: Request, *, longest: int) -> Visit:
    _check_address(request, longest)
    visit = bare_visit(request)
    hub = visit.hub
    token = request.cookies.get(cookie_name(hub, "session"))
    async with hub.view(PUBLIC) as view:
        session = await sessions.lookup(view, token=token) if token else None
        actor = await sessions.actor_of(view, session) if session else None
        if session and actor:
            visit.session, visit.actor = session, actor
            visit.name = await _name(view, actor, visit.lang)
            if actor.subject_id is not None:
                visit.unread = await inbox.unread(view, subject_id=actor.subject_id)
        row = await view.first(sa.select(head.c.size, head.c.signed_at))
    visit.ledger = LedgerHead(row.size, row.signed_at) if row else None
    request.state.visit = visit
    if visit.session and visit.session.renew and token:
        async with hub.tx(visit.actor) as tx:
            await sessions.touch(tx, token=token)
    return visit


def _check_address(request: Request, longest: int) -> None:
    """Ids in our addresses are random tokens and numbers: anything else is nobody's, and reaches no database."""
    if not all(_TOKEN.fullmatch(str(value)) for value in request.path_params.values()):
        raise NotFound("page.unknown", "没有这个页面。", "There is no such page.")
    if not all(value.isprintable() and len(value) <= longest for value in request.query_params.values()):
        raise Malformed("page.query", "网址里有看不懂的内容。", "The address contains something unreadable.")


async def _name(view: View, actor: Actor, lang: Language) -> str:
    if actor.subject_id is not None:
        try:
            face = await subjects.face(view, actor.subject_id)
        except Gone:  # erased since they signed in
            return ""
        return mask_name(face.name) if face else ""
    found = await departments.get(view, slug=actor.department or "")
    return found.name_en if lang == "en" else found.name_zh


def bare_visit(request: Request) -> Visit:
    """A visit without looking into the database: enough for an error page when the database is away."""
    hub = hub_of(request)
    cookies: dict[str, str] = {}
    lang, care = _language(request, hub, cookies), _care(request, hub, cookies)
    token = request.cookies.get(cookie_name(hub, "form"), "")
    if len(token) != 43:
        token = cookies["form"] = secrets.token_urlsafe(32)
    return Visit(hub, request, lang, care, token, cookies=cookies)


async def citizen(request: Request) -> Visit:
    """The visit of a signed-in citizen; Unauthenticated (a page leads to the login) otherwise."""
    visit = await visit_of(request)
    if visit.session is None:
        raise _sign_in()
    if visit.actor.kind is not ActorKind.CITIZEN:
        raise _not_for_you()
    return visit


async def anybody(request: Request) -> Visit:
    """The visit of whoever is signed in, citizen or officer."""
    visit = await visit_of(request)
    if visit.session is None:
        raise _sign_in()
    return visit


def officer(*acts: str) -> Callable[[Request], Awaitable[Visit]]:
    """A dependency that gives the visit of a signed-in officer who may do one of `acts`."""

    async def signed_in_officer(request: Request) -> Visit:
        visit = await visit_of(request)
        if visit.session is None:
            raise _sign_in()
        if visit.actor.kind is not ActorKind.OFFICER or not _may_any(visit.actor, acts):
            raise _not_for_you()
        return visit

    return signed_in_officer


def _may_any(actor: Actor, acts: tuple[str, ...]) -> bool:
    return any(may(actor.roles, act) for act in acts)


async def posted(visit: Visit, *, max_bytes: int = FORM_BYTES, fresh: bool = False) -> "Form":
    """The form that was posted, after the three steps named above; raises before anything is done.

    With `fresh` the act is a dangerous one: whoever last proved who they are over ten minutes ago is asked to do so
    first (ProveAgain), and the form is kept meanwhile.
    """
    request = visit.request
    _check_origin(visit)  # 1
    length = request.headers.get("content-length", "")
    plain = length.isascii() and length.isdecimal() and len(length) < 13
    if not plain or "transfer-encoding" in request.headers:  # where both come, the length binds nobody
        raise Malformed("form.length_missing", "提交的内容没有标明长度。", "The form does not say how long it is.")
    if int(length) > max_bytes:  # 2
        raise TooLarge(
            "form.too_large",
            f"提交的内容太大，最多 {max_bytes // 1024} KB。",
            f"What you sent is too large: at most {max_bytes // 1024} KB.",
            next_zh="请换一个较小的文件。",
            next_en="Use a smaller file.",
        )
    form = await _read(request, max_bytes)
    sent = form.texts.get("csrf", [""])[0]
    if not hmac.compare_digest(sent.encode(), visit.csrf.encode()):  # 3
        raise _forged("form.token_wrong")
    if fresh and visit.session is not None and not visit.session.fresh(visit.hub.clock()):
        async with visit.hub.tx(visit.actor) as tx:
            ticket = await interrupt(tx, session=visit.session.public_id, path=visit.path, texts=form.texts)
        raise ProveAgain(f"/again/{ticket}")
    return form


@dataclass(frozen=True, slots=True)
class Form:
    """What was posted: texts by name in their order, files by name as bytes. Nothing of it ever touched a disk."""

    texts: dict[str, list[str]]
    files: dict[str, bytes]


async def _read(request: Request, max_bytes: int) -> Form:
    """The whole form in memory: what people hand in here is personal and is not spooled to a temporary file."""
    if request.headers.get("content-type", "").startswith("multipart/form-data"):
        parser = MultiPartParser(request.headers, request.stream(), max_files=2, max_fields=200)
        parser.spool_max_size = max_bytes + 1
        try:
            raw = await parser.parse()
        except (MultiPartException, KeyError, ValueError) as fault:
            raise _bad_field() from fault
    else:
        raw = await request.form(max_fields=200)
    form = Form({}, {})
    for name, value in raw.multi_items():
        if isinstance(value, str):
            form.texts.setdefault(name, []).append(value)
        elif name not in form.files:
            form.files[name] = await value.read()
    await raw.close()
    return form


def text(form: Form, name: str, *, limit: int = 2000) -> str:
    """One text field, trimmed; empty when missing; Malformed when it is longer than `limit` characters."""
    value = form.texts.get(name, [""])[0]
    if len(value) > limit:
        raise _bad_field()
    return value.strip()


def _bad_field() -> HubError:
    return Malformed("form.field_invalid", "有一项内容的格式不对。", "One field of the form is not as it should be.")


def safe_next(value: str) -> str:
    """A path of this site to go on to; anything else becomes the start page (no open redirects)."""
    plain = value.startswith("/") and not value.startswith(("//", "/\\")) and value.isprintable()
    return value if plain else "/"


def _check_origin(visit: Visit) -> None:
    headers = visit.request.headers
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise _forged("form.cross_site")
    origin = headers.get("origin")
    ours = {urlsplit(visit.hub.settings.public_url).netloc, headers.get("host", "")}
    if origin is not None and origin.partition("://")[2] not in ours:
        raise _forged("form.cross_site")


def _language(request: Request, hub: Hub, cookies: dict[str, str]) -> Language:
    asked = request.query_params.get("lang")
    if asked in ("zh-CN", "zh", "en"):
        cookies["lang"] = "en" if asked == "en" else "zh-CN"
        return "en" if asked == "en" else "zh-CN"
    kept = request.cookies.get(cookie_name(hub, "lang"))
    if kept in ("zh-CN", "en"):
        return "en" if kept == "en" else "zh-CN"
    first = request.headers.get("accept-language", "zh-CN").split(",")[0].strip().lower()
    return "en" if first.startswith("en") else "zh-CN"


def _care(request: Request, hub: Hub, cookies: dict[str, str]) -> bool:
    asked = request.query_params.get("care")
    if asked in ("0", "1"):
        cookies["care"] = asked
        return asked == "1"
    return request.cookies.get(cookie_name(hub, "care")) == "1"


def _sign_in() -> HubError:
    return Unauthenticated(
        "session.none",
        "您还没有登录，或者登录已经到时间。",
        "You are not signed in, or your sign-in has ended.",
        next_zh="请登录后再试。",
        next_en="Sign in and try again.",
    )


def _not_for_you() -> HubError:
    return Forbidden(
        "page.not_for_you",
        "您现在的身份不能使用这个页面。",
        "The identity you are signed in with may not use this page.",
        next_zh="请退出后换一个身份登录，或联系本单位管理员。",
        next_en="Sign out and use another identity, or ask your administrator.",
    )


def _forged(code: str) -> HubError:
    return Forbidden(
        code,
        "这次提交不是从本站页面发出的，或页面已经过期，因此没有办理。",
        "This was not sent from a page of ours, or the page was too old; nothing was done.",
        next_zh="请回到页面重新打开后再提交。",
        next_en="Open the page again and send it once more.",
    )

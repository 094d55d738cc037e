"""Error pages for browsers: what happened, what it means for you, what to do now, and the request number."""

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from hub.errors import HubError
from hub.web.metrics import refused
from hub.web.pages.again import ProveAgain
from hub.web.pages.render import render
from hub.web.pages.visit import Visit, bare_visit

_API = ("/v1/", "/oauth/", "/.well-known/")

TITLES: dict[str, tuple[str, str]] = {
    "malformed": ("提交的内容看不懂", "We could not read what was sent"),
    "unauthenticated": ("请先登录", "Please sign in"),
    "forbidden": ("不能这样做", "This is not allowed"),
    "not_found": ("没有找到", "Not found"),
    "conflict": ("情况已经变了", "Something changed meanwhile"),
    "gone": ("已经失效", "No longer usable"),
    "too_large": ("内容太大", "Too large"),
    "unprocessable": ("内容不符合规定", "What was sent does not meet the rules"),
    "too_many": ("操作太频繁", "Too many attempts"),
    "unavailable": ("系统暂时忙不过来", "The service is not available right now"),
    "internal": ("系统出了差错", "Something went wrong on our side"),
}

MEANS: dict[str, tuple[str, str]] = {
    "malformed": ("这次没有办理任何事，您的证照没有变化。", "Nothing was done; your certificates are unchanged."),
    "unauthenticated": ("登录前看不到个人内容。", "Personal content is only shown after signing in."),
    "forbidden": ("这次没有办理任何事，也没有人看到您的证照。", "Nothing was done, and nobody saw your certificates."),
    "not_found": (
        "这个地址没有内容，或者内容不属于您现在的身份。",
        "There is nothing at this address, or it does not belong to the identity you use.",
    ),
    "conflict": ("您看到的页面已不是最新，这次没有办理。", "The page you saw was out of date; nothing was done."),
    "gone": ("它以前可以用，现在不能再用了。", "It could be used before and cannot be used any more."),
    "too_large": ("文件没有被读取，也没有保存。", "The file was not read and not kept."),
    "unprocessable": ("这次没有办理任何事。", "Nothing was done."),
    "too_many": ("为了安全，请稍等一会儿。", "For safety, please wait a little."),
    "unavailable": (
        "这不表示您的证照有问题，只是现在查不了。",
        "This says nothing about your certificates; they just cannot be checked now.",
    ),
    "internal": ("不是您的操作造成的。您的证照没有变化。", "It was not your doing. Your certificates are unchanged."),
}

DEFAULT_NEXT = (
    "请返回上一页检查后重试；仍不行可到综合窗口询问。",
    "Go back, check and try again, or ask at a counter.",
)


def wants_page(request: Request) -> bool:
    """Whether this caller is a browser at a page (and not a program at the API)."""
    if request.url.path.startswith(_API) and request.url.path != "/oauth/authorize":
        return False
    return "text/html" in request.headers.get("accept", "")


def error_page(request: Request, error: HubError, *, status: int, request_id: str) -> Response:
    """The page that tells `error` to a person; whoever is not signed in is led to the login instead."""
    refused(error.code)
    if isinstance(error, ProveAgain):
        return RedirectResponse(error.where, status_code=303)
    if error.code == "session.none" and request.method == "GET":
        return RedirectResponse(f"/login?next={request.url.path}", status_code=303)
    visit: Visit = getattr(request.state, "visit", None) or bare_visit(request)
    following = (error.next_zh, error.next_en) if error.next_zh and error.next_en else DEFAULT_NEXT
    page = render(
        visit,
        "error.html",
        status=status,
        what=TITLES.get(error.kind, TITLES["internal"]),
        detail=(error.zh, error.en),
        means=MEANS.get(error.kind, MEANS["internal"]),
        next=following,
        code=error.code,
        request_id=request_id,
    )
    if "retry_after" in error.facts:
        page.headers["Retry-After"] = str(error.facts["retry_after"])
    return page

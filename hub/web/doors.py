"""Opens all doors: the API for departments and the public, then the pages; request numbers; errors told fitly."""

import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import structlog
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from hub.errors import Forbidden, HubError, Internal, Malformed, NotFound, TooLarge
from hub.ids import public_token
from hub.web import (
    authorize,
    casefile,
    casesteps,
    ciba,
    enrolment,
    grants,
    issuer,
    oauth,
    orders,
    public,
    pulls,
    redeem,
    sources,
    verifier,
    webhooks,
)
from hub.web.answer import request_id, whereabouts
from hub.web.deps import Hub
from hub.web.express import Application
from hub.web.health import Health
from hub.web.metrics import Meter
from hub.web.pages.mount import mount as mount_pages
from hub.web.problems import oauth_error, problem

Message = MutableMapping[str, Any]

log = structlog.get_logger()

DOORS = (
    enrolment, issuer, orders, pulls, sources, verifier, casefile, casesteps, oauth, authorize,
    ciba, grants, webhooks, public,
)  # fmt: skip
"""In this order: `/v1/status-lists/mine` is the issuer's, `/v1/status-lists/{list_id}` everybody's."""


PROBLEM: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "Problem document (RFC 9457); below /oauth/ an OAuth error",
        "content": {
            "application/problem+json": {
                "example": {
                    "type": "about:blank",
                    "title": "请求与现状冲突",
                    "status": 409,
                    "code": "status.index_taken",
                    "detail": "状态位未预留或已被使用，不能重复使用。",
                    "request_id": "Zk3…",
                    "next": {"zh": "请重新预留状态位后再签发。", "en": "Reserve a new index and sign again."},
                }
            }
        },
    }
}


def mount(app: Application, hub: Hub, *, revision: str | None = None) -> None:
    """Add every door of the hub to `app`; `revision` is what the tables must be at (`Health`)."""
    app.state.health = health = Health(hub, revision=revision)
    for door in DOORS:
        app.include_router(door.router, responses=PROBLEM)
    for kind in (HubError, HTTPException, RequestValidationError, Exception):
        app.add_exception_handler(kind, tell)
    app.add_middleware(RequestNumbers)
    mount_pages(app, hub)  # its headers go around everything, errors too
    app.add_middleware(Meter, leaving=lambda: health.draining)
    app.open_express({("POST", redeem.PATH): redeem.redeem}, tell=tell)
    logging.getLogger("uvicorn.access").disabled = True  # paths only, and ours carry the request number


async def tell(request: Request, fault: Exception) -> Response:
    """Tell a program of an error: OAuth errors below /oauth/, problem documents everywhere else."""
    number = request_id(request)
    error, status = _as_ours(fault)
    if error.kind == "internal":
        log.error(
            "request.failed",
            request_id=number,
            code=error.code,
            fault=type(fault).__name__,
            where=whereabouts(fault),
        )
    if request.url.path.startswith("/oauth/"):
        return oauth_error(error)
    return problem(error, request_id=number, status=status)


def _as_ours(fault: Exception) -> tuple[HubError, int | None]:
    if isinstance(fault, HubError):
        return fault, None
    if isinstance(fault, HTTPException):
        known: dict[int, HubError] = {
            403: Forbidden("http.forbidden", "不允许。", "Not allowed."),
            404: NotFound("http.not_found", "没有这个地址。", "There is nothing at this address."),
            405: Malformed(
                "http.method", "该地址不接受这种方法。", "This address does not take this method."
            ),
            413: TooLarge("http.too_large", "请求过大。", "The request is too large."),
        }
        other = Malformed("http.refused", "请求无法处理。", "The request cannot be taken.")
        return known.get(fault.status_code, other), fault.status_code
    if isinstance(fault, RequestValidationError):
        return Malformed(
            "http.address", "地址中的参数不正确。", "A part of the address is not what it must be."
        ), None
    text = ("系统内部出了差错，已记录。", "Something failed inside the hub; it has been noted.")
    return Internal("http.internal", *text), None


class RequestNumbers:
    """Gives every request a number, shows it in `X-Request-Id`, and writes one log line without query or body."""

    def __init__(self, app: Callable[..., Awaitable[None]]) -> None:
        self.app = app

    async def __call__(
        self, scope: Message, receive: Any, send: Callable[[Message], Awaitable[None]]
    ) -> None:
        """Number one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        number = state["request_id"] = public_token(9)
        status = 0

        async def numbered(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", number.encode())]
            await send(message)

        try:
            await self.app(scope, receive, numbered)
        except (
            Exception
        ) as fault:  # told here: a server above us would print it, with what somebody sent in it
            if status:
                log.error("request.broken_off", request_id=number, where=whereabouts(fault))
            else:
                request = Request(scope)
                handler = request.app.exception_handlers.get(Exception, tell)
                await (await handler(request, fault))(scope, receive, numbered)
        finally:
            route = scope.get("route")
            path = getattr(route, "path", "-")  # the pattern, never the ids in it
            if status >= 400 or "busy" not in state:
                log.info("request", request_id=number, method=scope["method"], route=path, status=status)

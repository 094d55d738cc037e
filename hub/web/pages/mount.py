"""Puts the pages into the application: static files, routes, headers for every answer, errors told as pages."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

import structlog
from fastapi import FastAPI
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

from hub.errors import HubError, Internal, Malformed, NotFound
from hub.ids import public_token
from hub.web import (
    accesses,
    admin,
    again,
    apply,
    appointments,
    archives,
    auditor,
    board,
    casework,
    catalogue,
    counter,
    demoprovider,
    desk,
    developers,
    devices,
    disputes,
    entrust,
    forms,
    halls,
    inbox,
    items,
    login,
    mycase,
    objections,
    office,
    officer,
    ownboard,
    paperconsent,
    passkeys,
    rankings,
    ratings,
    requests,
    rules,
    signin,
    usecode,
    verify,
    wallet,
)
from hub.web.answer import whereabouts
from hub.web.deps import Hub
from hub.web.pages.errors import error_page, wants_page
from hub.web.pages.render import STATIC
from hub.web.problems import STATUS

log = structlog.get_logger()

Handler = Callable[[Request, Any], Response | Awaitable[Response]]
Message = MutableMapping[str, Any]

DOORS = (
    login, signin, again, devices, demoprovider, wallet, apply, items, requests, inbox, usecode, passkeys,
    entrust, accesses, disputes, verify, counter, paperconsent, desk, rankings, office, rules, officer, auditor,
    admin, developers, mycase, casework, objections, forms, appointments, board, ratings, archives, halls,
    ownboard, catalogue,
)  # fmt: skip

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=(), interest-cohort=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
LOCKED = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
"""The policy of every answer that did not bring its own: nothing in it may run, load or be framed."""


def mount(app: FastAPI, hub: Hub) -> None:
    """Add all pages to `app`. A production hub has no demo identity provider, so none can be reached."""
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    for door in DOORS:
        if door is not demoprovider or not hub.production:
            app.include_router(door.router)
    app.add_middleware(SecureHeaders, https=urlsplit(hub.settings.public_url).scheme == "https")
    for kind in (HubError, HTTPException, Exception):
        app.add_exception_handler(kind, _page_or(app.exception_handlers.get(kind)))


class SecureHeaders:
    """Headers of every answer: no sniffing, no framing, no foreign embedding, a policy, and HSTS under https."""

    def __init__(self, app: Callable[..., Awaitable[None]], *, https: bool) -> None:
        self.app = app
        every = {**HEADERS, "Content-Security-Policy": LOCKED}
        if https:
            every["Strict-Transport-Security"] = "max-age=31536000; includeSubDomains"
        self._all = [(name.lower().encode(), value.encode()) for name, value in every.items()]

    async def __call__(self, scope: Message, receive: Any, send: Callable[[Message], Awaitable[None]]) -> None:
        """Pass on, adding headers to the start of each HTTP answer."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = message.get("headers", ())
                brought = {name for name, _ in headers}
                message["headers"] = [*headers, *(header for header in self._all if header[0] not in brought)]
                if scope["path"].startswith("/static/"):
                    MutableHeaders(scope=message)["Cache-Control"] = "public, max-age=86400"
            await send(message)

        await self.app(scope, receive, with_headers)


def _page_or(api: Handler | None) -> Handler:
    """A handler that tells browsers a page and leaves programs to the handler of the API doors."""

    async def handler(request: Request, fault: Exception) -> Response:
        if api is not None and not wants_page(request):
            answer = api(request, fault)
            return answer if isinstance(answer, Response) else await answer
        error = _told(fault)
        if error.kind == "internal":
            log.error("page.failed", code=error.code, fault=type(fault).__name__, where=whereabouts(fault))
        status = fault.status_code if isinstance(fault, HTTPException) else STATUS[error.kind]
        number = getattr(request.state, "request_id", None) or public_token(9)
        return error_page(request, error, status=status, request_id=number)

    return handler


def _told(fault: Exception) -> HubError:
    if isinstance(fault, HubError):
        return fault
    if isinstance(fault, HTTPException):
        if fault.status_code == 404:
            return NotFound("page.unknown", "没有这个页面。", "There is no such page.")
        return Malformed("page.method", "不能这样打开这个地址。", "This address cannot be opened like this.")
    return Internal("internal", "系统内部出了差错，已经记下。", "Something failed inside; it has been noted.")

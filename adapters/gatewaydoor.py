"""The gateway's local door: `POST /verify`, `GET /tickets/{id}`, one password, answers as JSON, CSV or plain lines."""

import csv
import hmac
import io
import json
from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from adapters.gatewaytickets import Ticket, Tickets
from hub.errors import Conflict, HubError, Malformed, NotFound
from hub.formats import jws

MAX_BODY = 16 * 1024
PLAIN: dict[str, Any] = {"http": "h11", "ws": "none"}
"""How uvicorn serves this door: Java's client offers an upgrade with its first request and must not lose its body."""


class Desk(Protocol):
    """What stands behind the door: the gateway, or its sandbox."""

    tickets: Tickets

    def accept(self, asked: Mapping[str, Any]) -> Ticket:
        """Take in a request."""
        ...

    def answer(self, ticket: Ticket) -> dict[str, Any]:
        """What is told of a ticket."""
        ...


def door(desk: Desk, password: str) -> Starlette:
    """The ASGI application. 202 while a ticket waits, 200 when it has ended, whatever the end is."""

    async def verify(request: Request) -> Response:
        if not _knows(request, password):
            return _told(request, 401, _error("gateway.password", "口令不对。", "Wrong password."))
        try:
            ticket = await run_in_threadpool(desk.accept, _asked(request, await _body(request)))
        except HubError as fault:
            status = 404 if isinstance(fault, NotFound) else 409 if isinstance(fault, Conflict) else 400
            return _told(
                request, status, _error(fault.code, fault.zh, fault.en, fault.next_zh, fault.next_en)
            )
        return _told(request, 200 if ticket.final else 202, await run_in_threadpool(desk.answer, ticket))

    async def one(request: Request) -> Response:
        if not _knows(request, password):
            return _told(request, 401, _error("gateway.password", "口令不对。", "Wrong password."))
        ticket = await run_in_threadpool(desk.tickets.by_id, request.path_params["ticket"])
        if ticket is None:
            return _told(request, 404, _error("gateway.no_ticket", "没有这个受理号。", "No such ticket."))
        return _told(request, 200 if ticket.final else 202, await run_in_threadpool(desk.answer, ticket))

    async def health(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    return Starlette(
        routes=[
            Route("/verify", verify, methods=["POST"]),
            Route("/tickets/{ticket}", one),
            Route("/health", health),
        ]
    )


def _knows(request: Request, password: str) -> bool:
    said = request.headers.get("authorization", "")
    return hmac.compare_digest(said.encode(), f"Bearer {password}".encode())


async def _body(request: Request) -> bytes:
    found = b""
    async for part in request.stream():
        found += part
        if len(found) > MAX_BODY:
            raise Malformed("gateway.too_large", "请求太大。", "The request is too large.")
    return found


def _asked(request: Request, body: bytes) -> dict[str, Any]:
    """A JSON object, or a form as `curl -d` sends it (UTF-8)."""
    if request.headers.get("content-type", "").startswith("application/json"):
        found = jws.loads(body, max_bytes=MAX_BODY)
        if not isinstance(found, dict):
            raise Malformed("gateway.body", "应为一个 JSON 对象。", "A JSON object is needed.")
        return found
    try:
        return dict(parse_qsl(body.decode("utf-8"), strict_parsing=True, max_num_fields=20))
    except (UnicodeDecodeError, ValueError) as fault:
        raise Malformed("gateway.body", "应为 JSON 或表单。", "JSON or a form is needed.") from fault


def _error(code: str, zh: str, en: str, next_zh: str = "", next_en: str = "") -> dict[str, Any]:
    return {
        "state": "error",
        "code": code,
        "zh": zh,
        "en": en,
        "next_zh": next_zh,
        "next_en": next_en,
        "columns": {},
    }


def _told(request: Request, status: int, said: dict[str, Any]) -> Response:
    wanted = request.headers.get("accept", "")
    headers = {"cache-control": "no-store"}
    encoding = "gb18030" if "gb18030" in wanted.lower() else "utf-8"
    if wanted.startswith(("text/csv", "text/plain")):
        kind = "text/csv" if wanted.startswith("text/csv") else "text/plain"
        text = as_csv([said]) if kind == "text/csv" else as_lines(said)
        return Response(text.encode(encoding), status, headers, media_type=f"{kind}; charset={encoding}")
    return Response(json.dumps(said, ensure_ascii=False), status, headers, media_type="application/json")


def flat(said: Mapping[str, Any]) -> dict[str, str]:
    """An answer as columns."""
    names = ("reference", "ticket", "state", "code", "zh")
    return {name: str(said.get(name, "")) for name in names} | dict(said.get("columns", {}))


def as_csv(answers: list[Mapping[str, Any]]) -> str:
    """A header line and a line for each answer. A text that Excel would take for a formula gets an apostrophe."""
    lines = [flat(one) for one in answers]
    names = list(dict.fromkeys(name for line in lines for name in line))
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(names)
    for line in lines:
        writer.writerow([_harmless(line.get(name, "")) for name in names])
    return out.getvalue()


def as_lines(said: Mapping[str, Any]) -> str:
    """`name=value` lines, for shell scripts; line breaks inside values become spaces."""
    return "".join(f"{name}={' '.join(value.split())}\n" for name, value in flat(said).items())


def _harmless(text: str) -> str:
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t") else text

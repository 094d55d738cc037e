"""The doors that are too busy for the framework: an exact method and path go straight to their handler.

FastAPI still knows these routes (they stand in /openapi.json, and answer the same when they are reached that way).
What is saved is matching a hundred patterns, solving dependencies and the framework's own stacks of exits.
"""

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

Message = MutableMapping[str, Any]
Handler = Callable[[Request], Awaitable[Response]]
Told = Callable[[Request, Exception], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Named:
    """What stands in `scope["route"]`, for the log and the metrics: the path, which has no ids in it."""

    path: str


class Application(FastAPI):
    """FastAPI with a few doors before it; everything that was added as a middleware goes around those too."""

    express: dict[tuple[str, str], ASGIApp]

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.express = {}

    def open_express(self, doors: Mapping[tuple[str, str], Handler], *, tell: Told) -> None:
        """Serve `doors` (method and path to handler) before the framework; `tell` answers faults. After the last
        `add_middleware`."""
        for name, handler in doors.items():
            made: ASGIApp = Express(handler, Named(name[1]), tell)
            for middleware, given, named in reversed(self.user_middleware):
                made = middleware(made, *given, **named)
            self.express[name] = made

    async def __call__(self, scope: Message, receive: Any, send: Any) -> None:
        """Serve one request."""
        found = self.express.get((scope["method"], scope["path"])) if scope["type"] == "http" else None
        if found is None:
            await super().__call__(scope, receive, send)
        else:
            scope["app"] = self
            await found(scope, receive, send)


class Express:
    """One door, without the framework around it."""

    def __init__(self, handler: Handler, named: Named, tell: Told) -> None:
        self._handler = handler
        self._named = named
        self._tell = tell

    async def __call__(self, scope: Message, receive: Any, send: Any) -> None:
        """Serve one request."""
        scope["route"] = self._named
        scope["state"]["busy"] = True  # the ledger is the log of what was answered here
        request = Request(scope, receive)
        try:
            answer = await self._handler(request)
        except Exception as fault:
            answer = await self._tell(request, fault)
        await answer(scope, receive, send)

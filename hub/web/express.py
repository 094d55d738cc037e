"""The doors that are too busy for the framework: an exact method and path go straight to their handler.

FastAPI still knows these routes (they stand in /openapi.json, and answer the same when they are reached that way).
What is saved is matching a hundred patterns, solving dependencies and three stacks of exits.
"""

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

Message = MutableMapping[str, Any]
Handler = Callable[[Request], Awaitable[Response]]
Told = Callable[[Request, Exception], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Named:
    """What stands in `scope["route"]`, for the log and the metrics: the path, which has no ids in it."""

    path: str


class Express:
    """Serves `doors` (method and path to handler) itself and passes everything else on; `tell` answers faults."""

    def __init__(
        self,
        app: Callable[..., Awaitable[None]],
        *,
        doors: Mapping[tuple[str, str], Handler],
        tell: Told,
    ) -> None:
        self.app = app
        self._doors = {name: (handler, Named(name[1])) for name, handler in doors.items()}
        self._tell = tell

    async def __call__(self, scope: Message, receive: Any, send: Callable[[Message], Awaitable[None]]) -> None:
        """Serve one request."""
        found = self._doors.get((scope["method"], scope["path"])) if scope["type"] == "http" else None
        if found is None:
            await self.app(scope, receive, send)
            return
        handler, scope["route"] = found
        scope["state"]["busy"] = True  # the ledger is the log of what was answered here
        request = Request(scope, receive)
        try:
            answer = await handler(request)
        except Exception as fault:
            answer = await self._tell(request, fault)
        await answer(scope, receive, send)

"""Newline-delimited JSON in and out: lines are taken as they come, results go out as soon as they are committed.

A client may read while it sends, or send everything and read afterwards. Work waits for the reader, so nothing piles
up here: at most `AHEAD` bytes of lines are taken ahead of the work. Only when the client does not read its answers
is the rest of its request taken in, up to the limits of the door: otherwise it would wait for us while we wait for
it. A client that then does not read for `UNREAD_SECONDS` is let go; what was committed stays.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import orjson
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from hub.errors import HubError, Malformed, TooLarge

MEDIA_TYPE = "application/x-ndjson"
AHEAD = 4 * 1024 * 1024
LINGER_SECONDS = 0.05
"""So long a chunk waits for more lines before it is worked on as it is."""
STUCK_SECONDS = 0.5
UNREAD_SECONDS = 60.0
SILENT_SECONDS = 60.0

Line = bytes | HubError
Result = dict[str, Any]
Told = Callable[[HubError], Result]
P = TypeVar("P")


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one batch may bring, how much of it is done in one commit, and how many of those go on at once."""

    lines: int
    line_bytes: int
    all_bytes: int
    lines_a_commit: int
    bytes_a_commit: int = 2 * 1024 * 1024
    commits_at_once: int = 1


class Inbox:
    """Lines on their way from the socket to the work."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.ended = False
        self.gone = False
        self.wide = False
        self._lines: deque[Line] = deque()
        self._bytes = 0
        self._moved = asyncio.Event()

    def put(self, line: Line) -> None:
        """One more line, or the refusal that stands at its place."""
        self._lines.append(line)
        self._bytes += len(line) if isinstance(line, bytes) else 0
        self._moved.set()

    def end(self, *, gone: bool = False) -> None:
        """Nothing more comes; `gone`: nobody is there any more who would read an answer."""
        self.ended, self.gone = True, self.gone or gone
        self._moved.set()

    def widen(self, wide: bool) -> None:
        """Take in all that comes, because nobody reads answers; or no more than `AHEAD` again."""
        self.wide = wide
        self._moved.set()

    async def room(self) -> None:
        """Wait until more may be taken from the socket."""
        while self._bytes > AHEAD and not self.wide and not self.ended:
            await self._change()

    async def chunk(self) -> list[Line]:
        """The next lines: as many as one commit takes, or what came before the client paused; empty at the end."""
        while not self._lines and not self.ended:
            await self._change()
        while self._short() and not self.ended:
            try:
                async with asyncio.timeout(LINGER_SECONDS):
                    await self._change()
            except TimeoutError:
                break
        taken: list[Line] = []
        size = 0
        while self._lines and len(taken) < self.limits.lines_a_commit and size < self.limits.bytes_a_commit:
            taken.append(line := self._lines.popleft())
            size += len(line) if isinstance(line, bytes) else 0
        self._bytes -= size
        self._moved.set()
        return taken

    def _short(self) -> bool:
        return len(self._lines) < self.limits.lines_a_commit and self._bytes < self.limits.bytes_a_commit

    async def _change(self) -> None:
        self._moved.clear()
        await self._moved.wait()


class LinesAnswer(Response, Generic[P]):
    """A batch being answered: `prepare` looks at some lines, `commit` does the work and says the result of each.

    The next lines are prepared while the ones before are committed, and committed themselves before those have ended if
    the door's limits say so; answers keep the order of the lines. `prepare` and `commit` raise nothing for a
    single line: that is a result. Lines are numbered from 1, empty ones are no lines.
    """

    def __init__(
        self,
        request: Request,
        limits: Limits,
        *,
        prepare: Callable[[Sequence[bytes]], Awaitable[P]],
        commit: Callable[[P], Awaitable[Sequence[Result]]],
        told: Told,
        place: AbstractContextManager[None] | None = None,
    ) -> None:
        super().__init__(media_type=MEDIA_TYPE, headers={"Cache-Control": "no-store"})
        del self.headers["content-length"]
        self.request, self.limits = request, limits
        self.prepare, self.commit, self.told = prepare, commit, told
        self.place = place or nullcontext()
        self.inbox = Inbox(limits)
        self.number = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer. Whoever breaks off finds what was committed when the same lines come again."""
        with self.place:
            reading = asyncio.create_task(read_lines(self.request, self.inbox))
            preparing: asyncio.Task[tuple[list[Line], P]] | None = None
            committing: deque[asyncio.Task[bytes]] = deque()
            try:
                await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
                preparing = asyncio.create_task(self._next())
                while not self.inbox.gone:
                    lines, prepared = await preparing
                    if not lines:
                        break
                    preparing = asyncio.create_task(self._next())
                    committing.append(asyncio.create_task(self._results(lines, prepared)))
                    if len(committing) == self.limits.commits_at_once:
                        await self._tell_first(send, committing)
                while committing and not self.inbox.gone:
                    await self._tell_first(send, committing)
                if not self.inbox.gone:
                    await send({"type": "http.response.body", "body": b"", "more_body": False})
            finally:
                for task in (reading, preparing):
                    if task is not None:
                        task.cancel()
                        with suppress(asyncio.CancelledError, Exception):
                            await task
                for commit in committing:  # what was begun comes to its end, whoever still waits for it
                    with suppress(Exception):
                        await commit

    async def _tell_first(self, send: Send, committing: deque[asyncio.Task[bytes]]) -> None:
        await self._deliver(send, await committing[0])
        committing.popleft()

    async def _next(self) -> tuple[list[Line], P]:
        lines = await self.inbox.chunk()
        return lines, await self.prepare([line for line in lines if isinstance(line, bytes)])

    async def _results(self, lines: Sequence[Line], prepared: P) -> bytes:
        first = self.number + 1
        self.number += len(lines)
        done = iter(await self.commit(prepared))
        told = bytearray()
        for number, line in enumerate(lines, first):
            result = next(done) if isinstance(line, bytes) else self.told(line)
            told += orjson.dumps({"line": number, **result}) + b"\n"
        return bytes(told)

    async def _deliver(self, send: Send, body: bytes) -> None:
        sending = asyncio.ensure_future(send({"type": "http.response.body", "body": body, "more_body": True}))
        try:
            done, _ = await asyncio.wait({sending}, timeout=STUCK_SECONDS)
            if not done:
                self.inbox.widen(True)
                await asyncio.wait({sending}, timeout=UNREAD_SECONDS)
                self.inbox.widen(False)
            if not sending.done():
                self.inbox.end(gone=True)
                raise ClientDisconnect
            await sending
        finally:
            sending.cancel()


def require_lines(request: Request, limits: Limits) -> None:
    """Raises Malformed `body.media_type`, TooLarge `body.too_large`: what can be told before anything is read."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != MEDIA_TYPE:
        raise Malformed(
            "body.media_type",
            f"请求正文须为 {MEDIA_TYPE}。",
            f"The content type of the request must be {MEDIA_TYPE}.",
        )
    length = request.headers.get("content-length", "")
    if length.isascii() and length.isdigit() and int(length[:19]) > limits.all_bytes:
        raise _too_large(limits)


async def read_lines(request: Request, inbox: Inbox) -> None:
    """Fill the inbox from the request until it ends, breaks a limit, or is broken off; then wait for the client to go.

    A line that is too long is refused at its place and the next ones go on. After too many lines, or too many bytes,
    one refusal stands in place of all the rest.
    """
    limits, rest, total, count = inbox.limits, bytearray(), 0, 0
    too_long = False
    try:
        async for part in _parts(request):
            total += len(part)
            if total > limits.all_bytes:
                inbox.put(_too_large(limits))
                break
            *whole, tail = part.split(b"\n")
            for piece in whole:
                line = bytes(rest + piece)
                rest.clear()
                if too_long or len(line) > limits.line_bytes:
                    count, too_long = count + 1, False
                    inbox.put(_line_too_long(limits))
                elif line.strip():
                    count += 1
                    inbox.put(line if count <= limits.lines else _too_many(limits))
                if count > limits.lines:
                    break
            if count > limits.lines:
                break
            rest += tail
            if len(rest) > limits.line_bytes:
                too_long = True
                rest.clear()
            await inbox.room()
        else:
            if too_long:
                inbox.put(_line_too_long(limits))
            elif rest.strip():
                inbox.put(bytes(rest) if count < limits.lines else _too_many(limits))
    except TimeoutError:
        inbox.put(_cut_short())
    except ClientDisconnect:
        inbox.end(gone=True)
        return
    inbox.end()
    while (await request.receive())["type"] != "http.disconnect":
        pass
    inbox.end(gone=True)


async def _parts(request: Request) -> Any:
    stream = request.stream()
    while True:
        async with asyncio.timeout(SILENT_SECONDS):
            part = await anext(stream, None)
        if part is None:
            return
        yield part


def _too_large(limits: Limits) -> TooLarge:
    return TooLarge(
        "body.too_large", "请求正文过大。", "The request body is too large.", max_bytes=limits.all_bytes
    )


def _too_many(limits: Limits) -> TooLarge:
    return TooLarge(
        "batch.too_many_lines",
        f"一批最多 {limits.lines} 行。",
        f"A batch has at most {limits.lines} lines.",
        next_zh="请分批提交；此行及以后的行没有处理。",
        next_en="Send several batches; this line and those after it were not handled.",
    )


def _line_too_long(limits: Limits) -> TooLarge:
    return TooLarge(
        "batch.line_too_long",
        f"一行最多 {limits.line_bytes} 字节。",
        f"A line has at most {limits.line_bytes} bytes.",
    )


def _cut_short() -> Malformed:
    return Malformed("body.cut_short", "请求正文中断。", "The request body was cut short.")

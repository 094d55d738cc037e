"""Newline-delimited JSON in and out: one line, one result, in order, several lines a commit."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import orjson
from sqlalchemy.exc import DBAPIError
from starlette.requests import Request

from hub.actor import Actor
from hub.errors import HubError, Malformed, TooLarge, Unavailable
from hub.store.tx import Tx
from hub.web.body import read_bytes
from hub.web.deps import Hub

MEDIA_TYPE = "application/x-ndjson"

Work = Callable[[Tx, bytes], Awaitable[dict[str, Any]]]
Told = Callable[[HubError], dict[str, Any]]


async def read_lines(request: Request, *, max_bytes: int, max_lines: int, max_line: int) -> list[bytes]:
    """All non-empty lines of a body. Raises Malformed `body.media_type`, TooLarge `body.too_large`, `batch.*`."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != MEDIA_TYPE:
        raise Malformed(
            "body.media_type",
            f"请求正文须为 {MEDIA_TYPE}。",
            f"The content type of the request must be {MEDIA_TYPE}.",
        )
    lines = [line for line in (await read_bytes(request, max_bytes=max_bytes)).split(b"\n") if line.strip()]
    if len(lines) > max_lines:
        raise TooLarge(
            "batch.too_many_lines",
            f"一批最多 {max_lines} 行。",
            f"A batch has at most {max_lines} lines.",
            next_zh="请分批提交。",
            next_en="Send several batches.",
        )
    if any(len(line) > max_line for line in lines):
        raise TooLarge(
            "batch.line_too_long", f"一行最多 {max_line} 字节。", f"A line has at most {max_line} bytes."
        )
    return lines


async def in_commits(
    hub: Hub, actor: Actor, lines: Sequence[bytes], work: Work, *, told: Told, lines_a_commit: int
) -> AsyncIterator[bytes]:
    """Do `work` for each line and give its result as a line, only after the commit that holds it.

    Each line has a savepoint of its own: what it wrote goes when it is refused, and no other line notices. When a
    whole commit fails (a deadlock, a lost connection), its lines are tried again one by one; a line that fails even
    then is told so, and the rest go on.
    """
    for begin in range(0, len(lines), lines_a_commit):
        some = lines[begin : begin + lines_a_commit]
        try:
            results = await _together(hub, actor, some, work, told)
        except (Unavailable, DBAPIError):
            results = [await _alone(hub, actor, line, work, told) for line in some]
        for number, result in enumerate(results, begin + 1):
            yield orjson.dumps({"line": number, **result}) + b"\n"


async def _together(
    hub: Hub, actor: Actor, lines: Sequence[bytes], work: Work, told: Told
) -> list[dict[str, Any]]:
    results = []
    async with hub.tx(actor) as tx:
        for line in lines:
            try:
                async with tx.conn.begin_nested():
                    results.append(await work(tx, line))
            except HubError as error:
                if isinstance(error, Unavailable):
                    raise
                results.append(told(error))
    return results


async def _alone(hub: Hub, actor: Actor, line: bytes, work: Work, told: Told) -> dict[str, Any]:
    try:
        return (await _together(hub, actor, [line], work, told))[0]
    except Unavailable as error:
        return told(error)
    except DBAPIError:
        return told(
            Unavailable(
                "batch.try_again", "该行暂未处理，请重试。", "This line was not handled; send it again."
            )
        )

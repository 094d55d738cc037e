"""What commands print: people get lines, programs get JSON on stdout; refusals go to stderr with an exit code."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any, TypeVar

import typer
from pydantic import ValidationError

from hub.config import Settings
from hub.errors import HubError
from hub.ledger.hold import look_for_hold
from hub.web.deps import Hub
from keys.errors import KeyFault

T = TypeVar("T")

OK, FAILED, USAGE, PARTLY, NOT_ALLOWED, NETWORK = range(6)
_CODES = {"unauthenticated": NOT_ALLOWED, "forbidden": NOT_ALLOWED, "unavailable": NETWORK}

Json = Annotated[bool, typer.Option("--json", help="输出 JSON。 Print JSON on stdout.")]


def tell(value: Mapping[str, Any], lines: Sequence[str], *, as_json: bool) -> None:
    """Print the result, as JSON or as lines."""
    if as_json:
        sys.stdout.write(json.dumps(value, ensure_ascii=False, default=str) + "\n")
    else:
        sys.stdout.write("".join(f"{line}\n" for line in lines))


def note(zh: str, en: str) -> None:
    """A remark on the way, on stderr."""
    sys.stderr.write(f"{zh} {en}\n")


def fail(fault: Exception, *, as_json: bool) -> int:
    """Tell of a refusal; returns the exit code that fits it."""
    code, zh, en, next_zh, next_en, exit_code = _told(fault)
    if as_json:
        error = {"code": code, "zh": zh, "en": en, "next": {"zh": next_zh, "en": next_en}}
        sys.stdout.write(json.dumps({"error": error}, ensure_ascii=False) + "\n")
    sys.stderr.write(f"yimen: {zh}\nyimen: {en} [{code}]\n")
    if next_zh or next_en:
        sys.stderr.write(f"  → {next_zh}\n  → {next_en}\n")
    return exit_code


def _told(fault: Exception) -> tuple[str, str, str, str, str, int]:
    if isinstance(fault, HubError):
        code = _CODES.get(fault.kind, FAILED)
        return fault.code, fault.zh, fault.en, fault.next_zh, fault.next_en, code
    if isinstance(fault, KeyFault):
        advice = ("请检查口令文件与密钥目录。", "Check the passphrase file and the key folder: yimen doctor")
        return fault.code, fault.zh, fault.en, *advice, FAILED
    if isinstance(fault, ValidationError):
        said = "; ".join(_setting(error) for error in fault.errors(include_url=False, include_input=False))
        advice = (
            "运行 yimen config show 查看各项来源。",
            "See where each value comes from: yimen config show",
        )
        return "settings.invalid", f"设置有误：{said}", f"Settings that cannot be: {said}", *advice, USAGE
    if isinstance(fault, OSError):
        where = fault.filename or ""
        return "file.error", f"文件无法使用：{where}", f"{fault.strerror}: {where}", "", "", FAILED
    return "value.error", f"参数有误：{fault}", str(fault), "", "", USAGE


def _setting(error: Any) -> str:
    name = ".".join(str(part) for part in error["loc"])
    message = str(error["msg"]).removeprefix("Value error, ")
    return f"YIMEN_{name.upper()}: {message}" if name else message


def run(work: Callable[[Hub], Awaitable[T]], *, settings: Settings | None = None) -> T:
    """Open the hub of the settings, do `work`, close it."""

    async def go() -> T:
        async with opened(settings or Settings()) as hub:
            return await work(hub)

    return asyncio.run(go())


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Hub]:
    """A hub without its doors, closed at the end of the block."""
    from hub.main import build

    hub = build(settings)
    try:
        await look_for_hold(hub.db, hub.blobs)
        yield hub
    finally:
        await hub.db.close()

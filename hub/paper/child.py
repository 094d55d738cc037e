"""One document, one limited child process: where MuPDF meets bytes that strangers wrote.

A 2.5 KB file can keep MuPDF busy for ever, so the danger is CPU, and the only remedy is to end the process.

1. The parent starts a bare interpreter (`-I`: no environment, no user site) with an empty environment.
2. The child sets its own limits before it reads a byte or imports MuPDF: CPU, memory, file size, open files, no core.
3. The document comes on stdin; the answer is one JSON line on the original stdout, which nothing else can write to.
4. The parent reads at most `output_bytes`, waits at most `wall_seconds`, and kills the child's whole group.
5. Death by a signal or by memory is `TooComplex`: a statement about the file, never a failure of the service.
6. At most `cores - 1` children at once and a bounded queue; a full queue is Unavailable `paper.busy`.
"""

import asyncio
import contextlib
import importlib
import json
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from hub import errors
from hub.errors import HubError, Internal, Unavailable, Unprocessable

JOBS = {
    "render": "hub.paper.render",
    "form": "hub.paper.form",
    "inspect": "hub.paper.read",
    "qr": "hub.paper.qr",
    "seal": "hub.paper.seal",
}
"""Name of a job -> module with `job(data: bytes) -> JSON value`, imported in the child only."""

QUEUE = 32
OUT_OF_MEMORY = 77  # exit code of the child
ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Limits:
    """What one document may cost. Times in seconds, sizes in bytes."""

    cpu_seconds: int = 5
    wall_seconds: float = 10.0
    memory_bytes: int = 768 * 2**20
    file_bytes: int = 64 * 2**20
    open_files: int = 32
    output_bytes: int = 12 * 2**20


class TooComplex(Unprocessable):
    """The document used up its limits. Honest files do this too, so it is no accusation."""

    def __init__(self, why: str) -> None:
        super().__init__(
            "paper.too_complex",
            "文件过于复杂，无法检查。",
            "The file is too complex to check.",
            next_zh="请从发证部门或“我的证照”重新下载原件。",
            next_en="Download the original again from the issuer or from My certificates.",
            why=why,
        )


async def run(job: str, data: bytes, limits: Limits | None = None) -> Any:
    """Do `JOBS[job]` with `data` in a child and return its JSON value (check its shape: the child is not trusted).

    Raises TooComplex, Unavailable `paper.busy`, Internal `paper.child_failed`, or the HubError the job raised.
    """
    limits = limits or Limits()
    async with _place():
        code, answer = await _converse(job, data, limits)
    if code < 0:
        raise TooComplex(signal.Signals(-code).name)
    if code == OUT_OF_MEMORY:
        raise TooComplex("memory")
    return _opened(answer)


async def _converse(job: str, data: bytes, limits: Limits) -> tuple[int, bytes]:
    start = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from hub.paper.child import main; main()"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-I", "-c", start, job, json.dumps(asdict(limits)),
        stdin=PIPE, stdout=PIPE, stderr=DEVNULL, env={"LANG": "C.UTF-8"}, start_new_session=True,
    )  # fmt: skip
    try:
        async with asyncio.timeout(limits.wall_seconds):
            answer, _ = await asyncio.gather(_hear(process, limits.output_bytes), _tell(process, data))
            return await process.wait(), answer
    except TimeoutError:
        raise TooComplex("wall time") from None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


async def _tell(process: asyncio.subprocess.Process, data: bytes) -> None:
    assert process.stdin is not None  # noqa: S101 - for mypy: we asked for a pipe
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it died first: its exit code says why
        process.stdin.write(data)
        await process.stdin.drain()
    process.stdin.close()


async def _hear(process: asyncio.subprocess.Process, most: int) -> bytes:
    assert process.stdout is not None  # noqa: S101 - for mypy: we asked for a pipe
    heard = bytearray()
    while piece := await process.stdout.read(2**16):
        heard += piece
        if len(heard) > most:
            raise TooComplex("output")
    return bytes(heard)


def _opened(answer: bytes) -> Any:
    try:
        reply = json.loads(answer)
        if "done" in reply:
            return reply["done"]
        kind = getattr(errors, str(reply["refused"].pop("class")))
        if issubclass(kind, HubError):
            facts = reply["refused"].pop("facts")
            raise kind(**reply["refused"], **facts)
    except (ValueError, LookupError, TypeError, AttributeError) as fault:
        why = type(fault).__name__
    else:
        why = "not an error of ours"
    raise Internal("paper.child_failed", "文件处理进程出错。", "The document process failed.", why=why)


# --- taking turns -----------------------------------------------------------------------------------------------


class _Turns:
    def __init__(self) -> None:
        self.free = asyncio.Semaphore(max(1, (os.cpu_count() or 2) - 1))
        self.waiting = 0


_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, _Turns] = WeakKeyDictionary()


@contextlib.asynccontextmanager
async def _place() -> AsyncIterator[None]:
    turns = _turns.setdefault(asyncio.get_running_loop(), _Turns())
    if turns.waiting >= QUEUE:
        raise Unavailable(
            "paper.busy",
            "正在处理的文件太多，请稍后再试。",
            "Too many documents are being processed; try again shortly.",
            retry_after=10,
        )
    turns.waiting += 1
    try:
        await turns.free.acquire()
    finally:
        turns.waiting -= 1
    try:
        yield
    finally:
        turns.free.release()


# --- inside the child -------------------------------------------------------------------------------------------


def main() -> None:
    """Entry point of the child: limits first, then the job named in argv; never returns."""
    name, limits = sys.argv[1], Limits(**json.loads(sys.argv[2]))
    confine(limits)
    out = os.dup(1)
    os.dup2(2, 1)  # MuPDF prints warnings to stdout; the answer must stand alone
    try:
        data = sys.stdin.buffer.read()
        reply = {"done": importlib.import_module(JOBS[name]).job(data)}
    except MemoryError:
        os._exit(OUT_OF_MEMORY)
    except HubError as refusal:
        reply = {"refused": _described(refusal)}
    with os.fdopen(out, "wb") as pipe:
        pipe.write(json.dumps(reply).encode())
    os._exit(0)  # no teardown: MuPDF's may crash after a hostile file, when all has been said


def confine(limits: Limits) -> None:
    """Lower this process's limits for good. SIGXCPU comes at `cpu_seconds`, SIGKILL one second later."""
    import resource  # not on Windows, where only the parent side can be imported

    wanted = (
        (resource.RLIMIT_CPU, limits.cpu_seconds, limits.cpu_seconds + 1),
        (resource.RLIMIT_AS, limits.memory_bytes, limits.memory_bytes),
        (resource.RLIMIT_FSIZE, limits.file_bytes, limits.file_bytes),
        (resource.RLIMIT_NOFILE, limits.open_files, limits.open_files),
        (resource.RLIMIT_CORE, 0, 0),
    )
    for what, soft, hard in wanted:
        ceiling = resource.getrlimit(what)[1]
        if ceiling != resource.RLIM_INFINITY:
            soft, hard = min(soft, ceiling), min(hard, ceiling)
        resource.setrlimit(what, (soft, hard))


def _described(refusal: HubError) -> dict[str, Any]:
    kept = {name: getattr(refusal, name) for name in ("code", "zh", "en", "next_zh", "next_en")}
    kind = next(c for c in type(refusal).__mro__ if c.__module__ == errors.__name__)
    return {"class": kind.__name__, **kept, "facts": refusal.facts}

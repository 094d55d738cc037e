"""The demo's child processes: each in a group of its own, each ended with the demo, however the demo ends.

Three nets: groups are stopped when the demo leaves (also by SIGINT, SIGTERM, SIGHUP); on Linux the kernel ends a child
whose parent died without a word (PR_SET_PDEATHSIG); nothing is started that detaches itself.
"""

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from pathlib import Path
from types import FrameType, TracebackType
from typing import IO, Self, TypeVar

T = TypeVar("T")

CHECKOUT = Path(__file__).resolve().parents[2]
GRACE = 8.0
PR_SET_PDEATHSIG = 1


class ChildFailed(Exception):
    """A command ended with another code than 0. `tail` is the end of what it said; it holds no secrets of ours."""

    def __init__(self, name: str, code: int, tail: str) -> None:
        super().__init__(f"{name} ended with {code}: {tail}")
        self.name = name
        self.code = code
        self.tail = tail


class DemoEnds(Exception):
    """The demo is being left: nothing is started any more."""


def _begin_calmly() -> None:
    os.nice(15)
    _begin()


def _begin() -> None:
    """In the child, before it becomes the command: ask Linux to end it when the demo is gone. Imports nothing."""
    if _LIBC is not None:
        _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _libc() -> ctypes.CDLL | None:
    if not sys.platform.startswith("linux"):
        return None
    try:
        found = ctypes.CDLL(None, use_errno=True)
    except OSError:
        return None
    return found if hasattr(found, "prctl") else None


_LIBC = _libc()  # looked up before any fork: a child between fork and exec must not import


class Children:
    """All child processes of one demo. Use `with`: leaving stops every group that still runs."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = dict(environment)
        self._running: set[subprocess.Popen[str]] = set()
        self._lock = threading.Lock()
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def run(
        self,
        name: str,
        arguments: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        sent: str | None = None,
        seconds: float = 300,
        codes: Sequence[int] = (0,),
        calmly: bool = False,
    ) -> str:
        """Run a command to its end and give what it printed; `calmly` lets others go first. Raises `ChildFailed`."""
        child = self._start(
            arguments, environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, calmly=calmly
        )
        try:
            out, err = child.communicate(sent or "", timeout=seconds)
        except subprocess.TimeoutExpired:
            _signal(child, signal.SIGKILL)
            out, err = child.communicate()
            raise ChildFailed(name, -1, f"still running after {seconds:.0f} s\n{err[-2000:]}") from None
        finally:
            self._forget(child)
        if child.returncode not in codes:
            raise ChildFailed(name, child.returncode, (err.strip() or out.strip())[-3000:])
        return out

    def serve(self, arguments: Sequence[str], log: Path) -> subprocess.Popen[str]:
        """Start a command that stays; what it says goes to `log`, mode 0600."""
        stream = os.fdopen(os.open(log, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600), "a", encoding="utf-8")
        with stream:
            return self._start(arguments, None, stdout=stream, stderr=subprocess.STDOUT)

    def together(self, work: Sequence[Callable[[], T]], *, at_once: int = 2) -> Iterator[T]:
        """Do all work in threads, a few at a time; results as they come. The first failure (or Ctrl-C) ends every
        child, so that nobody waits for work that is no longer wanted."""
        with ThreadPoolExecutor(at_once) as pool:
            waiting: list[Future[T]] = []
            try:
                waiting += [pool.submit(one) for one in work]
                for one in as_completed(waiting):
                    yield one.result()
            except BaseException:
                for one in waiting:
                    one.cancel()
                self.stop()
                raise

    def pause(self, seconds: float) -> None:
        """Sleep, for clients that try again; `DemoEnds` when there is nothing left to wait for."""
        if self._closed:
            raise DemoEnds
        time.sleep(seconds)

    def stop(self) -> None:
        """End every group: asked first, forced after a few seconds. Nothing can be started afterwards."""
        with self._lock:
            self._closed = True
            left = set(self._running)
        for child in left:
            _signal(child, signal.SIGTERM)
        deadline = time.monotonic() + GRACE
        for child in left:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(max(0.05, deadline - time.monotonic()))
            _signal(child, signal.SIGKILL)  # the rest of its group, too
            child.wait()
            self._forget(child)

    def _start(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str] | None,
        *,
        stdout: int | IO[str],
        stderr: int,
        calmly: bool = False,
    ) -> subprocess.Popen[str]:
        with self._lock:
            if self._closed:
                raise DemoEnds
            with _undisturbed():
                child = subprocess.Popen(  # noqa: S603  (our own commands)
                    list(arguments),
                    env={**self._environment, **(environment or {})},
                    stdin=subprocess.PIPE if stdout == subprocess.PIPE else subprocess.DEVNULL,
                    stdout=stdout,
                    stderr=stderr,
                    text=True,
                    encoding="utf-8",
                    errors="replace",
                    start_new_session=True,
                    preexec_fn=_begin_calmly if calmly else _begin,
                )
                self._running.add(child)
            return child

    def _forget(self, child: subprocess.Popen[str]) -> None:
        with self._lock:
            self._running.discard(child)


def _signal(child: subprocess.Popen[str], number: signal.Signals) -> None:
    """Signal the whole group of a child; a group that is gone is no error."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, number)


class _Leaving:
    """The signal that ended the demo, and whether the main thread may be interrupted just now."""

    asked: int = 0
    forking: bool = False


def end_politely() -> None:
    """Turn SIGINT, SIGTERM and SIGHUP into `KeyboardInterrupt` or `SystemExit`, so that every `with` is left in
    order."""

    def leave(number: int, _: FrameType | None) -> None:
        _Leaving.asked = number
        if not _Leaving.forking:
            _leave()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, leave)


def _leave() -> None:
    if _Leaving.asked == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(128 + _Leaving.asked)


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """A signal that comes in the middle of a fork is acted on after it.

    Python calls hooks around a fork (logging releases its lock there): what a handler raises inside one is printed and
    forgotten, so Ctrl-C would be lost and the lock kept for ever. Handlers run in the main thread only.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _Leaving.forking = True
    try:
        yield
    finally:
        _Leaving.forking = False
    if _Leaving.asked:
        _leave()


def free_port(wanted: int) -> int:
    """`wanted` if nobody listens there on this machine, else a port that is free now."""
    for port in (wanted, 0):
        with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return int(probe.getsockname()[1])
    raise OSError("no free port")

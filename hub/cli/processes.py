"""`yimen serve --processes N`: several processes of one hub behind one address, started again when one dies.

They share nothing but the listening socket: whoever is free takes the next connection. This process only watches.
"""

import contextlib
import ctypes
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

from hub.cli.output import FAILED, note

YOUNG_SECONDS = 5.0
"""Who ends sooner than that would only end again: the whole hub stops, so that somebody looks."""
AGAIN_SECONDS = 1.0
_PR_SET_PDEATHSIG = 1

Serve = Callable[[int, socket.socket], None]
"""Serves at a socket as process number 0, 1, ... until it is told to stop."""


def listening(host: str, port: int) -> socket.socket:
    """A socket that all of them accept from. Raises OSError when the address is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.create_server((host, port), family=family, backlog=2048)
    made.set_inheritable(True)
    return made


class Processes:
    """The processes of one hub. SIGTERM is passed on, and each drains; SIGINT, or a second SIGTERM, ends them soon."""

    def __init__(self, count: int, serve: Serve, sock: socket.socket) -> None:
        self._count = count
        self._serve = serve
        self._sock = sock
        self._running: dict[int, tuple[int, float]] = {}
        self._leaving = False
        self._code = 0

    def run(self) -> int:
        """Until all have ended; the exit code: 0 when it was told to stop."""
        for told in (signal.SIGTERM, signal.SIGINT):
            signal.signal(told, self._pass_on)
        for number in range(self._count):
            self._start(number)
        while self._running:
            pid, status = os.wait()
            number, began = self._running.pop(pid, (-1, 0.0))
            if number >= 0 and not self._leaving:
                self._ended(number, os.waitstatus_to_exitcode(status), time.monotonic() - began)
        return self._code

    def _start(self, number: int) -> None:
        pid = os.fork()
        if pid == 0:
            self._become(number)
        self._running[pid] = (number, time.monotonic())
        if self._leaving:  # the signal came while it was being made
            os.kill(pid, signal.SIGTERM)

    def _become(self, number: int) -> None:
        """In the new process: never returns."""
        code = FAILED
        try:
            for one in (signal.SIGTERM, signal.SIGINT):
                signal.signal(one, signal.SIG_DFL)
            os.setpgid(0, 0)  # Ctrl-C of a terminal reaches the watcher alone, which passes it on
            _end_with_parent()
            self._serve(number, self._sock)
            code = 0
        except SystemExit as left:
            code = left.code if isinstance(left.code, int) else FAILED
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def _ended(self, number: int, code: int, lived: float) -> None:
        note(f"进程 {number} 意外结束（{code}）。", f"Process {number} ended by itself ({code}).")
        if lived < YOUNG_SECONDS and code != -signal.SIGKILL:
            self._code = code if code > 0 else FAILED
            self._pass_on(signal.SIGTERM, None)
            return
        time.sleep(AGAIN_SECONDS)
        if not self._leaving:
            self._start(number)

    def _pass_on(self, number: int, _frame: Any) -> None:
        self._leaving = True
        self._sock.close()  # theirs end the listening: nobody is kept waiting at a door that no one opens
        for pid in list(self._running):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


def _end_with_parent() -> None:
    """Ask Linux for SIGTERM when the watcher is gone, however it went."""
    parent = os.getppid()
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGTERM)

"""Starts hubs at once: one process imports `yimen serve`, and every hub is a fork of it, killed like any other.

A start from nothing is a second of imports on a quiet machine. A trial of two hundred kills would mostly wait for them,
and learn nothing from it: what a kill can break begins when the database is opened, which each fork does itself.
`python -m benchmarks.trials.warm` is that process: a port on stdin, the pid of a hub on stdout.
"""

import gc
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks import stage
from hub.config import Settings


@dataclass(frozen=True, slots=True)
class Forked:
    """A hub that was forked off: it may still be starting."""

    pid: int
    port: int
    handle: int

    def kill(self) -> None:
        """SIGKILL, now; returns when it is gone. A second time does nothing."""
        with suppress(OSError):
            signal.pidfd_send_signal(self.handle, signal.SIGKILL)
            select.select([self.handle], [], [], 30)
            os.close(self.handle)

    @property
    def ended(self) -> bool:
        """Whether it is gone by itself."""
        return bool(select.select([self.handle], [], [], 0)[0])


class Nursery:
    """The process that forks."""

    def __init__(self, settings: Settings) -> None:
        self.log = settings.data_dir / "forked.log"
        command = [sys.executable, "-m", "benchmarks.trials.warm", str(self.log)]
        self.process = subprocess.Popen(
            command, env=stage.environment_of(settings), cwd=settings.data_dir, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, preexec_fn=stage.die_with_parent,
        )  # fmt: skip

    def start(self, port: int, *, wait: bool = True) -> Forked:
        """Another hub on this port; with `wait`, when it takes connections."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(b"%d\n" % port)
        self.process.stdin.flush()
        pid = int(self.process.stdout.readline())
        made = Forked(pid, port, os.pidfd_open(pid))
        if wait:
            stage.until(lambda: stage.listens(port), lambda: made.ended, self.log)
        return made


@contextmanager
def nursery(settings: Settings) -> Iterator[Nursery]:
    """The process that forks hubs of these settings, ended when the block ends; its hubs end with it."""
    made = Nursery(settings)
    try:
        yield made
    finally:
        made.process.kill()
        made.process.wait(30)


def as_program() -> None:
    """Import everything, then fork for every line on stdin."""
    import uvicorn.lifespan.on
    import uvicorn.loops.auto
    import uvicorn.protocols.http.auto  # noqa: F401 - as the others: what a server imports when it starts
    import uvloop  # noqa: F401

    import hub.main
    import hub.web.doors
    import hub.web.tidy  # noqa: F401

    gc.freeze()
    for line in sys.stdin.buffer:
        if pid := os.fork():
            print(pid, flush=True)
            signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the dead need nobody to bury them
        else:
            _become(int(line), Path(sys.argv[1]))


def _become(port: int, log: Path) -> None:
    """The hub itself; never returns."""
    from hub.cli.serve import serve

    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    stage.die_with_parent()
    with log.open("ab") as out, open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
        os.dup2(out.fileno(), 1)
        os.dup2(out.fileno(), 2)
    try:
        serve(port=port)
    finally:
        os._exit(1)


if __name__ == "__main__":
    as_program()

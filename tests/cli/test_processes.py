"""Several processes of one hub at one address: any of them answers, the dead are replaced, all leave together."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from benchmarks import stage

SOON = 15.0
ON_POSTGRESQL = pytest.mark.parametrize("empty_database", ["postgresql"], indirect=True)
SLEEPS = """
import os, time
from hub.cli.processes import Processes, listening
def serve(number, sock):
    os.write(1, b"up\\n")
    time.sleep(60)
Processes(2, serve, listening("127.0.0.1", 0)).run()
"""
DIES_YOUNG = """
import sys, time
from hub.cli.processes import Processes, listening
def serve(number, sock):
    if number:
        sys.exit(3)
    time.sleep(60)
sys.exit(Processes(2, serve, listening("127.0.0.1", 0)).run())
"""


def children_of(pid: int) -> set[int]:
    """The living children of a process."""
    return set(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


def soon(true: Callable[[], bool]) -> bool:
    """Whether it comes true in a while."""
    end = time.monotonic() + SOON
    while time.monotonic() < end:
        if true():
            return True
        time.sleep(0.02)
    return False


def alive(pid: int) -> bool:
    """Whether there is such a process, and it has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def answers(server: stage.Server) -> bool:
    """Whether a new connection is answered."""
    try:
        return httpx.get(f"http://127.0.0.1:{server.port}/healthz", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


@pytest.fixture
def two(empty_database: str, tmp_path: Path) -> Iterator[stage.Server]:
    """A hub of two processes on PostgreSQL."""
    made = stage.set_stage(tmp_path / "hub", empty_database.replace("+asyncpg", ""))
    with stage.served(stage.start_hub(made.settings, processes=2)) as server:
        assert soon(lambda: answers(server)), server.log.read_text()
        yield server


@ON_POSTGRESQL
def test_one_that_is_killed_is_replaced_and_all_leave_together(two: stage.Server) -> None:
    both = children_of(two.process.pid)
    assert len(both) == 2
    lost = min(both)
    os.kill(lost, signal.SIGKILL)
    assert soon(lambda: lost not in children_of(two.process.pid))
    assert all(answers(two) for _ in range(5)), "the other one serves on"
    assert soon(lambda: len(children_of(two.process.pid)) == 2), two.log.read_text()
    survivor = (both - {lost}).pop()
    os.kill(survivor, signal.SIGSTOP)  # so whoever answers is the new one
    try:
        assert soon(lambda: answers(two))
    finally:
        os.kill(survivor, signal.SIGCONT)
    both = children_of(two.process.pid)
    two.process.send_signal(signal.SIGINT)  # SIGTERM: the end of every other test
    assert two.process.wait(SOON) == 0, two.log.read_text()
    assert not any(alive(pid) for pid in both)
    assert not stage.listens(two.port)
    assert "Traceback" not in two.log.read_text()


def test_nobody_outlives_a_watcher_that_is_killed() -> None:
    command = [sys.executable, "-c", SLEEPS]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=stage.ROOT) as watcher:
        assert watcher.stdout is not None
        assert watcher.stdout.readline() + watcher.stdout.readline() == b"up\nup\n"
        both = children_of(watcher.pid)
        watcher.kill()
        assert len(both) == 2
        assert soon(lambda: not any(alive(pid) for pid in both))


def test_who_cannot_start_ends_the_whole_hub() -> None:
    """A wrong passphrase is wrong the next time too: systemd and the operator are told by the exit code."""
    done = subprocess.run(
        [sys.executable, "-c", DIES_YOUNG], capture_output=True, text=True, timeout=30, check=False, cwd=stage.ROOT
    )
    assert done.returncode == 3
    assert "意外结束" in done.stderr


def test_sqlite_has_one_process(tmp_path: Path) -> None:
    made = stage.set_stage(tmp_path / "hub", "")
    done = stage.yimen(made.settings, "serve", "--processes", "2")
    assert done.returncode == 1
    assert b"hub.one_process" in done.stderr

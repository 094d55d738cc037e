"""The whole story as anybody would start it: `python -m adapters.demo --check`, on both databases; and nothing left."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from parts import spoilt

ROOT = Path(__file__).resolve().parents[2]
REFUSALS = {
    "another_verifiers_token": "token.other_verifier",
    "second_use": "grant.spent",
    "claim_not_granted": "coverage.not_granted",
    "withdrawn_grant": "grant.withdrawn",
    "revoked_degree": "status.revoked",
    "forged_certificate": "不可采信",
    "anothers_type": "certificate.type_not_yours",
    "one_byte_changed": "不可采信",
}


def start(*arguments: str, folder: Path, **settings: str) -> subprocess.Popen[str]:
    """The demo as a program, with a temporary folder of its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("YIMEN_")}
    return subprocess.Popen(
        [sys.executable, "-m", "adapters.demo", *arguments],
        cwd=ROOT,
        env={**kept, **settings, "TMPDIR": str(folder), "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def processes_of(folder: Path) -> list[str]:
    """The command lines of living processes that were given anything in this folder."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            about = (place / "environ").read_bytes() + (place / "cmdline").read_bytes()
            state = (place / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if str(folder).encode() in about and state != "Z" and int(place.name) != os.getpid():
            found.append((place / "cmdline").read_bytes().replace(b"\0", b" ").decode())
    return found


def check(folder: Path, *arguments: str, **settings: str) -> dict:
    """Run `--check` to its end; the summary is its last line, and nothing else is on standard output."""
    demo = start("--check", *arguments, folder=folder, **settings)
    out, err = demo.communicate(timeout=900)
    assert demo.returncode == 0, err[-3000:] + out[-1000:]
    [line] = out.splitlines()
    return json.loads(line)


def expect_whole(summary: dict, *, families: int) -> None:
    """What every run must say, whatever the day."""
    assert summary["ok"] is True
    assert summary["families"] == families
    assert summary["departments"] == 12
    assert summary["registered"] == summary["certificates"] + 1 >= 700
    assert summary["quarantined"] == 4
    assert {one["name"]: one["code"] for one in summary["failures_shown"]} == REFUSALS
    assert all(one["reason"] for one in summary["failures_shown"])
    assert float(summary["score"]) >= 160
    assert summary["verdicts"] == summary["proofs_checked"] == 14
    assert summary["offline_checked"] == 13
    assert summary["days_before"] == 57
    assert summary["accesses"] > summary["looks_shown_to_parent"] >= 19
    assert summary["ledger_size"] > summary["registered"]


def test_the_story_on_sqlite_then_a_second_start_then_a_damaged_ledger(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    summary = check(tmp_path, "--families", "2", "--data", str(folder), "--port", "0")
    expect_whole(summary, families=2)
    assert summary["database"] == "sqlite"
    again = check(tmp_path, "--data", str(folder))
    assert again["reused"] is True
    assert {name: again[name] for name in ("certificates", "score", "accesses")} == {
        name: summary[name] for name in ("certificates", "score", "accesses")
    }
    tile = next(path for path in sorted((folder / "hub" / "blobs").rglob("*")) if is_leaf_tile(path))
    tile.chmod(0o600)
    tile.write_bytes(spoilt(tile.read_bytes(), -1))
    demo = start("--check", "--data", str(folder), folder=tmp_path)
    out, _ = demo.communicate(timeout=300)
    assert demo.returncode == 1
    assert json.loads(out)["ok"] is False
    assert processes_of(tmp_path) == []


def is_leaf_tile(path: Path) -> bool:
    """Whether this blob is a full tile of leaf hashes."""
    return path.is_file() and path.as_posix().endswith("tile/0/000")


def test_the_story_on_postgresql(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    server = request.getfixturevalue("postgres")
    made = subprocess.run(
        [sys.executable, "-c", CREATE, server.url("postgres", "postgresql")], capture_output=True, text=True
    )
    assert made.returncode == 0, made.stderr
    summary = check(tmp_path, "--families", "1", YIMEN_DATABASE_URL=server.url("demo_story", "postgresql"))
    expect_whole(summary, families=1)
    assert summary["database"] == "postgresql"
    assert list(tmp_path.iterdir()) == []
    assert processes_of(tmp_path) == []


CREATE = """
import asyncio, asyncpg, sys
async def go():
    connection = await asyncpg.connect(sys.argv[1])
    await connection.execute("CREATE DATABASE demo_story")
    await connection.close()
asyncio.run(go())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux ends orphans by itself")
@pytest.mark.parametrize(
    ("number", "child"), [(signal.SIGINT, " serve"), (signal.SIGTERM, " init"), (signal.SIGKILL, " init")]
)
def test_nothing_outlives_the_demo(tmp_path: Path, number: signal.Signals, child: str) -> None:
    demo = start("--data", str(tmp_path / "demo"), "--port", "0", folder=tmp_path)
    try:
        deadline = time.monotonic() + 120
        while not any(child in one for one in processes_of(tmp_path)):
            assert demo.poll() is None, demo.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        demo.send_signal(number)
        demo.wait(30)
        deadline = time.monotonic() + 20
        while (left := processes_of(tmp_path)) and time.monotonic() < deadline:
            time.sleep(0.2)
        assert left == []
    finally:
        demo.kill()
        demo.communicate()


FORKING = """
import os, signal
from adapters.demo.processes import Children, end_politely
end_politely()
os.register_at_fork(after_in_parent=lambda: [os.kill(os.getpid(), %d) for _ in range(3)])
with Children(os.environ) as children:
    children.run("sleep", ["sleep", "20"])
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, -2), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_in_the_middle_of_a_fork_is_not_lost(number: signal.Signals, code: int) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", FORKING % number], cwd=ROOT, timeout=15, check=False, capture_output=True
    )
    assert ended.returncode == code


def test_a_folder_that_is_not_the_demos_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("keep")
    demo = start("--check", "--reset", "--data", str(tmp_path / "mine"), folder=tmp_path)
    out, _ = demo.communicate(timeout=60)
    assert demo.returncode == 1
    assert json.loads(out)["ok"] is False
    assert (tmp_path / "mine" / "letter.txt").read_text() == "keep"

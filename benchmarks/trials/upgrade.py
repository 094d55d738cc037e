"""A hub filled by the previous tagged version is upgraded, on both databases: how long, and is everything still proved?

The old code fills it (a git worktree of its own; rows as its registration makes them), `yimen upgrade --check` says
what will be, `yimen migrate` is timed, and then everything that the old version wrote down must still hold:
certificates open, receipts and proofs verify, chains have no gap, the ledger is whole, a grant of then is used now.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks import stage
from benchmarks.measure import ROOT
from benchmarks.stage import AUDIENCE, Stage
from hub.config import Settings
from hub.main import build

PREVIOUS = ("0.1.0", "ec2c637")
FILL = ROOT / "tests" / "vectors" / "upgrade" / "fill.py"


@dataclass
class Outcome:
    """How the upgrade went on one database."""

    database: str
    certificates: int = 0
    leaves: int = 0
    bytes_before: int = 0
    fill_seconds: float = 0.0
    foretold: dict[str, Any] = field(default_factory=dict)
    migrate_seconds: float = 0.0
    check_seconds: float = 0.0
    problems: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether everything held."""
        return not self.problems


def main() -> int:
    """Run the trial, print what came of it as JSON; exit status 1 when anything did not hold."""
    parser = argparse.ArgumentParser(prog="./run trial upgrade")
    parser.add_argument("--certificates", type=int, default=100_000, help="on each database")
    parser.add_argument("--only", choices=["sqlite", "postgresql"], help="one database")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    outcomes = []
    with stage.folder() as folder, stage.durable_postgres() as postgres, old_code() as old:
        urls = {"sqlite": "", **({"postgresql": postgres} if postgres else {})}
        for name in [given.only] if given.only else list(urls):
            outcomes.append(trial(name, folder / name, urls[name], old, given.certificates))
            print(_line(outcomes[-1]), file=sys.stderr)
    told = {"trial": "upgrade", "from": PREVIOUS[0], "outcomes": [asdict(one) | {"ok": one.ok} for one in outcomes]}
    text = json.dumps(told, ensure_ascii=False, indent=1)
    given.json.write_text(text + "\n") if given.json else print(text)
    return 0 if outcomes and all(one.ok for one in outcomes) else 1


@contextmanager
def old_code() -> Iterator[Path]:
    """The previous version's code in a worktree of its own, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="yimen-old-") as made:
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "--quiet", "--detach", f"{made}/code", PREVIOUS[1]], check=True)
        try:
            yield Path(made) / "code"
        finally:
            subprocess.run([*git, "remove", "--force", f"{made}/code"], check=True)


def trial(name: str, folder: Path, url: str, old: Path, count: int) -> Outcome:
    """The whole trial on one database."""
    outcome = Outcome(name)
    environment = {key: value for key, value in os.environ.items() if not key.startswith("YIMEN_")}
    began = time.monotonic()
    subprocess.run(
        [sys.executable, FILL, folder, url, str(count)], check=True, cwd=old,
        env=environment | {"PYTHONPATH": os.pathsep.join([str(old), str(old / "tests")])},
    )  # fmt: skip
    outcome.fill_seconds = round(time.monotonic() - began, 1)
    settings = Settings(public_url=AUDIENCE, data_dir=folder, database_url=url or f"sqlite:///{folder / 'hub.db'}")
    told = json.loads((folder / "expected.json").read_text())
    outcome.foretold = json.loads(stage.yimen(settings, "upgrade", "--check", "--json").stdout)
    outcome.bytes_before = outcome.foretold["bytes_needed"] // 2
    began = time.monotonic()
    done = stage.yimen(settings, "migrate", "--json")
    outcome.migrate_seconds = round(time.monotonic() - began, 1)
    if done.returncode:
        outcome.problems.append(f"migrate: {done.stderr.decode()[-500:]}")
        return outcome
    began = time.monotonic()
    try:
        asyncio.run(_still_holds(settings, told, outcome))
    except Exception as fault:
        outcome.problems.append(f"{type(fault).__name__}: {fault}"[:500])
    checked = json.loads(stage.yimen(settings, "ledger", "check", "--json").stdout or "{}")
    outcome.check_seconds = round(time.monotonic() - began, 1)
    outcome.leaves = checked.get("size", 0)
    if not checked.get("ok") or outcome.leaves < count:
        outcome.problems.append(f"ledger check: {checked.get('failures')}, {outcome.leaves} leaves")
    return outcome


async def _still_holds(settings: Settings, told: dict[str, Any], outcome: Outcome) -> None:
    from backup import since  # tests/backup: the same promises as the short form
    from parts import FixedClock

    made = Stage(build(settings))
    made.clock = made.db.clock = FixedClock(datetime.fromisoformat(told["at"]))
    try:
        outcome.certificates = await since.count(made)
        await since.everything_holds(made, told, whole=False)
    finally:
        await made.close()


def _line(outcome: Outcome) -> str:
    held = "held" if outcome.ok else f"NOT HELD: {outcome.problems[:3]}"
    return (
        f"{outcome.database}: {outcome.certificates} certificates, {outcome.leaves} leaves, filled in "
        f"{outcome.fill_seconds} s, foretold {outcome.foretold.get('seconds')} s, migrated in "
        f"{outcome.migrate_seconds} s, checked in {outcome.check_seconds} s: {held}"
    )


if __name__ == "__main__":
    sys.exit(main())

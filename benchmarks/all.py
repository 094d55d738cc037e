"""Every benchmark in its short form, one after the other: one table of all ratios, and one JSON with all reports."""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.measure import ROOT, summary, table

SUITES = {
    "tokens": ["--rounds", "7", "--seconds", "0.2"],
    "verify_api": ["--rounds", "3", "--seconds", "2"],
    "peers": ["--rounds", "3", "--seconds", "2"],
    "bulk": ["--rounds", "3"],
    "ledger": ["--rounds", "3", "--leaves", "3000", "--seconds", "4"],
    "million": ["--rounds", "3", "--seconds", "2"],
    "atrest": ["--certificates", "20000", "--looks", "2000"],
    "planner": ["--rounds", "10"],
    "steps": ["--seconds", "2"],
}
PATIENCE = 600


def main() -> int:
    """Run all; exit status 1 when a gate failed or a suite broke."""
    parser = argparse.ArgumentParser(prog="./run bench")
    parser.add_argument("--rounds", type=int, help="for every suite, in place of its own few")
    parser.add_argument("--json", type=Path, help="write all reports to this file")
    parser.add_argument("--only", nargs="+", choices=list(SUITES), default=list(SUITES), metavar="SUITE",
                        help=f"some of: {' '.join(SUITES)}")  # fmt: skip
    given = parser.parse_args()
    reports: list[dict[str, Any]] = []
    broken: dict[str, str] = {}
    with TemporaryDirectory(prefix="yimen-bench-") as folder:
        for suite in given.only:
            more = ["--rounds", str(given.rounds)] if given.rounds else []
            found = _run(suite, [*SUITES[suite], *more], Path(folder) / f"{suite}.json")
            if isinstance(found, str):
                broken[suite] = found
                print(f"{suite} broke:\n{found}\n", file=sys.stderr)
            else:
                reports.append(found)
                print(table(found), file=sys.stderr)
    print(summary(reports, broken), file=sys.stderr)
    told = {"schema": 1, "reports": reports, "broken": broken}
    text = json.dumps(told, ensure_ascii=False, indent=1)
    given.json.write_text(text + "\n") if given.json else print(text)
    return 1 if broken or _missed(reports) else 0


def _run(suite: str, options: Sequence[str], path: Path) -> dict[str, Any] | str:
    """The report of one suite, or how it broke."""
    began = time.monotonic()
    command = [sys.executable, "-m", f"benchmarks.{suite}", *options, "--json", str(path)]
    try:
        done = subprocess.run(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        return f"no end after {PATIENCE} s"
    if not path.exists():
        return done.stderr[-3000:]
    found: dict[str, Any] = json.loads(path.read_text())
    return {**found, "took_seconds": round(time.monotonic() - began)}


def _missed(reports: Sequence[Mapping[str, Any]]) -> bool:
    return any(one["gate"] and one["status"] == "fail" for report in reports for one in report["ratios"])


if __name__ == "__main__":
    sys.exit(main())

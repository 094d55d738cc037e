"""Every benchmark in its short form, one after the other, and one JSON with all reports."""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.measure import ROOT, table

SUITES = {
    "tokens": ["--rounds", "5", "--seconds", "0.15"],
    "verify_api": ["--rounds", "3", "--seconds", "1.5"],
    "steps": ["--rounds", "60"],
    "bulk": ["--rounds", "3", "--lines", "200"],
    "ledger": ["--rounds", "3", "--leaves", "3000", "--seconds", "4"],
}


def main() -> int:
    """Run all; exit status 1 when a gate failed or a suite broke."""
    parser = argparse.ArgumentParser(prog="./run bench")
    parser.add_argument("--rounds", type=int, help="for every suite, in place of its own few")
    parser.add_argument("--json", type=Path, help="write all reports to this file")
    given = parser.parse_args()
    reports, worst = [], 0
    with TemporaryDirectory(prefix="yimen-bench-") as folder:
        for suite, options in SUITES.items():
            path = Path(folder) / f"{suite}.json"
            more = ["--rounds", str(given.rounds)] if given.rounds else []
            command = [sys.executable, "-m", f"benchmarks.{suite}", *options, *more, "--json", str(path)]
            done = subprocess.run(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
            worst = max(worst, done.returncode)
            if path.exists():
                reports.append(json.loads(path.read_text()))
                print(table(reports[-1]), file=sys.stderr)
            else:
                print(f"{suite} broke:\n{done.stderr[-3000:]}", file=sys.stderr)
    text = json.dumps({"schema": 1, "reports": reports}, ensure_ascii=False, indent=1)
    given.json.write_text(text + "\n") if given.json else print(text)
    return worst


if __name__ == "__main__":
    sys.exit(main())

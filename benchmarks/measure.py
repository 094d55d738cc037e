"""How everything here is measured: rates per CPU-second, ratios inside one round, the machine, the report.

A ratio is taken between two figures of the same round, with the order of the round turned round each time, and the
median of the rounds is told with its extremes. Numbers of another day, machine or environment are never divided.
"""

import argparse
import json
import os
import platform
import ssl
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
TOLERANCE = 0.25
"""Ratios of one machine move this much from round to round; a gate fails only below target x (1 - this)."""
PACKAGES = ("cryptography", "fastapi", "uvicorn", "sqlalchemy", "asyncpg", "aiosqlite", "sd-jwt", "orjson", "uvloop")


def rate(operation: Callable[[], object], seconds: float = 0.25) -> float:
    """Calls per CPU-second: the loop ends by the wall clock, the divisor is CPU time of the whole process."""
    calls, end, start = 0, time.perf_counter() + seconds, time.process_time()
    while time.perf_counter() < end:
        for _ in range(5):
            operation()
        calls += 5
    return calls / (time.process_time() - start)


def rates(
    operations: Mapping[str, Callable[[], object]], *, rounds: int, seconds: float = 0.25
) -> dict[str, list[float]]:
    """The rate of every operation in every round, interleaved, every second round backwards, after a warm-up."""
    for operation in operations.values():
        rate(operation, min(seconds, 0.1))
    found: dict[str, list[float]] = {name: [] for name in operations}
    for number in range(rounds):
        for name in list(operations)[:: 1 if number % 2 == 0 else -1]:
            found[name].append(rate(operations[name], seconds))
    return found


@dataclass(frozen=True, slots=True)
class Aim:
    """A ratio that is looked for: its number in the list of ratios, its name, and what it should reach."""

    id: int
    name: str
    target: float
    gate: bool = False
    at_most: bool = False
    """The target is a ceiling (a latency), not a floor."""


@dataclass
class Report:
    """One suite's results on their way to the table and to JSON (`schema` 1)."""

    suite: str
    settings: dict[str, Any] = field(default_factory=dict)
    results: list[dict[str, Any]] = field(default_factory=list)
    ratios: list[dict[str, Any]] = field(default_factory=list)
    skipped: list[dict[str, Any]] = field(default_factory=list)
    tables: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def result(self, name: str, **figures: Any) -> None:
        """One measured thing, as medians over the rounds."""
        self.results.append({"name": name, **{key: _short(value) for key, value in figures.items()}})

    def ratio(self, aim: Aim, tops: Sequence[float], bases: Sequence[float]) -> None:
        """The ratio of two figures that were taken in the same rounds."""
        values = [top / base for top, base in zip(tops, bases, strict=True)]
        self.value(aim, values)

    def value(self, aim: Aim, values: Sequence[float]) -> None:
        """A figure with a target of its own, one value a round."""
        middle = statistics.median(values)
        self.ratios.append(
            {
                "id": aim.id,
                "name": aim.name,
                "median": _short(middle),
                "min": _short(min(values)),
                "max": _short(max(values)),
                "rounds": len(values),
                "target": aim.target,
                "at_most": aim.at_most,
                "tolerance": TOLERANCE,
                "gate": aim.gate,
                "status": status_of(middle, aim),
            }
        )

    def skip(self, aim: Aim, reason: str) -> None:
        """A ratio that could not be measured here. Skipped is never passed."""
        self.skipped.append({"id": aim.id, "name": aim.name, "reason": reason})

    @property
    def failed(self) -> bool:
        """Whether a gate is missed by more than the tolerance."""
        return any(ratio["gate"] and ratio["status"] == "fail" for ratio in self.ratios)

    def to_json(self) -> dict[str, Any]:
        """The report in the shape that docs/performance.md describes."""
        return {
            "schema": 1,
            "suite": self.suite,
            "commit": commit(),
            "when": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "machine": environment(),
            "settings": self.settings,
            "results": self.results,
            "ratios": self.ratios,
            "tables": self.tables,
            "skipped": self.skipped,
        }


def status_of(median: float, aim: Aim) -> str:
    """`pass`, `within_tolerance` or `fail`."""
    reached = aim.target / median if aim.at_most else median / aim.target
    if reached >= 1:
        return "pass"
    return "within_tolerance" if reached >= 1 - TOLERANCE else "fail"


def environment() -> dict[str, Any]:
    """The machine and the versions that a figure belongs to, and how busy it was with other things."""
    cpu = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.processor(),
    )
    memory = next((int(line.split()[1]) for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), 0)
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "memory_gb": round(memory / 1024 / 1024),
        "python": platform.python_version(),
        "openssl": ssl.OPENSSL_VERSION,
        "system": platform.platform(),
        "load_average": [round(one, 2) for one in os.getloadavg()],
        "packages": {name: version for name in PACKAGES if (version := _version(name))},
    }


def commit() -> str:
    """The commit of this checkout, with `+` when files differ from it; empty without git."""
    told = ["git", "-C", str(ROOT), "describe", "--always", "--abbrev=12", "--dirty=+", "--exclude=*"]
    done = subprocess.run(told, capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else ""


def process_cpu(pid: int) -> float:
    """CPU-seconds, user and system, that a process and its ended children have used (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def tree_cpu(pid: int) -> float:
    """The same with every living child, and theirs."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return process_cpu(pid) + sum(tree_cpu(int(child)) for child in children)


def percentile(values: Sequence[float], part: float) -> float:
    """The value below which `part` (0 to 1) of the values lie; the nearest that occurred."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


def arguments(suite: str, *, rounds: int) -> argparse.ArgumentParser:
    """The command line that every suite has: --rounds and --json."""
    parser = argparse.ArgumentParser(prog=f"./run bench {suite}")
    parser.add_argument("--rounds", type=int, default=rounds, help=f"interleaved rounds (default {rounds})")
    parser.add_argument("--json", type=Path, help="write the report to this file instead of standard output")
    return parser


def finish(report: Report, path: Path | None) -> int:
    """Print the table to stderr and the JSON to stdout or the file; the exit status, 1 when a gate failed."""
    told = report.to_json()
    print(table(told), file=sys.stderr)
    text = json.dumps(told, ensure_ascii=False, indent=1)
    if path:
        path.write_text(text + "\n")
    else:
        print(text)
    return 1 if report.failed else 0


def table(told: Mapping[str, Any]) -> str:
    """A report for people: ratios first, what they were made of below."""
    load = told["machine"]["load_average"][0]
    lines = [f"## {told['suite']}  (commit {told['commit']}, load average {load})", ""]
    for one in told["ratios"]:
        sign = "<=" if one["at_most"] else ">="
        lines.append(
            f"{one['id']:>3}  {one['name']:<52} {one['median']:>9}  [{one['min']} .. {one['max']}]"
            f"  aim {sign} {one['target']}  {one['status']}{'  (gate)' if one['gate'] else ''}"
        )
    lines += [f"{one['id']:>3}  {one['name']:<52} skipped: {one['reason']}" for one in told["skipped"]]
    lines.append("")
    for one in told["results"]:
        lines.append("     " + "  ".join(f"{key}={value}" for key, value in one.items()))
    for name, rows in told["tables"].items():
        lines += ["", f"  {name}"]
        lines += ["     " + "  ".join(f"{value!s:>9}" if n else f"{value!s:<44}" for n, value in
                                      enumerate(row.values())) for row in rows]  # fmt: skip
    return "\n".join(lines) + "\n"


def summary(reports: Sequence[Mapping[str, Any]], broken: Mapping[str, str]) -> str:
    """All ratios of all suites in one table, in the order of their numbers."""
    rows = []
    for one in (one for report in reports for one in report["ratios"]):
        gate = " (gate)" if one["gate"] else ""
        spread = f"{one['min']} .. {one['max']}"
        rows.append((one["id"], one["name"], _limit(one), one["median"], spread, one["status"] + gate))
    for one in (one for report in reports for one in report["skipped"]):
        rows.append((one["id"], one["name"], "", "", "", f"skipped: {one['reason']}"))
    lines = ["| # | ratio | aim | median | min .. max | status |", "|---|---|---|---|---|---|"]
    lines += [f"| {' | '.join(map(str, row))} |" for row in sorted(rows, key=lambda row: row[0])]
    lines += [f"\n{suite} broke: {why.strip().splitlines()[-1:]}" for suite, why in broken.items()]
    took = " · ".join(f"{one['suite']} {one['took_seconds']} s" for one in reports if "took_seconds" in one)
    return "\n".join([*lines, "", took])


def _limit(one: Mapping[str, Any]) -> str:
    return f"{'<=' if one['at_most'] else '>='} {one['target']}"


def _short(value: Any) -> Any:
    return float(f"{value:.4g}") if isinstance(value, float) else value


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).exists() else []


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""

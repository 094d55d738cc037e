"""The measuring itself: ratios inside a round, what passes, what fails, what is skipped; each benchmark still runs."""

import asyncio
import importlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from parts import missing

from benchmarks import load, stage, steps, tokens
from benchmarks.crowd import crowd
from benchmarks.hello import ANSWER, BODY
from benchmarks.measure import Aim, Report, finish, percentile, status_of
from hub.cases.open import by_public_id
from hub.verification.model import Ask, Verdict

FLOOR, CEILING = Aim(1, "a / b", 0.4, gate=True), Aim(8, "p99", 60, at_most=True)
ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("aim", "median", "status"),
    [
        (FLOOR, 0.40, "pass"), (FLOOR, 0.31, "within_tolerance"), (FLOOR, 0.29, "fail"),
        (CEILING, 60, "pass"), (CEILING, 79, "within_tolerance"), (CEILING, 81, "fail"),
    ],
)  # fmt: skip
def test_a_quarter_is_tolerated_and_no_more(aim: Aim, median: float, status: str) -> None:
    assert status_of(median, aim) == status


def test_ratios_are_taken_inside_their_round() -> None:
    report = Report("x")
    report.ratio(FLOOR, [10, 1, 30], [20, 2, 40])  # medians divided would give 0.5 by luck; the round says 0.75 too
    (told,) = report.ratios
    assert (told["min"], told["median"], told["max"], told["rounds"]) == (0.5, 0.5, 0.75, 3)


def test_a_missed_gate_is_an_exit_status_and_a_skip_is_no_pass(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = Report("x")
    report.value(Aim(2, "no gate", 9), [1])
    report.skip(Aim(7, "peer", 3), "node is not installed")
    assert finish(report, tmp_path / "x.json") == 0
    report.value(FLOOR, [0.1])
    assert finish(report, tmp_path / "x.json") == 1
    told = json.loads((tmp_path / "x.json").read_text())
    assert told["schema"] == 1
    assert [one["status"] for one in told["ratios"]] == ["fail", "fail"]
    assert told["skipped"] == [{"id": 7, "name": "peer", "reason": "node is not installed"}]
    assert {"cpu", "cores", "python", "openssl", "packages", "load_average"} <= set(told["machine"])
    assert "skipped: node is not installed" in capsys.readouterr().err


def test_percentiles_occurred() -> None:
    assert percentile([5.0, 1.0, 3.0], 0.5) == 3.0
    assert percentile([1.0], 0.99) == 1.0


def test_what_is_timed_really_verifies() -> None:
    operations, spoilt = tokens.made(1_800_000_000)
    tokens.check(operations, spoilt)
    with pytest.raises(AssertionError, match="accepted a spoilt input"):
        tokens.check(operations, {"sdjwt_verify": lambda: None})
    with pytest.raises(AssertionError):
        tokens.check({**operations, "sdjwt_verify": dict}, spoilt)


def test_a_benchmark_runs_and_writes_its_report(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    command = [sys.executable, "-m", "benchmarks.tokens", "--rounds", "1", "--seconds", "0.02", "--json", str(report)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    told = json.loads(report.read_text())
    assert done.returncode in (0, 1), done.stderr
    assert told["suite"] == "tokens"
    assert all(one["median"] > 0 for one in told["ratios"])


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_the_crowd_is_accepted_as_people_of_the_verbs_are(database: str, tmp_path: Path) -> None:
    """What is measured over copied rows must be what a registration and a consent leave behind."""
    with stage.durable_postgres() as postgres:
        if database == "postgresql" and postgres is None:
            missing("PostgreSQL server", "apt-get install -y postgresql")
        made = stage.set_stage(tmp_path / "data", postgres or "" if database == "postgresql" else "")

        async def work() -> list[Verdict]:
            async with stage.opened(made):
                fields = [["school"]]
                granted = await crowd(made, 3, "degree", ["owner"], fields=fields, claims={})
                await made.publish()
                found = []
                for grants in granted.grants:
                    async with made.view() as view:
                        case = await by_public_id(view, grants[0].case_id)
                    found += await made.verify(case, grants, [Ask("degree")])
                return found

        verdicts = asyncio.run(work())
    assert [one.outcome for one in verdicts] == ["accepted"] * 3
    assert len({one.certificate for one in verdicts}) == 3
    assert all("school" in (one.claims or {}) for one in verdicts)


@pytest.mark.parametrize("generator", [load.steady, load.run])
def test_the_load_looks_into_every_answer(generator: Any, tmp_path: Path) -> None:
    port = stage.free_port()
    command = [sys.executable, "-m", "benchmarks.hello", str(port)]
    with stage.served(stage.start(command, port, tmp_path, {**os.environ, "PYTHONPATH": str(ROOT)})) as server:
        request = stage.raw_request("POST", "/hello", {}, BODY)
        options: dict[str, Any] = {"folder": tmp_path, "pid": server.process.pid, "seconds": 1, "repeat": True}
        good = generator(port, [request], expect=ANSWER, **options)
        assert good.errors == 0
        assert good.answered > 20
        assert 0 < good.p50 <= good.p99
        bad = generator(port, [request], expect=b"never said", **options)
        assert bad.errors == bad.answered > 20
        assert "greeting" in bad.example
        if shutil.which("wrk") and generator is load.steady:
            with pytest.raises(RuntimeError, match="too few were prepared"):
                generator(port, [request] * 20, expect=ANSWER, **{**options, "repeat": False})


def test_the_table_of_steps_knows_the_code() -> None:
    """A step whose function was renamed would silently become "the rest"."""
    for module, dotted, step in steps.STEPS:
        found: Any = importlib.import_module(module)
        for name in dotted.split("."):
            assert hasattr(found, name), f"{step!r} counts {module}.{dotted}, which is gone: name its successor"
            found = getattr(found, name)


async def test_a_step_counts_only_while_it_runs() -> None:
    clock = steps.Clock()

    async def inner() -> None:
        busy_for(0.03)
        await asyncio.sleep(0.3)

    counted = clock.around(inner, "inner")

    async def outer() -> int:
        busy_for(0.02)
        await counted()
        return 7

    assert await clock.around(outer, "outer")() == 7
    assert 0.03 <= clock.spent["inner"] < 0.15  # neither its wait
    assert 0.02 <= clock.spent["outer"] < 0.10  # nor what it called

    async def fails() -> None:
        await asyncio.sleep(0)
        raise ValueError("told")

    with pytest.raises(ValueError, match="told"):
        await clock.around(fails, "fails")()
    assert clock.stack == []


def busy_for(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass

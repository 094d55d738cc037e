"""A missing part is a skip that says how to bring it; in CI it is a failure unless the list of exceptions says why."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from plan import ROOT

LACKING = """
from parts import missing
import pytest

@pytest.fixture
def oven():
    missing("an oven", "apt-get install -y oven")

def test_bread(oven): pass
def test_cake(oven): pass
def test_water(): pass
"""
MODULE = "import pytest\npytest.importorskip('no_such_package_at_all')\n"
XFAIL = "import pytest\n@pytest.mark.xfail(reason='known')\ndef test_x(): assert False\n"


def run(folder: Path, text: str, *, ci: bool, allowed: str = "", workers: int = 0) -> tuple[int, str]:
    tests = folder / "tests"
    tests.mkdir()
    for name in ("canary.py", "conftest.py", "parts.py"):
        shutil.copy(ROOT / "tests" / name, tests / name)
    shutil.copy(ROOT / "pyproject.toml", folder / "pyproject.toml")
    (tests / "allowed_skips.txt").write_text(allowed)
    (tests / "test_it.py").write_text(text)
    env = {**os.environ, "CI": "true" if ci else "", "PYTHONPATH": "", "PYTEST_XDIST_WORKER": ""}
    command = [sys.executable, "-m", "pytest", "-q", "-n", str(workers), "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout


def test_a_missing_part_is_listed_once_with_its_install_line(tmp_path: Path):
    code, told = run(tmp_path, LACKING, ci=False, workers=1)
    assert code == 0
    assert "2 skipped without an oven: apt-get install -y oven" in told
    assert "1 passed, 2 skipped" in told


@pytest.mark.parametrize("text", [LACKING, MODULE], ids=["fixture", "module"])
def test_in_ci_a_skip_is_a_failure(tmp_path: Path, text: str):
    code, told = run(tmp_path, text, ci=True)
    assert code != 0
    assert "in CI nothing may be skipped" in told


@pytest.mark.parametrize(
    ("text", "allowed"),
    [(LACKING, "an oven | nobody bakes in CI"), (MODULE, "no_such_package_at_all | it does not exist"), (XFAIL, "")],
    ids=["fixture", "module", "xfail is no skip"],
)
def test_in_ci_an_allowed_skip_is_tolerated(tmp_path: Path, text: str, allowed: str):
    code, told = run(tmp_path, text, ci=True, allowed=f"# why\n{allowed}\n")
    assert code in {0, 5}, told  # 5: nothing was left to run


def test_every_exception_has_a_reason():
    lines = (ROOT / "tests" / "allowed_skips.txt").read_text().splitlines()
    entries = [line.split("|") for line in lines if line.strip() and not line.startswith("#")]
    assert [entry for entry in entries if len(entry) != 2 or not all(part.strip() for part in entry)] == []

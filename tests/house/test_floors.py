"""Imports go downstairs only, and the walls that promise 1 rests on stand."""

import subprocess
import sys
from pathlib import Path

import pytest
from plan import ROOT, floors, imports, modules, shown

LINTER = Path(sys.executable).parent / "lint-imports"

# A wall: what the files of a place may import of our own code, and nothing else.
WALLS = {
    "keys": ["keys"],
    "adapters": ["adapters", "hub.formats", "hub.paper", "hub.errors", "hub.clock", "hub.ids", "keys"],
    "hub/formats": ["hub.formats", "hub.errors", "keys"],
    "hub/paper": ["hub.paper", "hub.formats", "hub.errors", "hub.clock", "hub.ids", "keys"],
}


def _lint(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [LINTER, "--no-logo", "--no-cache"], cwd=folder, capture_output=True, text=True, timeout=120
    )


def test_the_import_contracts_hold():
    done = _lint(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("place", WALLS)
def test_a_walled_room_imports_only_what_it_may(place: str):
    strangers = [
        f"{shown(path)} imports {name}"
        for path in modules()
        if path.is_relative_to(ROOT / place)
        for name in imports(path)
        if name.split(".")[0] in {"hub", "adapters", "keys"}
        and name != "hub"  # `from hub import x` also yields hub.x, which is what counts
        and not any(name == wall or name.startswith(f"{wall}.") for wall in WALLS[place])
    ]
    assert strangers == []


def test_nothing_imports_tests_or_benchmarks():
    assert [shown(p) for p in modules() if {"tests", "benchmarks", "parts", "world"} & set(imports(p))] == []


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("hub/ledger/__init__.py", "import hub.web"),  # upstairs
        ("hub/ledger/__init__.py", "import hub.paper"),  # next door
        ("hub/store/__init__.py", "import adapters"),  # out of the house
        ("keys/__init__.py", "import hub.errors"),  # from the cellar
        ("hub/web/__init__.py", "import pymupdf"),  # a tool that only paper may hold
        ("hub/attic/__init__.py", ""),  # a room that is not in the plan
    ],
)
def test_a_broken_rule_is_noticed(tmp_path: Path, file: str, line: str):
    """The same contracts over a small house in which one rule is broken."""
    for room in floors():
        (tmp_path / "hub" / room).mkdir(parents=True)
        (tmp_path / "hub" / room / "__init__.py").write_text("")
    for house in ("hub", "adapters", "keys"):
        (tmp_path / house).mkdir(exist_ok=True)
        (tmp_path / house / "__init__.py").write_text("")
    (tmp_path / "pyproject.toml").write_bytes((ROOT / "pyproject.toml").read_bytes())
    assert _lint(tmp_path).returncode == 0
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text(line + "\n")
    done = _lint(tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr

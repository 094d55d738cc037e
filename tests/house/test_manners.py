"""How the code is written: names, sizes, what is under version control, and the linters."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from parts import missing
from plan import HOUSES, ROOT, listed, modules, shown

FORBIDDEN_NAMES = {"service", "services", "repository", "schemas", "utils", "util", "helpers", "common", "core",
                   "manager", "managers", "misc", "base_service", "lib"}  # fmt: skip
LONGER_THAN_400: dict[str, str] = {}  # file -> why it is better whole


def tracked() -> list[Path]:
    """Files under version control; in a copy without .git, every file that does not look like a machine's own."""
    done = subprocess.run(["git", "-C", ROOT, "ls-files", "-z"], capture_output=True)
    if done.returncode == 0:
        return [ROOT / name for name in done.stdout.decode().split("\0") if name and (ROOT / name).is_file()]
    own = {".venv", ".git", "__pycache__", ".cache", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis"}
    return [p for p in ROOT.rglob("*") if p.is_file() and not own & set(p.relative_to(ROOT).parts)]


def test_rooms_are_named_after_what_they_do():
    bad = [p for house in HOUSES for p in (ROOT / house).rglob("*") if p.stem.lower() in FORBIDDEN_NAMES]
    assert [shown(p) for p in bad if "static" not in p.parts] == []


def test_a_module_can_be_read_at_a_sitting():
    sizes = {shown(p): len(p.read_text().splitlines()) for p in modules()}
    long = {name: size for name, size in sizes.items() if size > 400 and name not in LONGER_THAN_400}
    assert long == {}, "past 400 lines a module wants splitting (or a reason in LONGER_THAN_400)"
    assert [name for name in LONGER_THAN_400 if sizes.get(name, 0) <= 400] == [], "no longer needed"


def test_the_newcomers_page_names_every_file():
    there = {shown(p) for p in modules() if p.name != "__init__.py"}
    told = {name for name in listed() if not name.endswith("__init__.py")}
    assert told == there, "python tests/house/plan.py writes the list"


def test_tests_and_migrations_are_no_packages():
    """With an __init__.py our alembic/ would shadow the installed one, and tests/keys our keys."""
    found = [*(ROOT / "alembic").rglob("__init__.py"), *(ROOT / "tests").rglob("__init__.py")]
    assert [shown(p) for p in found if "vectors" not in p.parts] == []


PRIVATE = re.compile(
    rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY-----\s+[A-Za-z0-9+/]{16}"
    rb"|[\"']d[\"']\s*:\s*[\"'][A-Za-z0-9_-]{43}[\"']"
)


def test_no_private_key_is_under_version_control():
    """Published examples of a standard may be, in tests/vectors."""
    keepers = (ROOT / "tests" / "vectors",)
    found = [p for p in tracked() if not p.is_relative_to(keepers[0]) and PRIVATE.search(p.read_bytes())]
    assert [shown(p) for p in found] == []
    named = [p for p in tracked() if p.suffix in {".pem", ".p12", ".pfx", ".key"} or p.name == "keyring.json"]
    assert [shown(p) for p in named if not p.is_relative_to(keepers[0])] == []


def test_the_search_for_private_keys_can_find_one():
    kind = b"PRIVATE KEY-----"
    assert PRIVATE.search(b"-----BEGIN EC " + kind + b"\nMHcCAQEEIIrYSSNQFaA2Hwf1duRSxKtLYX5CB04f")
    assert PRIVATE.search(b"-----BEGIN " + kind + b"\nMHcCAQEEIIrYSSNQFaA2Hwf1duRSxKtLYX5CB04f")
    assert PRIVATE.search(b'{"kty":"EC", "d" : "' + b"A" * 43 + b'"}')


def _tool(name: str, *args: str) -> None:
    program = Path(sys.executable).parent / name
    if not program.exists():
        missing(name, "./run test (it installs requirements-dev.lock)")
    done = subprocess.run([program, *args], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]


def test_ruff_is_content():
    _tool("ruff", "check", "--quiet", "--output-format=concise", ".")


def test_types_are_checked_strictly():
    _tool("mypy")


@pytest.mark.parametrize("folder", HOUSES)
def test_nothing_unfinished_is_left_behind(folder: str):
    marks = re.compile(r"\b(TODO|FIXME|XXX)\b|raise NotImplementedError")
    assert [shown(p) for p in modules() if p.is_relative_to(ROOT / folder) and marks.search(p.read_text())] == []

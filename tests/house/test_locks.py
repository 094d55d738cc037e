"""What gets installed is pinned with hashes, names no index, and is what pyproject.toml asks for."""

import re
import tomllib

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from plan import ROOT

LOCKS = ["requirements.lock", "requirements-dev.lock"]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())


def pins(lock: str) -> dict[str, tuple[Version, int]]:
    """Package -> (version, number of hashes)."""
    found: dict[str, tuple[Version, int]] = {}
    for block in re.split(r"\n(?=[a-z0-9])", (ROOT / lock).read_text()):
        if pin := re.match(r"([a-z0-9._-]+)==(\S+)", block):
            found[pin[1]] = (Version(pin[2]), block.count("--hash=sha256:"))
    return found


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_pins_with_hashes_and_names_no_place(lock: str):
    text = (ROOT / lock).read_text()
    assert "://" not in text
    assert not re.search(r"^\s*(-i|--index|--extra-index|--find-links|-f|-e|--trusted)", text, re.MULTILINE)
    assert not re.search(r" @ |\.whl|\.tar", text)
    assert min(hashes for _, hashes in pins(lock).values()) >= 1
    assert len(pins(lock)) > 50


def test_the_development_lock_holds_all_of_the_other():
    small, big = pins(LOCKS[0]), pins(LOCKS[1])
    assert {name: version for name, (version, _) in small.items() if big.get(name, ("",))[0] != version} == {}


def test_the_locks_are_what_the_project_asks_for():
    asked = [(text, LOCKS[0]) for text in SETTINGS["project"]["dependencies"]]
    asked += [(text, LOCKS[1]) for text in SETTINGS["dependency-groups"]["dev"]]
    stale = []
    for text, lock in asked:
        wanted = Requirement(text)
        version, _ = pins(lock).get(canonicalize_name(wanted.name), (None, 0))
        if version is None or version not in wanted.specifier:
            stale.append(f"{lock}: {text} (has {version})")
    assert stale == [], "make lock"


def test_the_oldest_supported_python_is_the_one_the_tools_check():
    assert SETTINGS["project"]["requires-python"] == ">=3.11"
    assert SETTINGS["tool"]["ruff"]["target-version"] == "py311"
    assert SETTINGS["tool"]["mypy"]["python_version"] == "3.11"
    assert Version(default_environment()["python_version"]) >= Version("3.11")

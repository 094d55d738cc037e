"""The canaries sing: each way out of the hub is heard, and a test that lets somebody's number out fails."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from canary import CANARY
from plan import ROOT
from registry.makers import resident
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

NUMBER = resident(7, "19850601")
NAME = "欧阳䶮"


@pytest.fixture(autouse=True)
def _nothing_found_is_left() -> Iterator[None]:
    CANARY.person(NAME)
    CANARY.take()
    yield
    CANARY.take()
    CANARY.names.discard(NAME)


def heard() -> str:
    return "\n".join(CANARY.take())


@pytest.mark.parametrize("text", [f"id_no={NUMBER}", f"[{NUMBER}]", f"hello {NAME}!"])
def test_a_number_and_a_name_are_found_in_text_and_not_repeated(text: str):
    CANARY.search("log", text)
    told = heard()
    assert told.startswith("log: ")
    assert NUMBER not in told
    assert NAME not in told


@pytest.mark.parametrize("text", ["441900198506019999", "a" + NUMBER, NUMBER + "0", "Zk3" + NUMBER + "Q", ""])
def test_what_only_looks_like_a_number_is_not_one(text: str):
    CANARY.search("log", text)
    assert heard() == ""


def test_the_text_of_a_refusal_is_heard():
    from hub.errors import NotFound

    NotFound("x.y", "没有", "nobody", who=NUMBER)
    assert "refusal x.y" in heard()


async def test_addresses_and_answers_are_heard():
    from hub.web.doors import RequestNumbers

    async def answer(_: object) -> Response:
        return Response(f'{{"detail": "{NUMBER}"}}', 404, media_type="application/problem+json")

    app = RequestNumbers(Starlette(routes=[Route("/people/{who}", answer)]))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://hub.example") as http:
        await http.get(f"/people/{NAME}")
    told = heard()
    for where in ("answer 404 to GET /people/{who}", "problem document 404", "address: a name", "address asked for"):
        assert where in told, told


def test_a_leaf_is_heard():
    from hub.ledger import append, sequence

    append.leaf_hash(NUMBER.encode())
    assert "leaf of the ledger" in heard()
    sequence.leaf_hash(NAME.encode())
    assert "leaf of the ledger" in heard()


def test_what_our_processes_write_is_heard_also_when_the_file_is_gone(tmp_path: Path):
    shown = [sys.executable, "-c", f"print('{NUMBER}')", "hub.cli"]
    with (tmp_path / "log").open("wb") as log:
        subprocess.run(shown, stdout=log, check=True)
    (tmp_path / "log").unlink()
    assert "log file of" in heard()
    subprocess.run(shown, capture_output=True, check=True)
    assert "output of a process" in heard()


def test_a_test_that_prints_a_number_fails(tmp_path: Path):
    tests = tmp_path / "tests"
    tests.mkdir()
    for name in ("canary.py", "conftest.py", "parts.py"):
        shutil.copy(ROOT / "tests" / name, tests / name)
    shutil.copy(ROOT / "pyproject.toml", tmp_path / "pyproject.toml")
    (tmp_path / "hub").symlink_to(ROOT / "hub")
    (tests / "test_it.py").write_text(
        f"def test_leaky(): print('login_hint=111:{NUMBER}')\n"
        "def test_metric():\n"
        "    from hub.web.metrics import refused\n"
        f"    refused('{NUMBER}')\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider"]
    env = {**os.environ, "PYTEST_XDIST_WORKER": ""}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "personal data got out" in done.stdout
    assert "metrics: an id number" in done.stderr

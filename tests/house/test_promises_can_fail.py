"""Each promise has a test that fails when its mechanism is taken out: shown here by taking it out."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

CASES = {
    "signatures": "tests/verification/test_promise_1_the_hub_cannot_forge.py",
    "record": "tests/verification/test_promise_2_nothing_is_looked_at_unseen.py",
    "chain": "tests/verification/test_promise_2_nothing_is_looked_at_unseen.py",
    "consistency": "tests/ledger/test_promise_3_history_cannot_be_rewritten.py",
    "coverage": "tests/verification/test_promise_4_only_what_is_needed.py",
    "caps": "tests/verification/test_promise_4_only_what_is_needed.py",
    "guard": "tests/verification/test_promise_5_consent_is_the_citizens.py",
}


@pytest.mark.parametrize("mechanism", CASES)
def test_the_promise_fails_without_its_mechanism(mechanism: str) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "without", "-p", "no:cacheprovider"]
    ran = subprocess.run(
        [*command, "-k", "not postgresql", CASES[mechanism]],
        cwd=ROOT,
        env={**os.environ, "YIMEN_WITHOUT": mechanism, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert ran.returncode == 1, f"{CASES[mechanism]} passed without {mechanism}\n{ran.stdout[-2000:]}"
    assert "1 failed" in ran.stdout

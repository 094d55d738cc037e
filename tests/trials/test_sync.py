"""A short form of `./run trial sync`, and proof that the trial would tell what it must tell."""

import random
from pathlib import Path

from benchmarks.trials import sync


def test_planted_changes_are_found_and_a_killed_agent_ends_the_same(tmp_path: Path, mariadb) -> None:
    outcome = sync.trial(tmp_path, mariadb, "", rows=2000, sent=300, kills=1, chance=random.Random(3))
    assert outcome.problems == []
    assert outcome.found == {"changed": 2, "gone": 1, "new": 0, "quarantined": 0}
    assert min(outcome.rates.values()) > 0


def test_a_memory_that_grows_and_a_certificate_that_stands_twice_are_told() -> None:
    outcome = sync.Outcome(1, memory_mb={"sync": [100.0, 140.0]})
    sync._flat(outcome, "sync")
    assert outcome.problems == ["memory of sync grew: [100.0, 140.0]"]

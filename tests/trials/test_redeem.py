"""A short form of `./run trial redeem`: one-use consents, redeemed through two hub processes at once."""

from pathlib import Path

import pytest
from parts import missing, postgres_bin

from benchmarks import stage
from benchmarks.trials import redeem

AT_ONCE = 24


@pytest.mark.durability
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_one_of_many_redemptions_wins_and_all_are_in_the_ledger(database: str, tmp_path: Path) -> None:
    if database == "sqlite":
        outcome = redeem.trial("sqlite", tmp_path / "data", "", 1, AT_ONCE)
    elif postgres_bin() is None:
        missing("PostgreSQL server", "apt-get install -y postgresql")
    else:
        with stage.durable_postgres() as url:
            outcome = redeem.trial("postgresql", tmp_path / "data", url or "", 1, AT_ONCE)
    assert outcome.problems == []
    assert (outcome.rounds, outcome.accepted) == (1, 1)
    assert outcome.refused == {"grant.spent": AT_ONCE - 1}
    assert outcome.processes == (2 if database == "postgresql" else 1)

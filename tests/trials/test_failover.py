"""A short form of `./run trial failover`: the primary dies under load, the synchronous standby is promoted."""

import pytest
from parts import missing

from benchmarks.trials import failover
from benchmarks.trials.standby import pair


@pytest.mark.durability
def test_what_was_acknowledged_is_in_the_promoted_standby() -> None:
    with pair() as servers:
        if servers is None:
            missing("PostgreSQL server", "apt-get install -y postgresql")
        outcome = failover.trial(servers, 1, 0.3)
    assert outcome.problems == []
    assert outcome.failovers == 1
    assert min(outcome.acknowledged.values()) > 0, outcome.acknowledged
    assert outcome.gap[0] >= outcome.notice  # while nobody had promoted it, nothing was acknowledged
    assert outcome.ledger_size > sum(outcome.acknowledged.values())
    assert (outcome.durability["fsync"], outcome.durability["synchronous_commit"]) == ("on", "on")

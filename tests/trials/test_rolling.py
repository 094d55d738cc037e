"""A short form of `./run trial rolling`: two hubs behind haproxy on one PostgreSQL and one S3."""

import pytest
from parts import missing, postgres_bin

from benchmarks.trials import rolling


@pytest.mark.durability
def test_two_processes_agree_at_once_and_are_restarted_without_a_lost_request() -> None:
    if postgres_bin() is None:
        missing("PostgreSQL server", "apt-get install -y postgresql")
    if rolling.haproxy() is None:
        missing("haproxy", "apt-get install -y haproxy")
    outcome = rolling.trial(restarts=1, rounds=3, callers=(1, 1, 1))
    assert outcome.problems == []
    assert outcome.restarts == 1
    assert min(outcome.acknowledged.values()) > 0, outcome.acknowledged
    refused = {what: count for what, count in outcome.at_once.items() if what != "before"}
    assert refused == dict.fromkeys(("grant.withdrawn", "token.revoked", "status.revoked", "client.unknown"), 1)
    assert min(outcome.seconds_to_end) > rolling.DRAIN_SECONDS, "it did not wait for the proxy to notice"

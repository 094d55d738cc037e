"""A short form of `./run trial kill9`, and proof that the trial would tell a loss."""

import asyncio
import random
from pathlib import Path

import pytest
from parts import missing, postgres_bin

from benchmarks import stage
from benchmarks.trials import kill9
from benchmarks.trials.callers import Acknowledged, Callers, doubled, lost


@pytest.mark.durability
def test_sqlite_keeps_what_it_acknowledged_when_it_is_killed(tmp_path: Path) -> None:
    outcome = kill9.trial("sqlite", tmp_path / "data", "", 2, random.Random(7))
    held(outcome)
    assert outcome.durability["sqlite_synchronous"] == "FULL"


@pytest.mark.durability
def test_postgresql_keeps_what_it_acknowledged_when_the_hub_is_killed(tmp_path: Path) -> None:
    if postgres_bin() is None:
        missing("PostgreSQL server", "apt-get install -y postgresql")
    with stage.durable_postgres() as url:
        outcome = kill9.trial("postgresql", tmp_path / "data", url or "", 1, random.Random(8))
    held(outcome)
    assert (outcome.durability["fsync"], outcome.durability["synchronous_commit"]) == ("on", "on")


def held(outcome: kill9.Outcome) -> None:
    assert outcome.problems == []
    assert outcome.kills >= 1
    assert min(outcome.acknowledged.values()) > 0, outcome.acknowledged
    assert outcome.ledger_size > sum(outcome.acknowledged.values())


def test_the_trial_tells_a_loss_and_a_double(tmp_path: Path) -> None:
    """What was acknowledged and is not there, or is there twice, is named."""
    made = stage.set_stage(tmp_path / "data")
    said = Acknowledged(certificates={"never-stored": "k1"}, cases={"c"}, requests={"r"}, accesses={"a": "k2"})

    async def work() -> tuple[list[str], list[str], list[str]]:
        async with stage.opened(made):
            callers = Callers(made, 1)
            await callers.prepare(1)
            await callers.http.aclose()
            nothing = Acknowledged()
            return await lost(made, said), await doubled(made, nothing, 0), await doubled(made, nothing, 1)

    gone, twice, once = asyncio.run(work())
    assert [one.rpartition(": ")[2] for one in gone] == ["never-stored", "a", "c", "r"]
    assert twice == ["1 certificates are stored, 0 were answered for"]
    assert once == []

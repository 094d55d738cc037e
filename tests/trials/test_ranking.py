"""A short form of `./run trial ranking`: 3,000 applications ranked, corrected, ranked again, checked."""

from pathlib import Path

from benchmarks.trials import ranking


def test_a_town_is_ranked_and_can_be_checked(tmp_path: Path) -> None:
    outcome = ranking.trial("sqlite", tmp_path / "data", "", 3000)
    assert outcome.problems == []
    assert outcome.by_lot == outcome.equal > 0, "by lot stand exactly those who are equal in everything"

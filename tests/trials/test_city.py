"""A short form of `./run trial city`: ten families, from nothing but an identity to a place in the public notice."""

from pathlib import Path

from benchmarks.trials import city


def test_ten_families_from_an_identity_to_a_place(tmp_path: Path) -> None:
    report = city.trial("sqlite", tmp_path / "data", "", 10)
    assert report.problems == []
    assert report.outcomes == {"passed": 10}
    assert report.equal == 10, "the rule text, by hand, gives the same totals"
    assert report.ways["held"] >= 80
    assert report.lines >= 150
    assert {"plan", "agree", "gather", "eight_departments", "score"} <= set(report.parts)

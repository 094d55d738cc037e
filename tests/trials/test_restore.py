"""A short form of `./run trial restore`; of `./run trial upgrade` tests/backup/test_upgrade.py is the short form."""

from pathlib import Path

from benchmarks.trials import restore


def test_what_was_acknowledged_before_the_backup_is_there_and_the_rest_is_told(tmp_path: Path) -> None:
    outcome = restore.trial("sqlite", tmp_path / "hub" / "data", "", 20, 1.5)
    assert outcome.problems == []
    assert outcome.acknowledged_in_all > outcome.acknowledged_before > 0
    assert outcome.told_lost == outcome.leaves_published - outcome.leaves_in_backup > 0
    assert 0 < outcome.missing_afterwards <= outcome.acknowledged_in_all - outcome.acknowledged_before

"""A short form of `./run trial faults`: everything that breaks underneath a hub comes and goes once."""

import pytest
from parts import missing, postgres_bin

from benchmarks.trials import faults


@pytest.mark.durability
@pytest.mark.parametrize("place", faults.PLACES)
def test_what_breaks_is_refused_or_degraded_recovers_and_loses_nothing(place: str) -> None:
    if place == "served" and postgres_bin() is None:
        missing("PostgreSQL server", "apt-get install -y postgresql")
    try:
        outcomes = faults.trial(place, faults.FAULTS)
    except PermissionError:
        missing("the right to mount a small disk", "sudo ./run test")
    assert {one.fault: one.problems for one in outcomes if not one.ok} == {}
    assert {one.fault for one in outcomes} == {fault.name for fault in faults.FAULTS if fault.place == place}
    for one in outcomes:
        assert sum(one.while_broken.values()) >= 2 * faults.CALLS, f"{one.fault}: nobody called while it was broken"
        assert one.slowest < faults.SOON

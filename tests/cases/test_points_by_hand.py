"""A thousand drawn families: the scorer and a script written from the rule text alone give equal totals."""

from collections import Counter
from datetime import date
from fractions import Fraction
from pathlib import Path

from cases import points_by_hand
from cases.drawn import papers

from hub.cases.measures import permits_of
from hub.cases.residence import residence
from hub.cases.scheme import load_schemes
from hub.cases.scoring import Evidence, Shown, score

SCHEME = load_schemes()["dg-points-enrolment-2016"]
TODAY = date(2026, 11, 23)


def shown(said: dict[str, dict]) -> tuple[Shown, ...]:
    return tuple(
        Shown(code, code, frozenset({"child" if code == "school_record" else "parent"}), claims)
        for code, claims in said.items()
    )


def test_a_thousand_families_get_the_points_that_the_text_gives() -> None:
    totals, states = set(), Counter()
    for number in range(1000):
        said = papers(number, TODAY)
        found = score(SCHEME, Evidence("parent", "child", shown(said)), as_of=TODAY)
        assert Fraction(found.total) == points_by_hand.points(said, TODAY), (number, said)
        totals.add(found.total)
        stay = residence(permits_of(said["residence_permit"]["permits"]), TODAY)
        states[stay.state, stay.temporary_months > 0, stay.broken_on is not None] += 1
    assert len(totals) > 150, "the families must differ, or this proves little"
    assert len(states) == 5, states
    assert states["in_force", True, False] >= 20 <= states["suspended", False, True]


def test_the_script_is_short_and_knows_nothing_of_the_hub() -> None:
    source = Path(points_by_hand.__file__).read_text()
    assert len([line for line in source.splitlines() if line.strip()]) <= 60
    assert "hub." not in source.partition('"""')[2].partition('"""')[2]

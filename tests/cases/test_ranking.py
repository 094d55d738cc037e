"""Order of merit: total, the published order of ties, then a lot that anybody can draw again."""

import csv
import hashlib
import io
from decimal import Decimal
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from hub.cases.ranking import Entry, as_csv, list_sha256, lot_of, rank

SEED = bytes(range(32))
numbers = st.integers(0, 3).map(Decimal)
entries = st.lists(st.tuples(numbers, numbers, numbers), min_size=1, max_size=30).map(
    lambda rows: [Entry(f"r{n}", row[0], row[1:]) for n, row in enumerate(rows)]
)


def entry(receipt: str, total: str, *ties: int) -> Entry:
    return Entry(receipt, Decimal(total), tuple(Decimal(tie) for tie in ties))


def order(*given: Entry) -> list[str]:
    return [one.entry.receipt for one in rank(given, SEED)]


def test_the_higher_total_comes_first_whatever_decides_ties() -> None:
    assert order(entry("a", "50", 9, 9, 9, 1), entry("b", "50.5", 0, 0, 0, 0)) == ["b", "a"]


def test_equal_totals_are_compared_in_the_published_order() -> None:
    """Residence years, then insurance years, then tax, then housing: an earlier one outweighs all later ones."""
    least = entry("0", "50", 1, 0, 0, 0)
    for n in range(4):
        more = [1, 0, 0, 0]
        more[n] += 1
        assert order(least, entry("more", "50", *more)) == ["more", "0"]
    assert order(entry("tax", "50", 2, 5, 9, 1), entry("insured", "50", 2, 6, 0, 0)) == ["insured", "tax"]


def test_still_equal_is_decided_by_lot_and_told_so() -> None:
    placed = rank([entry("a", "7", 1), entry("b", "7", 1), entry("c", "8", 0)], SEED)
    assert [one.by_lot for one in placed] == [False, True, True]
    assert placed[1].lot < placed[2].lot


def test_another_list_or_another_seed_draws_other_lots() -> None:
    listed = list_sha256(["a", "b"])
    assert lot_of(SEED, listed, "a") != lot_of(SEED, list_sha256(["a", "b", "c"]), "a")
    assert lot_of(SEED, listed, "a") != lot_of(SEED[::-1], listed, "a")
    assert list_sha256(["b", "a"]) == listed


def test_lots_favour_nobody() -> None:
    """Of 4,000 pairs of equals, each under a seed of its own, the first wins about half."""
    wins = 0
    for n in range(4000):
        seed = hashlib.sha256(str(n).encode()).digest()
        wins += order_of_two(seed) == "a"
    assert 1850 < wins < 2150


def order_of_two(seed: bytes) -> str:
    return rank([entry("a", "1"), entry("b", "1")], seed)[0].entry.receipt


@given(entries, st.randoms(use_true_random=False))
def test_the_order_does_not_depend_on_the_order_of_entry(given_entries: list[Entry], chance: object) -> None:
    mixed = list(given_entries)
    chance.shuffle(mixed)  # type: ignore[attr-defined]
    assert rank(mixed, SEED) == rank(given_entries, SEED)


@given(entries)
def test_the_notice_alone_is_enough_to_check_the_order(given_entries: list[Entry]) -> None:
    """What anybody does with the published file and the published seed; nothing of the hub is used below."""
    notice = as_csv(rank(given_entries, SEED))
    rows = list(csv.DictReader(io.StringIO(notice)))
    listed = hashlib.sha256("".join(r + "\n" for r in sorted(row["receipt"] for row in rows)).encode()).digest()
    keys = []
    for n, row in enumerate(rows):
        lot = hashlib.sha256(b"yimen-lot-v1\0" + SEED + listed + row["receipt"].encode()).hexdigest()
        assert lot == row["lot"]
        assert int(row["position"]) == n + 1
        keys.append(([-Decimal(x) for x in [row["total"], *row["ties"].split()]], lot))
    assert all(one < other for one, other in pairwise(keys))
    assert {row["receipt"] for row in rows} == {one.receipt for one in given_entries}

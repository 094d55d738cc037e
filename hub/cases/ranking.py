"""Order of merit: total, then the published order of ties, then a lot that anybody can draw again. Pure.

The lot of an entry is SHA-256 of a seed, the list of all entries, and its own receipt. The seed's hash stands in the
ledger before the list is closed, and the list's hash before the seed is shown: whoever knows the seed can no longer
choose who takes part, and whoever takes part cannot know the seed. Every number below is in the public notice, so the
whole order can be computed again with any SHA-256 (`tests/cases/test_ranking.py` does it in twelve lines).
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise

DOMAIN = b"yimen-lot-v1\x00"
HEAD = "position,receipt,total,ties,lot,by_lot\n"


@dataclass(frozen=True, slots=True)
class Entry:
    """One application in a ranking, known by its receipt; `ties` in the published order, more is better."""

    receipt: str
    total: Decimal
    ties: tuple[Decimal, ...]


@dataclass(frozen=True, slots=True)
class Placed:
    """An entry in its place. `by_lot`: it equals a neighbour in everything but the lot."""

    position: int
    entry: Entry
    lot: str
    by_lot: bool


def list_sha256(receipts: Iterable[str]) -> bytes:
    """The hash that fixes who takes part: the receipts sorted, one a line."""
    return hashlib.sha256("".join(f"{receipt}\n" for receipt in sorted(receipts)).encode()).digest()


def lot_of(seed: bytes, listed: bytes, receipt: str) -> str:
    """The lot of one entry, as 64 hexadecimal digits; the smaller one comes first."""
    return hashlib.sha256(DOMAIN + seed + listed + receipt.encode()).hexdigest()


def rank(entries: Sequence[Entry], seed: bytes) -> list[Placed]:
    """Everybody in order, best first; the same entries and seed always give the same order."""
    listed = list_sha256(entry.receipt for entry in entries)
    merits = [(-entry.total, *(-tie for tie in entry.ties)) for entry in entries]
    lots = [lot_of(seed, listed, entry.receipt) for entry in entries]
    order = sorted(range(len(entries)), key=lambda n: (merits[n], lots[n]))
    equal = [False, *(merits[one] == merits[other] for one, other in pairwise(order)), False]
    return [
        Placed(place + 1, entries[n], lots[n], equal[place] or equal[place + 1])
        for place, n in enumerate(order)
    ]


def as_csv(placed: Iterable[Placed]) -> str:
    """The public notice: one line an entry, without any name. Its SHA-256 is in the ledger."""
    return HEAD + "".join(
        f"{one.position},{one.entry.receipt},{one.entry.total:f},{spelled(one.entry.ties)},{one.lot},"
        f"{'yes' if one.by_lot else 'no'}\n"
        for one in placed
    )


def spelled(ties: Iterable[Decimal]) -> str:
    """Tie numbers as the notice shows them: one blank between."""
    return " ".join(f"{tie:f}" for tie in ties)

"""Finding an item among 1,817 by what people call it: two-character pieces, everyday words, no index to keep."""

import csv
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files

from hub.catalogue.catalogue import Listed, listed
from hub.catalogue.items import CLASSES, ServiceItem

QUERY_CHARACTERS = 60
_LATIN = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")


@dataclass(frozen=True, slots=True)
class Found:
    """The items that fit, best first, all of them; a page shows some."""

    items: tuple[Listed, ...]


def search(
    items: Mapping[str, ServiceItem],
    query: str = "",
    *,
    item_class: str = "",
    subject: str = "",
    level: str = "",
    department: str = "",
) -> Found:
    """Items whose name has the pieces of `query` (or of what it means officially), best first; catalogued ones first
    among equals. Without a query all items of the filters, in the order of the catalogue."""
    among = [
        one
        for one in listed(items)
        if item_class in ("", one.item_class)
        and subject in ("", one.subject)
        and level in ("", one.level)
        and department in ("", one.department)
    ]
    wanted = _words(query)
    if not wanted and query.strip():
        return Found(())
    if not wanted:
        return Found(tuple(sorted(among, key=lambda one: not one.complete)))
    scored = [(score, one) for one in among if (score := _score(wanted, _pieces_of(one))) > 0]
    best = max((score for score, _ in scored), default=0.0)
    kept = [(score, one) for score, one in scored if score >= best * 0.5]
    kept.sort(key=lambda pair: (-pair[0], not pair[1].complete, len(pair[1].zh), pair[1].code))
    return Found(tuple(one for _, one in kept))


def _score(wanted: list[frozenset[str]], have: frozenset[str]) -> float:
    """The share of one wording's pieces that the name has; the best wording counts, the others a tenth. What people
    said themselves comes first in `wanted` and weighs a little more than what we made of it."""
    shares = [len(pieces & have) / len(pieces) - 0.05 * (place > 0) for place, pieces in enumerate(wanted)]
    best = max(shares)
    return best + sum(max(share, 0.0) for share in shares if best > 0) / 10


def _words(query: str) -> list[frozenset[str]]:
    """The query itself, and every official wording whose everyday word stands in it."""
    text = _plain(query[:QUERY_CHARACTERS])
    single = len(text) == 1
    said = [
        text,
        *(
            official
            for everyday, official in _everyday()
            if everyday in text or (single and text in everyday)
        ),
    ]
    return [pieces for one in said if (pieces := _pieces(one))]


@cache
def _everyday() -> tuple[tuple[str, str], ...]:
    text = files("hub.catalogue").joinpath("data", "words.csv").read_text(encoding="utf-8")
    return tuple((_plain(a), _plain(b)) for a, b in list(csv.reader(text.splitlines()))[1:])


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


def _pieces(text: str) -> frozenset[str]:
    """Pairs of neighbouring Chinese characters (a single one by itself), and whole Latin words."""
    found: set[str] = set()
    run, word = "", ""
    for character in text + " ":
        if "\u3400" <= character <= "\u9fff" or ord(character) > 0x1FFFF:
            run += character
        else:
            found |= {run[i : i + 2] for i in range(len(run) - 1)} or ({run} if run else set())
            run = ""
        if character in _LATIN:
            word += character
        else:
            if len(word) > 2:
                found.add(word)
            word = ""
    return frozenset(found)


@lru_cache(maxsize=1 << 14)
def _pieces_of(one: Listed) -> frozenset[str]:
    """The pieces of an item's name and class, worked out once."""
    single = frozenset(character for character in one.zh if "\u3400" <= character <= "\u9fff")
    return _pieces(_plain(f"{one.zh} {CLASSES[one.item_class][0]} {one.en}")) | single

"""Words that thousands of looks say alike are kept once, and a look names them by a small number."""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

import sqlalchemy as sa

from hub.access.model import Look, profiles
from hub.formats.jcs import canonical
from hub.store.memory import Newest
from hub.store.statement import Statement, insert
from hub.store.tx import Tx

WORDS = (
    "department",
    "item_code",
    "purpose",
    "basis",
    "type_code",
    "fields",
    "predicates",
    "outcome",
    "reason",
)
NEW = insert(profiles, only=("hash", *WORDS), unless_there=True, returning=("hash", "id"))
FIND = Statement(
    lambda _: sa.select(profiles.c.hash, profiles.c.id).where(profiles.c.hash == sa.bindparam("named"))
)


class _Known(Newest[bytes, int]):
    """One process's memory: ids of profiles that are durable. A row is never changed, so it cannot go out of date."""

    def __init__(self) -> None:
        super().__init__(at_most=20_000)


class _Own(set[bytes]):
    """What a transaction that is still open has put there itself: that may be rolled back, and is not remembered."""


def words_of(look: Look) -> dict[str, Any]:
    """What a look says with thousands of others."""
    return {
        "department": look.department,
        "item_code": look.item_code,
        "purpose": look.purpose,
        "basis": str(look.basis),
        "type_code": look.type_code,
        "fields": [list(path) for path in look.fields],
        "predicates": [dict(predicate) for predicate in look.predicates],
        "outcome": str(look.outcome),
        "reason": look.reason,
    }


async def ids_of(tx: Tx, said: Sequence[Mapping[str, Any]]) -> list[int]:
    """The ids of the profiles that say this, in order; those that nobody needed before are made.

    Nothing is said to the database when all are remembered. Raises Malformed `jcs.*`.
    """
    known = tx.memory.of(_Known)
    hashes = [sha256(canonical(words)).digest() for words in said]
    found = {one: number for one in hashes if (number := known.get(one)) is not None}
    # In the order of their hashes: two transactions that make the same ones do not wait for each other in a circle.
    missing = sorted((one, place) for place, one in enumerate(hashes) if one not in found)
    if missing:
        wanted = {one: {"hash": one, **said[place]} for one, place in missing}
        own = tx.own.of(_Own)
        made = {row.hash: row.id for row in await tx.each(NEW, list(wanted.values()))}
        own.update(made)
        found |= made
        # Another transaction's, and durable: the insert waited for it.
        for row in await tx.each(FIND, [{"named": one} for one in wanted if one not in made]):
            found[row.hash] = row.id
            if row.hash not in own:
                known.keep(row.hash, row.id)
    return [found[one] for one in hashes]

"""Words that thousands of looks say alike are kept once, and a look names them by a small number."""

from collections.abc import Sequence
from functools import lru_cache
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


def hash_of(look: Look) -> bytes:
    """SHA-256 of the JCS of what a look says with others. Raises Malformed `jcs.*`."""
    if look.predicates:
        return sha256(canonical(words_of(look))).digest()
    return _hash_without_questions(
        look.department, look.item_code, look.purpose, str(look.basis), look.type_code, look.fields,
        str(look.outcome), look.reason,
    )  # fmt: skip


@lru_cache(maxsize=4096)
def _hash_without_questions(
    department: str, item_code: str, purpose: str, basis: str, type_code: str | None,
    fields: tuple[tuple[str | int | None, ...], ...], outcome: str, reason: str,
) -> bytes:  # fmt: skip
    """Most looks ask no questions, and there are few kinds of them: the hash is looked up by the words themselves."""
    paths = [list(path) for path in fields]
    said: tuple[Any, ...] = (department, item_code, purpose, basis, type_code, paths, [], outcome, reason)
    return sha256(canonical(dict(zip(WORDS, said, strict=True)))).digest()


async def ids_of(tx: Tx, looks: Sequence[Look]) -> list[int]:
    """The ids of the profiles that say what these looks say with others, in order; those that nobody needed before are
    made.

    Nothing is said to the database when all are remembered. Raises Malformed `jcs.*`.
    """
    known = tx.memory.of(_Known)
    hashes = [hash_of(look) for look in looks]
    found = {one: number for one in hashes if (number := known.get(one)) is not None}
    # In the order of their hashes: two transactions that make the same ones do not wait for each other in a circle.
    missing = sorted((one, place) for place, one in enumerate(hashes) if one not in found)
    if missing:
        wanted = {one: {"hash": one, **words_of(looks[place])} for one, place in missing}
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

"""Who looked: a person's own chain of Accesses, newest first, with any gap shown."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from hub.access.body import FIRST, leaf_of, look_of, rebuilt
from hub.access.model import Access, access_chains, accesses
from hub.ids import bucket_of
from hub.ledger.places import indices_of
from hub.store.tx import View


async def of_subject(
    view: View, *, subject_id: UUID, before_seq: int | None = None, limit: int = 50
) -> list[Access]:
    """The person's Accesses below `before_seq`, newest first; `gap` marks a row whose forerunner is missing.

    What a published rule delays is left out until its time has come, and nothing needs to be done for that; the rows
    around it are still compared with it, so that it is no gap (`delayed` counts it). A row is also marked when it does
    not give the commitment that it was recorded with, after that of the row before it: then one of them was changed or
    replaced. The newest row must be the one that the chain ends in.
    """
    found: list[Access] = []
    key = (await view.vault.person_keys(view, (subject_id,))).get(subject_id)
    while len(found) < limit:
        rows = await _older(view, subject_id, before_seq, limit + 1)  # one more: the forerunner of the last one shown
        places = await places_of(view, rows[:limit])
        for position, row in enumerate(rows[:limit]):
            if row.visible_at is None or row.visible_at <= view.now:
                older = rows[position + 1] if position + 1 < len(rows) else None
                found.append(from_row(row, places, gap=_gap(row, older, key)))
        if len(rows) <= limit:
            break
        before_seq = rows[limit - 1].subject_seq
    return found[:limit]


async def _older(view: View, subject_id: UUID, before_seq: int | None, limit: int) -> list[Any]:
    bucket = bucket_of(subject_id)
    query = (
        sa.select(accesses)
        .where(accesses.c.bucket == bucket, accesses.c.subject_id == subject_id)
        .order_by(accesses.c.subject_seq.desc())
        .limit(limit)
    )
    if before_seq is not None:
        query = query.where(accesses.c.subject_seq < before_seq)
    return list(await view.all(query))


async def delayed(view: View, *, subject_id: UUID) -> tuple[int, datetime | None]:
    """How many of the person's Accesses a published rule still keeps from them, and when the last of these appears."""
    table = accesses.c
    row = await view.first(
        sa.select(sa.func.count().label("number"), sa.func.max(table.visible_at).label("last")).where(
            table.bucket == bucket_of(subject_id), table.subject_id == subject_id, table.visible_at > view.now
        )
    )
    return (row.number, row.last) if row else (0, None)


async def newest_missing(view: View, *, subject_id: UUID) -> bool:
    """Whether the newest Access of the chain is not among the rows: something at the end was taken away."""
    bucket = bucket_of(subject_id)
    chain = await view.first(
        sa.select(access_chains.c.seq, access_chains.c.commit).where(
            access_chains.c.bucket == bucket, access_chains.c.subject_id == subject_id
        )
    )
    last = await view.first(
        sa.select(accesses.c.subject_seq, accesses.c.commit)
        .where(accesses.c.bucket == bucket, accesses.c.subject_id == subject_id)
        .order_by(accesses.c.subject_seq.desc())
        .limit(1)
    )
    if chain is None or chain.seq == 0:
        return last is not None
    return last is None or (last.subject_seq, last.commit) != (chain.seq, chain.commit)


def _gap(row: Any, older: Any | None, key: bytes | None) -> bool:
    """Whether something is missing before a row, or it is not what was recorded. `key`: None once destroyed."""
    if (older is None) != (row.subject_seq == 1) or (older is not None and older.subject_seq != row.subject_seq - 1):
        return True
    previous = FIRST if older is None else bytes(older.commit)
    if row.previous_commit is not None:  # from before 0022: its body rests elsewhere
        return bool(row.previous_commit != previous)
    return key is not None and rebuilt(key, row, previous).commit != row.commit


async def places_of(view: View, rows: Sequence[Any]) -> Mapping[bytes, int]:
    """The indices in the ledger of rows of `accesses`, by leaf hash; who still waits for one is left out."""
    return await indices_of(view, [leaf_of(row.commit) for row in rows])


def from_row(row: Any, places: Mapping[bytes, int], *, gap: bool = False) -> Access:
    """The Access of a row of `accesses`; `places` are the indices of `places_of`."""
    leaf = leaf_of(row.commit)
    return Access(
        public_id=row.public_id,
        subject_seq=row.subject_seq,
        look=look_of(row),
        at=row.at,
        leaf_hash=leaf,
        leaf_index=places.get(leaf),
        gap=gap,
    )

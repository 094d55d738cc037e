"""Looks to notices: the ledger is followed leaf by leaf, so the door where certificates are verified does nothing more.

A leaf has its index only after the commit of its Access is durable, and indices have no gaps: nothing is told that did
not happen, and nothing is passed over. What one call looked at is one notice.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from hub.access.model import Outcome, accesses
from hub.consent.model import Basis, grants
from hub.ledger.model import head, leaves
from hub.notices.model import NoticeKind, notice_cursor
from hub.notices.told import Told, concerned, only_people, to_each
from hub.store.model import public_ids
from hub.store.rows import rows_of
from hub.store.tx import Tx, View

LEAVES_AT_ONCE = 5_000
LOOKS_AT_ONCE = 100
"""On SQLite the one writer is held while their notices are written."""
ROW = 1
PULL_ASKED = "pull.asked"
"""A pull is recorded before it is made; how it ended is a look of its own, and that is told."""
PROOFS = "prove-"
"""Purposes of looks by which the hub proves that somebody may act for another: the person who acts knows of them."""

_LOOKS = sa.select(
    *(
        accesses.c[name]
        for name in (
            "bucket", "public_id", "subject_id", "subject_seq", "department", "item_code", "case_id", "purpose",
            "basis", "grant_public_id", "type_code", "outcome", "reason", "at", "visible_at",
        )
    )
)  # fmt: skip


async def behind(view: View) -> int:
    """How many leaves of the ledger were not looked through yet."""
    size = await view.value(sa.select(head.c.size))
    return int(size or 0) - await _cursor(view)


@dataclass(frozen=True, slots=True)
class Read:
    """What the leaves from `start` to before `end` have to tell."""

    start: int
    end: int
    told: Sequence[Told]


async def read_looks(view: View) -> Read | None:
    """The notices of the next leaves, None when there are no more. Leaves and Accesses never change: reading them
    needs no transaction that writes, and on SQLite would hold up everybody."""
    size = int(await view.value(sa.select(head.c.size)) or 0)
    start = await _cursor(view)
    if start >= size:
        return None
    end = min(size, start + LEAVES_AT_ONCE)
    found = await view.all(
        sa.select(leaves.c.idx, leaves.c.created_at)
        .where(leaves.c.idx >= start, leaves.c.idx < end, leaves.c.kind == "access")
        .order_by(leaves.c.idx)
        .limit(LOOKS_AT_ONCE)
    )
    if len(found) == LOOKS_AT_ONCE:
        end = found[-1].idx + 1
    # All of a moment, also what lies behind `end`: what one call saw is told together, and a second time is no notice.
    seen = await rows_of(view, _LOOKS, accesses.c.at, {row.created_at for row in found})
    return Read(start, end, await _told(view, seen))


async def take_looks(tx: Tx, read: Read) -> bool:
    """Move the cursor over `read` in this transaction. False when another process was faster: then tell nothing."""
    await tx.insert_new(notice_cursor, {"id": ROW, "idx": 0})
    here = sa.and_(notice_cursor.c.id == ROW, notice_cursor.c.idx == read.start)
    return await tx.run(notice_cursor.update().where(here).values(idx=read.end)) == 1


async def _cursor(view: View) -> int:
    return int(await view.value(sa.select(notice_cursor.c.idx).where(notice_cursor.c.id == ROW)) or 0)


async def _told(view: View, rows: Sequence[Any]) -> list[Told]:
    """One notice for what one call looked at, to the holder and to whoever agreed in their place."""
    calls: dict[tuple[Any, ...], list[Any]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: (row.at, row.subject_seq)):
        proved = row.outcome == Outcome.ACCEPTED and row.purpose.startswith(PROOFS)
        if not proved and row.reason != PULL_ASKED:
            calls[row.subject_id, row.department, row.case_id, row.at, row.basis, row.visible_at].append(row)
    approvers = await _approvers(view, rows)
    people = {one for key in calls for one in (key[0], *_agreed(calls[key], approvers))}
    natural = set(await only_people(view, people))
    told = []
    for (holder, department, case, at, basis, visible_at), looks in calls.items():
        seen = [row for row in looks if row.outcome == Outcome.ACCEPTED]
        kind = _kind(basis, bool(seen))
        whom = [one for one in (holder, *_agreed(looks, approvers)) if one in natural]
        if kind is NoticeKind.OFFICE:  # nobody agreed to it: a child's guardians are told
            whom = await concerned(view, holder)
        told += to_each(
            whom,
            holder,
            kind=kind,
            source=f"{holder}:{department}:{case}:{basis}:{at.isoformat()}",
            at=at,
            shown_from=visible_at,
            ref=(seen or looks)[0].public_id,
            facts={
                "department": department,
                "item": looks[0].item_code,
                "types": sorted({row.type_code for row in seen or looks if row.type_code}),
            },
        )
    return told


def _agreed(looks: Sequence[Any], approvers: Mapping[str, UUID]) -> list[UUID]:
    return sorted({approvers[row.grant_public_id] for row in looks if row.grant_public_id in approvers})


def _kind(basis: str, seen: bool) -> NoticeKind:
    if not seen:
        return NoticeKind.TRIED
    return NoticeKind.OFFICE if basis == Basis.OFFICE_POWER else NoticeKind.USED


async def _approvers(view: View, rows: Sequence[Any]) -> dict[str, UUID]:
    """Who agreed, by the public id of the grant; a look by office power rests on nobody's agreement."""
    named = {row.grant_public_id for row in rows if row.grant_public_id is not None}
    query = (
        sa.select(grants.c.public_id, grants.c.approver)
        .join(public_ids, sa.and_(public_ids.c.bucket == grants.c.bucket, public_ids.c.row_id == grants.c.id))
        .where(public_ids.c.kind == "grant", grants.c.basis != Basis.OFFICE_POWER)
    )
    return {row.public_id: row.approver for row in await rows_of(view, query, public_ids.c.token, named)}

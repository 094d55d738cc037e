"""Looks to notices: the ledger is followed leaf by leaf, so the door where certificates are verified does nothing more.

A leaf has its index only after the commit of its Access is durable, and indices have no gaps: nothing is told that did
not happen, and nothing is passed over. What one call looked at is one notice; who looks at the same again within the
same minute, for the same case, is told of once: each look stands in the list of looks anyway.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from hub.access.model import Outcome, accesses
from hub.clock import seconds
from hub.consent.model import Basis, grants
from hub.ledger.model import head, leaves
from hub.notices.model import NoticeKind, notice_cursor
from hub.notices.told import Told, concerned, only_people, to_each
from hub.registry.model import SubjectKind, subjects
from hub.store.lookup import Lookup
from hub.store.model import public_ids
from hub.store.small import as_uuid
from hub.store.statement import Statement
from hub.store.tx import Tx, View

LEAVES_AT_ONCE = 5_000
LOOKS_AT_ONCE = {"sqlite": 100, "postgresql": 500}
"""On SQLite the one writer is held while their notices are written: a few milliseconds."""
ROW = 1
MINUTE = 60
PULL_ASKED = "pull.asked"
"""A pull is recorded before it is made; how it ended is a look of its own, and that is told."""
PROOFS = "prove-"
"""Purposes of looks by which the hub proves that somebody may act for another: the person who acts knows of them."""

WHERE = Statement(
    lambda _: sa.select(
        head.c.size,
        sa.select(notice_cursor.c.idx).where(notice_cursor.c.id == ROW).scalar_subquery().label("told"),
    )
)
MOVE = Statement(
    lambda _: (
        notice_cursor.update()
        .where(notice_cursor.c.id == ROW, notice_cursor.c.idx == sa.bindparam("start"))
        .values(idx=sa.bindparam("end"))
        .returning(notice_cursor.c.idx)
    )
)


def _moments(_: str) -> sa.Select[Any]:
    """When the next looks were recorded, how many at each moment, and the last of their leaves."""
    some = (
        sa.select(leaves.c.idx, leaves.c.created_at)
        .where(leaves.c.idx >= sa.bindparam("start"), leaves.c.idx < sa.bindparam("end"), leaves.c.kind == "access")
        .order_by(leaves.c.idx)
        .limit(sa.bindparam("most", type_=sa.Integer))
        .subquery()
    )
    found = sa.select(some.c.created_at, sa.func.count().label("looks"), sa.func.max(some.c.idx).label("last"))
    return found.group_by(some.c.created_at)


def _looks(dialect: str) -> sa.Select[Any]:
    """Looks, and what kind of subject each holder is: read by key for each look, whatever a planner thinks of it."""
    holder = sa.select(subjects.c.kind).where(
        subjects.c.bucket == accesses.c.bucket, subjects.c.id == as_uuid(accesses.c.subject_id, dialect)
    )
    return sa.select(
        *(
            accesses.c[name]
            for name in (
                "public_id", "subject_id", "subject_seq", "department", "item_code", "case_id", "purpose", "basis",
                "grant_public_id", "type_code", "outcome", "reason", "at", "visible_at",
            )
        ),
        holder.scalar_subquery().label("holder_kind"),
    )  # fmt: skip


def _approvers(_: str) -> sa.Select[Any]:
    """Who agreed; a look by office power rests on nobody's agreement."""
    return (
        sa.select(grants.c.public_id, grants.c.approver)
        .join(public_ids, sa.and_(public_ids.c.bucket == grants.c.bucket, public_ids.c.row_id == grants.c.id))
        .where(public_ids.c.kind == "grant", grants.c.basis != Basis.OFFICE_POWER)
    )


MOMENTS = Statement(_moments)
LOOKS = Lookup(_looks, accesses.c.at)
APPROVERS = Lookup(_approvers, public_ids.c.token)


async def behind(view: View) -> int:
    """How many leaves of the ledger were not looked through yet."""
    start, size = await _cursor(view)
    return size - start


@dataclass(frozen=True, slots=True)
class Read:
    """What the leaves from `start` to before `end` have to tell; `more`: it was not all that waits."""

    start: int
    end: int
    told: Sequence[Told]
    more: bool


async def read_looks(view: View) -> Read | None:
    """The notices of the next leaves, None when there are no more. Leaves and Accesses never change: reading them
    needs no transaction that writes, and on SQLite would hold up everybody."""
    start, size = await _cursor(view)
    if start >= size:
        return None
    end, most = min(size, start + LEAVES_AT_ONCE), LOOKS_AT_ONCE[view.dialect]
    moments = await view.each(MOMENTS, [{"start": start, "end": end, "most": most}])
    if sum(row.looks for row in moments) == most:
        end = max(row.last for row in moments) + 1
    # All of a moment, also what lies behind `end`: what one call saw is told together, and a second time is no notice.
    seen = await LOOKS.rows(view, [row.created_at for row in moments])
    return Read(start, end, await _told(view, seen), more=end < size)


async def take_looks(tx: Tx, read: Read) -> bool:
    """Move the cursor over `read` in this transaction. False when another process was faster: then tell nothing."""
    if await tx.each(MOVE, [{"start": read.start, "end": read.end}]):
        return True
    return read.start == 0 and await tx.insert_new(notice_cursor, {"id": ROW, "idx": read.end})


async def _cursor(view: View) -> tuple[int, int]:
    """Up to where looks were told, and how far the ledger goes."""
    found = await view.each(WHERE, [{}])
    return (found[0].told or 0, found[0].size) if found else (0, 0)


async def _told(view: View, rows: Sequence[Any]) -> list[Told]:
    """One notice for what one call looked at, to the holder and to whoever agreed in their place; calls of one minute
    that looked at the same for the same case, and ended alike, are one notice, that of the first."""
    calls: dict[tuple[Any, ...], list[Any]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: (row.at, row.subject_seq)):
        proved = row.outcome == Outcome.ACCEPTED and row.purpose.startswith(PROOFS)
        if not proved and row.reason != PULL_ASKED:
            calls[row.subject_id, row.department, row.case_id, row.at, row.basis, row.visible_at].append(row)
    # A holder's own consent is the holder's (`may_decide`): for such looks, which most are, nobody else is looked up.
    named = {row.grant_public_id for row in rows if row.basis != Basis.HOLDER} - {None}
    approvers = {row.public_id: row.approver for row in await APPROVERS.rows(view, named)}
    natural = {row.subject_id for row in rows if row.holder_kind == SubjectKind.NATURAL}
    natural |= set(await only_people(view, set(approvers.values()) - natural))
    told, known = [], set()
    for (holder, department, case, at, basis, visible_at), looks in calls.items():  # in the order of their times
        seen = [row for row in looks if row.outcome == Outcome.ACCEPTED]
        kind, types = _kind(basis, bool(seen)), sorted({row.type_code for row in seen or looks if row.type_code})
        until = "" if visible_at is None else visible_at.isoformat()
        source = f"{holder}:{department}:{case}:{basis}:{','.join(types)}:{until}:{seconds(at) // MINUTE}"
        if (kind, source) in known:
            continue
        known.add((kind, source))
        if kind is NoticeKind.OFFICE:  # nobody agreed to it: a child's guardians are told
            whom = await concerned(view, holder)
        else:
            whom = [one for one in (holder, *_agreed(looks, approvers)) if one in natural]
        told += to_each(
            whom,
            holder,
            kind=kind,
            source=source,
            at=at,
            shown_from=visible_at,
            ref=(seen or looks)[0].public_id,
            facts={
                "department": department,
                "item": looks[0].item_code,
                "types": types,
            },
        )
    return told


def _agreed(looks: Sequence[Any], approvers: Mapping[str, UUID]) -> list[UUID]:
    return sorted({approvers[row.grant_public_id] for row in looks if row.grant_public_id in approvers})


def _kind(basis: str, seen: bool) -> NoticeKind:
    if not seen:
        return NoticeKind.TRIED
    return NoticeKind.OFFICE if basis == Basis.OFFICE_POWER else NoticeKind.USED

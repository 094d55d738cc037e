"""Auditors search Accesses; each search is itself recorded, and shown to other auditors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from hub.access.find import named
from hub.access.history import from_row, places_of
from hub.access.model import Access, accesses
from hub.clock import seconds
from hub.errors import Forbidden
from hub.ids import uuid7
from hub.ledger.append import commit_event
from hub.oversight.model import audit_searches
from hub.registry.model import may
from hub.store.tx import Tx, View

MAX_ROWS = 200
FACETS = ("department", "outcome", "item_code", "basis")


@dataclass(frozen=True, slots=True)
class Query:
    """What an auditor looks for; no search by name or id number exists."""

    department: str | None = None
    item_code: str | None = None
    case_id: str | None = None
    outcome: str | None = None
    basis: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    public_id: str | None = None

    def as_json(self) -> dict[str, str]:
        """The conditions that were set, for the record of this search."""
        said = {
            "department": self.department,
            "item": self.item_code,
            "case": self.case_id,
            "outcome": self.outcome,
            "basis": self.basis,
            "since": self.since.isoformat() if self.since else None,
            "until": self.until.isoformat() if self.until else None,
            "access": self.public_id,
        }
        return {name: value for name, value in said.items() if value}


@dataclass(frozen=True, slots=True)
class Found:
    """Rows, newest first, and how many each department, outcome and item has under the same conditions."""

    rows: tuple[Access, ...]
    total: int
    facets: Mapping[str, Mapping[str, int]]


@dataclass(frozen=True, slots=True)
class Search:
    """One recorded search by an auditor."""

    officer: str
    query: Mapping[str, Any]
    found: int
    at: datetime


async def search(tx: Tx, *, query: Query, limit: int = 50, offset: int = 0) -> Found:
    """Search all Accesses; needs the auditor's role, and commits the record of the search with the answer."""
    if tx.actor.officer_id is None or not may(tx.actor.roles, "accesses.search"):
        raise Forbidden(
            "audit.not_auditor",
            "只有审计人员可以检索用证记录。",
            "Only auditors may search the access records.",
        )
    where = _conditions(query)
    if query.public_id:
        where.append(await named(tx, query.public_id))
    rows = await tx.all(
        sa.select(accesses)
        .where(*where)
        .order_by(accesses.c.at.desc(), accesses.c.subject_seq.desc(), accesses.c.subject_id.desc())
        .limit(min(limit, MAX_ROWS))
        .offset(offset)
    )
    total, facets = await _counted(tx, where)
    await _record(tx, query, total)
    places = await places_of(tx, rows)
    return Found(tuple(from_row(row, places) for row in rows), total, facets)


async def _counted(
    view: View, where: Sequence[sa.ColumnElement[bool]]
) -> tuple[int, Mapping[str, Mapping[str, int]]]:
    """How many looks there are, and how many by each word: all out of one pass over them."""
    facets: dict[str, dict[str, int]] = {name: {} for name in FACETS}
    columns = [accesses.c[name] for name in FACETS]
    number = sa.func.count().label("number")
    counted = await view.all(sa.select(*columns, number).where(*where).group_by(*columns))
    for row in counted:
        for name in FACETS:
            value = str(getattr(row, name))
            facets[name][value] = facets[name].get(value, 0) + int(row.number)
    return sum(int(row.number) for row in counted), facets


async def recent_searches(view: View, *, limit: int = 20) -> list[Search]:
    """What auditors searched for lately: the watchers are watched too."""
    rows = await view.all(sa.select(audit_searches).order_by(audit_searches.c.id.desc()).limit(limit))
    return [Search(str(row.officer_id), row.query, row.found, row.at) for row in rows]


def _conditions(query: Query) -> list[sa.ColumnElement[bool]]:
    table = accesses.c
    pairs = (
        (table.department, query.department),
        (table.item_code, query.item_code),
        (table.case_id, query.case_id),
        (table.outcome, query.outcome),
        (table.basis, query.basis),
    )
    found: list[sa.ColumnElement[bool]] = [column == value for column, value in pairs if value]
    if query.since is not None:
        found.append(table.at >= query.since)
    if query.until is not None:
        found.append(table.at < query.until)
    return found


async def _record(tx: Tx, query: Query, found: int) -> None:
    leaf = await commit_event(
        tx,
        kind="audit.search",
        subject_id=None,
        body={
            "event": "audit.search",
            "officer": str(tx.actor.officer_id),
            "query": query.as_json(),
            "found": found,
            "at": seconds(tx.now),
        },
    )
    await tx.insert(
        audit_searches,
        {
            "id": uuid7(),
            "officer_id": tx.actor.officer_id,
            "query": query.as_json(),
            "found": found,
            "at": tx.now,
            "leaf_hash": leaf.leaf_hash,
        },
    )

"""Read rankings: how one stands, its notices line by line, and where one application stands in the newest."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from hub.cases.model import ranking_entries, ranking_lines, ranking_results, rankings
from hub.cases.ranking import Entry, Placed, as_csv
from hub.errors import NotFound
from hub.store.seal import unseal_hub
from hub.store.tx import View

PURPOSE = "draw.seed"


@dataclass(frozen=True, slots=True)
class Ranking:
    """One ranking. `revision` 0 is not drawn yet; `seed` is shown from the first drawing on."""

    id: UUID
    public_id: str
    item_code: str
    department: str
    scheme: str
    scheme_version: int
    title: Mapping[str, str]
    places: int
    seed_sha256: bytes
    seed: bytes | None
    announced_at: datetime
    announced_leaf: bytes
    closed_at: datetime | None
    closed_leaf: bytes | None
    list_sha256: bytes | None
    entries: int | None
    revision: int


@dataclass(frozen=True, slots=True)
class Result:
    """One drawing: the hash of its notice, and why it was drawn."""

    revision: int
    reason: str
    sha256: bytes
    drawn_at: datetime
    leaf_hash: bytes


@dataclass(frozen=True, slots=True)
class Place:
    """Where one application stands in the newest notice."""

    ranking: Ranking
    receipt: str
    position: int | None
    admitted: bool | None
    by_lot: bool | None


async def ranking(view: View, public_id: str) -> Ranking:
    """The ranking with this public id: everybody may read it. NotFound `ranking.unknown`."""
    row = await view.first(sa.select(rankings).where(rankings.c.public_id == public_id))
    if row is None:
        raise NotFound("ranking.unknown", "没有这个排名。", "There is no such ranking.")
    return _from_row(view, row)


async def all_rankings(view: View, *, department: str | None = None, limit: int = 100) -> list[Ranking]:
    """Rankings, newest first, of one department or of all."""
    query = sa.select(rankings).order_by(rankings.c.id.desc()).limit(limit)
    if department is not None:
        query = query.where(rankings.c.department == department)
    return [_from_row(view, row) for row in await view.all(query)]


async def results(view: View, found: Ranking) -> list[Result]:
    """Every drawing of a ranking, newest first."""
    rows = await view.all(
        sa.select(ranking_results)
        .where(ranking_results.c.ranking_id == found.id)
        .order_by(ranking_results.c.revision.desc())
    )
    return [Result(row.revision, row.reason, row.sha256, row.drawn_at, row.leaf_hash) for row in rows]


async def lines(
    view: View, found: Ranking, *, revision: int, after: int = 0, limit: int = 100
) -> list[Placed]:
    """The notice of one drawing from `after` on, in order."""
    table = ranking_lines.c
    rows = await view.all(
        sa.select(ranking_lines)
        .where(table.ranking_id == found.id, table.revision == revision, table.position > after)
        .order_by(table.position)
        .limit(limit)
    )
    return [
        Placed(
            row.position,
            Entry(row.receipt, Decimal(row.total), tuple(Decimal(tie) for tie in row.ties.split())),
            row.lot,
            row.by_lot,
        )
        for row in rows
    ]


async def line_of(view: View, found: Ranking, *, revision: int, receipt: str) -> Placed | None:
    """One receipt's line of a notice; None when it is not in it."""
    table = ranking_lines.c
    place = await view.value(
        sa.select(table.position).where(
            table.ranking_id == found.id, table.revision == revision, table.receipt == receipt
        )
    )
    if place is None:
        return None
    return (await lines(view, found, revision=revision, after=place - 1, limit=1))[0]


async def whole_notice(view: View, found: Ranking, *, revision: int) -> AsyncIterator[str]:
    """The public notice as it was hashed, in pieces of some thousand lines."""
    piece = as_csv(())
    after = 0
    while True:
        yield piece
        some = await lines(view, found, revision=revision, after=after, limit=5000)
        if not some:
            return
        piece, after = as_csv(some).removeprefix(as_csv(())), some[-1].position


async def place_of(view: View, *, case_id: UUID) -> Place | None:
    """Where a case stands in the ranking that it takes part in; None when it takes part in none."""
    entry = await view.first(
        sa.select(ranking_entries.c.receipt, rankings.c.public_id)
        .join(rankings, rankings.c.id == ranking_entries.c.ranking_id)
        .where(ranking_entries.c.case_id == case_id)
    )
    if entry is None:
        return None
    found = await ranking(view, entry.public_id)
    line = await line_of(view, found, revision=found.revision, receipt=entry.receipt)
    if line is None:
        return Place(found, entry.receipt, None, None, None)
    return Place(found, entry.receipt, line.position, line.position <= found.places, line.by_lot)


def _from_row(view: View, row: Any) -> Ranking:
    drawn = row.revision > 0
    return Ranking(
        id=row.id,
        public_id=row.public_id,
        item_code=row.item_code,
        department=row.department,
        scheme=row.scheme,
        scheme_version=row.scheme_version,
        title={"zh-CN": row.title_zh, "en": row.title_en},
        places=row.places,
        seed_sha256=row.seed_sha256,
        seed=unseal_hub(view.vault, PURPOSE, row.sealed_seed, bound_to=row.id.bytes) if drawn else None,
        announced_at=row.announced_at,
        announced_leaf=row.announced_leaf,
        closed_at=row.closed_at,
        closed_leaf=row.closed_leaf,
        list_sha256=row.list_sha256,
        entries=row.entries,
        revision=row.revision,
    )

"""A ranking from announcement to public notice: seed promised, list closed, lots drawn, drawn again when corrected.

1. Announced: a seed is made and sealed; its hash, the scheme's version and the places are a public leaf.
2. Closed: every scored application that waits takes part under a fresh receipt; the hash of all receipts is a leaf.
   From here on nobody joins and nobody leaves.
3. Drawn: the seed is shown and the order computed; the hash of the notice is a leaf. What was corrected later is
   drawn again with the same seed and the same list: lots stay as they were, and the notice before stays too.

What remains to trust: that the hub's operator did not tell the seed to whoever opens applications before the closing.
"""

import hashlib
import secrets
from typing import Any

import sqlalchemy as sa

from hub.actor import ActorKind
from hub.cases.model import (
    CaseOutcome,
    CaseState,
    case_scores,
    cases,
    ranking_entries,
    ranking_lines,
    ranking_results,
    rankings,
)
from hub.cases.notice import PURPOSE, Ranking, Result, ranking
from hub.cases.publish import publish_scheme
from hub.cases.ranking import Entry, Placed, as_csv, list_sha256, rank, spelled
from hub.cases.scheme import Scheme
from hub.cases.score import ties_in
from hub.catalogue.items import ServiceItem
from hub.clock import seconds
from hub.errors import Conflict, Forbidden, Unprocessable
from hub.ids import public_token, uuid7
from hub.ledger.append import append
from hub.registry.model import may
from hub.store.seal import seal, unseal_hub
from hub.store.tx import Tx

SEED_BYTES = 32


async def announce(
    tx: Tx, *, item: ServiceItem, scheme: Scheme, title_zh: str, title_en: str, places: int
) -> Ranking:
    """Step 1. Forbidden `ranking.not_yours` unless the item's own department (a decider of it) announces."""
    _require(tx, item.department)
    if item.scheme != scheme.code or places < 1 or not title_zh or not title_en:
        raise Unprocessable(
            "ranking.announcement_invalid",
            "排名公告须有名称、学位数，并用该事项自己的积分方案。",
            "An announcement needs a title, at least one place, and the item's own points scheme.",
        )
    await publish_scheme(tx, scheme)
    row_id, public_id, seed = uuid7(), public_token(), secrets.token_bytes(SEED_BYTES)
    leaf = await append(
        tx,
        kind="ranking",
        event={
            "v": 1,
            "event": "ranking.announced",
            "ranking": public_id,
            "item": item.code,
            "scheme": scheme.code,
            "version": scheme.version,
            "places": places,
            "seed_sha256": hashlib.sha256(seed).hexdigest(),
            "at": seconds(tx.now),
        },
    )
    await tx.insert(
        rankings,
        {
            "id": row_id,
            "public_id": public_id,
            "item_code": item.code,
            "department": item.department,
            "scheme": scheme.code,
            "scheme_version": scheme.version,
            "title_zh": title_zh[:120],
            "title_en": title_en[:120],
            "places": places,
            "seed_sha256": hashlib.sha256(seed).digest(),
            "sealed_seed": seal(tx.vault.hub_key(PURPOSE), seed, bound_to=row_id.bytes),
            "announced_at": tx.now,
            "announced_leaf": leaf.leaf_hash,
            "revision": 0,
        },
    )
    return await ranking(tx, public_id)


async def close(tx: Tx, found: Ranking) -> Ranking:
    """Step 2. Conflict `ranking.already_closed`; Unprocessable `ranking.nobody` when no application waits."""
    _require(tx, found.department)
    if await tx.run(_guarded(found, rankings.c.closed_at.is_(None)).values(closed_at=tx.now)) != 1:
        raise _conflict("closed", "名单已经截止。", "The list is closed already.")
    waiting = (
        sa.select(cases.c.id)
        .join(case_scores, sa.and_(case_scores.c.case_id == cases.c.id, case_scores.c.replaced_by.is_(None)))
        .outerjoin(ranking_entries, ranking_entries.c.case_id == cases.c.id)
        .where(
            cases.c.item_code == found.item_code,
            cases.c.department == found.department,
            cases.c.state.in_((CaseState.SCORED, CaseState.DECIDED)),
            sa.or_(cases.c.outcome.is_(None), cases.c.outcome == CaseOutcome.PASSED),
            case_scores.c.scheme == found.scheme,
            case_scores.c.scheme_version == found.scheme_version,
            case_scores.c.as_of.is_not(
                None
            ),  # one from before 0.2 has no tie numbers: it is scored anew first
            ranking_entries.c.case_id.is_(None),
        )
        .order_by(cases.c.id)
    )
    listed = [
        {"case_id": row.id, "ranking_id": found.id, "receipt": public_token()}
        for row in await tx.all(waiting)
    ]
    if not listed:
        raise Unprocessable(
            "ranking.nobody",
            "没有按这个版本的方案评过分、等待排名的办件。",
            "No application scored under this version of the scheme waits for a ranking.",
        )
    await tx.insert(ranking_entries, listed)
    digest = list_sha256(one["receipt"] for one in listed)
    leaf = await append(
        tx,
        kind="ranking",
        event={
            "v": 1,
            "event": "ranking.closed",
            "ranking": found.public_id,
            "entries": len(listed),
            "list_sha256": digest.hex(),
            "at": seconds(tx.now),
        },
    )
    await tx.run(
        rankings.update()
        .where(rankings.c.id == found.id)
        .values(list_sha256=digest, entries=len(listed), closed_leaf=leaf.leaf_hash)
    )
    return await ranking(tx, found.public_id)


async def draw(tx: Tx, found: Ranking, *, reason: str) -> Result:
    """Step 3, and again after a correction, with the scores that stand now.

    Conflict `ranking.not_closed` before the list is closed, and when somebody else drew in the meantime.
    """
    _require(tx, found.department)
    mine = _guarded(found, rankings.c.closed_at.is_not(None), rankings.c.revision == found.revision)
    revision = found.revision + 1
    if await tx.run(mine.values(revision=revision)) != 1:
        raise _conflict(
            "not_closed", "名单尚未截止，或刚有人抽签排名。", "Not closed, or somebody else drew just now."
        )
    row = await tx.first(sa.select(rankings.c.sealed_seed).where(rankings.c.id == found.id))
    assert row is not None  # noqa: S101 - just updated
    seed = unseal_hub(tx.vault, PURPOSE, row.sealed_seed, bound_to=found.id.bytes)
    placed = rank(await _entries(tx, found), seed)
    notice = as_csv(placed)
    digest = hashlib.sha256(notice.encode()).digest()
    leaf = await append(
        tx,
        kind="ranking",
        event={
            "v": 1,
            "event": "ranking.drawn",
            "ranking": found.public_id,
            "revision": revision,
            "reason": reason[:120],
            "seed": seed.hex(),
            "list_sha256": (found.list_sha256 or b"").hex(),
            "notice_sha256": digest.hex(),
            "at": seconds(tx.now),
        },
    )
    await tx.insert(ranking_lines, [_line(found, revision, one) for one in placed])
    await tx.insert(
        ranking_results,
        {
            "ranking_id": found.id,
            "revision": revision,
            "reason": reason[:120],
            "sha256": digest,
            "drawn_at": tx.now,
            "drawn_by": tx.actor.reference(),
            "leaf_hash": leaf.leaf_hash,
        },
    )
    return Result(revision, reason[:120], digest, tx.now, leaf.leaf_hash)


async def _entries(tx: Tx, found: Ranking) -> list[Entry]:
    """The scores that stand now of everybody on the list, in any order."""
    rows = await tx.all(
        sa.select(ranking_entries.c.receipt, case_scores.c.total, case_scores.c.ties)
        .join(
            case_scores,
            sa.and_(
                case_scores.c.case_id == ranking_entries.c.case_id,
                case_scores.c.replaced_by.is_(None),
                case_scores.c.scheme == found.scheme,
                case_scores.c.scheme_version == found.scheme_version,
            ),
        )
        .where(ranking_entries.c.ranking_id == found.id)
    )
    if len(rows) != found.entries:
        raise _conflict(
            "score_missing",
            "名单上有办件没有本方案的评分。",
            "Somebody on the list has no score under this scheme.",
        )
    return [Entry(row.receipt, row.total, ties_in(row.ties)) for row in rows]


def _line(found: Ranking, revision: int, one: Placed) -> dict[str, Any]:
    return {
        "ranking_id": found.id,
        "revision": revision,
        "position": one.position,
        "receipt": one.entry.receipt,
        "total": f"{one.entry.total:f}",
        "ties": spelled(one.entry.ties),
        "lot": one.lot,
        "by_lot": one.by_lot,
    }


def _guarded(found: Ranking, *conditions: sa.ColumnElement[bool]) -> sa.Update:
    return rankings.update().where(rankings.c.id == found.id, *conditions)


def _require(tx: Tx, department: str) -> None:
    actor = tx.actor
    decider = actor.kind is ActorKind.OFFICER and may(actor.roles, "cases.decide")
    if actor.department != department or not (decider or actor.kind is ActorKind.DEPARTMENT):
        raise Forbidden(
            "ranking.not_yours",
            "只有办理该事项部门的审批人员可以排名。",
            "Only deciders of the department that handles this item may rank.",
        )


def _conflict(why: str, zh: str, en: str) -> Conflict:
    return Conflict(
        f"ranking.{why}", zh, en, next_zh="请刷新页面查看现状。", next_en="Reload to see how it stands."
    )

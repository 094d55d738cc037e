"""What one consent gathered for a case: the newest answer of each type, sealed; silent after a withdrawal."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from hub.access.model import Outcome
from hub.cases.model import CaseOutcome, case_evidence
from hub.cases.open import Case
from hub.consent.model import GrantState
from hub.consent.withdraw import by_public_id
from hub.ids import uuid7
from hub.store.tx import Tx, View
from hub.verification.model import Verdict


@dataclass(frozen=True, slots=True)
class Found:
    """The newest look at one type. `sd_jwt` and `claims` are None unless it was accepted and consent still stands."""

    type_code: str
    outcome: Outcome
    reason: str
    certificate: str | None
    issuer: str | None
    access: str
    leaf_hash: bytes
    grant: str
    checks: Sequence[Any]
    sd_jwt: str | None
    claims: Mapping[str, Any] | None
    gathered_at: datetime


async def keep_verdicts(tx: Tx, *, case: Case, verdicts: Sequence[tuple[Verdict, str]]) -> None:
    """Keep what verification answered, each with the public id of its grant, in the place of what was kept before."""
    rows = []
    for verdict, grant in verdicts:
        if verdict.access is None or verdict.leaf_hash is None:
            continue
        row_id = uuid7()
        kept = json.dumps(
            {"sd_jwt": verdict.sd_jwt, "claims": dict(verdict.claims or {})}, ensure_ascii=False
        )
        rows.append(
            {
                "id": row_id,
                "case_id": case.id,
                "type_code": verdict.type_code,
                "certificate": verdict.certificate,
                "grant_public_id": grant,
                "access": verdict.access,
                "leaf_hash": verdict.leaf_hash,
                "outcome": verdict.outcome,
                "reason": verdict.reason,
                "issuer": verdict.issuer,
                "checks": [[c.number, c.step, c.result, c.zh, c.en] for c in verdict.checks],
                "sealed": await tx.vault.seal_for(tx, case.applicant, kept.encode(), bound_to=row_id.bytes)
                if verdict.sd_jwt
                else None,
                "gathered_at": tx.now,
            }
        )
    if not rows:
        return
    batch: UUID = uuid7()  # names the gathering that took their place
    old = case_evidence.c
    types = [row["type_code"] for row in rows]
    await tx.run(
        case_evidence.update()
        .where(old.case_id == case.id, old.type_code.in_(types), old.replaced_by.is_(None))
        .values(replaced_by=batch)
    )
    await tx.insert(case_evidence, rows)


async def evidence_of(view: View, *, case: Case) -> list[Found]:
    """The newest look at each type. Before the case is decided, a withdrawn consent shows no content any more."""
    row = case_evidence.c
    rows = await view.all(
        sa.select(case_evidence)
        .where(row.case_id == case.id, row.replaced_by.is_(None))
        .order_by(row.type_code, row.id)
    )
    decided = case.outcome is CaseOutcome.PASSED
    withdrawn = set() if decided else await _withdrawn(view, {one.grant_public_id for one in rows})
    return [await _found(view, case, one, hidden=one.grant_public_id in withdrawn) for one in rows]


async def cited(view: View, *, case: Case, types: Iterable[str]) -> list[str]:
    """The public ids of the looks that a step rests on: those of its types, or all when it names none."""
    wanted, row = tuple(types), case_evidence.c
    query = sa.select(row.access).where(row.case_id == case.id, row.replaced_by.is_(None)).order_by(row.id)
    if wanted:
        query = query.where(row.type_code.in_(wanted))
    return [one.access for one in await view.all(query)]


async def relied_on(view: View, *, certificate: str) -> list[UUID]:
    """The cases whose newest look at its type was at this certificate: the reverse index."""
    row = case_evidence.c
    rows = await view.all(
        sa.select(row.case_id).where(row.certificate == certificate, row.replaced_by.is_(None)).distinct()
    )
    return [one.case_id for one in rows]


async def _withdrawn(view: View, public_ids: set[str]) -> set[str]:
    """Those of the grants that are withdrawn; a case has one or two."""
    found = [await by_public_id(view, public_id) for public_id in sorted(public_ids)]
    return {grant.public_id for grant in found if grant.state is GrantState.WITHDRAWN}


async def _found(view: View, case: Case, row: Any, *, hidden: bool) -> Found:
    kept: Mapping[str, Any] = {}
    if row.sealed is not None and not hidden:
        kept = json.loads(await view.vault.open_for(view, case.applicant, row.sealed, bound_to=row.id.bytes))
    return Found(
        type_code=row.type_code,
        outcome=Outcome(row.outcome),
        reason=row.reason,
        certificate=row.certificate,
        issuer=row.issuer,
        access=row.access,
        leaf_hash=row.leaf_hash,
        grant=row.grant_public_id,
        checks=row.checks,
        sd_jwt=kept.get("sd_jwt"),
        claims=kept.get("claims"),
        gathered_at=row.gathered_at,
    )

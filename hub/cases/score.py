"""Score a case from the disclosures that its department already holds: nothing new leaves the hub.

The department sends back the issuer-signed SD-JWTs it got from verification. The hub checks each again (signed,
registered, standing, of this case's people), so a score never rests on what somebody typed.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from hub.cases.model import CaseState, case_scores, cases
from hub.cases.open import Case
from hub.cases.publish import publish_scheme
from hub.cases.scheme import Scheme
from hub.cases.scoring import Evidence, Score, Shown, ties_of
from hub.cases.scoring import score as compute
from hub.certificates.find import StatusWord, by_jti, holders_of, word_for
from hub.clock import civil_day, seconds
from hub.errors import Forbidden, NotFound, Unprocessable
from hub.formats import jws, sdjwt
from hub.ids import uuid7
from hub.ledger.append import commit_event
from hub.registry.keys import find_key
from hub.registry.types import CertificateType
from hub.store.tx import Tx, View
from keys.public import PublicKey

MAX_DISCLOSURES = 64


@dataclass(frozen=True, slots=True)
class CaseScore:
    """A recorded score with its explained lines. `evidence` is what it was computed from, for computing it again."""

    id: UUID
    scheme: str
    scheme_version: int
    total: Decimal
    document: Mapping[str, Any]
    scored_at: datetime
    scored_by: str | None
    leaf_hash: bytes
    evidence: Evidence | None
    stands: bool


async def score_case(
    tx: Tx,
    *,
    case: Case,
    scheme: Scheme,
    disclosures: Sequence[str],
    types: Mapping[str, CertificateType],
    grade_1: bool = True,
) -> CaseScore:
    """Score an open case of the calling department and record the lines, sealed for the applicant.

    Raises Unprocessable `score.disclosure_refused` (with its place in the list) for a disclosure that is not
    signed, not registered, no longer standing, or about somebody else.
    """
    if tx.actor.department != case.department or not case.in_hand:
        raise _not_yours()
    if len(disclosures) > MAX_DISCLOSURES:
        raise _refused(MAX_DISCLOSURES, "too_many")
    shown = [await _shown(tx, token, number, case, types) for number, token in enumerate(disclosures)]
    evidence = Evidence(
        parent=str(case.applicant),
        child=str(case.beneficiary) if case.beneficiary else None,
        shown=tuple(shown),
        grade_1=grade_1,
    )
    await publish_scheme(tx, scheme)
    return await _keep(tx, case, compute(scheme, evidence, as_of=civil_day(tx.now)), evidence)


async def latest(view: View, *, case: Case) -> CaseScore | None:
    """The newest score of a case, opened with the applicant's key."""
    newest = sa.select(case_scores).where(
        case_scores.c.case_id == case.id, case_scores.c.replaced_by.is_(None)
    )
    row = await view.first(newest.order_by(case_scores.c.id.desc()).limit(1))
    return None if row is None else await _opened(view, case, row)


async def by_id(view: View, *, case: Case, score_id: UUID) -> CaseScore:
    """A score of this case, also one that no longer stands."""
    row = await view.first(
        sa.select(case_scores).where(case_scores.c.case_id == case.id, case_scores.c.id == score_id)
    )
    if row is None:
        raise NotFound("score.unknown", "没有这个评分。", "There is no such score.")
    return await _opened(view, case, row)


def again(kept: CaseScore, scheme: Scheme) -> Score:
    """The same evidence and the same day, scored under `scheme`: the version of then, an older or a newer one.

    Raises Unprocessable `score.no_evidence` for a score from before evidence was kept with it.
    """
    if kept.evidence is None:
        raise Unprocessable(
            "score.no_evidence",
            "这个评分没有随存依据，不能重算。",
            "This score was kept without its evidence and cannot be computed again.",
            next_zh="请重新核验后评分。",
            next_en="Verify again and score anew.",
        )
    return compute(scheme, kept.evidence, as_of=date.fromisoformat(kept.document["as_of"]))


def ties_in(kept: Sequence[str] | None) -> tuple[Decimal, ...]:
    """What decides between equal totals, as it was kept with a score."""
    return tuple(Decimal(tie) for tie in kept or ())


async def _opened(view: View, case: Case, row: Any) -> CaseScore:
    plain = await view.vault.open_for(view, case.applicant, row.sealed, bound_to=row.id.bytes)
    evidence = None
    if row.sealed_evidence is not None:
        raw = await view.vault.open_for(
            view, case.applicant, row.sealed_evidence, bound_to=_evidence_of(row.id)
        )
        evidence = Evidence.from_json(json.loads(raw))
    return CaseScore(
        id=row.id,
        scheme=row.scheme,
        scheme_version=row.scheme_version,
        total=row.total,
        document=json.loads(plain),
        scored_at=row.scored_at,
        scored_by=row.scored_by,
        leaf_hash=row.leaf_hash,
        evidence=evidence,
        stands=row.replaced_by is None,
    )


async def _shown(tx: Tx, token: str, number: int, case: Case, types: Mapping[str, CertificateType]) -> Shown:
    parts = sdjwt.parse(token)
    unverified = jws.split(parts.issuer_jwt)
    department = str(unverified.payload.get("iss", "")).rpartition("/dept/")[2]
    key = await find_key(tx, department=department, kid=str(unverified.header.get("kid", "")))
    if key is None:
        raise _refused(number, "issuer_unknown")
    signed = jws.verify(parts.issuer_jwt, typ=sdjwt.TYP, key=PublicKey.from_jwk(key.jwk))
    claims, _ = sdjwt.process(signed.payload, parts.disclosures)
    certificate = await by_jti(tx, department=department, jti=str(claims.get("jti", "")))
    if certificate is None or certificate.signing_input_hash != sdjwt.signing_input_hash(token):
        raise _refused(number, "not_registered")
    if not key.stands_at(certificate.registered_at):
        raise _refused(number, "key_not_trusted")
    kind = types[certificate.type_code]
    if await word_for(tx, certificate, kind) not in (StatusWord.VALID, StatusWord.EXPIRING):
        raise _refused(number, "not_standing")
    people = {case.applicant, case.beneficiary}
    held = await holders_of(tx, certificate)
    if not any(one.subject_id in people for one in held):
        raise _refused(number, "other_person")
    return Shown(
        certificate_id=certificate.public_id,
        type=certificate.type_code,
        holders=frozenset(str(one.subject_id) for one in held),
        claims=claims,
        as_of=certificate.as_of,
    )


async def _keep(tx: Tx, case: Case, result: Score, evidence: Evidence) -> CaseScore:
    """Record a score in the place of the one before; the case's row is taken first, so that one stands."""
    document, vault = result.as_json(), tx.vault
    row_id: UUID = uuid7()
    kept = cases.update().where(cases.c.id == case.id, cases.c.state != CaseState.CLOSED)
    undecided = cases.c.state == CaseState.ACCEPTED  # its departments are at work: it stays so
    state = sa.case((undecided, CaseState.ACCEPTED), else_=CaseState.SCORED)
    if await tx.run(kept.values(state=state)) != 1:
        raise _not_yours()
    leaf = await commit_event(
        tx,
        kind="case.scored",
        subject_id=case.applicant,
        body={
            "event": "case.scored",
            "case": case.public_id,
            "department": case.department,
            "score": document,
            "at": seconds(tx.now),
        },
    )
    plain = json.dumps(document, ensure_ascii=False).encode()
    shown = json.dumps(evidence.as_json(), ensure_ascii=False).encode()
    await tx.insert(
        case_scores,
        {
            "id": row_id,
            "case_id": case.id,
            "scheme": result.scheme,
            "scheme_version": result.version,
            "total": result.total,
            "sealed": await vault.seal_for(tx, case.applicant, plain, bound_to=row_id.bytes),
            "leaf_hash": leaf.leaf_hash,
            "scored_at": tx.now,
            "scored_by": tx.actor.reference(),
            "as_of": result.as_of,
            "ties": [f"{tie:f}" for tie in ties_of(result)],
            "sealed_evidence": await vault.seal_for(tx, case.applicant, shown, bound_to=_evidence_of(row_id)),
        },
    )
    before = case_scores.c
    await tx.run(
        case_scores.update()
        .where(before.case_id == case.id, before.replaced_by.is_(None), before.id != row_id)
        .values(replaced_by=row_id)
    )
    return CaseScore(
        row_id, result.scheme, result.version, result.total, document, tx.now, tx.actor.reference(),
        leaf.leaf_hash, evidence, True,
    )  # fmt: skip


def _evidence_of(score_id: UUID) -> bytes:
    """What sealed evidence is bound to, so that it cannot be taken for the score's lines."""
    return b"evidence:" + score_id.bytes


def _not_yours() -> Forbidden:
    return Forbidden(
        "score.not_your_case",
        "只有办理该办件的部门可以评分，且办件须未办结。",
        "Only the department that handles an open case may score it.",
    )


def _refused(number: int, why: str) -> Unprocessable:
    words = {
        "too_many": ("提交的披露过多", "there are too many disclosures"),
        "issuer_unknown": ("签发部门或密钥未登记", "its issuer or key is not registered"),
        "key_not_trusted": ("签名密钥已被宣布不可信", "its signing key is not trusted"),
        "not_registered": ("证照未在平台登记", "it is not registered here"),
        "not_standing": ("证照已撤销、暂停、被取代或过期", "it is revoked, suspended, superseded or expired"),
        "other_person": ("证照不是该办件当事人的", "it is not about the people of this case"),
    }
    zh, en = words[why]
    return Unprocessable(
        "score.disclosure_refused",
        f"第 {number + 1} 份材料不能用于评分：{zh}。",
        f"Disclosure {number + 1} cannot be scored: {en}.",
        next_zh="请用该办件的授权重新核验后，原样提交核验得到的 SD-JWT。",
        next_en="Verify again under this case's consent and send the SD-JWTs exactly as received.",
        position=number,
        why=why,
    )

"""Score a case from the disclosures that its department already holds: nothing new leaves the hub.

The department sends back the issuer-signed SD-JWTs it got from verification. The hub checks each again (signed,
registered, standing, of this case's people), so a score never rests on what somebody typed.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from hub.cases.model import CaseState, case_scores, cases
from hub.cases.open import Case
from hub.cases.scheme import Scheme
from hub.cases.scoring import Evidence, Score, Shown
from hub.cases.scoring import score as compute
from hub.certificates.find import StatusWord, by_jti, holders_of, word_for
from hub.clock import civil_day, seconds
from hub.errors import Forbidden, Unprocessable
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
    """A recorded score with its explained lines."""

    scheme: str
    scheme_version: int
    total: Decimal
    document: Mapping[str, Any]
    scored_at: datetime
    leaf_hash: bytes


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
    if tx.actor.department != case.department or case.state is CaseState.CLOSED:
        raise Forbidden(
            "score.not_your_case",
            "只有办理该办件的部门可以评分，且办件须未办结。",
            "Only the department that handles an open case may score it.",
        )
    if len(disclosures) > MAX_DISCLOSURES:
        raise _refused(MAX_DISCLOSURES, "too_many")
    shown = [await _shown(tx, token, number, case, types) for number, token in enumerate(disclosures)]
    evidence = Evidence(
        parent=str(case.applicant),
        child=str(case.beneficiary) if case.beneficiary else None,
        shown=tuple(shown),
        grade_1=grade_1,
    )
    result = compute(scheme, evidence, as_of=civil_day(tx.now))
    return await _keep(tx, case, result)


async def latest(view: View, *, case: Case) -> CaseScore | None:
    """The newest score of a case, opened with the applicant's key."""
    row = await view.first(
        sa.select(case_scores)
        .where(case_scores.c.case_id == case.id)
        .order_by(case_scores.c.id.desc())
        .limit(1)
    )
    if row is None:
        return None
    plain = await view.vault.open_for(view, case.applicant, row.sealed, bound_to=row.id.bytes)
    return CaseScore(
        row.scheme, row.scheme_version, row.total, json.loads(plain), row.scored_at, row.leaf_hash
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


async def _keep(tx: Tx, case: Case, result: Score) -> CaseScore:
    document = result.as_json()
    row_id: UUID = uuid7()
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
    await tx.insert(
        case_scores,
        {
            "id": row_id,
            "case_id": case.id,
            "scheme": result.scheme,
            "scheme_version": result.version,
            "total": result.total,
            "sealed": await tx.vault.seal_for(tx, case.applicant, plain, bound_to=row_id.bytes),
            "leaf_hash": leaf.leaf_hash,
            "scored_at": tx.now,
        },
    )
    await tx.run(cases.update().where(cases.c.id == case.id).values(state=CaseState.SCORED))
    return CaseScore(result.scheme, result.version, result.total, document, tx.now, leaf.leaf_hash)


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

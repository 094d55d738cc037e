"""Verify: the walk of DESIGN section 3. Take the uses and record the Accesses in one durable commit, then answer.

The numbered checks (each passed / failed / undecided / not needed):
 1. time       the token is inside its life (the door refused it otherwise)
 2. token      signed by this hub, for this department, bound to the key that the caller proved
 3. grant      one guarded statement takes the use: standing, not ended, uses left
 4. coverage   purpose and claims are inside the grant
 5.-10.        of each certificate: see `checks.py`
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from hub.access.model import Look, Outcome
from hub.access.record import record, record_anonymous
from hub.catalogue.items import ClaimPath, ServiceItem, max_age
from hub.certificates import status
from hub.certificates.find import Held, Opened, opened_of_holder
from hub.consent.model import CaseFacts, Grant
from hub.consent.use import NotTaken, Taken, take_use
from hub.consent.withdraw import by_public_id
from hub.errors import HubError, NotFound, Unavailable, Unprocessable
from hub.formats import jws, sdjwt
from hub.formats.authorization import AccessToken
from hub.ledger.model import leaves
from hub.registry.keys import DepartmentKey, find_key
from hub.registry.types import CertificateType
from hub.store.tx import Tx, View
from hub.verification import checks
from hub.verification.model import Ask, Check, PredicateAnswer, Step, Verdict
from hub.verification.predicates import answer
from keys.public import PublicKey

STALLED_AFTER = timedelta(hours=4)
"""Without sequencing for this long no new disclosure leaves (DESIGN section 3, rule 11)."""
MAX_ASKS = 32


@dataclass(frozen=True, slots=True)
class Redemption:
    """One consent token and what is asked under it. A token of several grants is one redemption."""

    token: AccessToken
    asks: tuple[Ask, ...]
    case: CaseFacts | None


@dataclass(slots=True)
class _Planned:
    """An ask on its way: which grant covers it, and what was decided so far."""

    redemption: Redemption
    ask: Ask
    grant: Grant | None
    checks: dict[Step, Check]

    @property
    def refused(self) -> bool:
        return any(check.result == "failed" for check in self.checks.values())


async def verify(
    tx: Tx,
    redemptions: Sequence[Redemption],
    *,
    items: Mapping[str, ServiceItem],
    types: Mapping[str, CertificateType],
) -> list[list[Verdict]]:
    """Answer every ask of every redemption; a losing one becomes a refusal and never spoils the others.

    Nothing may be sent before the transaction of `tx` has committed: only then are the Accesses durable.
    Grants are locked in id order. Raises Unprocessable for asks that make no sense, Unavailable when the
    ledger has stood still too long.
    """
    await _require_moving_ledger(tx)
    planned: list[list[_Planned]] = []
    for redemption in redemptions:
        if not 1 <= len(redemption.asks) <= MAX_ASKS:
            raise Unprocessable(
                "verify.asks_out_of_range",
                f"一次可核验 1 到 {MAX_ASKS} 类证照。",
                f"Between 1 and {MAX_ASKS} certificate types can be verified at once.",
            )
        named = await _named(tx, redemption.token)
        planned.append([_plan(tx, redemption, ask, named) for ask in redemption.asks])
    await _take_uses(tx, planned)  # 3
    drafts: list[list[tuple[Verdict, Look | None]]] = []
    for group in planned:
        answers: list[tuple[Verdict, Look | None]] = []
        for one in group:
            answers += await _answer(tx, one, items, types)
        drafts.append(answers)
    return await _record(tx, drafts)


async def _named(tx: Tx, token: AccessToken) -> list[Grant | None]:
    """The grants that a token names, in its order; None for one that is not there any more."""
    found: list[Grant | None] = []
    for public_id in token.grants:
        try:
            found.append(await by_public_id(tx, public_id))
        except NotFound:
            found.append(None)
    return found


def _plan(tx: Tx, redemption: Redemption, ask: Ask, named: Sequence[Grant | None]) -> _Planned:
    """Checks 1, 2 and 4, and which of the token's grants speaks of this type."""
    found: Grant | None = None
    for grant, detail in zip(named, redemption.token.authorization_details, strict=True):
        fits = ask.type_code in detail.datatypes and ask.basis in (None, detail.basis)
        if grant is not None and (fits or found is None):
            found = grant
            if fits:
                break
    done: dict[Step, Check] = {Step.TIME: checks.passed(Step.TIME)}
    token = redemption.token
    if token.client_id != tx.actor.department or token.jkt != tx.actor.jkt:  # 2
        done[Step.TOKEN] = checks.failed(
            Step.TOKEN,
            "token.other_verifier",
            "这份授权凭证是发给另一个部门的。",
            "This consent token was given to another verifier.",
        )
    elif found is None:
        done[Step.TOKEN] = checks.failed(
            Step.TOKEN, "token.grant_unknown", "授权凭证中的授权不存在。", "The token names no known grant."
        )
    else:
        done[Step.TOKEN] = checks.passed(Step.TOKEN)
        done[Step.COVERAGE] = _coverage(ask, found)  # 4
    return _Planned(redemption, ask, found, done)


def _coverage(ask: Ask, grant: Grant) -> Check:
    granted = _granted(grant, ask.type_code)
    covered = ask.type_code in grant.detail["datatypes"] and ask.basis in (None, grant.basis)
    if ask.fields is not None:
        covered = covered and set(ask.fields) <= set(granted)
    if covered:
        return checks.passed(Step.COVERAGE)
    return checks.failed(
        Step.COVERAGE,
        "coverage.not_granted",
        "请求的证照或字段不在授权范围内。",
        "The certificate type or a claim is not covered by the grant.",
    )


def _granted(grant: Grant, type_code: str) -> tuple[ClaimPath, ...]:
    return tuple(tuple(path) for path in grant.detail["fields"].get(type_code, ()))


async def _take_uses(tx: Tx, planned: list[list[_Planned]]) -> None:
    """One use of each grant a redemption touches, taken in grant order so that no two callers deadlock."""
    wanted: dict[tuple[Any, int], list[_Planned]] = {}
    for number, group in enumerate(planned):
        for one in group:
            if one.grant is not None and not one.refused:
                wanted.setdefault((one.grant.id, number), []).append(one)
    for key in sorted(wanted):
        group = wanted[key]
        grant = group[0].grant
        if grant is None:
            continue
        result = await take_use(tx, grant=grant, department=tx.actor.department or "")
        for one in group:
            if isinstance(result, Taken):
                one.grant = result.grant
                one.checks[Step.GRANT] = checks.passed(Step.GRANT)
            elif isinstance(result, NotTaken):
                one.checks[Step.GRANT] = checks.failed(Step.GRANT, result.code, result.zh, result.en)


async def _answer(
    tx: Tx, one: _Planned, items: Mapping[str, ServiceItem], types: Mapping[str, CertificateType]
) -> list[tuple[Verdict, Look | None]]:
    if one.refused or one.grant is None:
        return [_close(tx, one, one.checks)]
    kind = types[one.ask.type_code]
    wanted = one.grant.detail.get("identifier") or one.ask.certificate
    shown = await opened_of_holder(tx, subject_id=one.grant.holder, type_code=kind.code, certificate=wanted)
    if not shown:
        return [_no_record(tx, one)]
    item = items[one.grant.item_code]
    return [await _judge(tx, one, one.grant, opened, kind, item) for opened in shown]


async def _judge(
    tx: Tx, one: _Planned, grant: Grant, opened: Opened, kind: CertificateType, item: ServiceItem
) -> tuple[Verdict, Look | None]:
    held, token = opened.held, opened.token
    certificate = held.certificate
    done = dict(one.checks)
    key = await find_key(tx, department=certificate.department, kid=certificate.kid)
    claims = signed_claims(token, key)
    holds = claims is not None
    done[Step.SIGNATURE] = checks.signature(holds, certificate.department in kind.issuers)  # 5
    done[Step.ISSUER_KEY] = checks.issuer_key(key, certificate.registered_at)  # 6
    ages = [age for age in (kind.max_age_days, max_age(item, kind.code)) if age is not None]
    done[Step.VALIDITY] = checks.validity(certificate, tx.now, min(ages, default=None))  # 7
    standing = None
    if certificate.status_uri is not None and certificate.status_idx is not None:
        standing, _ = await status.standing(tx, uri=certificate.status_uri, idx=certificate.status_idx)
    done[Step.STATUS] = checks.status(certificate, standing)  # 8
    done[Step.HOLDER] = checks.holder(_is_the_cases(one.redemption.case, grant))  # 9
    done[Step.LEDGER] = checks.ledger(opened.leaf_index, certificate.registered_at, tx.now)  # 10
    verdict, look = _close(tx, one, done)
    if verdict.outcome is Outcome.ACCEPTED:
        paths = one.ask.fields if one.ask.fields is not None else _granted(grant, kind.code)
        shown = sdjwt.select(token, _own_paths(paths, held, kind))
        answers = _predicates(grant, one.ask, claims or {})
        verdict = replace(verdict, sd_jwt=shown, claims=sdjwt.claims(shown), predicates=answers)
        look = look and replace(
            look, fields=tuple(paths), predicates=tuple(_predicate_name(answer) for answer in answers)
        )
    verdict = replace(
        verdict,
        certificate=certificate.public_id,
        issuer=certificate.department,
        registered_at=certificate.registered_at,
    )
    return verdict, look and replace(look, certificate=certificate.public_id)


def signed_claims(token: str, key: DepartmentKey | None) -> Mapping[str, Any] | None:
    """All claims of stored bytes when `key` really signed them and the disclosures fit, else None."""
    if key is None:
        return None
    public = PublicKey.from_jwk(key.jwk)
    try:
        parts = sdjwt.parse(token)
        signed = jws.verify(parts.issuer_jwt, typ=sdjwt.TYP, key=public)
        return sdjwt.process(signed.payload, parts.disclosures)[0]
    except HubError:
        return None


def _is_the_cases(case: CaseFacts | None, grant: Grant) -> bool:
    return (
        case is not None
        and case.open
        and case.public_id == grant.case_id
        and case.holder_for(grant.basis) == grant.holder
    )


def _own_paths(paths: Iterable[ClaimPath], held: Held, kind: CertificateType) -> list[ClaimPath]:
    """By default a holder discloses only their own place in `holders[]`, not their spouse's or co-owner's."""
    if kind.consent == "any":
        return list(paths)
    return [
        ("holders", held.position, *path[2:]) if path[:1] == ("holders",) and len(path) > 1 else path
        for path in paths
    ]


def _predicates(grant: Grant, ask: Ask, claims: Mapping[str, Any]) -> tuple[PredicateAnswer, ...]:
    if not ask.predicates:
        return ()
    return tuple(
        answer(claims, tuple(asked["path"]), asked["op"], asked["value"])
        for asked in grant.detail.get("predicates") or ()
        if asked["type"] == ask.type_code
    )


def _predicate_name(one: PredicateAnswer) -> dict[str, Any]:
    return {"path": list(one.path), "op": one.op, "value": one.value}


def _no_record(tx: Tx, one: _Planned) -> tuple[Verdict, Look | None]:
    verdict, look = _close(tx, one, one.checks)
    verdict = replace(verdict, outcome=Outcome.NO_RECORD, reason="certificate.none_registered")
    return verdict, look and replace(look, outcome=Outcome.NO_RECORD, reason="certificate.none_registered")


def _close(tx: Tx, one: _Planned, done: dict[Step, Check]) -> tuple[Verdict, Look | None]:
    listed = checks.complete(done)
    outcome, reason = checks.outcome(listed)
    verdict = Verdict(outcome=outcome, reason=reason, checks=listed, type_code=one.ask.type_code, at=tx.now)
    grant = one.grant
    if grant is None:
        return verdict, None
    look = Look(
        subject_id=grant.holder,
        department=tx.actor.department or "",
        officer_id=tx.actor.officer_id,
        item_code=grant.item_code,
        case_id=grant.case_id,
        purpose=grant.purpose,
        basis=str(grant.basis),
        outcome=outcome,
        reason=reason,
        type_code=one.ask.type_code,
        grant_id=grant.id,
        grant_public_id=grant.public_id,
        # Only a use holds the grant's row lock. What a refusal has read may be old by the time it is recorded.
        grant_seq=grant.seq if Step.GRANT in done and done[Step.GRANT].result == "passed" else None,
    )
    return verdict, look


async def _record(tx: Tx, drafts: list[list[tuple[Verdict, Look | None]]]) -> list[list[Verdict]]:
    looks = [look for group in drafts for _, look in group if look is not None]
    recorded = iter(await record(tx, looks))
    answers: list[list[Verdict]] = []
    for group in drafts:
        verdicts = []
        for verdict, look in group:
            if look is None:
                leaf = await record_anonymous(tx, department=tx.actor.department or "", reason=verdict.reason)
                verdicts.append(replace(verdict, leaf_hash=leaf))
            else:
                done = next(recorded)
                verdicts.append(replace(verdict, access=done.public_id, leaf_hash=done.leaf_hash))
        answers.append(verdicts)
    return answers


async def _require_moving_ledger(view: View) -> None:
    oldest = await view.first(
        sa.select(leaves.c.created_at).where(leaves.c.idx.is_(None)).order_by(leaves.c.seq).limit(1)
    )
    if oldest is not None and view.now - oldest.created_at > STALLED_AFTER:
        raise Unavailable(
            "ledger.stalled",
            "透明日志已停滞过久，按规定暂停提供新的资料。",
            "The ledger has stood still for too long; no new data is disclosed.",
            next_zh="请联系平台运维人员；已受理的业务可稍后补核。",
            next_en="Tell the hub's operators; what was accepted can be verified later.",
        )

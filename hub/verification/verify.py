"""Verify: the walk of DESIGN section 3. Take the uses and record the Accesses in one durable commit, then answer.

The numbered checks (each passed / failed / undecided / not needed):
 1. time       the token is inside its life (the door refused it otherwise)
 2. token      signed by this hub, for this department, bound to the key that the caller proved
 3. grant      one guarded statement takes the use: standing, not ended, uses left
 4. coverage   purpose and claims are inside the token, and inside the grant itself
 5.-10.        of each certificate: see `checks.py`

Any number of redemptions, of any callers, go through together: each step is one statement sent for all of them.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from hub.access.model import Look, Outcome
from hub.access.record import Recorded, record, record_anonymous
from hub.actor import Actor
from hub.catalogue.items import ClaimPath, ServiceItem, last_good_days, max_age
from hub.certificates.opened import Opened, Wanted, opened_of_holders
from hub.consent.model import CaseFacts, Grant
from hub.consent.use import Taken, Use, by_public_ids, take_uses
from hub.errors import Gone, Unprocessable
from hub.formats.authorization import AccessToken
from hub.ledger.moving import require_moving
from hub.registry import trust
from hub.registry.keys import DepartmentKey
from hub.registry.types import CertificateType
from hub.store.tx import Tx
from hub.verification import checks
from hub.verification.model import (
    PULL_VERDICTS,
    Ask,
    Check,
    CheckResult,
    PredicateAnswer,
    Pulled,
    PullEnd,
    PullOutcome,
    Step,
    Verdict,
)
from hub.verification.shown import answers_to, granted, lapsed, own_paths, predicate_name, questions_in
from hub.verification.signed import Candidate, Checking, Genuine, checked_here

MAX_ASKS = 32

@dataclass(frozen=True, slots=True)
class Redemption:
    """One consent token and what is asked under it. A token of several grants is one redemption.

    `by` is who presents it, when that is not the actor of the transaction. `pulled` is how the pulls ended that were
    made for it just now (`hub.verification.pull`). `unasked` are types that a source could have been asked for and was
    not: where nothing is held, that is no "no record".
    """

    token: AccessToken
    asks: tuple[Ask, ...]
    case: CaseFacts | None
    by: Actor | None = None
    pulled: Pulled = field(default_factory=dict)
    unasked: Collection[str] = frozenset()


@dataclass(slots=True)
class _Planned:
    """An ask on its way: which grant should cover it, that grant once it was read, and what was decided so far."""

    redemption: Redemption
    by: Actor
    ask: Ask
    named: str | None
    checks: dict[Step, Check]
    granted: Collection[ClaimPath] = ()
    grant: Grant | None = None

    @property
    def pulled(self) -> PullEnd | None:
        """How the pull that was made for it ended, if there was one."""
        return self.redemption.pulled.get((self.named or "", self.ask.type_code))

    @property
    def refused(self) -> bool:
        return any(check.result is CheckResult.FAILED for check in self.checks.values())


async def verify(
    tx: Tx,
    redemptions: Sequence[Redemption],
    *,
    items: Mapping[str, ServiceItem],
    types: Mapping[str, CertificateType],
    checking: Checking | None = None,
    meanwhile: Callable[[list[list[Verdict]]], None] = lambda _: None,
) -> list[list[Verdict]]:
    """Answer every ask of every redemption; a losing one becomes a refusal and never spoils the others.

    `checking` looks at what departments signed; without it this process does. `meanwhile` gets the verdicts while their
    Accesses are written, but nothing may be sent before `tx` has committed: only then are the Accesses durable.
    Grants are locked in id order. Raises Unprocessable for asks that make no sense, Unavailable when the
    ledger has stood still too long, Gone `subject.erased` for a holder whose key was destroyed.
    """
    await require_moving(tx)
    planned: list[list[_Planned]] = []
    for redemption in redemptions:
        if not 1 <= len(redemption.asks) <= MAX_ASKS:
            raise Unprocessable(
                "verify.asks_out_of_range",
                f"一次可核验 1 到 {MAX_ASKS} 类证照。",
                f"Between 1 and {MAX_ASKS} certificate types can be verified at once.",
            )
        planned.append([_plan(tx, redemption, ask) for ask in redemption.asks])
    await _take_uses(tx, planned)  # 3
    drafts = await _answer(tx, planned, items, types, checking)
    answers = [[verdict for verdict, _ in group] for group in drafts]
    await _record(tx, [one for group in drafts for one in group], lambda: meanwhile(answers))
    return answers


def _plan(tx: Tx, redemption: Redemption, ask: Ask) -> _Planned:
    """Checks 1, 2 and 4, and which of the token's grants speaks of this type."""
    token, by = redemption.token, redemption.by or tx.actor
    place = 0
    for number, detail in enumerate(token.authorization_details):
        if ask.type_code in detail.datatypes and ask.basis in (None, detail.basis):
            place = number
            break
    one = _Planned(redemption, by, ask, None, {Step.TIME: checks.passed(Step.TIME)})
    if token.grants:
        one.named = token.grants[place]
    if token.client_id != by.department or token.jkt != by.jkt:  # 2
        one.checks[Step.TOKEN] = checks.failed(
            Step.TOKEN,
            "token.other_verifier",
            "这份授权凭证是发给另一个部门的。",
            "This consent token was given to another verifier.",
        )
    elif one.named is None:
        one.checks[Step.TOKEN] = _unknown_grant()
    else:
        detail = token.authorization_details[place]
        one.granted = detail.fields.get(ask.type_code, ())
        one.checks[Step.TOKEN] = checks.passed(Step.TOKEN)
        one.checks[Step.COVERAGE] = _coverage(ask, detail.basis, detail.datatypes, one.granted)  # 4
    return one


def _unknown_grant() -> Check:
    return checks.failed(
        Step.TOKEN, "token.grant_unknown", "授权凭证中的授权不存在。", "The token names no known grant."
    )


def _coverage(ask: Ask, basis: str, datatypes: Collection[str], granted: Collection[ClaimPath]) -> Check:
    covered = ask.type_code in datatypes and ask.basis in (None, basis)
    if covered and (ask.fields is None or set(ask.fields) <= set(granted)):
        return checks.passed(Step.COVERAGE)
    return checks.failed(
        Step.COVERAGE,
        "coverage.not_granted",
        "请求的证照或字段不在授权范围内。",
        "The certificate type or a claim is not covered by the grant.",
    )


async def _take_uses(tx: Tx, planned: Sequence[Sequence[_Planned]]) -> None:
    """One use of each grant that a redemption touches; the grant of a refused ask is only read, to record the refusal.

    What the grant itself covers is looked at once more when it is there: a token never widens it.
    """
    wanted: dict[tuple[int, str], list[_Planned]] = {}
    for number, group in enumerate(planned):
        for one in group:
            if one.named is not None and not one.refused:
                wanted.setdefault((number, one.named), []).append(one)
    uses = [Use(grant, asked[0].by.department or "") for (_, grant), asked in wanted.items()]
    for asked, result in zip(wanted.values(), await take_uses(tx, uses), strict=True):
        for one in asked:
            one.grant = result.grant
            if isinstance(result, Taken):
                grant, within = result.grant, granted(result.grant, one.ask.type_code)
                one.granted = [path for path in one.granted if path in within]
                one.checks[Step.GRANT] = checks.passed(Step.GRANT)
                one.checks[Step.COVERAGE] = _coverage(one.ask, grant.basis, grant.detail["datatypes"], within)  # 4
            elif result.grant is None:
                one.checks[Step.TOKEN] = _unknown_grant()
            else:
                one.checks[Step.GRANT] = checks.failed(Step.GRANT, result.code, result.zh, result.en)
    others = [one for group in planned for one in group if one.grant is None and one.named is not None]
    known = await by_public_ids(tx, (str(one.named) for one in others))
    for one in others:
        one.grant = known.get(str(one.named))


async def _answer(
    tx: Tx,
    planned: Sequence[Sequence[_Planned]],
    items: Mapping[str, ServiceItem],
    types: Mapping[str, CertificateType],
    checking: Checking | None,
) -> list[list[tuple[Verdict, Look | None]]]:
    """The verdicts of all asks, not recorded yet."""
    asking = [one for group in planned for one in group if one.grant is not None and not one.refused]
    found = iter(await opened_of_holders(tx, [_wanted(one) for one in asking if one.grant is not None]))
    shown = {id(one): _present(opened, tx.now) for one, opened in zip(asking, found, strict=True)}
    keys = await _keys(tx, (opened for some in shown.values() for opened in some))
    candidates = [_candidate(one, opened, keys, types) for one in asking for opened in shown[id(one)]]
    known = await (checking or checked_here(tx.memory))(candidates)
    genuine = iter(zip(candidates, known, strict=True))
    drafts: list[list[tuple[Verdict, Look | None]]] = []
    for group in planned:
        answers: list[tuple[Verdict, Look | None]] = []
        for one in group:
            grant, certificates = one.grant, shown.get(id(one))
            if grant is None or certificates is None:
                answers.append(_close(tx, one))
            elif not certificates:
                answers.append(_no_record(tx, one))
            else:
                kind, item = types[one.ask.type_code], items[grant.item_code]
                answers += [_judge(tx, one, grant, opened, *next(genuine), kind, item) for opened in certificates]
        drafts.append(answers)
    return drafts


def _wanted(one: _Planned) -> Wanted:
    grant = one.grant
    if grant is None:  # the caller left those out
        raise RuntimeError("an ask without a grant is not looked up")
    return Wanted(grant.holder, one.ask.type_code, grant.detail.get("identifier") or one.ask.certificate)


def _present(opened: list[Opened] | Gone, now: datetime) -> list[Opened]:
    if isinstance(opened, Gone):
        raise opened
    # One that was made for a day and is over is no finding beside one that stands.
    lasting = [one for one in opened if not lapsed(one.held.certificate, now)]
    return lasting or opened


async def _keys(tx: Tx, opened: Iterable[Opened]) -> dict[str, DepartmentKey | None]:
    """By certificate: its issuer's key with its whole life."""
    remembered = await trust.current(tx)
    return {
        certificate.public_id: await remembered.find_key(tx, department=certificate.department, kid=certificate.kid)
        for certificate in (one.held.certificate for one in opened)
    }


def _candidate(
    one: _Planned, opened: Opened, keys: Mapping[str, DepartmentKey | None], types: Mapping[str, CertificateType]
) -> Candidate:
    questions = questions_in(one.grant, one.ask) if one.grant is not None else []
    paths = own_paths(_paths(one), opened.held, types[one.ask.type_code])
    return Candidate(opened.rested, keys[opened.held.certificate.public_id], paths, questions)


def _paths(one: _Planned) -> tuple[ClaimPath, ...]:
    return one.ask.fields if one.ask.fields is not None else tuple(one.granted)


def _judge(
    tx: Tx,
    one: _Planned,
    grant: Grant,
    opened: Opened,
    candidate: Candidate,
    known: Genuine | None,
    kind: CertificateType,
    item: ServiceItem,
) -> tuple[Verdict, Look | None]:
    certificate, done = opened.held.certificate, dict(one.checks)
    done[Step.SIGNATURE] = checks.signature(known is not None, certificate.department in kind.issuers)  # 5
    done[Step.ISSUER_KEY] = checks.issuer_key(candidate.key, certificate.registered_at)  # 6
    ages = [age for age in (kind.max_age_days, max_age(item, kind.code)) if age is not None]
    done[Step.VALIDITY] = checks.validity(certificate, tx.now, min(ages, default=None), _last_good(one, item))  # 7
    done[Step.STATUS] = checks.status(certificate, opened.listed)  # 8
    done[Step.HOLDER] = checks.holder(_is_the_cases(one.redemption.case, grant))  # 9
    done[Step.LEDGER] = checks.ledger(opened.leaf_index, certificate.registered_at, tx.now)  # 10
    listed = checks.complete(done)
    outcome, reason = checks.outcome(listed)
    paths: tuple[ClaimPath, ...] = ()
    answers: tuple[PredicateAnswer, ...] = ()
    shown = None
    if outcome is Outcome.ACCEPTED and known is not None:
        paths = _paths(one)
        shown = known.show(candidate.paths)
        if candidate.questions:  # all claims are read for them alone
            answers = answers_to(candidate.questions, known.claims)
    verdict = Verdict(
        outcome=outcome,
        reason=reason,
        checks=listed,
        type_code=one.ask.type_code,
        certificate=certificate.public_id,
        issuer=certificate.department,
        registered_at=certificate.registered_at,
        sd_jwt=shown.sd_jwt if shown else None,
        claims=shown.claims if shown else None,
        predicates=answers,
        at=tx.now,
        by=one.by.department,
    )
    look = _look(
        one,
        grant,
        outcome,
        reason,
        certificate=certificate.public_id,
        fields=paths,
        predicates=tuple(predicate_name(answer) for answer in answers),
    )
    return verdict, look


def _last_good(one: _Planned, item: ServiceItem) -> int | None:
    """How old an answer may be because its source cannot be reached just now, and the item says so."""
    ended = one.pulled
    if ended is None or ended.outcome is not PullOutcome.UNAVAILABLE:
        return None
    return last_good_days(item, one.ask.type_code)


def _is_the_cases(case: CaseFacts | None, grant: Grant) -> bool:
    return (
        case is not None
        and case.open
        and case.public_id == grant.case_id
        and case.holder_for(grant.basis) == grant.holder
    )


def _no_record(tx: Tx, one: _Planned) -> tuple[Verdict, Look | None]:
    """Nothing is held. When its department was asked just now, what that came to is said, and nothing else."""
    if one.pulled is not None or one.ask.type_code in one.redemption.unasked:
        outcome, reason = PULL_VERDICTS[one.pulled.outcome if one.pulled is not None else PullOutcome.NOT_MADE]
        if outcome is Outcome.UNDECIDED:
            one.checks[Step.VALIDITY] = checks.pulled(reason)
        return _close(tx, one, outcome, reason)
    return _close(tx, one, Outcome.NO_RECORD, "certificate.none_registered")


def _close(
    tx: Tx, one: _Planned, outcome: Outcome | None = None, reason: str = ""
) -> tuple[Verdict, Look | None]:
    """The verdict of an ask for which no certificate was looked at; without `outcome` the checks decide."""
    listed = checks.complete(one.checks)
    if outcome is None:
        outcome, reason = checks.outcome(listed)
    verdict = Verdict(
        outcome=outcome, reason=reason, checks=listed, type_code=one.ask.type_code, at=tx.now, by=one.by.department
    )
    return verdict, None if one.grant is None else _look(one, one.grant, outcome, reason)


def _look(
    one: _Planned,
    grant: Grant,
    outcome: Outcome,
    reason: str,
    *,
    certificate: str | None = None,
    fields: tuple[ClaimPath, ...] = (),
    predicates: tuple[dict[str, Any], ...] = (),
) -> Look:
    taken = one.checks.get(Step.GRANT)
    return Look(
        subject_id=grant.holder,
        department=one.by.department or "",
        officer_id=one.by.officer_id,
        item_code=grant.item_code,
        case_id=grant.case_id,
        purpose=grant.purpose,
        basis=str(grant.basis),
        outcome=outcome,
        reason=reason,
        type_code=one.ask.type_code,
        certificate=certificate,
        fields=fields,
        predicates=predicates,
        grant_public_id=grant.public_id,
        # Only a use holds the grant's row lock. What a refusal has read may be old by the time it is recorded.
        grant_seq=grant.seq if taken is not None and taken.result is CheckResult.PASSED else None,
        visible_at=grant.visible_at,
    )


async def _record(tx: Tx, drafts: list[tuple[Verdict, Look | None]], meanwhile: Callable[[], None]) -> None:
    for verdict in (verdict for verdict, look in drafts if look is None):
        verdict.leaf_hash = await record_anonymous(tx, department=verdict.by or "", reason=verdict.reason)
    looked = [(verdict, look) for verdict, look in drafts if look is not None]

    def named(recorded: list[Recorded]) -> None:
        for (verdict, _), done in zip(looked, recorded, strict=True):
            verdict.access, verdict.leaf_hash = done.public_id, done.leaf_hash
        meanwhile()

    await record(tx, [look for _, look in looked], meanwhile=named)

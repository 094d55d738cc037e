"""The numbered checks of one certificate. Pure: facts in, results out; nothing here reads or writes.

 5. signature    the stored bytes are what the department signed, and the department may issue this type
 6. issuer_key   its key was in force when the certificate was registered, and is not distrusted since before
 7. validity     not before, not after, and for living types not older than the item allows
 8. status       the newest department-signed list says valid; the hub's own state is never milder
 9. holder       the certificate's holder is the person that the case is about
10. ledger       its registration is in the ledger (or was made a moment ago)
"""

from datetime import date, datetime, timedelta
from functools import lru_cache

from hub.access.model import Outcome
from hub.certificates.model import Certificate, CertificateState
from hub.certificates.status import Standing
from hub.clock import civil_day
from hub.registry.keys import DepartmentKey
from hub.verification.model import STEPS, Check, CheckResult, Step

PENDING_IS_FINE_FOR = timedelta(seconds=10)


@lru_cache(maxsize=256)
def passed(step: Step, zh: str = "通过", en: str = "passed") -> Check:
    """A check that holds."""
    return Check(step, CheckResult.PASSED, f"{step}.passed", zh, en)


def failed(step: Step, code: str, zh: str, en: str) -> Check:
    """A check that does not hold."""
    return Check(step, CheckResult.FAILED, code, zh, en)


def undecided(step: Step, code: str, zh: str, en: str) -> Check:
    """A check that could not be made; says nothing about the certificate."""
    return Check(step, CheckResult.UNDECIDED, code, zh, en)


@lru_cache(maxsize=64)
def not_needed(step: Step) -> Check:
    """A check that the answer does not depend on."""
    return Check(step, CheckResult.NOT_NEEDED, f"{step}.not_needed", "未进行", "not needed")


def signature(holds: bool, may_issue: bool) -> Check:
    """Check 5."""
    if not holds:
        return failed(
            Step.SIGNATURE,
            "signature.invalid",
            "签名与内容不符，内容可能被改动。",
            "The signature does not match.",
        )
    if not may_issue:
        return failed(
            Step.SIGNATURE,
            "signature.issuer_not_allowed",
            "签发部门无权签发此类证照。",
            "The issuer may not issue this type.",
        )
    return passed(Step.SIGNATURE)


def issuer_key(key: DepartmentKey | None, registered_at: datetime) -> Check:
    """Check 6: validity is judged at registration time, not by what the certificate says of itself."""
    if key is None:
        return failed(
            Step.ISSUER_KEY,
            "issuer_key.unknown",
            "签名密钥未在平台登记。",
            "The signing key is not registered.",
        )
    ends = [end for end in (key.not_after, key.retired_at) if end is not None]
    if registered_at < key.not_before or any(registered_at >= end for end in ends):
        return failed(
            Step.ISSUER_KEY,
            "issuer_key.not_in_force",
            "登记时签名密钥不在有效期内。",
            "The key was not in force when the certificate was registered.",
        )
    if key.distrusted_from is not None and registered_at >= key.distrusted_from:
        return failed(
            Step.ISSUER_KEY,
            "issuer_key.distrusted",
            "签名密钥已被宣布不可信。",
            "The key was declared compromised from a moment before registration.",
        )
    return passed(Step.ISSUER_KEY)


def validity(
    certificate: Certificate, now: datetime, max_age_days: int | None, last_good: int | None = None
) -> Check:
    """Check 7. `last_good`: the source cannot be reached now, and the item takes an answer up to so many days old."""
    if certificate.valid_from is not None and now < certificate.valid_from:
        return failed(
            Step.VALIDITY, "validity.not_yet", "证照尚未生效。", "The certificate is not valid yet."
        )
    if certificate.valid_until is not None and now >= certificate.valid_until:
        return failed(Step.VALIDITY, "validity.expired", "证照已过有效期。", "The certificate has expired.")
    age = _age(certificate.as_of, now)
    if max_age_days is not None and age > max_age_days:
        if last_good is not None and age <= last_good:
            return passed(
                Step.VALIDITY,
                f"数据源暂时不通，用的是截至 {certificate.as_of} 的最近一次答复（本事项允许）",
                f"the source cannot be reached; the last answer, as of {certificate.as_of}, is allowed by the item",
            )
        return undecided(
            Step.VALIDITY,
            "validity.outdated",
            f"数据截至日期早于 {max_age_days} 天，需源部门更新。",
            f"The data is older than {max_age_days} days; the source must update it.",
        )
    return passed(Step.VALIDITY)


def _age(as_of: date | None, now: datetime) -> int:
    return (civil_day(now) - as_of).days if as_of is not None else 0


def status(certificate: Certificate, standing: Standing | None) -> Check:
    """Check 8; `standing` None means that the certificate has no status index and lives by its end alone."""
    hub = {
        CertificateState.REVOKED: ("status.revoked", "证照已被发证部门撤销。", "Revoked by its issuer."),
        CertificateState.SUSPENDED: (
            "status.suspended",
            "证照已被发证部门暂停。",
            "Suspended by its issuer.",
        ),
        CertificateState.SUPERSEDED: (
            "status.superseded",
            "证照已被新证照取代。",
            "Superseded by a newer one.",
        ),
    }.get(certificate.state)
    if hub is not None:
        return failed(Step.STATUS, *hub)
    if standing is Standing.INVALID:
        return failed(Step.STATUS, "status.revoked", "证照已被发证部门撤销。", "Revoked by its issuer.")
    if standing is Standing.SUSPENDED:
        return failed(Step.STATUS, "status.suspended", "证照已被发证部门暂停。", "Suspended by its issuer.")
    if standing is Standing.STALE:
        return undecided(
            Step.STATUS,
            "status.stale",
            "发证部门的状态列表已过期，暂时无法确认是否撤销。",
            "The issuer's status list is out of date; nothing can be said of revocation now.",
        )
    if standing is Standing.MISSING:
        return undecided(
            Step.STATUS, "status.missing", "没有可用的状态列表。", "There is no status list to ask."
        )
    return passed(Step.STATUS) if standing is not None else not_needed(Step.STATUS)


def holder(is_the_cases: bool) -> Check:
    """Check 9."""
    if is_the_cases:
        return passed(Step.HOLDER)
    return failed(
        Step.HOLDER,
        "holder.not_the_applicant",
        "持证人不是该办件的申请人或其孩子，或办件已结束。",
        "The holder is not the person that this open case is about.",
    )


def ledger(leaf_index: int | None, registered_at: datetime, now: datetime) -> Check:
    """Check 10."""
    if leaf_index is not None:
        zh, en = f"已登入透明日志第 {leaf_index} 号", f"in the ledger at index {leaf_index}"
        return Check(Step.LEDGER, CheckResult.PASSED, f"{Step.LEDGER}.passed", zh, en)  # no other is like it
    if now - registered_at <= PENDING_IS_FINE_FOR:
        return passed(Step.LEDGER, "刚刚登记，正在编入日志", "registered a moment ago, being sequenced")
    return undecided(
        Step.LEDGER,
        "ledger.not_sequenced",
        "登记记录尚未编入透明日志。",
        "Its registration has not been sequenced into the ledger yet.",
    )


_PULLED = {
    "pull.ambiguous": (
        "发证部门查到多条符合的记录，不能替本人选一条；请看原件，或请发证部门核对。",
        "Its department has several matching records and none is guessed: look at the original, or ask there.",
    ),
    "pull.not_covered": (
        "发证部门没有查到，但可能不在其电子数据范围内，不等于没有；请看原件。",
        "Its department found nothing, but it may lie outside its electronic data: look at the original.",
    ),
    "pull.unusable": (
        "发证部门有记录，但数据有误，暂时签不出证照；请发证部门更正，急办看原件。",
        "Its department has a record that is faulty and cannot be signed: it must be corrected there.",
    ),
    "pull.name_differs": (
        "发证部门的记录与申请人姓名不一致；请向发证部门申请更正，急办看原件。",
        "The name in its department's record differs from the applicant's: it must be corrected there.",
    ),
    "pull.refused": (
        "发证部门没有认可这次同意；请重新请求授权。",
        "Its department did not accept the consent: ask for consent again.",
    ),
    "pull.unavailable": (
        "发证部门的数据源暂时连不上，不等于没有记录；请稍后再试，急办看原件。",
        "Its department's source cannot be reached, which is no “no record”: try again, or look at the original.",
    ),
    "pull.not_made": (
        "平台没有登记，但发证部门可以当场提供；批量核验和依职能查验不向发证部门取证。请经本人同意单独核验。",
        "Not held here, but its department answers on the spot; batches and looks by office power do not ask it. "
        "Verify it alone, with consent.",
    ),
}


def pulled(code: str) -> Check:
    """Its department was asked just now, and nothing can be said of a certificate: why, and what to do."""
    return undecided(Step.VALIDITY, code, *_PULLED[code])


def complete(checks: dict[Step, Check]) -> tuple[Check, ...]:
    """All ten checks in their order; those that were not made are named as not needed."""
    return tuple(checks.get(step, not_needed(step)) for step in STEPS)


def outcome(checks: tuple[Check, ...]) -> tuple[Outcome, str]:
    """Failed beats undecided beats passed; the reason is the first deciding check's code."""
    if all(check.result is CheckResult.PASSED for check in checks):
        return Outcome.ACCEPTED, "accepted"
    for result, word in ((CheckResult.FAILED, Outcome.REFUSED), (CheckResult.UNDECIDED, Outcome.UNDECIDED)):
        for check in checks:
            if check.result is result:
                return word, check.code
    return Outcome.ACCEPTED, "accepted"

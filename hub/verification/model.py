"""The parts of a Verdict: numbered checks, an outcome, and only what was granted."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from hub.access.model import Outcome
from hub.catalogue.items import ClaimPath


class CheckResult(StrEnum):
    """Undecided is not failed: "cannot reach the source" is never "no record"."""

    PASSED = "passed"
    FAILED = "failed"
    UNDECIDED = "undecided"
    NOT_NEEDED = "not_needed"


class Step(StrEnum):
    """The checks in their order; a Verdict names each of them, with its result."""

    TIME = "time"
    TOKEN = "token"
    GRANT = "grant"
    COVERAGE = "coverage"
    SIGNATURE = "signature"
    ISSUER_KEY = "issuer_key"
    VALIDITY = "validity"
    STATUS = "status"
    HOLDER = "holder"
    LEDGER = "ledger"


STEP_WORDS: dict[Step, tuple[str, str]] = {
    Step.TIME: ("时间", "Time"),
    Step.TOKEN: ("授权凭证", "Consent token"),
    Step.GRANT: ("授权有效", "Grant standing"),
    Step.COVERAGE: ("在授权范围内", "Within the grant"),
    Step.SIGNATURE: ("发证部门签名", "Issuer's signature"),
    Step.ISSUER_KEY: ("签名密钥有效", "Issuer's key"),
    Step.VALIDITY: ("在有效期内", "Validity"),
    Step.STATUS: ("未撤销", "Not revoked"),
    Step.HOLDER: ("持证人与申请人一致", "Holder is the applicant"),
    Step.LEDGER: ("已登入透明日志", "In the ledger"),
}

STEPS = tuple(Step)


@dataclass(frozen=True, slots=True)
class Check:
    """One numbered check of a Verdict; `code` is a stable word, the texts are for people."""

    step: Step
    result: CheckResult
    code: str
    zh: str
    en: str

    @property
    def number(self) -> int:
        """Its place in the list, from 1."""
        return STEPS.index(self.step) + 1


@dataclass(frozen=True, slots=True)
class PredicateAnswer:
    """A yes/no answer that the hub computed: marked so, and outside the issuer's signature (promise 1)."""

    path: ClaimPath
    op: str
    value: Any
    answer: bool
    attested_by: str = "hub"


@dataclass(frozen=True, slots=True)
class Ask:
    """What a verifier wants from one certificate type; `fields` None means everything that was granted."""

    type_code: str
    fields: tuple[ClaimPath, ...] | None = None
    predicates: bool = True
    basis: str | None = None
    certificate: str | None = None


@dataclass(slots=True)
class Verdict:
    """The answer about one certificate: what was checked, how it ended, and the issuer-signed disclosures.

    `sd_jwt` is signed by the department and can be checked offline; `claims` is the same, unpacked for
    convenience. `access` and `leaf_hash` name the durable record of this look, `by` the department
    that looked.
    """

    outcome: Outcome
    reason: str
    checks: tuple[Check, ...]
    type_code: str
    certificate: str | None = None
    issuer: str | None = None
    registered_at: datetime | None = None
    sd_jwt: str | None = None
    claims: Mapping[str, Any] | None = None
    predicates: tuple[PredicateAnswer, ...] = ()
    access: str | None = None
    leaf_hash: bytes | None = None
    at: datetime | None = None
    by: str | None = None

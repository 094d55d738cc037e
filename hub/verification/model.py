"""The parts of a Verdict: numbered checks, an outcome, and only what was granted; and pulls with their ends."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from hub.access.model import Outcome
from hub.catalogue.items import ClaimPath
from hub.store.base import Instant, Json, metadata


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


class PullState(StrEnum):
    """A pull waits for the agent, is taken by it (for a while: an agent may die), and ends once."""

    WAITING = "waiting"
    TAKEN = "taken"
    ENDED = "ended"


class PullOutcome(StrEnum):
    """How a pull ended. Only NOT_FOUND and NOT_CURRENT say that there is no record; the others say nothing of it."""

    REGISTERED = "registered"
    NOT_FOUND = "not_found"
    NOT_CURRENT = "not_current"
    AMBIGUOUS = "ambiguous"
    NOT_COVERED = "not_covered"
    UNUSABLE = "unusable"
    NAME_DIFFERS = "name_differs"
    REFUSED = "refused"
    UNAVAILABLE = "unavailable"
    NOT_MADE = "not_made"


PULL_VERDICTS: Mapping[PullOutcome, tuple[Outcome, str]] = {
    PullOutcome.REGISTERED: (Outcome.UNDECIDED, "pull.unavailable"),
    PullOutcome.NOT_FOUND: (Outcome.NO_RECORD, "pull.not_found"),
    PullOutcome.NOT_CURRENT: (Outcome.NO_RECORD, "pull.not_current"),
    PullOutcome.AMBIGUOUS: (Outcome.UNDECIDED, "pull.ambiguous"),
    PullOutcome.NOT_COVERED: (Outcome.UNDECIDED, "pull.not_covered"),
    PullOutcome.UNUSABLE: (Outcome.UNDECIDED, "pull.unusable"),
    PullOutcome.NAME_DIFFERS: (Outcome.UNDECIDED, "pull.name_differs"),
    PullOutcome.REFUSED: (Outcome.UNDECIDED, "pull.refused"),
    PullOutcome.UNAVAILABLE: (Outcome.UNDECIDED, "pull.unavailable"),
    PullOutcome.NOT_MADE: (Outcome.UNDECIDED, "pull.not_made"),
}
"""What a verdict says when nothing is held after a pull: "cannot be reached" never becomes "no record"."""


@dataclass(frozen=True, slots=True)
class PullEnd:
    """How one pull ended; `reason` is a stable word for operators, never about a person."""

    outcome: PullOutcome
    reason: str = ""


Pulled = Mapping[tuple[str, str], PullEnd]
"""(public id of the grant, certificate type) -> how the pull made for it just now ended."""

pulls = sa.Table(
    "pulls",
    metadata,
    # One question to a department's agent. Nothing personal rests here: the order is made when the agent takes it.
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("public_id", sa.String(43), nullable=False, unique=True, comment="jti of the order, for ever"),
    sa.Column("department", sa.String(32), nullable=False, comment="who is asked"),
    sa.Column("type_code", sa.String(48), nullable=False),
    sa.Column("verifier", sa.String(32), nullable=False),
    sa.Column("grant_public_id", sa.String(43), nullable=False),
    sa.Column("subject_id", sa.Uuid, nullable=False),
    sa.Column("fields", Json, nullable=False, comment="claim paths of the grant"),
    sa.Column("access", sa.String(43), nullable=False, comment="the look recorded before anything left"),
    sa.Column("state", sa.String(8), nullable=False),
    sa.Column("asked_at", Instant, nullable=False),
    sa.Column("deadline", Instant, nullable=False, comment="how long the verifier waits"),
    sa.Column("taken_until", Instant, comment="an agent that is silent by then has lost it"),
    sa.Column("ended_at", Instant),
    sa.Column("outcome", sa.String(16)),
    sa.Column("reason", sa.String(64)),
    sa.Column("certificate", sa.String(43)),
    sa.Index("ix_pulls_open", "department", "state"),
    sa.Index("ix_pulls_grant", "grant_public_id", "type_code"),
    sa.Index("ix_pulls_ended", "ended_at"),
)

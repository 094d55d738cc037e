"""The parts of a Verdict."""

from dataclasses import dataclass
from enum import StrEnum

class CheckResult(StrEnum):
    """Undecided is not failed: "cannot reach the source" is never "no record"."""

    PASSED = "passed"
    FAILED = "failed"
    UNDECIDED = "undecided"
    NOT_NEEDED = "not_needed"


@dataclass(frozen=True, slots=True)
class Check:
    """One numbered check of a Verdict."""

    number: int
    name: str
    result: CheckResult
    code: str
    zh: str
    en: str

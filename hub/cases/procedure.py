"""Procedures as data: which departments decide a case of an item, each with its legal clock and reason codes.

An item without a procedure file has one step: its own department, within the statutory days of the item.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from hub.catalogue.items import ServiceItem
from hub.errors import Malformed, Unprocessable
from hub.registry.datafiles import display, in_locale, load_folder

DAYS_OTHERWISE = 20
"""Working days where nothing is published: Administrative Licensing Law, article 42, shown as unconfirmed."""
KEPT_OTHERWISE = 10


@dataclass(frozen=True, slots=True)
class StepPlan:
    """One department's part: `reads` are the certificate types that it answers for, `days` working days."""

    code: str
    department: str
    display: Mapping[str, str]
    days: int
    unconfirmed: bool
    reads: tuple[str, ...]

    def label(self, locale: str = "zh-CN") -> str:
        """Its name."""
        return in_locale(self.display, locale)


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a step was decided so; the closed list from which an officer chooses."""

    code: str
    passed: bool
    display: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Procedure:
    """All steps of an item; they run in parallel. `retention_years`: how long its archive package is kept."""

    code: str
    steps: tuple[StepPlan, ...]
    reasons: tuple[Reason, ...]
    retention_years: int

    def step(self, code: str) -> StepPlan:
        """The step `code`. Raises Unprocessable `step.unknown`."""
        for step in self.steps:
            if step.code == code:
                return step
        raise Unprocessable("step.unknown", "没有这个环节。", "There is no such step.")

    def reason(self, code: str, *, passed: bool) -> Reason:
        """The reason `code` for this kind of decision. Raises Unprocessable `step.reason_unknown`."""
        for reason in self.reasons:
            if reason.code == code and reason.passed is passed:
                return reason
        raise Unprocessable(
            "step.reason_unknown",
            "请从列表中选择与决定相符的理由。",
            "Choose a reason of the list that fits the decision.",
        )


REASONS = (
    Reason("verified", True, {"zh-CN": "核对无误", "en": "Verified, correct"}),
    Reason("not_eligible", False, {"zh-CN": "不符合申请条件", "en": "Conditions are not met"}),
    Reason("false_material", False, {"zh-CN": "材料不实", "en": "Material is false"}),
    Reason("not_mended", False, {"zh-CN": "逾期未补正", "en": "Not mended in time"}),
)
"""For every item that lists none of its own."""


def procedure_of(item: ServiceItem) -> Procedure:
    """The procedure of an item: its file, or one step of its own department."""
    known = load_procedures().get(item.code)
    if known is not None:
        return known
    total = item.statutory_days.total
    unconfirmed = total is None or item.statutory_days.unconfirmed
    step = StepPlan("decide", item.department, item.display, total or DAYS_OTHERWISE, unconfirmed, ())
    return Procedure(item.code, (step,), REASONS, KEPT_OTHERWISE)


@cache
def load_procedures() -> Mapping[str, Procedure]:
    """Every procedure file that comes with the hub. Raises `Malformed("procedure.file_invalid")`."""
    return load_folder(files("hub.cases").joinpath("procedures"), _parse, _invalid)


def _invalid(name: str, fault: Exception) -> Malformed:
    return Malformed(
        "procedure.file_invalid", f"办理流程文件无效：{name}", f"invalid procedure file {name}: {fault}"
    )


def _parse(raw: dict[str, Any]) -> Procedure:
    steps = tuple(
        StepPlan(
            code=one["code"],
            department=one["department"],
            display=display(one["display"]),
            days=one["days"],
            unconfirmed=one["unconfirmed"],
            reads=tuple(one["reads"]),
        )
        for one in raw["steps"]
    )
    if not steps or len({step.code for step in steps}) != len(steps) or min(s.days for s in steps) < 1:
        raise ValueError("a procedure has steps with codes of their own and at least one day each")
    reasons = tuple(
        Reason(one["code"], one["passed"], display(one["display"])) for one in raw.get("reasons", ())
    )
    if reasons and {reason.passed for reason in reasons} != {True, False}:
        raise ValueError("reasons are needed for yes and for no")
    return Procedure(raw["code"], steps, reasons or REASONS, raw["retention_years"])

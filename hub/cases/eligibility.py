"""May this child apply at all? The published conditions of enrolment by points, each with its reason. Pure.

A condition is met, not met, or unknown (None): what was not shown is never read as "no". Repeating a school year
and the blacklist of false material are not in any certificate and are left to the bureau.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

from hub.cases.measures import permits_of
from hub.cases.residence import residence
from hub.cases.scoring import Evidence, Shown
from hub.errors import Unprocessable


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition. `certificate_id` is what the answer rests on, None when nothing was shown."""

    code: str
    met: bool | None
    zh: str
    en: str
    certificate_id: str | None


_Judge = Callable[[Shown, date], tuple[bool, str, str]]


def conditions(evidence: Evidence, *, as_of: date) -> tuple[Condition, ...]:
    """Judge every condition on a civil day, for the parent whose points count and the child.

    Raises `Unprocessable("residence.permit_backwards")`, and `Unprocessable("scoring.value_invalid")` when a
    claim is not what its type says.
    """
    return (
        _judge("age", "孩子年满6至18周岁", "child aged 6 to 18", evidence.child, "birth", "born_on", evidence, as_of),
        _judge("register", "非东莞户籍", "registered elsewhere", evidence.child, "household_register", "origin",
               evidence, as_of),
        _judge("working", "在莞就业或经营", "works or does business here", evidence.parent, "employment", "working",
               evidence, as_of),
        _judge("permit", "持有效居住证", "holds a valid residence permit", evidence.parent, "residence_permit",
               "permits", evidence, as_of),
        _judge("insured", "参加社会保险", "pays social insurance", evidence.parent, "social_insurance",
               "insured_now", evidence, as_of),
    )  # fmt: skip


def eligible(found: tuple[Condition, ...]) -> bool | None:
    """False when any condition is not met, None when none fails but some are unknown, else True."""
    if any(c.met is False for c in found):
        return False
    return None if any(c.met is None for c in found) else True


def _judge(
    code: str, zh: str, en: str, person: str | None, type_: str, claim: str, evidence: Evidence, as_of: date
) -> Condition:
    fitting = [s for s in evidence.shown if s.type == type_ and person in s.holders and claim in s.claims]
    if not fitting:
        return Condition(code, None, f"{zh}：未核实。", f"{en}: not confirmed.", None)
    newest = max(fitting, key=lambda s: (s.as_of or date.min, s.certificate_id))
    try:
        met, why_zh, why_en = _JUDGES[claim](newest, as_of)
    except (TypeError, ValueError, KeyError) as error:
        raise Unprocessable(
            "scoring.value_invalid",
            f"判断条件所需的数据项格式不符：{zh}",
            f"a claim needed for a condition is not what its type says: {code}",
        ) from error
    return Condition(code, met, f"{zh}：{why_zh}。", f"{en}: {why_en}.", newest.certificate_id)


def _age(shown: Shown, as_of: date) -> tuple[bool, str, str]:
    """Six by 31 August of the year of `as_of`, and not yet past eighteen."""
    born = date.fromisoformat(shown.claims["born_on"])
    old_enough = _birthday(born, 6) <= date(as_of.year, 8, 31)
    young_enough = as_of < _birthday(born, 19)
    if not old_enough:
        return False, f"至{as_of.year}年8月31日未满6周岁", f"not 6 by 31 August {as_of.year}"
    return young_enough, "符合" if young_enough else "已超过18周岁", "yes" if young_enough else "past 18"


def _birthday(born: date, years: int) -> date:
    """The day somebody completes so many years; born on 29 February, it is 1 March in other years."""
    try:
        return born.replace(year=born.year + years)
    except ValueError:
        return date(born.year + years, 3, 1)


def _register(shown: Shown, as_of: date) -> tuple[bool, str, str]:
    elsewhere = shown.claims["origin"] in ("elsewhere", "hong_kong_macau")
    return elsewhere, "符合" if elsewhere else "为东莞户籍", "yes" if elsewhere else "registered in Dongguan"


def _permit(shown: Shown, as_of: date) -> tuple[bool, str, str]:
    stay = residence(permits_of(shown.claims["permits"]), as_of)
    if stay.state == "suspended" and stay.renew_by:
        return False, f"已到期中止，{stay.renew_by}前可续签", f"suspended, may be renewed by {stay.renew_by}"
    in_force = stay.state == "in_force"
    return in_force, "有效" if in_force else "无有效居住证", "in force" if in_force else "none in force"


def _yes(claim: str) -> _Judge:
    def judge(shown: Shown, as_of: date) -> tuple[bool, str, str]:
        met = shown.claims[claim] is True
        return met, "是" if met else "否", "yes" if met else "no"

    return judge


_JUDGES: dict[str, _Judge] = {
    "born_on": _age,
    "origin": _register,
    "working": _yes("working"),
    "permits": _permit,
    "insured_now": _yes("insured_now"),
}

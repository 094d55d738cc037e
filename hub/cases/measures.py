"""How each kind of rule turns claims into points, with the arithmetic in words.

Readings that the published text leaves open are decided in docs/decisions/0010-points-bands.md.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

from hub.cases.residence import Permit, Residence, full_months, residence
from hub.cases.scheme import ClaimPath, Rule

Values = Mapping[ClaimPath, Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """Points with their reason; `measures` are named quantities for the order of equal scores."""

    points: Decimal
    zh: str
    en: str
    unconfirmed: bool = False
    measures: Mapping[str, Decimal] = field(default_factory=dict)


NOTHING = Outcome(Decimal(0), "该项数据未核实，按0分计。", "value not confirmed: 0 points.")


def year_bands(rule: Rule, values: Values, as_of: date) -> Outcome:
    """Months -> full years -> the band of the *total* gives the points of every full year."""
    months = _whole(values[rule.sources[0].claims[0]])
    points, zh, en = _banded(rule, months // 12)
    return Outcome(points, f"累计{months}个月，{zh}", f"{months} months in all: {en}")


def residence_bands(rule: Rule, values: Values, as_of: date) -> Outcome:
    """The same bands over unbroken residence."""
    stay = _stay(values[rule.sources[0].claims[0]], as_of)
    zh, en = _stay_in_words(stay)
    points, zh_points, en_points = _banded(rule, stay.months // 12)
    measures = {"residence_years": Decimal(stay.months // 12)}
    return Outcome(points, zh + zh_points, en + en_points, measures=measures)


def work_and_residence(rule: Rule, values: Values, as_of: date) -> Outcome:
    """Years of both work and residence: the smaller of the two, banded."""
    worked = _whole(values[rule.sources[0].claims[0]])
    stay = _stay(values[rule.sources[1].claims[0]], as_of)
    months = min(worked, stay.months)
    points, zh, en = _banded(rule, months // 12)
    return Outcome(
        points,
        f"工作累计{worked}个月，连续居住{stay.months}个月，取较少者{months}个月，{zh}",
        f"{worked} months of work, {stay.months} of residence, the smaller is {months}: {en}",
    )


def kind_years(rule: Rule, values: Values, as_of: date) -> Outcome:
    """Points for each kind of insurance and each of its full years, added up."""
    rate = Decimal(rule.params["per_year"])
    months = [_whole(values[path]) for path in rule.sources[0].claims]
    years = [m // 12 for m in months]
    points = rate * sum(years)
    sum_zh = "+".join(str(y) for y in years)
    return Outcome(
        points,
        f"各险种累计{'、'.join(str(m) for m in months)}个月，满{sum_zh}={sum(years)}年，"
        f"每险种每满一年{rate:f}分：{sum(years)} × {rate:f} = {points:f}分。",
        f"months of each kind {', '.join(str(m) for m in months)}; full years {sum_zh} = {sum(years)}, "
        f"{rate:f} each: {sum(years)} x {rate:f} = {points:f}.",
        measures={"social_insurance_years": Decimal(sum(years))},
    )


def steps(rule: Rule, values: Values, as_of: date) -> Outcome:
    """The highest step that the amount reaches, and only that one."""
    amount = _amount(values[rule.sources[0].claims[0]])
    reached = [s for s in rule.params["steps"] if amount >= Decimal(s["at_least"])]
    if not reached:
        least = min(Decimal(s["at_least"]) for s in rule.params["steps"])
        return Outcome(
            Decimal(0), f"{amount:f}元，不足{least:f}元：0分。", f"{amount:f} yuan is below {least:f}: 0."
        )
    top = max(reached, key=lambda s: Decimal(s["at_least"]))
    floor, points = Decimal(top["at_least"]), Decimal(top["points"])
    return Outcome(
        points,
        f"{amount:f}元，达到{floor:f}元档（只计最高档）：{points:f}分。",
        f"{amount:f} yuan reaches the step of {floor:f} (highest step only): {points:f}.",
    )


def per_full(rule: Rule, values: Values, as_of: date) -> Outcome:
    """Points for each full unit of the sum of the claims, up to a limit."""
    if rule.unconfirmed:
        return NOTHING
    amount = sum((_amount(values[path]) for path in rule.sources[0].claims), Decimal(0))
    unit, rate, cap = (Decimal(rule.params[k]) for k in ("unit", "per_unit", "cap"))
    units = amount // unit
    raw = units * rate
    points = min(raw, cap)
    names = {entry["locale"]: entry["name"] for entry in rule.params["measure"]}
    zh = f"{amount:f}{names['zh-CN']}，每满{unit:f}{names['zh-CN']}{rate:f}分：{units:f} × {rate:f} = {raw:f}分"
    en = f"{amount:f} {names['en']}, {rate:f} per full {unit:f}: {units:f} x {rate:f} = {raw:f}"
    if raw > cap:
        zh, en = f"{zh}，最高{cap:f}分", f"{en}, at most {cap:f}"
    return Outcome(points, f"{zh}。", f"{en}.")


def levels(rule: Rule, values: Values, as_of: date) -> Outcome:
    """Points for a coded level; a level that the published table leaves out is not confirmed."""
    level = str(values[rule.sources[0].claims[0]])
    if level not in rule.params["levels"]:
        return Outcome(
            Decimal(0), "该等级的分值未核实，按0分计。", "value not confirmed: 0 points.", unconfirmed=True
        )
    points = Decimal(rule.params["levels"][level])
    return Outcome(
        points,
        f"{rule.display['zh-CN']}按等级计：{points:f}分。",
        f"{rule.display['en']}, by level ({level}): {points:f}.",
    )


def flag(rule: Rule, values: Values, as_of: date) -> Outcome:
    """All the points when the claim is true, none otherwise."""
    value = values[rule.sources[0].claims[0]]
    if not isinstance(value, bool):
        raise TypeError("a yes/no claim is expected")
    # Housing gives no points (its value is not confirmed), but decides between equal scores.
    measures = {rule.id: Decimal(value)}
    if rule.unconfirmed:
        return Outcome(Decimal(0), NOTHING.zh, NOTHING.en, measures=measures)
    points = Decimal(rule.params["points"]) if value else Decimal(0)
    name, name_en = rule.display["zh-CN"], rule.display["en"]
    return Outcome(
        points,
        f"{name}：{'是' if value else '否'}，{points:f}分。",
        f"{name_en}: {'yes' if value else 'no'}, {points:f}.",
        measures=measures,
    )


def schooling(rule: Rule, values: Values, as_of: date) -> Outcome:
    """Full years at school by a table; a kindergarten counts only if it is approved."""
    path, *condition = rule.sources[0].claims
    stage = {entry["locale"]: entry["name"] for entry in rule.params["stage"]}
    approved = [values[p] for p in condition]
    if any(not isinstance(a, bool) for a in approved):
        raise TypeError("a yes/no claim is expected")
    if not all(approved):
        return Outcome(Decimal(0), "幼儿园未经审批设立：0分。", "the kindergarten is not approved: 0.")
    months = _whole(values[path])
    years = months // 12
    table = rule.params["years"]
    points = max((Decimal(s["points"]) for s in table if years >= s["years"]), default=Decimal(0))
    zh = f"{stage['zh-CN']}{months}个月，满{years}年：{points:f}分。"
    en = f"{months} months of {stage['en']}, {years} full years: {points:f}."
    if years >= rule.params.get("unconfirmed_from", years + 1):
        return Outcome(points, zh + rule.note["zh-CN"], f"{en} {rule.note['en']}", unconfirmed=True)
    return Outcome(points, zh, en)


def age(rule: Rule, values: Values, as_of: date) -> Outcome:
    """Points by age in full years; above the last band each year over takes points off."""
    years = full_months(date.fromisoformat(values[rule.sources[0].claims[0]]), as_of) // 12
    for band in rule.params["bands"]:
        if band["from"] <= years <= band["to"]:
            points = Decimal(band["points"])
            return Outcome(
                points,
                f"{years}周岁，{band['from']}至{band['to']}岁：{points:f}分。",
                f"aged {years}, band {band['from']}-{band['to']}: {points:f}.",
            )
    over, rate = years - int(rule.params["over"]), Decimal(rule.params["per_year_over"])
    if over <= 0:
        return Outcome(
            Decimal(0), f"{years}周岁，不在计分年龄段：0分。", f"aged {years}, below the bands: 0."
        )
    points = over * rate
    return Outcome(
        points,
        f"{years}周岁，超过{rule.params['over']}岁{over}年：{over} × {rate:f} = {points:f}分。",
        f"aged {years}, {over} over {rule.params['over']}: {over} x {rate:f} = {points:f}.",
    )


Kind = Callable[[Rule, Values, date], Outcome]

KINDS: Mapping[str, Kind] = {
    "year_bands": year_bands,
    "residence_bands": residence_bands,
    "work_and_residence": work_and_residence,
    "kind_years": kind_years,
    "steps": steps,
    "per_full": per_full,
    "levels": levels,
    "flag": flag,
    "schooling": schooling,
    "age": age,
}


def _banded(rule: Rule, years: int) -> tuple[Decimal, str, str]:
    """The band of the total, applied to every full year."""
    for band in rule.params["bands"]:
        if years >= band["from"] and (band["to"] is None or years <= band["to"]):
            rate = Decimal(band["per_year"])
            points = rate * years
            zh = f"{band['from']}至{band['to']}年" if band["to"] else f"{band['from']}年及以上"
            en = f"{band['from']}-{band['to']} years" if band["to"] else f"{band['from']} years and more"
            return (
                points,
                f"满{years}年；{zh}档每满一年{rate:f}分：{years} × {rate:f} = {points:f}分。",
                f"{years} full years; band {en}, {rate:f} per full year: {years} x {rate:f} = {points:f}.",
            )
    return Decimal(0), f"满{years}年，不足一年：0分。", "less than one full year: 0."


def permits_of(raw: Any) -> list[Permit]:
    """The permits of a residence certificate's claim; raises `TypeError`, `ValueError` or `KeyError`."""
    permits = [
        Permit(p["kind"], date.fromisoformat(p["valid_from"]), date.fromisoformat(p["valid_until"]))
        for p in raw
    ]
    if any(p.kind not in ("temporary", "residence") for p in permits):
        raise ValueError("unknown kind of permit")
    return permits


def _stay(raw: Any, as_of: date) -> Residence:
    return residence(permits_of(raw), as_of)


def _stay_in_words(stay: Residence) -> tuple[str, str]:
    """Why so many months count, before the bands."""
    if stay.state == "none":
        return "没有居住证，", "no residence permit; "
    if stay.state == "suspended":
        if stay.renew_by:
            return (
                f"居住证已到期中止（{stay.renew_by}前续签可连续计算），",
                f"the permit has ended and is suspended (renewed by {stay.renew_by}, it counts on); ",
            )
        return "居住证到期超过30日未续签，已中止，", "the permit ended over 30 days ago and is suspended; "
    zh = f"居住证自{stay.since}起连续{stay.permit_months}个月"
    en = f"permit unbroken since {stay.since}, {stay.permit_months} months"
    if stay.temporary_months:
        zh += f"，另计2010年前暂住证{stay.temporary_months}个月"
        en += f", and {stay.temporary_months} months of temporary permits before 2010"
    if stay.broken_on:
        zh += f"（此前的居住因未在30日内续签，于{stay.broken_on}中断，不计）"
        en += f" (earlier residence was not renewed within 30 days, lost on {stay.broken_on})"
    return f"{zh}，", f"{en}; "


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise TypeError("a number of months is expected")
    return value


def _amount(value: Any) -> Decimal:
    """A decimal string (money) or a whole number (hours, times); never negative, never a float."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise TypeError("an amount is expected")
    amount = Decimal(value)
    if not amount.is_finite() or amount < 0:
        raise ValueError("an amount is finite and not negative")
    return amount

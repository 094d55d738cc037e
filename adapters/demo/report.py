"""What it comes to: per material the trips and checking days of before, machine time now, and what is not in it."""

from collections.abc import Mapping
from typing import Any

from adapters.demo.story import Told
from adapters.demo.telling import Teller
from adapters.demo.world import World

MARK = "*"


def materials(teller: Teller, world: World, item: Mapping[str, Any], told: Told) -> dict[str, Any]:
    """Print the table and its limits; gives the sums for the summary. Times are measured in this very run."""
    teller.chapter("以前和现在", "Before and now")
    per_certificate = {slug: _milliseconds_each(report) for slug, report in world.synced.items()}
    rows, trips, days = [], 0, 0
    for material in item["materials"]:
        code = next(
            (one["type"] for one in material["satisfied_by"] if one["type"] in told.offline_ms),
            material["satisfied_by"][0]["type"],
        )
        trips += material["trips_before"] or 0
        days += material["days_before"] or 0
        signed, checked = per_certificate.get(material["department"]), told.offline_ms.get(code)
        rows.append(
            (
                _zh(material["display"]),
                _marked(material["trips_before"], material["trips_unconfirmed"]),
                _marked(material["days_before"], material["days_unconfirmed"]),
                f"{signed:.0f} ms" if signed is not None else "-",
                f"{checked:.1f} ms" if checked is not None else "未提供 not given",
            )
        )
    rows.append(("合计 total", f"{trips}{MARK}", str(days), "", ""))
    teller.table(
        "", ("材料 material", "以前跑几趟 trips", "法定核查 工作日 days", "签发登记 signed", "离线核验 checked"), rows,
        right=(1, 2, 3, 4),
    )  # fmt: skip
    verified, scored = told.round.verify_seconds * 1000, told.round.score_seconds * 1000
    teller.note(
        f"现在：{len(told.round.verdicts)} 项一次核验共 {verified:.0f} 毫秒，评分 {scored:.0f} 毫秒，"
        "均为本机实测；家长跑 0 趟。",
        f"Now: all {len(told.round.verdicts)} types were verified in one call of {verified:.0f} ms and scored in "
        f"{scored:.0f} ms, measured here; the parent made no trip.",
    )
    teller.note(
        f"{days} 个工作日是法定时限的合计，是上限，不是平均；其中计生 10 天、公安合计 15 天有出处，"
        f"其余怎样分摊以及跑几趟没有核实（标 {MARK}）。",
        f"{days} working days were the legal limit in all, not a mean; 10 (family planning) and 15 (public security) "
        f"are sourced; how the rest divides, and the trips, are not confirmed ({MARK}).",
    )
    teller.note(
        "机器用时不包括工作人员审核、决定的时间，也不包括家长考虑的时间。“签发登记”是部门代理同步时每份证照的平均用时。",
        "Machine time does not include the time officers take to decide, nor the parent's time to think. "
        "“Signed” is the mean for one certificate in its department's sync.",
    )
    return {"days_before": days, "trips_before": trips, "materials": len(item["materials"])}


def _milliseconds_each(report: Mapping[str, Any]) -> float | None:
    made = int(report.get("registered", 0))
    return float(report["seconds"]) * 1000 / made if made else None


def _marked(value: int | None, unconfirmed: bool) -> str:
    if value is None:
        return "?"
    return f"{value}{MARK if unconfirmed else ''}"


def _zh(display: list[dict[str, str]]) -> str:
    return next(one["name"] for one in display if one["locale"] == "zh-CN")

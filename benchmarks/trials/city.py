"""The school story of a whole city: from nothing but an identity to a place in the public notice.

Every family goes through the real verbs on a real database: case opened with only who they are, planned, one consent
asked for and given, everything gathered in one go, pre-reviewed, accepted, decided by eight departments at once,
scored. Then the city is ranked; one family's record is corrected by its issuer and the city is ranked again. Every
total must equal that of `tests/cases/points_by_hand.py`, which knows the rule text and nothing of the hub; every line
of every score must cite what it rests on; nobody may be asked to bring what a department holds.

What departments do before anybody applies (signing and registering certificates) is set up first and timed apart.
"""

import argparse
import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from fractions import Fraction
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import stage  # puts tests/ on the path
from benchmarks.stage import Person, Stage

# isort: split
from cases import points_by_hand
from cases.applicants import SCHEME, decider
from cases.drawn import HOLDER, papers
from world import SCHOOL

from hub.actor import Actor
from hub.cases import draw, steps
from hub.cases.accept import accept
from hub.cases.evidence import evidence_of
from hub.cases.gather import ask, asked_for, gather
from hub.cases.model import CaseOutcome
from hub.cases.notice import place_of, ranking
from hub.cases.open import Case, by_public_id, open_case
from hub.cases.prereview import PreReview, prereview
from hub.cases.procedure import procedure_of
from hub.cases.scope import in_scope
from hub.cases.score import CaseScore, score_case
from hub.catalogue import planner
from hub.catalogue.plan import Way, plan_item
from hub.certificates.find import by_public_id as certificate_by_public_id
from hub.certificates.register import Supersession
from hub.clock import civil_day, seconds
from hub.formats import statuslist

CLERK = decider("dg-edu", number=9, roles=("clerk",))
SCORER = decider("dg-edu", number=8)
TOGETHER = 8
"""Families on their way at the same moment."""


@dataclass
class Family:
    """A parent, a child, and what the departments know of them."""

    parent: Person
    child: Person
    said: dict[str, dict[str, Any]]
    employment: str | None = None
    case: Case | None = None
    score: CaseScore | None = None
    seconds: float = 0.0


@dataclass
class Report:
    """What came of it; times in seconds, by part of the story."""

    database: str
    families: int
    registered: int = 0
    registered_in: float = 0.0
    parts: dict[str, list[float]] = field(default_factory=dict)
    outcomes: Counter[str] = field(default_factory=Counter)
    ways: Counter[str] = field(default_factory=Counter)
    equal: int = 0
    lines: int = 0
    city: dict[str, float] = field(default_factory=dict)
    paper: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def told(self) -> dict[str, Any]:
        """As JSON: of each part the median and the slowest."""
        parts = {k: {"median": round(median(v), 4), "slowest": round(max(v), 3)} for k, v in self.parts.items()}
        return {**vars(self), "parts": parts}


def main() -> int:
    """Run the trial, print what came of it as JSON; exit status 1 when anything did not hold."""
    parser = argparse.ArgumentParser(prog="./run trial city")
    parser.add_argument("--families", type=int, default=1000)
    parser.add_argument("--only", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with stage.folder() as folder:
        if given.only == "sqlite":
            report = trial("sqlite", folder / "data", "", given.families)
        else:
            with stage.durable_postgres() as url:
                report = trial("postgresql", folder / "data", url or "", given.families)
    text = json.dumps(report.told(), ensure_ascii=False, indent=1)
    given.json.write_text(text + "\n") if given.json else print(text)
    return 1 if report.problems else 0


def trial(name: str, folder: Path, url: str, families: int) -> Report:
    """The whole story on one database."""
    return asyncio.run(_trial(stage.set_stage(folder, url), Report(name, families)))


async def _trial(made: Stage, report: Report) -> Report:
    async with stage.opened(made):
        today = civil_day(made.clock())
        for step in procedure_of(made.items[SCHOOL]).steps:
            await made.department(step.department)
        began = time.monotonic()
        city = [await _family(made, n, today, report) for n in range(report.families)]
        await made.publish()
        report.registered_in = round(time.monotonic() - began, 1)
        announced = await _announced(made, report.families)
        began, turn = time.monotonic(), asyncio.Semaphore(TOGETHER)
        await asyncio.gather(*(_in_turn(turn, made, family, report) for family in city))
        report.city["all_families"] = round(time.monotonic() - began, 1)
        _equal(city, today, report)
        await _ranked(made, announced, city, today, report)
        await made.publish()
        _on_paper(made, report)
    return report


# --- what departments hold --------------------------------------------------------------------------------------


async def _family(made: Stage, number: int, today: date, report: Report) -> Family:
    born = date(2019, 1, 1) + timedelta(days=number % 200)  # 999 numbers a day: no two children share one
    parent, child = made.person(f"家长{number}"), made.person(f"孩子{number}", born.strftime("%Y%m%d"))
    family = Family(parent, child, papers(number, today))
    for code, claims in family.said.items():
        person, role = (child, "child") if code == "school_record" else (parent, HOLDER[code])
        registered = await made.certificate(code, (person, role), **claims)
        report.registered += 1
        if code == "employment":
            family.employment = registered.certificate
    await made.certificate("birth", (child, "child"), (parent, "father"), number=f"B{number}", born_on=str(born))
    household = {"number": f"H{number}", "origin": "elsewhere", "area_code": "431100"}
    await made.certificate("household_register", (parent, "head"), (child, "child"), **household)
    report.registered += 2
    return family


# --- one family -------------------------------------------------------------------------------------------------


async def _in_turn(turn: asyncio.Semaphore, made: Stage, family: Family, report: Report) -> None:
    async with turn:
        began = time.monotonic()
        await _story(made, family, report)
        family.seconds = time.monotonic() - began
        report.parts.setdefault("whole_family", []).append(family.seconds)


async def _story(made: Stage, family: Family, report: Report) -> None:
    item, citizen, child = made.items[SCHOOL], await made.citizen(family.parent), await made.subject(family.child)
    assert citizen.subject_id is not None
    async with _part(report, "open"), made.tx(citizen) as tx:
        case = await open_case(tx, item=item, applicant=citizen.subject_id, beneficiary=child)
    async with _part(report, "plan"), made.view(citizen) as view:
        facts = await planner.facts(view, person=citizen.subject_id, child=child, types=made.types)
        plan = plan_item(item, facts)
    report.ways.update(str(one.best.way) for one in plan.requirements)
    if asked := [one.best.material.code for one in plan.by(Way.BRING) if _held(family, one.best.material)]:
        report.problems.append(f"asked to bring what a department holds: {asked}")
    async with _part(report, "ask"), made.tx(citizen) as tx:
        await ask(tx, case=case, item=item)
        request = (await asked_for(tx, case=case))[0].public_id
    async with _part(report, "agree"):
        await made.agree(family.parent, request)
    async with _part(report, "gather"), made.tx(citizen) as tx:
        await gather(tx, case=case, items=made.items, types=made.types, issuer=made.settings.public_url)
    async with _part(report, "prereview"), made.view(citizen) as view:
        found = await evidence_of(view, case=case)
        looks = {one.type_code: (one.outcome, one.reason) for one in found}
        review = prereview(item, looks=looks, uploads={}, as_of=civil_day(view.now))
    async with _part(report, "accept"):
        await _accepted(made, case, review)
    async with _part(report, "eight_departments"):
        await _decided(made, case, report)
    async with _part(report, "score"):
        family.case, family.score = await _scored(made, case)


def _held(family: Family, material: Any) -> bool:
    held = {*family.said, "birth", "household_register"}
    return any(evidence.type in held for evidence in material.satisfied_by)


async def _accepted(made: Stage, case: Case, review: PreReview) -> None:
    """Accepted by a clerk; a required paper that no department holds may follow (容缺)."""
    lacking = {one.code: date(2099, 1, 1) for one in review.materials if one.blocks}
    async with made.tx(CLERK) as tx:
        seen, scope = await in_scope(tx, case.public_id)
        await accept(
            tx, case=seen, scope=scope, procedure=procedure_of(made.items[SCHOOL]), review=review, lacking=lacking
        )


async def _decided(made: Stage, case: Case, report: Report) -> None:
    procedure = procedure_of(made.items[SCHOOL])

    async def one(code: str, officer: Actor) -> None:
        async with made.tx(officer) as tx:
            seen, _ = await in_scope(tx, case.public_id)
            await steps.decide(
                tx, case=seen, procedure=procedure, code=code, passed=True, reason_code="verified"
            )

    await asyncio.gather(*(one(step.code, decider(step.department)) for step in procedure.steps))
    async with made.view() as view:
        ended = await by_public_id(view, case.public_id)
        found = await steps.steps_of(view, case=ended)
    report.outcomes[str(ended.outcome)] += 1
    if ended.outcome is not CaseOutcome.PASSED or len({step.decided_by for step in found}) != 8:
        report.problems.append("eight departments did not come to one final state")


async def _scored(made: Stage, case: Case) -> tuple[Case, CaseScore]:
    async with made.tx(SCORER) as tx:
        seen = await by_public_id(tx, case.public_id)
        shown = [one.sd_jwt for one in await evidence_of(tx, case=seen) if one.sd_jwt]
        return seen, await score_case(tx, case=seen, scheme=SCHEME, disclosures=shown, types=made.types)


@asynccontextmanager
async def _part(report: Report, name: str) -> AsyncIterator[None]:
    began = time.monotonic()
    yield
    report.parts.setdefault(name, []).append(time.monotonic() - began)


# --- the city ---------------------------------------------------------------------------------------------------


def _equal(city: list[Family], today: date, report: Report) -> None:
    """Every total as the rule text gives it, every line that gives points with its certificate."""
    for family in city:
        assert family.score is not None
        document = family.score.document
        if Fraction(document["total"]) == points_by_hand.points(family.said, today):
            report.equal += 1
        else:
            report.problems.append(f"a total differs from the rule text: {family.said}")
        for line in document["lines"]:
            report.lines += 1
            explained = line["explanation"]["zh-CN"] and line["explanation"]["en"] and line["version"]
            if not explained or (Fraction(line["points"]) > 0 and not line["citations"]):
                report.problems.append(f"a line without its reason: {line['rule']}")


async def _announced(made: Stage, families: int) -> Any:
    async with made.tx(SCORER) as tx:
        return await draw.announce(
            tx, item=made.items[SCHOOL], scheme=SCHEME, title_zh="全市", title_en="City", places=families // 2 or 1
        )


async def _ranked(made: Stage, announced: Any, city: list[Family], today: date, report: Report) -> None:
    """Ranked; one record corrected by its issuer, looked at again, scored again; ranked again."""
    began = time.monotonic()
    async with made.tx(SCORER) as tx:
        found = await draw.close(tx, announced)
    async with made.tx(SCORER) as tx:
        await draw.draw(tx, found, reason="first")
    report.city["ranked"] = round(time.monotonic() - began, 2)
    one = next(family for family in city if family.employment)
    before = await _place(made, one)
    began = time.monotonic()
    await _corrected(made, one)
    assert one.case is not None
    async with made.tx(await made.citizen(one.parent)) as tx:
        await gather(tx, case=one.case, items=made.items, types=made.types, issuer=made.settings.public_url)
    one.case, one.score = await _scored(made, one.case)
    async with made.tx(SCORER) as tx:
        await draw.draw(tx, await ranking(tx, announced.public_id), reason="correction")
    report.city["corrected_and_ranked_again"] = round(time.monotonic() - began, 2)
    after = await _place(made, one)
    if Fraction(one.score.total) != points_by_hand.points(one.said, today):
        report.problems.append("the corrected total differs from the rule text")
    if report.families > 1 and not after < before:
        report.problems.append(f"ten more years of service did not help: {before} -> {after}")


async def _place(made: Stage, family: Family) -> int:
    assert family.case is not None
    async with made.view() as view:
        place = await place_of(view, case_id=family.case.id)
    assert place is not None
    assert place.position is not None
    return place.position


async def _corrected(made: Stage, family: Family) -> None:
    """The issuer supersedes the employment record: ten years of service had been forgotten."""
    assert family.employment is not None
    family.said["employment"]["service_months"] += 240
    issuer = await made.department("dg-hrss")
    async with made.view() as view:
        old = await certificate_by_public_id(view, family.employment)
    uri, index = str(old.status_uri), int(old.status_idx or 0)
    claims = family.said["employment"] | {"version": 2}
    token = await made.sign("employment", [family.parent.as_holder(HOLDER["employment"])], **claims)
    listed = issuer.sign_list(uri, {index: statuslist.INVALID}, seconds(made.clock()))
    await made.register(token, by="dg-hrss", supersedes=Supersession(family.employment, listed))
    issuer.accepted(uri, listed)
    await made.publish()


def _on_paper(made: Stage, report: Report) -> None:
    """What the same city costs on paper: the statutory working days, and one trip for each material and its counter."""
    item = made.items[SCHOOL]
    report.paper = {
        "statutory_working_days_each": item.statutory_days.total or 0,
        "trips_each_unconfirmed": sum(material.trips_before or 0 for material in item.materials),
        "materials_each": len(item.materials),
        "trips_of_the_city_unconfirmed": report.families * sum(m.trips_before or 0 for m in item.materials),
    }


if __name__ == "__main__":
    sys.exit(main())

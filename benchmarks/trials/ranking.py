"""A whole city in one ranking: 100,000 scored applications, closed, drawn, read back and checked from the notice alone.

The scores are those of drawn families (tests/cases/drawn.py), so that equals are many. What is timed is what a
department waits for: closing the list, drawing it, drawing it again after one correction. Must hold: everybody is
placed once; the notice hashes to what the ledger says; computed again from the notice and the seed alone, the order
is the same; after the correction only the corrected application moved among the others.
"""

import argparse
import asyncio
import csv
import hashlib
import io
import json
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from benchmarks import stage  # puts tests/ on the path
from benchmarks.stage import Stage

# isort: split
from cases.applicants import SCHEME, decider
from cases.drawn import papers
from cases.test_points_by_hand import shown
from world import SCHOOL

from hub.cases import draw
from hub.cases.model import CaseState, case_scores, cases, ranking_entries
from hub.cases.notice import Ranking, ranking, whole_notice
from hub.cases.scoring import Evidence, Score, score, ties_of
from hub.ids import public_token, uuid7

DRAWN = 2000
TODAY = date(2026, 11, 23)


@dataclass
class Outcome:
    """How it went on one database; seconds (of the clock, and of this process's CPU) by what was done."""

    database: str
    applicants: int
    scored_each_ms: float = 0.0
    seconds: dict[str, float] = field(default_factory=dict)
    cpu_seconds: dict[str, float] = field(default_factory=dict)
    by_lot: int = 0
    equal: int = 0
    problems: list[str] = field(default_factory=list)


def main() -> int:
    """Run the trial, print what came of it as JSON; exit status 1 when anything did not hold."""
    parser = argparse.ArgumentParser(prog="./run trial ranking")
    parser.add_argument("--applicants", type=int, default=100_000)
    parser.add_argument("--only", choices=["sqlite", "postgresql"], help="one database")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    outcomes = []
    with stage.folder() as folder, stage.durable_postgres() as postgres:
        for name, url in (("sqlite", ""), ("postgresql", postgres)):
            if url is not None and given.only in (None, name):
                outcomes.append(trial(name, folder / name, url, given.applicants))
                print(vars(outcomes[-1]), file=sys.stderr)
    text = json.dumps({"trial": "ranking", "outcomes": [vars(one) for one in outcomes]}, indent=1)
    given.json.write_text(text + "\n") if given.json else print(text)
    return 0 if outcomes and not any(one.problems for one in outcomes) else 1


def trial(name: str, folder: Path, url: str, applicants: int) -> Outcome:
    """The whole trial on one database."""
    return asyncio.run(_trial(stage.set_stage(folder, url), Outcome(name, applicants)))


async def _trial(made: Stage, outcome: Outcome) -> Outcome:
    async with stage.opened(made):
        scores = _scores(outcome)
        await _apply(made, scores, outcome.applicants)
        actor = decider()
        async with made.tx(actor) as tx:
            found = await draw.announce(
                tx, item=made.items[SCHOOL], scheme=SCHEME, title_zh="全市", title_en="The city", places=60_000
            )
        async with _timed(outcome, "close"), made.tx(actor) as tx:
            found = await draw.close(tx, found)
        async with _timed(outcome, "draw"), made.tx(actor) as tx:
            first = await draw.draw(tx, found, reason="first")
        before = await _checked(made, outcome, found, 1, first.sha256)
        corrected = await _correct(made)
        async with _timed(outcome, "draw_again"), made.tx(actor) as tx:
            second = await draw.draw(tx, await ranking(tx, found.public_id), reason="correction")
        after = await _checked(made, outcome, found, 2, second.sha256)
        outcome.equal = await _equals(made)
        if outcome.by_lot != outcome.equal:
            outcome.problems.append("by lot stand others than those who are equal in everything")
        if [r for r in before if r != corrected] != [r for r in after if r != corrected]:
            outcome.problems.append("a correction of one moved others against each other")
        if before.index(corrected) == after.index(corrected):
            outcome.problems.append("the corrected application did not move")
    return outcome


class _timed:
    def __init__(self, outcome: Outcome, what: str) -> None:
        self.outcome, self.what = outcome, what

    async def __aenter__(self) -> None:
        self.began = time.monotonic(), time.process_time()

    async def __aexit__(self, *_: object) -> None:
        self.outcome.seconds[self.what] = round(time.monotonic() - self.began[0], 2)
        self.outcome.cpu_seconds[self.what] = round(time.process_time() - self.began[1], 2)


def _scores(outcome: Outcome) -> list[Score]:
    evidence = [Evidence("parent", "child", shown(papers(n, TODAY))) for n in range(DRAWN)]
    began = time.monotonic()
    found = [score(SCHEME, one, as_of=TODAY) for one in evidence]
    outcome.scored_each_ms = round((time.monotonic() - began) / DRAWN * 1000, 3)
    return found


async def _apply(made: Stage, scores: list[Score], count: int) -> None:
    """Rows as `score_case` leaves them, without certificates behind them: those are another trial's matter."""
    for start in range(0, count, 10_000):
        opened, kept = [], []
        for n in range(start, min(start + 10_000, count)):
            result, case_id, now = scores[n % len(scores)], uuid7(), made.clock()
            opened.append(_case(case_id, now))
            kept.append(_kept(case_id, now, result))
        async with made.tx() as tx:
            await tx.insert(cases, opened)
            await tx.insert(case_scores, kept)


def _case(case_id: Any, now: Any) -> dict[str, Any]:
    return {
        "id": case_id, "public_id": public_token(), "item_code": SCHOOL, "item_version": 1, "department": "dg-edu",
        "applicant": uuid7(), "beneficiary": None, "opened_by": "trial", "state": CaseState.SCORED, "opened_at": now,
    }  # fmt: skip


def _kept(case_id: Any, now: Any, result: Score) -> dict[str, Any]:
    return {
        "id": uuid7(), "case_id": case_id, "scheme": SCHEME.code, "scheme_version": SCHEME.version,
        "total": result.total, "sealed": b"-", "leaf_hash": b"-", "scored_at": now, "scored_by": "trial",
        "as_of": TODAY, "ties": [f"{tie:f}" for tie in ties_of(result)], "sealed_evidence": b"-",
    }  # fmt: skip


async def _correct(made: Stage) -> str:
    """One application gets 40 points more; its receipt."""
    async with made.tx() as tx:
        row = await tx.first(ranking_entries.select().order_by(ranking_entries.c.receipt).limit(1))
        mine = case_scores.c.case_id == row.case_id
        await tx.run(case_scores.update().where(mine).values(total=case_scores.c.total + 40))
    return str(row.receipt)


async def _equals(made: Stage) -> int:
    """How many applications were written that equal another one in total and in every tie."""
    async with made.view() as view:
        rows = await view.all(sa.select(case_scores.c.total, case_scores.c.ties))
    same = Counter((row.total, tuple(row.ties)) for row in rows)
    return sum(number for number in same.values() if number > 1)


async def _checked(made: Stage, outcome: Outcome, found: Ranking, revision: int, sha256: bytes) -> list[str]:
    """The notice, checked as anybody would; the receipts in order."""
    async with _timed(outcome, f"notice_{revision}"), made.view() as view:
        now = await ranking(view, found.public_id)
        text = "".join([piece async for piece in whole_notice(view, now, revision=revision)])
    if hashlib.sha256(text.encode()).digest() != sha256:
        outcome.problems.append("the notice is not what the ledger says")
    rows = list(csv.DictReader(io.StringIO(text)))
    names = sorted(row["receipt"] for row in rows)
    listed = hashlib.sha256("".join(f"{name}\n" for name in names).encode()).digest()
    if listed != now.list_sha256 or len(set(names)) != outcome.applicants or now.seed is None:
        outcome.problems.append("the notice is not the list that was closed")
        return [row["receipt"] for row in rows]
    seed = now.seed

    def key(row: dict[str, str]) -> tuple[Any, ...]:
        lot = hashlib.sha256(b"yimen-lot-v1\0" + seed + listed + row["receipt"].encode()).hexdigest()
        return *(-Decimal(n) for n in (row["total"], *row["ties"].split())), lot

    if sorted(rows, key=key) != rows:
        outcome.problems.append("computed again, the order is another")
    outcome.by_lot = sum(row["by_lot"] == "yes" for row in rows)
    return [row["receipt"] for row in rows]


if __name__ == "__main__":
    sys.exit(main())

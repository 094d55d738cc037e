"""One-use consents, 64 redemptions of each at once through two hub processes: one wins, all are recorded.

On PostgreSQL the calls go to two `yimen serve` processes on one database; on SQLite to the one process that may
have it. Every round has a grant of its own. Must hold in every round: exactly one answer is "accepted", only it
carries claims, the other 63 are refusals for `grant.spent`, the grant shows one use, 64 Accesses stand in the
person's chain without a gap, and at the end `yimen ledger check` passes.
"""

import argparse
import asyncio
import json
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import sqlalchemy as sa

from benchmarks import stage
from benchmarks.stage import JSON, Person, Server, Stage
from hub.access.model import accesses
from hub.consent.model import Grant
from hub.consent.withdraw import by_public_id
from hub.ids import bucket_of

PATH, ASKS = "/v1/verifications", b'{"asks":[{"type":"degree"}]}'


@dataclass
class Outcome:
    """How the trial went on one database."""

    database: str
    processes: int
    at_once: int
    rounds: int = 0
    accepted: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    winners: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether everything held in every round."""
        return not self.problems and self.rounds > 0


def main() -> int:
    """Run the trial, print what came of it as JSON; exit status 1 when anything did not hold."""
    parser = argparse.ArgumentParser(prog="./run trial redeem")
    parser.add_argument("--rounds", type=int, default=50, help="on each database")
    parser.add_argument("--at-once", type=int, default=64)
    parser.add_argument("--only", choices=["sqlite", "postgresql"], help="one database")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    outcomes = []
    with stage.folder() as folder, stage.durable_postgres() as postgres:
        for name, url in (("sqlite", ""), ("postgresql", postgres)):
            if url is None or given.only not in (None, name):
                continue
            outcomes.append(trial(name, folder / name, url, given.rounds, given.at_once))
            print(_line(outcomes[-1]), file=sys.stderr)
    told = {"trial": "redeem", "outcomes": [vars(one) | {"ok": one.ok} for one in outcomes]}
    text = json.dumps(told, ensure_ascii=False, indent=1)
    given.json.write_text(text + "\n") if given.json else print(text)
    return 0 if outcomes and all(one.ok for one in outcomes) else 1


def trial(name: str, folder: Path, url: str, rounds: int, at_once: int) -> Outcome:
    """The whole trial on one database."""
    began = time.monotonic()
    made = stage.set_stage(folder, url)
    outcome = asyncio.run(_trial(made, Outcome(name, 2 if url else 1, at_once), rounds))
    checked = stage.yimen(made.settings, "ledger", "check", "--json")
    if checked.returncode:
        outcome.problems.append(f"ledger check: {checked.stdout.decode()[-500:]}")
    outcome.seconds = round(time.monotonic() - began, 1)
    return outcome


async def _trial(made: Stage, outcome: Outcome, rounds: int) -> Outcome:
    async with stage.opened(made):
        people = [made.person(f"王{number}") for number in range(rounds)]
        for person in people:
            await made.certificate("degree", (person, "owner"))
        await made.publish()
        servers = [await asyncio.to_thread(stage.start_hub, made.settings) for _ in range(outcome.processes)]
        try:
            limits = httpx.Limits(max_connections=outcome.at_once, max_keepalive_connections=outcome.at_once)
            async with httpx.AsyncClient(timeout=120, limits=limits, trust_env=False) as http:
                for person in people:
                    await _round(made, http, servers, person, outcome)
        finally:
            for server in servers:
                await asyncio.to_thread(server.kill)
        await made.publish()
    return outcome


async def _round(
    made: Stage, http: httpx.AsyncClient, servers: list[Server], person: Person, outcome: Outcome
) -> None:
    _, granted = await made.grant(person, ["degree"])
    department = made.departments["dg-edu"]
    token = made.consent_token(department, granted)

    async def redeem(number: int) -> tuple[int, httpx.Response]:
        server = servers[number % len(servers)]
        headers = {**made.headers(department, "POST", PATH, token), "content-type": JSON}
        return server.port, await http.post(
            f"http://127.0.0.1:{server.port}{PATH}", content=ASKS, headers=headers
        )

    answers = await asyncio.gather(*(redeem(number) for number in range(outcome.at_once)))
    outcome.rounds += 1
    winners = 0
    for port, answer in answers:
        verdict = answer.json()["verdicts"][0] if answer.status_code == 200 else {"outcome": answer.text[:200]}
        if verdict["outcome"] == "accepted":
            winners += 1
            outcome.winners[f"process {[one.port for one in servers].index(port) + 1}"] += 1
        else:
            outcome.refused[verdict.get("reason", str(verdict["outcome"]))] += 1
            if verdict.get("claims") or verdict.get("sd_jwt"):
                outcome.problems.append("a refusal carried claims")
    outcome.accepted += winners
    outcome.problems += await _stored(made, person, granted[0], outcome.at_once, winners)
    if set(outcome.refused) - {"grant.spent"}:
        outcome.problems.append(f"refused for another reason: {dict(outcome.refused)}")


async def _stored(made: Stage, person: Person, grant: Grant, at_once: int, winners: int) -> list[str]:
    subject = await made.subject(person)
    async with made.view() as view:
        uses = (await by_public_id(view, grant.public_id)).uses
        chain: list[Any] = [
            row.subject_seq
            for row in await view.all(
                sa.select(accesses.c.subject_seq)
                .where(accesses.c.bucket == bucket_of(subject), accesses.c.subject_id == subject)
                .order_by(accesses.c.subject_seq)
            )
        ]
    told = []
    if (winners, uses) != (1, 1):
        told.append(f"{winners} redemptions won, the grant shows {uses} uses")
    if chain != list(range(1, at_once + 1)):
        told.append(f"{len(chain)} of {at_once} Accesses are recorded, or their chain has a gap")
    return told


def _line(outcome: Outcome) -> str:
    held = "held" if outcome.ok else f"NOT HELD: {outcome.problems[:5]}"
    return (
        f"{outcome.database}: {outcome.rounds} rounds of {outcome.at_once} at once in {outcome.processes} "
        f"process(es), {outcome.accepted} accepted, {outcome.seconds} s: {held}"
    )


if __name__ == "__main__":
    sys.exit(main())

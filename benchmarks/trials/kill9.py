"""SIGKILL the hub at random moments under load, over both databases: nothing that was acknowledged is lost.

Registrations, cases, consents and verifications come in over HTTP. After each kill the hub is started again on the
same data; one in five is killed while it starts. Must hold: every acknowledged thing is there after the restart and
at the end; every call that was in doubt was resolved by its idempotency key, each key did its work exactly once, and
`yimen ledger check` passes. Hubs are forked (`warm.py`), or with --cold started as `yimen serve` is.
"""

import argparse
import asyncio
import json
import random
import secrets
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from benchmarks import stage
from benchmarks.stage import Server, Stage
from benchmarks.trials import warm
from benchmarks.trials.callers import Acknowledged, Callers, doubled, lost
from benchmarks.trials.warm import Forked
from hub.certificates.model import certificates
from hub.ledger.head import read_head

PEOPLE = 6
LIVES = 0.0, 0.6
"""Seconds that a hub works before it is killed, at random between these."""
STARTS = 0.0, 0.5
"""The same of one that is killed while it starts: it takes connections after about 0.4 s."""

Start = Callable[[bool], "Forked | Server"]


@dataclass
class Outcome:
    """How the trial went on one database."""

    database: str
    kills: int = 0
    while_starting: int = 0
    acknowledged: dict[str, int] = field(default_factory=dict)
    in_doubt: dict[str, int] = field(default_factory=dict)
    ledger_size: int = 0
    seconds: float = 0.0
    durability: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether everything held."""
        return not self.problems


def main() -> int:
    """Run the trial, print what came of it as JSON; exit status 1 when anything did not hold."""
    parser = argparse.ArgumentParser(prog="./run trial kill9")
    parser.add_argument("--kills", type=int, default=200, help="in all, half on each database")
    parser.add_argument("--only", choices=["sqlite", "postgresql"], help="one database")
    parser.add_argument("--seed", type=int, help="of the moments; printed, so that a run can be repeated")
    parser.add_argument("--cold", action="store_true", help="start every hub from nothing, imports and all")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    seed = given.seed if given.seed is not None else secrets.randbits(32)
    outcomes = []
    with stage.folder() as folder, stage.durable_postgres() as postgres:
        urls = {"sqlite": "", **({"postgresql": postgres} if postgres else {})}
        wanted = [given.only] if given.only else list(urls)
        for name in wanted:
            if name not in urls:
                print("skipped: PostgreSQL is not installed", file=sys.stderr)
                continue
            kills = given.kills // len(wanted) or 1
            outcomes.append(trial(name, folder / name, urls[name], kills, random.Random(seed), cold=given.cold))
            print(_line(outcomes[-1]), file=sys.stderr)
    told = {"trial": "kill9", "seed": seed, "outcomes": [vars(one) | {"ok": one.ok} for one in outcomes]}
    text = json.dumps(told, ensure_ascii=False, indent=1)
    given.json.write_text(text + "\n") if given.json else print(text)
    return 0 if outcomes and all(one.ok for one in outcomes) else 1


def trial(
    name: str, folder: Path, url: str, kills: int, chance: random.Random, *, cold: bool = False
) -> Outcome:
    """The whole trial on one database."""
    began = time.monotonic()
    made = stage.set_stage(folder, url)
    port = stage.free_port()
    with warm.nursery(made.settings) as nursery:

        def start(wait: bool) -> Forked | Server:
            return stage.start_hub(made.settings, port) if cold else nursery.start(port, wait=wait)

        outcome = asyncio.run(_trial(made, Outcome(name), kills, chance, port, start))
    checked = stage.yimen(made.settings, "ledger", "check", "--json")
    report = json.loads(checked.stdout or "{}")
    if checked.returncode or not report.get("ok") or report.get("pending"):
        outcome.problems.append(f"ledger check: {report.get('failures')} {checked.stderr.decode()[-500:]}")
    outcome.seconds = round(time.monotonic() - began, 1)
    return outcome


async def _trial(
    made: Stage, outcome: Outcome, kills: int, chance: random.Random, port: int, start: Start
) -> Outcome:
    async with stage.opened(made):
        callers = Callers(made, port)
        await callers.prepare(PEOPLE)
        outcome.durability = await stage.durability(made)
        before = await count(made)
        server = await asyncio.to_thread(start, True)
        load = asyncio.create_task(callers.run(registrars=2, verifiers=4, citizens=2))
        seen: frozenset[str] = frozenset()
        try:
            while outcome.kills < kills and not load.done():
                server = await _kill(server, outcome, chance, start, callers.said.more)
                acknowledged = frozenset(callers.said.ids)
                outcome.problems += await lost(made, callers.said, seen)
                seen = acknowledged
            callers.stop.set()
            await load
            await sequenced(made)
            outcome.problems += await lost(made, callers.said)
            outcome.problems += await doubled(made, callers.said, before)
        finally:
            load.cancel()
            await asyncio.to_thread(server.kill)
            await callers.http.aclose()
        async with made.view() as view:
            outcome.ledger_size = (await read_head(view)).size
        _tell(outcome, callers.said)
    return outcome


async def _kill(
    server: Forked | Server, outcome: Outcome, chance: random.Random, start: Start, acknowledged: asyncio.Event
) -> Forked | Server:
    """Let it work for a moment, kill it, start it again; one time in five it is killed while it starts.

    Two lives of three last at least until something was acknowledged, also on a machine that is busy with other things.
    """
    acknowledged.clear()
    if chance.random() < 2 / 3:
        with suppress(TimeoutError):
            await asyncio.wait_for(acknowledged.wait(), 3)
    await asyncio.sleep(chance.uniform(*LIVES))
    await asyncio.to_thread(server.kill)
    outcome.kills += 1
    if chance.random() < 0.2:
        server = await asyncio.to_thread(start, False)
        await asyncio.sleep(chance.uniform(*STARTS))
        await asyncio.to_thread(server.kill)
        outcome.kills += 1
        outcome.while_starting += 1
    return await asyncio.to_thread(start, True)


async def sequenced(made: Stage) -> None:
    """Wait until the sequencer of the last server has published every leaf."""
    from hub.ledger.head import lag

    async with asyncio.timeout(60):
        while True:
            async with made.view() as view:
                head, waiting = await read_head(view), await lag(view)
            if not waiting.pending and head.published_size == head.size:
                return
            await asyncio.sleep(0.2)


async def count(made: Stage) -> int:
    """Certificates that are stored."""
    async with made.view() as view:
        return int(await view.value(sa.select(sa.func.count()).select_from(certificates)))


def _tell(outcome: Outcome, said: Acknowledged) -> None:
    outcome.problems += said.wrong[:20]
    outcome.acknowledged, outcome.in_doubt = summary(said), dict(said.in_doubt)


def summary(said: Acknowledged) -> dict[str, int]:
    """How many of each kind were acknowledged."""
    return {
        "registrations": len(said.certificates),
        "cases": len(said.cases),
        "consents": len(said.requests),
        "accesses": len(said.accesses),
    }


def _line(outcome: Outcome) -> str:
    held: Any = "held" if outcome.ok else f"NOT HELD: {outcome.problems[:5]}"
    return (
        f"{outcome.database}: {outcome.kills} kills, acknowledged {outcome.acknowledged}, "
        f"in doubt {outcome.in_doubt}, {outcome.seconds} s: {held}"
    )


if __name__ == "__main__":
    sys.exit(main())

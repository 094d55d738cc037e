"""Kill the primary PostgreSQL under load and promote its synchronous standby: nothing acknowledged is lost.

The hub's database URL names both servers and asks for the one that takes writes; nobody tells it anything. Must hold,
after each failover: every acknowledged registration, case, consent and Access is in the promoted server; the hub said
"not ready" meanwhile, and works again by itself; at the end each idempotency key did its work exactly once, every leaf
is sequenced, and `yimen ledger check` passes. Reported: how long nothing could be acknowledged. That gap holds the
`--notice` seconds that this trial waits before it promotes, in place of a cluster manager's detection and fencing.
"""

import argparse
import asyncio
import json
import sys
import time
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx

from benchmarks import stage
from benchmarks.stage import Stage
from benchmarks.trials.callers import Callers, doubled, lost
from benchmarks.trials.kill9 import count, sequenced, summary
from benchmarks.trials.standby import Pair, pair
from hub.ledger.head import read_head

PEOPLE = 6


@dataclass
class Outcome:
    """How the trial went. Seconds, one value for each failover."""

    failovers: int = 0
    notice: float = 0.0
    promotion: list[float] = field(default_factory=list)
    gap: list[float] = field(default_factory=list)
    not_ready: list[float] = field(default_factory=list)
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
    parser = argparse.ArgumentParser(prog="./run trial failover")
    parser.add_argument("--failovers", type=int, default=5, help="one after the other, a new standby each time")
    parser.add_argument("--notice", type=float, default=1.0, help="seconds until somebody notices and promotes")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with pair() as servers:
        if servers is None:
            print("skipped: PostgreSQL is not installed: apt-get install -y postgresql", file=sys.stderr)
            return 1
        outcome = trial(servers, given.failovers, given.notice)
    print(_line(outcome), file=sys.stderr)
    text = json.dumps({"trial": "failover", **vars(outcome), "ok": outcome.ok}, ensure_ascii=False, indent=1)
    given.json.write_text(text + "\n") if given.json else print(text)
    return 0 if outcome.ok else 1


def trial(servers: Pair, failovers: int, notice: float) -> Outcome:
    """The whole trial on a pair of servers."""
    began = time.monotonic()
    with stage.folder() as folder:
        made = stage.set_stage(folder, servers.url)
        outcome = asyncio.run(_trial(made, servers, Outcome(notice=notice), failovers))
        checked = stage.yimen(made.settings, "ledger", "check", "--json")
    report = json.loads(checked.stdout or "{}")
    if checked.returncode or not report.get("ok") or report.get("pending"):
        outcome.problems.append(f"ledger check: {report.get('failures')} {checked.stderr.decode()[-500:]}")
    outcome.seconds = round(time.monotonic() - began, 1)
    return outcome


async def _trial(made: Stage, servers: Pair, outcome: Outcome, failovers: int) -> Outcome:
    async with stage.opened(made):
        server = await asyncio.to_thread(stage.start_hub, made.settings)
        callers = Callers(made, server.port)
        await callers.prepare(PEOPLE)
        outcome.durability = await stage.durability(made)
        before = await count(made)
        load = asyncio.create_task(callers.run(registrars=2, verifiers=4, citizens=2))
        try:
            while outcome.failovers < failovers and not load.done():
                await asyncio.sleep(1.5)
                await _fail_over(servers, callers, outcome)
                outcome.problems += await lost(made, callers.said)
                if outcome.failovers < failovers:
                    await asyncio.get_running_loop().run_in_executor(servers.worker, servers.add_standby)
            callers.stop.set()
            await load
            await sequenced(made)
            outcome.problems += await lost(made, callers.said)
            outcome.problems += await doubled(made, callers.said, before)
            if server.process.poll() is not None:
                outcome.problems.append("the hub did not live through it")
        finally:
            load.cancel()
            await asyncio.to_thread(server.kill)
            await callers.http.aclose()
        async with made.view() as view:
            outcome.ledger_size = (await read_head(view)).size
        outcome.acknowledged, outcome.in_doubt = summary(callers.said), dict(callers.said.in_doubt)
        outcome.problems += callers.said.wrong[:20]
    return outcome


async def _fail_over(servers: Pair, callers: Callers, outcome: Outcome) -> None:
    """Kill, wait as long as it takes to notice, promote; measured until calls are acknowledged again."""
    watch = asyncio.create_task(_readiness(callers.http))
    before = time.monotonic()
    servers.primary.kill()
    await asyncio.sleep(outcome.notice)
    began = time.monotonic()
    await asyncio.to_thread(servers.promote)
    promoted = time.monotonic()
    callers.said.more.clear()
    outcome.failovers += 1
    await asyncio.wait_for(callers.said.more.wait(), 60)
    outcome.promotion.append(round(promoted - began, 2))
    # Answers that were durable may still come in after the kill: the gap is the longest silence around it.
    moments = [before, *(moment for moment in callers.said.moments if moment > before)]
    outcome.gap.append(round(max(later - earlier for earlier, later in pairwise(moments)), 2))
    async with asyncio.timeout(60):
        outcome.not_ready.append(round(await watch, 2))
    if not outcome.not_ready[-1]:
        outcome.problems.append("the hub never said that it was not ready")


async def _readiness(http: httpx.AsyncClient) -> float:
    """Seconds for which the hub said that it was not ready, asked until it is ready again; it must live all along."""
    since = 0.0
    while True:
        living = await http.get("/healthz")
        if living.status_code != 200:
            raise RuntimeError(f"/healthz: {living.status_code}")
        ready: Any = (await http.get("/readyz")).status_code
        if ready == 503:
            since = since or time.monotonic()
        elif ready == 200 and since:
            return time.monotonic() - since
        elif ready != 200:
            raise RuntimeError(f"/readyz: {ready}")
        await asyncio.sleep(0.05)


def _line(outcome: Outcome) -> str:
    held = "held" if outcome.ok else f"NOT HELD: {outcome.problems[:5]}"
    return (
        f"{outcome.failovers} failovers, acknowledged {outcome.acknowledged}, in doubt {outcome.in_doubt}; "
        f"nothing acknowledged for {outcome.gap} s each ({outcome.notice} s of it waited, promotion "
        f"{outcome.promotion} s), {outcome.seconds} s: {held}"
    )


if __name__ == "__main__":
    sys.exit(main())

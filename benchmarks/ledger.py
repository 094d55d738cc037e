"""The sequencer: leaves a second with Merkle tree, tiles and signed checkpoints, and how long an event waits: ratio 11.

Leaves are written as pending rows beforehand; then one sequencer, in this process, brings all of them in and
publishes. Beside it in each round: the same rows written in one durable batch, which is what a plain table costs.
For the waiting time events come in steadily, each in a commit of its own, while the sequencer runs as in a hub.
"""

import asyncio
import contextlib
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import stage
from benchmarks.measure import Aim, Report, arguments, finish, percentile
from benchmarks.stage import Stage
from hub.actor import SYSTEM
from hub.ledger.append import commit_all, seal_event
from hub.ledger.head import read_head
from hub.ledger.office import stand
from hub.ledger.sequence import Sequencer

EVERY = 0.3  # as hub/main.py has it


@dataclass
class Log:
    """One ledger and what was measured on it, a value a round."""

    name: str
    stage: Stage
    durability: dict[str, str]
    sequenced: list[float] = field(default_factory=list)
    written: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)


def main() -> int:
    """Measure, print, and say by the exit status whether a gate failed."""
    parser = arguments("ledger", rounds=3)
    parser.add_argument("--leaves", type=int, default=4_000, help="in each round")
    parser.add_argument("--seconds", type=float, default=5.0, help="for which events come in steadily")
    given = parser.parse_args()
    report = Report("ledger", {"rounds": given.rounds, "leaves": given.leaves, "sequencer looks every s": EVERY})
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(stage.folder())
        postgres = stack.enter_context(stage.durable_postgres())
        urls = {"sqlite": "", **({"postgresql": postgres} if postgres else {})}
        logs = [stack.enter_context(_log(name, folder / name, url)) for name, url in urls.items()]
        for number in range(given.rounds):
            for log in logs[:: 1 if number % 2 == 0 else -1]:
                asyncio.run(_round(log, given.leaves))
        for log in logs:
            asyncio.run(_steadily(log, given.seconds))
    for log in logs:
        report.settings.update(log.durability)
        report.result(
            f"sequencer_{log.name}", leaves_per_second=statistics.median(log.sequenced),
            cpu_us_a_leaf=statistics.median(log.cpu), plain_rows_per_second=statistics.median(log.written),
            event_to_checkpoint_p50_ms=percentile(log.waits, 0.5) * 1e3,
            event_to_checkpoint_p99_ms=percentile(log.waits, 0.99) * 1e3, events=len(log.waits),
        )  # fmt: skip
        report.value(Aim(11, f"leaves a second into tiles and checkpoint, {log.name}", 3000), log.sequenced)
        report.ratio(Aim(11, f"sequencer / the same rows in one durable batch, {log.name}", 0.2), log.sequenced,
                     log.written)  # fmt: skip
        p99 = percentile(log.waits, 0.99)
        report.value(Aim(11, f"event to checkpoint p99, s, {log.name}", 2.0, at_most=True), [p99])
    if not postgres:
        report.skip(Aim(11, "ledger on PostgreSQL", 3000), "PostgreSQL is not installed")
    return finish(report, given.json)


@contextlib.contextmanager
def _log(name: str, folder: Path, url: str) -> Iterator[Log]:
    made = stage.set_stage(folder, url)

    async def begin() -> dict[str, str]:
        async with stage.opened(made):
            return await stage.durability(made)

    yield Log(name, made, asyncio.run(begin()))


async def _round(log: Log, count: int) -> None:
    """Write `count` events in one durable transaction, then let the sequencer bring them in."""
    made = log.stage
    async with made.tx(SYSTEM) as tx:
        events = [
            await seal_event(tx, kind="access", subject_id=None, body={"event": "access", "n": number, "x": "x" * 300})
            for number in range(count)
        ]
    start = time.perf_counter()
    async with made.tx(SYSTEM) as tx:
        await commit_all(tx, events)
    log.written.append(count / (time.perf_counter() - start))
    sequencer = _sequencer(made)
    await sequencer.take_office()
    start, cpu = time.perf_counter(), time.process_time()
    added = 0
    while (done := await sequencer.step()).added:
        added += done.added
    assert added == count, (added, count)
    log.sequenced.append(count / (time.perf_counter() - start))
    log.cpu.append((time.process_time() - cpu) / count * 1e6)
    await made.close()


async def _steadily(log: Log, seconds: float) -> None:
    """Events one at a time, 50 a second; each waits until the published head covers it."""
    made, stop = log.stage, asyncio.Event()
    came: list[float] = []
    office = asyncio.create_task(
        stand(made.db, lambda: _sequencer(made), stop=stop, every=EVERY, on_trouble=lambda trouble: None)
    )
    async with made.view() as view:
        first = (await read_head(view)).size

    async def events() -> None:
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            async with made.tx(SYSTEM) as tx:
                body = {"event": "access", "n": len(came)}
                await commit_all(tx, [await seal_event(tx, kind="access", subject_id=None, body=body)])
            came.append(time.perf_counter())
            await asyncio.sleep(0.02)

    async def watch() -> None:
        out = 0
        while not (feed.done() and out == len(came)):
            async with made.view() as view:
                out_now = (await read_head(view)).published_size - first
            moment = time.perf_counter()
            log.waits.extend(moment - at for at in came[out:out_now])
            out = max(out, out_now)
            await asyncio.sleep(0.01)

    feed = asyncio.create_task(events())
    async with asyncio.timeout(seconds + 60):
        await asyncio.gather(feed, watch())
    stop.set()
    await office
    await made.close()


def _sequencer(made: Stage) -> Sequencer:
    return Sequencer(made.db, made.hub.blobs, origin=made.settings.origin, signer=made.hub.signer("ledger"))


if __name__ == "__main__":
    sys.exit(main())

"""Yesterday's backup, a day's work, a disaster, a restore: what is lost is told exactly, and no second tree is signed.

A hub with many people is under load over HTTP (registrations, cases, consents, verifications) while `yimen backup
create` runs. Work goes on, then the hub and its database are lost; the published ledger survives, as in an object
store. Must hold: the backup verifies; everything acknowledged before it began is there after `yimen restore`; the
restore tells exactly how many leaves the published checkpoint has more; the old name refuses to go on; under a new name
the ledger goes on, whole, and the hub serves again.
"""

import argparse
import asyncio
import copy
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import stage
from benchmarks.stage import ROOT, Server, Stage
from benchmarks.trials.callers import Acknowledged, Callers, lost
from hub.main import build

sys.path.insert(0, str(ROOT / "tests" / "vectors" / "upgrade"))

NEW_NAME = "hub.example/ledger/2"


@dataclass
class Outcome:
    """How the trial went on one database."""

    database: str
    people: int = 0
    acknowledged_before: int = 0
    acknowledged_in_all: int = 0
    missing_afterwards: int = 0
    leaves_in_backup: int = 0
    leaves_published: int = 0
    told_lost: int = 0
    bytes: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    refused: str = ""
    problems: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether everything held."""
        return not self.problems


def main() -> int:
    """Run the trial, print what came of it as JSON; exit status 1 when anything did not hold."""
    parser = argparse.ArgumentParser(prog="./run trial restore")
    parser.add_argument("--people", type=int, default=20_000, help="with a certificate and a grant, on each database")
    parser.add_argument("--seconds", type=float, default=20, help="of load, before and after the backup began")
    parser.add_argument("--only", choices=["sqlite", "postgresql"], help="one database")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    outcomes = []
    with stage.folder() as folder, stage.durable_postgres() as postgres:
        folder.chmod(0o711)  # the account of a PostgreSQL server goes through it
        urls = {"sqlite": "", **({"postgresql": postgres} if postgres else {})}
        for name in [given.only] if given.only else list(urls):
            outcomes.append(trial(name, folder / name / "data", urls[name], given.people, given.seconds))
            print(_line(outcomes[-1]), file=sys.stderr)
    told = {"trial": "restore", "outcomes": [asdict(one) | {"ok": one.ok} for one in outcomes]}
    text = json.dumps(told, ensure_ascii=False, indent=1)
    given.json.write_text(text + "\n") if given.json else print(text)
    return 0 if outcomes and all(one.ok for one in outcomes) else 1


def trial(name: str, folder: Path, url: str, people: int, seconds: float) -> Outcome:
    """The whole trial on one database."""
    from backup.town import Town  # tests/backup

    folder.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
    outcome = Outcome(name, people)
    made = stage.set_stage(folder, url)
    town = Town(made.settings, made.departments)
    said = asyncio.run(_yesterday(made, town, outcome, seconds))
    with _put_back(town, outcome) as moved:
        _decide(moved, outcome)
        again = Stage(build(moved.settings))
        asyncio.run(_afterwards(again, said, outcome))
        checked = _timed(outcome, "ledger check", lambda: moved.yimen("ledger", "check", "--json"))
        if checked.code or checked.json["size"] < outcome.leaves_in_backup:
            outcome.problems.append(f"ledger check: {checked.out[-500:]}")
        server = _serve(moved)
        with stage.served(server):
            pass  # it came up, and its sequencer took office under the new name
        if "ledger.trouble" in server.log.read_text():
            outcome.problems.append(server.log.read_text()[-500:])
    return outcome


async def _yesterday(made: Stage, town: Any, outcome: Outcome, seconds: float) -> tuple[Acknowledged, Acknowledged]:
    """Load, a backup in the middle of it, more load, the end of the hub. What was acknowledged before, and in all."""
    async with stage.opened(made):
        began = time.monotonic()
        await _crowd(made, outcome.people)
        callers = Callers(made, port := stage.free_port())
        await callers.prepare(6)
        outcome.seconds["filled"] = round(time.monotonic() - began, 1)
        server = await asyncio.to_thread(stage.start_hub, made.settings, port)
        load = asyncio.create_task(callers.run(registrars=2, verifiers=3, citizens=2))
        try:
            await asyncio.sleep(seconds)
            before = copy.copy(callers.said)
            for part in ("certificates", "cases", "requests", "accesses"):
                setattr(before, part, copy.copy(getattr(callers.said, part)))
            backup = await _command(town, outcome, "backup create", "backup", "create", "--with-keys", "--json")
            await asyncio.sleep(seconds)
            callers.stop.set()
            await load
        finally:
            load.cancel()
            await asyncio.sleep(3)  # the last leaves are published
            await asyncio.to_thread(server.kill)
            await callers.http.aclose()
    outcome.acknowledged_before, outcome.acknowledged_in_all = len(before.ids), len(callers.said.ids)
    outcome.leaves_in_backup, outcome.bytes = backup["ledger"]["size"], backup["bytes"]
    outcome.problems += callers.said.wrong[:5]
    verified = await _command(town, outcome, "backup verify", "backup", "verify", "--json")
    if verified["leaves"] < outcome.leaves_in_backup:
        outcome.problems.append(f"verify: {verified}")
    return before, callers.said


async def _crowd(made: Stage, people: int) -> None:
    """So many people with a certificate each, rows as registration makes them."""
    from fill import many  # tests/vectors/upgrade

    token = await made.sign("degree", [made.person("王小明").as_holder("owner")])
    await many(made, (await made.register(token, by="dg-degree")).certificate, token, people)


async def _command(town: Any, outcome: Outcome, name: str, *arguments: str) -> Any:
    """A command as a process of its own, beside the load."""
    began = time.monotonic()
    process = town.start(*arguments)
    out, err = await asyncio.to_thread(process.communicate)
    outcome.seconds[name] = round(time.monotonic() - began, 1)
    if process.returncode:
        outcome.problems.append(f"{name}: {out.decode()[-300:]} {err.decode()[-300:]}")
    return json.loads(out)


def _serve(town: Any) -> Server:
    port, command = stage.free_port(), [sys.executable, "-m", "hub.cli", "serve", "--port"]
    return stage.start([*command, str(port)], port, town.settings.data_dir, town.told())


@contextmanager
def _put_back(town: Any, outcome: Outcome) -> Iterator[Any]:
    """The database is lost; the backup is put back: the same place on SQLite, a server of its own on PostgreSQL."""
    if outcome.database == "sqlite":
        for left in town.settings.data_dir.glob("hub.db*"):
            left.unlink()
        _told(outcome, _timed(outcome, "restore", lambda: town.well("restore")))
        yield town
        return
    data = town.settings.data_dir.parent / "pgdata"
    told = _timed(outcome, "restore", lambda: town.well("restore", "--pgdata", str(data)))
    _told(outcome, told)
    with stage.postgres_over(data, town.settings.database_url) as url:
        yield town.at(town.settings.model_copy(update={"database_url": url}))


def _told(outcome: Outcome, restored: Any) -> None:
    outcome.leaves_published, outcome.told_lost = restored["live_size"], restored["lost"]
    if outcome.told_lost != outcome.leaves_published - outcome.leaves_in_backup or outcome.told_lost <= 0:
        outcome.problems.append(f"told: {restored}")


def _decide(town: Any, outcome: Outcome) -> None:
    """The old name refuses, the new one goes on."""
    refused = town.yimen("ledger", "resume", "--stopped", "--json")
    outcome.refused = refused.json["error"]["code"] if refused.code else "not refused"
    if outcome.refused != "ledger.newer_known":
        outcome.problems.append(f"resume: {refused.out}")
    town.environment["YIMEN_LEDGER_ORIGIN"] = NEW_NAME
    town.settings = town.settings.model_copy(update={"ledger_origin": NEW_NAME})
    followed = _timed(outcome, "ledger succeed", lambda: town.well("ledger", "succeed"))
    if followed["size"] < outcome.leaves_in_backup:
        outcome.problems.append(f"succeed: {followed}")


async def _afterwards(made: Stage, said: tuple[Acknowledged, Acknowledged], outcome: Outcome) -> None:
    before, everything = said
    try:
        outcome.problems += [f"lost from before the backup: {one}" for one in (await lost(made, before))[:10]]
        outcome.missing_afterwards = len(await lost(made, everything))
        await made.publish()
    finally:
        await made.close()


def _timed(outcome: Outcome, name: str, work: Any) -> Any:
    began = time.monotonic()
    found = work()
    outcome.seconds[name] = round(time.monotonic() - began, 1)
    return found


def _line(outcome: Outcome) -> str:
    held = "held" if outcome.ok else f"NOT HELD: {outcome.problems[:3]}"
    return (
        f"{outcome.database}: {outcome.people} people; acknowledged {outcome.acknowledged_before} before the backup, "
        f"{outcome.acknowledged_in_all} in all; {outcome.told_lost} leaves told lost, "
        f"{outcome.missing_afterwards} acknowledged things gone; {outcome.refused}; seconds {outcome.seconds}: {held}"
    )


if __name__ == "__main__":
    sys.exit(main())

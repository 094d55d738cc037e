"""The processes that check batches: they survive one another, and none survives the hub."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from parts import die_with_parent, spoilt
from registry.makers import AUDIENCE
from web.api.apiworld import ApiWorld

from hub.certificates.opened import Wanted, opened_of_holders
from hub.certificates.register import Examined, terms_of
from hub.errors import HubError
from hub.registry import trust
from hub.store.memory import Memory
from hub.verification import signed as signing
from hub.verification.signed import Candidate, Signed
from hub.web import workers
from hub.web.workers import Batches

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def database(sqlite_database: str) -> str:
    return sqlite_database


@pytest.fixture
async def case(world: ApiWorld, degree):
    """Lines of a batch, the terms that they are looked at under, and two workers."""
    batches = Batches(workers=2)
    good = await world.body_of_certificate("degree", (world.person("王小明"), "owner"))
    lines = [json.dumps(good).encode() for _ in range(300)]
    lines[100] = b"{broken"
    lines[200] = json.dumps(good | {"sd_jwt": "a.b.c~"}).encode()
    async with world.view(world.acting(degree)) as view:
        terms = await terms_of(view, base_url=AUDIENCE)
    yield batches, lines, terms, world.types
    batches.close()


def told(found) -> list[str]:
    return [
        one.code if isinstance(one, HubError) else "good" if isinstance(one[1], Examined) else one[1].code
        for one in found
    ]


EXPECTED = ["good"] * 100 + ["json.syntax"] + ["good"] * 99 + [""] + ["good"] * 99


def running(batches: Batches) -> list[int]:
    return list(batches._pool._processes) if batches._pool else []


async def test_workers_say_what_the_single_door_says_and_a_dead_one_is_replaced(case):
    batches, lines, terms, types = case
    first = told(await batches.examine(lines, terms, types))
    assert first[:200] + first[201:] == EXPECTED[:200] + EXPECTED[201:]
    assert first[200] not in ("good", "batch.try_again")
    before = running(batches)
    assert before
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    assert told(await batches.examine(lines, terms, types)) == first
    assert set(running(batches)).isdisjoint(before)


async def test_lines_over_which_every_worker_dies_are_answered_and_no_other_batch_suffers(case, monkeypatch):
    batches, lines, terms, types = case
    good, work = told(await batches.examine(lines[:99], terms, types)), workers._examine
    monkeypatch.setattr(workers, "_examine", die)
    assert set(told(await batches.examine(lines, terms, types))) == {"batch.try_again"}
    monkeypatch.setattr(workers, "_examine", work)
    assert told(await batches.examine(lines[:99], terms, types)) == good


def die(*_) -> None:
    os._exit(1)


async def test_a_few_lines_start_no_process(case):
    batches, lines, terms, types = case
    assert told(await batches.examine(lines[:20], terms, types)) == ["good"] * 20
    assert running(batches) == []


async def test_where_no_process_can_be_started_the_hub_looks_itself(case, monkeypatch):
    batches, lines, terms, types = case
    expected = told(await batches.examine(lines[:47], terms, types))
    monkeypatch.setattr(batches, "_started", full)
    assert told(await batches.examine(lines[:60], terms, types))[:47] == expected


PATHS = (("degree_level",), ("school",))
QUESTIONS = ({"type": "degree", "path": ["degree_level"], "op": "eq", "value": "master"},)


@pytest.fixture
async def candidates(world: ApiWorld, degree):
    """150 certificates as they rest; of four the bytes, the key or the text are not what they should be."""
    wang = world.person("王小明")
    await world.certificate("degree", (wang, "owner"))
    async with world.view() as view:
        (found,) = await opened_of_holders(view, [Wanted(await world.subject(wang), "degree")])
        certificate = found[0].held.certificate
        key = await (await trust.current(view)).find_key(view, department="dg-degree", kid=certificate.kid)
        other = await (await trust.current(view)).find_key(view, department="dg-degree", kid="nobody's")
    assert other is None
    made = [Candidate(found[0].rested, key, PATHS, QUESTIONS)] * 150
    made[10] = Candidate(spoilt(found[0].rested, 20), key, PATHS, QUESTIONS)  # inside the signature
    made[20] = Candidate(found[0].rested, other, PATHS, QUESTIONS)
    made[30] = Candidate(b"no certificate at all", key, PATHS, QUESTIONS)
    return made


async def test_what_departments_signed_is_found_by_workers_as_this_process_would_find_it(case, candidates, monkeypatch):
    batches, _, _, types = case
    here = signing.signed_all(Memory(), [(one.rested, one.key) for one in candidates])
    checked, check = [], signing.check_all
    monkeypatch.setattr(signing, "check_all", lambda asked: checked.extend(asked) or check(asked))
    found = await batches.genuine(Memory(), candidates, types)
    assert running(batches)
    looked_at = [one.rested for one in checked]
    assert looked_at == [candidates[10].rested, candidates[30].rested], "what no worker found to hold is looked at here"
    assert [place for place, one in enumerate(found) if one is None] == [10, 20, 30]
    for mine, theirs in zip(here, found, strict=True):
        if mine is not None:
            assert (mine.claims, mine.show(PATHS)) == (theirs.claims, theirs.show(PATHS))


async def test_what_workers_brought_is_remembered_for_a_minute_for_these_very_paths(case, candidates, monkeypatch):
    batches, _, _, types = case
    plain = [one._replace(questions=[]) for one in candidates]
    memory, asked = Memory(), []
    really = batches._of_many

    async def counted(types, work, some, piece):
        asked.append(len(some))
        return await really(types, work, some, piece)

    monkeypatch.setattr(batches, "_of_many", counted)
    first = await batches.genuine(memory, plain, types)
    again = await batches.genuine(memory, plain, types)
    assert [one and one.show(PATHS) for one in again] == [one and one.show(PATHS) for one in first]
    other = [one._replace(paths=PATHS[:1]) for one in plain]
    fewer = await batches.genuine(memory, other, types)
    assert fewer[0].show(PATHS[:1]).claims != first[0].show(PATHS).claims
    await batches.genuine(memory, candidates, types)  # they ask questions, for which all claims are read
    for name, (_, brought) in list(memory.of(workers._Copies)._kept.items()):  # a minute has passed
        memory.of(workers._Copies).keep(name, (0.0, brought))
    await batches.genuine(memory, plain, types)
    assert asked == [149, 2, 149, 149, 149], "refusals and questions are never remembered"


async def test_certificates_that_are_remembered_or_few_need_no_worker(case, candidates):
    batches, _, _, types = case
    memory = Memory()
    assert isinstance((await batches.genuine(memory, candidates[:47], types))[0], Signed)
    assert isinstance((await batches.genuine(memory, candidates, types))[0], Signed)
    assert running(batches) == []


@pytest.mark.parametrize("end", ["every worker dies", "none can be started"])
async def test_without_workers_certificates_are_checked_here(case, candidates, monkeypatch, end):
    batches, _, _, types = case
    if end == "every worker dies":
        monkeypatch.setattr(workers, "_bring", die)
    else:
        monkeypatch.setattr(batches, "_started", full)
    found = await batches.genuine(Memory(), candidates, types)
    assert [place for place, one in enumerate(found) if one is None] == [10, 20, 30]
    assert all(isinstance(one, Signed) for one in found if one is not None)


def full(_) -> None:
    raise OSError(12, "no room")


HUB = """
import asyncio, json, sys, time
from datetime import UTC, datetime
from hub.certificates.register import Terms
from hub.registry.types import load_types
from hub.web.workers import Batches

async def main():
    batches = Batches(workers=2)
    await batches.examine([b"{}"] * 300, Terms("dg-x", "https://hub.example", datetime.now(UTC), {}), load_types())
    print(json.dumps(list(batches._pool._processes)), flush=True)
    await asyncio.sleep(60)

if __name__ == "__main__":
    asyncio.run(main())
"""


def test_no_worker_outlives_a_hub_that_was_killed(tmp_path):
    script = tmp_path / "hub_alone.py"
    script.write_text(HUB)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    hub = subprocess.Popen(
        [sys.executable, str(script)], env=environment, stdout=subprocess.PIPE, preexec_fn=die_with_parent
    )
    pids = json.loads(hub.stdout.readline())
    assert pids, "one or two: the second is started only if the first has not done it all"
    assert all(map(alive, pids))
    hub.kill()
    hub.wait()
    end = time.monotonic() + 15
    while any(map(alive, pids)):
        assert time.monotonic() < end, "a worker lives on"
        time.sleep(0.05)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_the_loop_is_not_stopped_while_workers_work(case):
    batches, lines, terms, types = case
    await batches.examine(lines, terms, types)
    work = asyncio.create_task(batches.examine(lines * 3, terms, types))
    turns = 0
    while not work.done():
        await asyncio.sleep(0.001)
        turns += 1
    pieces = -(-len(lines) * 3 // workers.PIECE)
    assert turns > pieces, "others are served all the time, and not only when a piece comes back"
    assert told(await work) == told(await batches.examine(lines, terms, types)) * 3

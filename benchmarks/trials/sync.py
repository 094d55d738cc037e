"""A table of a million rows in MariaDB becomes certificates: rates beside their limits, memory, kills, planted changes.

1. Read, map and hash every row; each rate stands beside its own limit (the driver's cursor, a bare signature, the hub's
door fed with certificates that were signed before). 2. A state that is told every row meets a table with planted
changes and deletions: a dry run finds them exactly. 3. `yimen-agent sync` registers rows at a hub; it is killed with
SIGKILL at random moments while rows change, and started again: the hub ends with what the table says, nothing twice,
and the memory of a long sync stays flat. 4. Changes and deletions planted among what is registered are superseded and
revoked at the hub, exactly those. 5. Agent and hub are killed in turns while a third of the certificates is being
superseded: in the end each row has one current certificate, the one that it says.

What is known is written to `--json` after every part, so that a trial that does not come to its end has not been in
vain.
"""

import argparse
import asyncio
import json
import os
import random
import secrets
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pymysql
import sqlalchemy as sa

from adapters import certtypes, config
from adapters.agent import Agent
from adapters.answers import Registration
from adapters.judge import judged
from adapters.mapping import rules_of
from adapters.model import Dataset
from adapters.shell import PASSPHRASE
from adapters.sign import issuer_url, ref_of, sign_certificate
from adapters.sources import open_source
from benchmarks import measure, stage
from benchmarks.stage import MariaDB, credit, mariadb_server
from hub.certificates.model import certificate_sources, certificates
from hub.formats.identifiers import resident_check_character
from hub.registry import departments
from hub.registry import keys as department_keys
from keys.signer import generate

SECRET = "trial-passphrase-1"
TYPE = "degree"
FLAT = 1.25
"""The most that memory may grow from a quarter of the rows to all of them."""
AGENT = """\
agent: {{department: dg-degree, hub: "{hub}", faces: false}}
source: {{url: "{url}", page_size: 5000, allow_writable: true}}
datasets:
  - id: degree
    type: degree
    query: select id, xm, sfzh, xwlx, xxmc, bydate, zsbh from trial.{table}
    key: [id]
    holders: [{{role: owner, name: {{from: xm}}, id_type: {{const: "111"}}, id_no: {{from: sfzh}}}}]
    claims:
      education_level: {{const: bachelor}}
      degree_level: {{from: xwlx, codes: {{"2": doctor, "3": master, "4": bachelor}}}}
      school: {{from: xxmc}}
      conferred_on: {{from: bydate, type: date, null_values: ["00000000"]}}
    number: {{from: zsbh}}
    reconcile: {{max_revoke: {{count: 100000, percent: 50}}, max_changed_percent: 100, min_rows_percent: 50}}
"""


@dataclass
class Outcome:
    """How the trial went; rates are rows a second (`signed`, `raw_sign`: a second of CPU)."""

    rows: int
    rates: dict[str, float] = field(default_factory=dict)
    ratios: dict[str, float] = field(default_factory=dict)
    planted: dict[str, int] = field(default_factory=dict)
    found: dict[str, int] = field(default_factory=dict)
    memory_mb: dict[str, list[float]] = field(default_factory=dict)
    registered: int = 0
    kills: int = 0
    killed_at: list[int] = field(default_factory=list)
    """How many rows the agent knew as registered when it was killed."""
    real: dict[str, int] = field(default_factory=dict)
    """What the hub did with changes and deletions planted among the registered rows."""
    struck: dict[str, int] = field(default_factory=dict)
    """How often agent and hub were killed while certificates ended, and how often the agent had a step under way."""
    seconds: float = 0.0
    parts: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def main() -> int:
    """Run the trial, print what came of it as JSON; exit status 1 when anything did not hold."""
    parser = argparse.ArgumentParser(prog="./run trial sync")
    parser.add_argument("--rows", type=int, default=1_000_000, help="read, mapped and reconciled")
    parser.add_argument("--sent", type=int, default=20_000, help="signed and registered at a hub")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--changed", type=int, help="rows planted as changed at the hub, half as many as gone")
    parser.add_argument("--strikes", type=int, default=4, help="kills of agent and hub while certificates end")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--minutes", type=float, help="cut the table to what was registered by then")
    parser.add_argument("--only-sent", action="store_true", help="leave out what needs no hub")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    seed = given.seed if given.seed is not None else secrets.randbits(32)

    def tell(outcome: Outcome) -> None:
        told = {"trial": "sync", "seed": seed, "machine": measure.environment(), **vars(outcome)}
        text = json.dumps(told, ensure_ascii=False, indent=1)
        given.json.write_text(text + "\n") if given.json else print(text, flush=True)

    with stage.folder() as folder, mariadb_server() as server, stage.durable_postgres() as postgres:
        outcome = trial(
            folder, server, postgres or "", rows=given.rows, sent=given.sent, kills=given.kills,
            chance=random.Random(seed), tell=tell, minutes=given.minutes, only_sent=given.only_sent,
            changed=given.changed, strikes=given.strikes,
        )  # fmt: skip
    tell(outcome)
    return 1 if outcome.problems else 0


def trial(
    folder: Path,
    server: MariaDB,
    hub_database: str,
    *,
    rows: int,
    sent: int,
    kills: int,
    chance: random.Random,
    tell: Callable[[Outcome], None] = lambda _: None,
    minutes: float | None = None,
    only_sent: bool = False,
    changed: int | None = None,
    strikes: int = 0,
) -> Outcome:
    """The whole trial. `tell` hears what is known after every part."""
    began, outcome = time.monotonic(), Outcome(rows)

    def done(part: str) -> None:
        outcome.seconds = round(time.monotonic() - began, 1)
        outcome.parts.append(f"{part}: {outcome.seconds:.0f} s, load {os.getloadavg()[0]:.1f}")
        tell(outcome)

    if not only_sent:
        fill(server, folder, "whole", rows)
        done("table filled")
        _limits(folder, server, outcome)
        done("read, mapped, signed")
        _reconciled(folder, server, outcome, chance)
        done("compared")
    with _hub(folder / "hub", hub_database) as (made, strike):
        fill(server, folder, "sent", sent)
        path = _configured(folder / "sent", made.settings.public_url, server, "sent")
        _enrolled(made, path)
        _killed(path, server, outcome, sent, kills, chance, tell)
        done("killed")
        until = began + 60 * minutes if minutes is not None else None
        sent = _sent(path, server, outcome, sent, until, tell)
        done("registered")
        _as_the_table_says(path, made, outcome)
        done("compared with the hub")
        outcome.rates["bulk_door"] = _door_alone(path, min(5000, sent))
        for rate in ("registering", "end_to_end"):
            outcome.ratios[f"{rate} / bulk_door"] = round(outcome.rates[rate] / outcome.rates["bulk_door"], 3)
        done("door alone")
        _planted_for_real(path, made, server, outcome, sent, chance, changed)
        done("changes and deletions")
        if strikes:
            _struck(path, made, server, outcome, sent, strikes, chance, strike)
            done("killed while certificates ended")
    return outcome


# --- the table ---


def url_of(server: MariaDB) -> str:
    """As an agent's configuration names it."""
    return (
        f"mysql+pymysql://{server.user}:{server.password}@{server.host}:{server.port}/mysql?charset=utf8mb4"
    )


@contextmanager
def connected(server: MariaDB, **more: Any) -> Iterator[Any]:
    """A bare connection of the driver."""
    connection = pymysql.connect(
        host=server.host, port=server.port, user=server.user, password=server.password, charset="utf8mb4",
        autocommit=True, local_infile=True, **more,
    )  # fmt: skip
    try:
        yield connection
    finally:
        connection.close()


def fill(server: MariaDB, folder: Path, table: str, rows: int) -> None:
    """A table `trial.<table>` of so many degrees, in GBK, as an old system keeps them."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{table}.tsv"
    with path.open("w", encoding="utf-8") as stream:
        for number in range(1, rows + 1):
            stream.write("\t".join(map(str, _row(number))) + "\n")
    with connected(server) as connection, connection.cursor() as cursor:
        cursor.execute("create database if not exists trial")
        cursor.execute(f"drop table if exists trial.{table}")
        cursor.execute(
            f"create table trial.{table} (id int primary key, xm varchar(20), sfzh char(18), xwlx char(1),"
            " xxmc varchar(40), bydate char(8), zsbh varchar(20)) default charset gbk"
        )
        cursor.execute(
            f"load data local infile %s into table trial.{table} character set utf8mb4", (str(path),)
        )
    path.unlink()


def _row(number: int) -> tuple[Any, ...]:
    day = datetime.fromordinal(datetime(1960, 1, 1, tzinfo=UTC).toordinal() + number // 900)
    body = f"441900{day:%Y%m%d}{number % 900:03d}"
    name = f"张{chr(0x4E00 + number % 5000)}"
    return (
        number,
        name,
        body + resident_check_character(body),
        "4",
        "东莞理工学院",
        "20160705",
        f"Z{number:09d}",
    )


# --- 1 and 2: everything read, everything compared ---


def _limits(folder: Path, server: MariaDB, outcome: Outcome) -> None:
    """Each step alone, and what bounds it."""
    rows, rates = outcome.rows, outcome.rates
    path = _configured(folder / "whole", "http://127.0.0.1:9", server, "whole")
    with connected(server, cursorclass=pymysql.cursors.SSCursor) as connection, connection.cursor() as cursor:
        cursor.execute("select id, xm, sfzh, xwlx, xxmc, bydate, zsbh from trial.whole")
        rates["driver_cursor"] = _rated(iter(cursor.fetchone, None), rows)
    rates.update(_apart(_read, path, rows))
    for name, limit in (("read", "driver_cursor"), ("mapped", "driver_cursor"), ("signed", "raw_sign")):
        outcome.ratios[f"{name} / {limit}"] = round(rates[name] / rates[limit], 3)


def _reconciled(folder: Path, server: MariaDB, outcome: Outcome, chance: random.Random) -> None:
    rows, rates, path = outcome.rows, outcome.rates, folder / "whole" / "agent.yaml"
    with _agent(path) as agent:
        _know(agent, outcome)
        changed, gone = _planted(server, "whole", rows, chance)
        outcome.planted = {"changed": len(changed), "gone": len(gone)}
        found = _apart(_survey, path, rows)
        outcome.memory_mb["reconcile"] = found.pop("memory")
        rates["reconcile"] = found.pop("rate")
        outcome.found = {name: int(found[name]) for name in ("changed", "gone", "new", "quarantined")}
    if outcome.found != outcome.planted | {"new": 0, "quarantined": 0}:
        outcome.problems.append(f"planted {outcome.planted}, found {outcome.found}")
    _flat(outcome, "reconcile")


def _configured(folder: Path, hub: str, server: MariaDB, table: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "agent.yaml"
    path.write_text(AGENT.format(hub=hub, url=url_of(server), table=table), encoding="utf-8")
    return path


def _agent(path: Path) -> Agent:
    return Agent.load(path, passphrase=SECRET)


def _rated(rows: Iterable[Any], count: int) -> float:
    began = time.perf_counter()
    seen = sum(1 for _ in rows)
    if seen != count:
        raise RuntimeError(f"{seen} rows instead of {count}")
    return round(seen / (time.perf_counter() - began), 1)


def _apart(work: Callable[[Path, int], dict[str, Any]], path: Path, rows: int) -> dict[str, Any]:
    """Do it in a process of its own, so that its memory is its own."""
    with get_context("spawn").Pool(1) as pool:
        return pool.apply(work, (path, rows))


def _dataset(path: Path) -> Dataset:
    return config.load(path).datasets[0]


def _kind() -> certtypes.CertificateType:
    return certtypes.from_document(json.loads(_document()))


def _document() -> str:
    return (stage.ROOT / "hub" / "registry" / "types" / f"{TYPE}.json").read_text(encoding="utf-8")


def _read(path: Path, rows: int) -> dict[str, float]:
    """Rates of the reader, of read + map + hash, and, by CPU, of signing what comes out beside a bare signature."""
    dataset, kind, today = _dataset(path), _kind(), datetime.now(UTC).date()
    with _opened(dataset, path) as source:
        read = _rated(source.rows(), rows)
    with _opened(dataset, path) as source:
        mapped = _rated(judged(source.rows(), dataset, kind.vct, today=today), rows)
    sample: list[Any] = []
    with _opened(dataset, path) as source:
        for one in judged(source.rows(), dataset, kind.vct, today=today):
            sample.append(one.mapped)
            if len(sample) >= 2000:
                break
    signer = generate()

    def sign(place: int) -> None:
        sign_certificate(
            sample[place], kind, issuer="https://hub.example/dept/d", generation=1,
            status=("https://hub.example/l", place), now=datetime.now(UTC), signer=signer,
        )  # fmt: skip

    count = len(sample)
    return {
        "read": read, "mapped": mapped,
        "signed": _by_cpu(sign, count), "raw_sign": _by_cpu(lambda _: signer.sign(b"x" * 1306), count),
    }  # fmt: skip


def _by_cpu(work: Callable[[int], Any], count: int) -> float:
    """How often a CPU-second does it: two signatures are compared whatever else the machine does."""
    began = time.process_time()
    for place in range(count):
        work(place)
    return round(count / (time.process_time() - began), 1)


@contextmanager
def _opened(dataset: Dataset, path: Path) -> Iterator[Any]:
    source = open_source(dataset, path.parent)
    try:
        yield source
    finally:
        source.close()


def _know(agent: Agent, outcome: Outcome) -> None:
    """A state as if a hub had acked every row: what a first sync leaves, without the hours at the hub's door."""
    dataset, kind = agent.config.datasets[0], _kind()
    began = time.perf_counter()
    with _opened(dataset, agent.config.agent.state) as source, agent.state.transaction() as db:
        for one in judged(source.rows(), dataset, kind.vct, today=agent.desk.today):
            ref = ref_of(agent.desk.secret, dataset.id, one.key or ())
            entry = (
                dataset.id, ref, json.dumps(one.key, ensure_ascii=False), one.digest, 1, ref, "u", 0, None,
                "2026-11-23", "current", 1, 0, "[]",
            )  # fmt: skip
            db.execute(f"insert into entry values ({', '.join('?' * len(entry))})", entry)
        rules = f"{rules_of(dataset)}:{kind.vct}"
        db.execute(
            "insert into pass (dataset, started, ended, complete, rows, rules) values (?, '', ?, 1, ?, ?)",
            (dataset.id, agent.desk.stamp(), outcome.rows, rules),
        )
    agent.state.keep_type(TYPE, _document(), agent.desk.stamp())
    outcome.rates["first_state"] = round(outcome.rows / (time.perf_counter() - began), 1)


def _planted(
    server: MariaDB, table: str, rows: int, chance: random.Random, wanted: int | None = None
) -> tuple[list[int], list[int]]:
    """One row in a thousand (or `wanted`) says something else now, half as many are gone: their keys."""
    changed = max(2, rows // 1000) if wanted is None else wanted
    gone = max(1, changed // 2)
    chosen = chance.sample(range(1, rows + 1), changed + gone)
    with connected(server) as connection, connection.cursor() as cursor:
        cursor.executemany(
            f"update trial.{table} set xxmc = '华南师范大学' where id = %s", [[n] for n in chosen[:changed]]
        )
        cursor.executemany(f"delete from trial.{table} where id = %s", [[n] for n in chosen[changed:]])
    return chosen[:changed], chosen[changed:]


def _survey(path: Path, rows: int) -> dict[str, Any]:
    """What the agent says that a sync would do, and its memory at each quarter."""
    memory: list[float] = []
    with _agent(path) as agent:
        agent.desk.client.hub = "http://127.0.0.1:9"  # the type comes from the state: this hub is away
        agent.desk.client._sleep = lambda _: None

        def seen(_: str, read: int, __: int | None) -> None:
            if read * 4 // rows > len(memory):
                memory.append(resident_mb(os.getpid()))

        agent.desk.progress = seen
        began = time.perf_counter()
        [found] = agent.survey()
        took = time.perf_counter() - began
    memory.append(resident_mb(os.getpid()))
    return {
        "rate": round(found.read / took, 1), "memory": memory, "changed": found.changed, "gone": found.gone,
        "new": found.new, "quarantined": found.quarantined,
    }  # fmt: skip


def resident_mb(pid: int) -> float:
    """Memory of a process that is in RAM."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return round(int(line.split()[1]) / 1024, 1)
    return 0.0


def _flat(outcome: Outcome, name: str) -> None:
    seen = [value for value in outcome.memory_mb[name] if value]
    if len(seen) > 1 and max(seen) > FLAT * seen[0]:
        outcome.problems.append(f"memory of {name} grew: {seen}")


# --- 3: end to end ---


@contextmanager
def _hub(folder: Path, database: str) -> Iterator[tuple[stage.Stage, Callable[[], None]]]:
    """A hub that answers, and what kills it with SIGKILL and starts it again."""
    port = stage.free_port()
    made = stage.set_stage(folder, database, public_url=f"http://127.0.0.1:{port}")

    async def begin() -> None:
        async with stage.opened(made), made.tx() as tx:  # without keys: the agent brings its own
            await departments.add(
                tx, slug="dg-degree", uscc=credit(100), name_zh="学位授予单位", name_en="Degrees"
            )

    asyncio.run(begin())
    command = [sys.executable, "-m", "hub.cli", "serve", "--port", str(port)]
    environment = stage.environment_of(made.settings)
    running = [stage.start(command, port, folder, environment, within=900)]

    def strike() -> None:
        running[0].kill()
        running[0] = stage.start(command, port, folder, environment, within=900)

    try:
        yield made, strike
    finally:
        with stage.served(running[0]):
            pass


def _enrolled(made: stage.Stage, path: Path) -> None:
    async def code() -> str:
        async with made.tx() as tx:
            found = await department_keys.make_enrolment_code(
                tx, department="dg-degree", made_by="officer:a", approved_by="officer:b"
            )
        await made.db.close()
        return found

    with _agent(path) as agent:
        agent.enrol(asyncio.run(code()))


def _sync(path: Path, verb: str = "sync") -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "adapters.command", verb, "--json", "-c", str(path)]
    return subprocess.Popen(
        command, env={**os.environ, PASSPHRASE: SECRET, "PYTHONPATH": str(stage.ROOT)}, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def _known(path: Path) -> int:
    """How many rows the agent knows as registered; asked beside a running sync."""
    state = sqlite3.connect(f"file:{path.parent / 'state.db'}?mode=ro", uri=True, timeout=60)
    try:
        return int(state.execute("select count(*) from entry").fetchone()[0])
    finally:
        state.close()


def _killed(
    path: Path,
    server: MariaDB,
    outcome: Outcome,
    sent: int,
    kills: int,
    chance: random.Random,
    tell: Callable[[Outcome], None],
) -> None:
    """Begun again and again, killed at random moments, while rows change in between."""
    longest = min(60.0, max(4.0, sent / 1000))
    with connected(server) as connection, connection.cursor() as cursor:
        for number in range(kills):
            process = _sync(path)
            time.sleep(chance.uniform(1.0, longest))
            if process.poll() is None:
                process.kill()
                outcome.kills += 1
                outcome.killed_at.append(_known(path))
            process.communicate()
            cursor.execute(
                "update trial.sent set xxmc = %s where id %% %s = %s",
                (f"学校{number}", max(50, sent // 20), number),
            )
            tell(outcome)


def _sent(
    path: Path,
    server: MariaDB,
    outcome: Outcome,
    sent: int,
    until: float | None,
    tell: Callable[[Outcome], None],
) -> int:
    """To the end, without a kill: rates and memory of one long sync. Gives how many rows the table has in the end.

    When the time is up the sync is killed once more and the table cut to the rows that it has sent or promised.
    """
    before, memory, samples = _known(path), [], []
    began = time.perf_counter()
    process = _sync(path)
    pause, asked = max(0.2, min(15.0, sent / 20_000)), 0.0
    while process.poll() is None:
        time.sleep(0.2)
        if until is not None and time.monotonic() > until:
            process.kill()
            break
        if time.perf_counter() - asked < pause:
            continue
        asked = time.perf_counter()
        memory.append(resident_mb(process.pid) if process.poll() is None else 0.0)
        samples.append((asked, outcome.registered))
        outcome.registered = _known(path)
        if len(samples) % 20 == 0:
            tell(outcome)
    if until is not None and time.monotonic() > until:
        process.communicate()
        sent = _cut(path, server)
        outcome.parts.append(f"time is up: the table was cut to {sent} rows")
        process = _sync(path)
    took = time.perf_counter() - began
    said, trouble = process.communicate()
    report = json.loads(said or "{}")
    outcome.registered = _known(path)
    if process.returncode or outcome.registered != sent or report.get("quarantined"):
        outcome.problems.append(f"sync of {sent}: {before} before, {report} {trouble.decode()[-300:]}")
    outcome.rates["end_to_end"] = round((outcome.registered - before) / took, 1)
    growing = [at for at in samples if before < at[1] < outcome.registered] or [(began, before)]
    spent = growing[-1][0] - growing[0][0]
    outcome.rates["registering"] = (
        round((growing[-1][1] - growing[0][1]) / spent, 1) if spent else outcome.rates["end_to_end"]
    )
    seen = [value for value in memory if value]
    quarters = [max(seen[: len(seen) * part // 4] or [0.0]) for part in (1, 2, 3, 4)]
    outcome.memory_mb["sync"] = quarters
    if sent >= 5000:  # of fewer, a quarter is the program coming up
        _flat(outcome, "sync")
    return sent


def _cut(path: Path, server: MariaDB) -> int:
    """Delete every row that lies after the last one which the agent has registered or promised; how many are left."""
    state = sqlite3.connect(path.parent / "state.db", timeout=60)
    keys = "select key from entry union all select key from outbox"
    number = "cast(json_extract(key, '$[0]') as integer)"
    last = int(state.execute(f"select max({number}) from ({keys})").fetchone()[0])
    state.close()
    with connected(server) as connection, connection.cursor() as cursor:
        cursor.execute("delete from trial.sent where id > %s", (last,))
    return last


def _door_alone(path: Path, count: int) -> float:
    """The hub's own limit: certificates that were signed before, 500 in a call, one call after another."""
    dataset = _dataset(path)
    with _agent(path) as agent, _opened(dataset, path) as source:
        desk, items = agent.desk, []
        kind = desk.certificate_type(TYPE)
        desk.book.ensure(count)
        free = iter(desk.state.take_indices(count))
        for one in judged(source.rows(), dataset, kind.vct, today=desk.today):
            if len(items) >= count or one.mapped is None:
                break
            token = sign_certificate(
                one.mapped, kind, issuer=issuer_url(desk.me.hub, desk.me.department), generation=1,
                status=next(free), now=desk.now, signer=desk.signer(),
            )  # fmt: skip
            items.append(Registration(token, "alone", secrets.token_urlsafe(16), 1, one.digest))
        began = time.perf_counter()
        for place in range(0, count, 500):
            list(desk.client.register_batch(items[place : place + 500]))
        return round(count / (time.perf_counter() - began), 1)


def _as_the_table_says(path: Path, made: stage.Stage, outcome: Outcome) -> dict[str, Counter[str]]:
    """The hub's current certificates against a clean read of the table: the same keys, the same content, once each.

    Gives how many certificates of each state every ref has.
    """
    dataset, kind = _dataset(path), _kind()
    expected: dict[str, bytes] = {}
    with _agent(path) as agent, _opened(dataset, path) as source:
        for one in judged(source.rows(), dataset, kind.vct, today=agent.desk.today):
            expected[ref_of(agent.desk.secret, dataset.id, one.key or ())] = bytes.fromhex(one.digest)
    states: dict[str, Counter[str]] = {}
    wrong = 0
    for ref, claims_hash, state in asyncio.run(_held(made, dataset.id)):
        states.setdefault(ref, Counter())[state] += 1
        wrong += state == "current" and expected.get(ref) != claims_hash
    missing = sum(states.get(ref, Counter())["current"] != 1 for ref in expected)
    more = sum(found["current"] > (ref in expected) for ref, found in states.items())
    if wrong or missing or more:
        outcome.problems.append(
            f"of {len(expected)} rows {missing} do not stand once, {more} stand that should not, {wrong} say else"
        )
    return states


async def _held(made: stage.Stage, dataset: str) -> list[tuple[str, bytes, str]]:
    """(ref, claims hash, state) of everything the hub ever took of a dataset."""
    sources, page = certificate_sources, 50_000
    columns = sa.select(sources.c.ref, sources.c.generation, sources.c.claims_hash, certificates.c.state)
    joined = sources.join(
        certificates,
        sa.and_(certificates.c.bucket == sources.c.bucket, certificates.c.id == sources.c.certificate_id),
    )
    found: list[tuple[str, bytes, str]] = []
    last = ("", 0)
    async with made.tx() as tx:
        while True:
            after = sa.or_(
                sources.c.ref > last[0], sa.and_(sources.c.ref == last[0], sources.c.generation > last[1])
            )
            query = columns.select_from(joined).where(
                sources.c.department == "dg-degree", sources.c.dataset == dataset, after
            )
            rows = list(await tx.all(query.order_by(sources.c.ref, sources.c.generation).limit(page)))
            found += [(row.ref, bytes(row.claims_hash), str(row.state)) for row in rows]
            if len(rows) < page:
                break
            last = (rows[-1].ref, rows[-1].generation)
    await made.db.close()
    return found


# --- 4: what changes and what goes, at the hub ---


def _planted_for_real(
    path: Path, made: stage.Stage, server: MariaDB, outcome: Outcome, sent: int, chance: random.Random,
    wanted: int | None,
) -> None:
    """Two whole passes over a table with planted changes and deletions: exactly those certificates end.

    A pass before them finds nothing: what the others take longer is what superseding and revoking cost.
    """
    before = _as_the_table_says(path, made, outcome)
    idle = min(_idle(path) for _ in range(2))
    changed, gone = _planted(server, "sent", sent, chance, wanted)
    superseded = revoked = 0
    began = time.perf_counter()
    for ending in ("superseding", "revoking"):  # absence is believed when two complete passes running saw it
        pass_began = time.perf_counter()
        process = _sync(path, "reconcile")
        said, trouble = process.communicate()
        ended, spent = len(changed if ending == "superseding" else gone), time.perf_counter() - pass_began - idle
        if spent > 0.1:  # else it is lost among what else this machine does
            outcome.rates[ending] = round(ended / spent, 1)
        report = json.loads(said or "{}")
        superseded, revoked = superseded + report.get("superseded", 0), revoked + report.get("revoked", 0)
        if process.returncode or report.get("registered") or report.get("quarantined"):
            outcome.problems.append(f"reconcile: {report} {trouble.decode()[-300:]}")
    outcome.rates["whole_pass"] = round(2 * sent / (time.perf_counter() - began), 1)
    outcome.real = {
        "changed": len(changed), "gone": len(gone), "superseded": superseded, "revoked": revoked
    }  # fmt: skip
    after = _as_the_table_says(path, made, outcome)
    with _agent(path) as agent:
        dataset = agent.config.datasets[0].id
        ends = {ref_of(agent.desk.secret, dataset, (str(number),)) for number in (*changed, *gone)}
    moved = {ref for ref, found in after.items() if found != before.get(ref)}
    if (superseded, revoked) != (len(changed), len(gone)) or moved != ends:
        outcome.problems.append(f"planted {outcome.real}: {len(moved)} certificates moved")


def _idle(path: Path) -> float:
    """Seconds of a whole pass that finds nothing."""
    began = time.perf_counter()
    _sync(path, "reconcile").communicate()
    return time.perf_counter() - began


# --- 5: killed while certificates end ---


def _struck(
    path: Path, made: stage.Stage, server: MariaDB, outcome: Outcome, sent: int, strikes: int, chance: random.Random,
    strike: Callable[[], None],
) -> None:
    """A third of the rows changes, and the agent or the hub is killed while their certificates end; again and again."""
    struck = Counter({"agent": 0, "hub": 0, "in_a_step": 0})
    longest = 2.0 + sent / 1000
    with connected(server) as connection, connection.cursor() as cursor:
        for number in range(strikes):
            cursor.execute(
                "update trial.sent set xxmc = %s where id %% 3 = %s", (f"学院{number}", number % 3)
            )
            process = _sync(path, "reconcile")
            time.sleep(chance.uniform(1.0, longest))
            alive = process.poll() is None
            if number % 2:
                strike()
            else:
                process.kill()
            process.communicate()
            state = sqlite3.connect(path.parent / "state.db", timeout=60)
            struck["in_a_step"] += bool(state.execute("select count(*) from step_part").fetchone()[0])
            state.close()
            struck["hub" if number % 2 else "agent"] += alive
    for _ in range(2):
        said, trouble = _sync(path, "reconcile").communicate()
    report = json.loads(said or "{}")
    if report.get("superseded") != 0 or report.get("registered") or report.get("quarantined"):
        outcome.problems.append(f"after the kills: {report} {trouble.decode()[-300:]}")
    outcome.struck = dict(struck)
    _as_the_table_says(path, made, outcome)


if __name__ == "__main__":
    sys.exit(main())

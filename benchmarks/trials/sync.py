"""A table of a million rows in MariaDB becomes certificates: rates beside their limits, memory, kills, planted changes.

1. Read, map and hash every row; each rate stands beside its own limit (the driver's cursor, a bare signature, the hub's
door fed with certificates that were signed before). 2. A state that knows every row meets a table with planted changes
and deletions: they are found exactly. 3. `yimen-agent sync` sends rows to a hub, end to end; its memory must stay
flat. 4. It is killed with SIGKILL at random moments and started again: the same final set, nothing twice.
"""

import argparse
import asyncio
import json
import os
import random
import secrets
import shutil
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
    reconcile: {{max_revoke: {{count: 100000, percent: 50}}, max_changed_percent: 50}}
"""


@dataclass
class Outcome:
    """How the trial went; rates are rows a second."""

    rows: int
    rates: dict[str, float] = field(default_factory=dict)
    ratios: dict[str, float] = field(default_factory=dict)
    planted: dict[str, int] = field(default_factory=dict)
    found: dict[str, int] = field(default_factory=dict)
    memory_mb: dict[str, list[float]] = field(default_factory=dict)
    kills: int = 0
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)


def main() -> int:
    """Run the trial, print what came of it as JSON; exit status 1 when anything did not hold."""
    parser = argparse.ArgumentParser(prog="./run trial sync")
    parser.add_argument("--rows", type=int, default=1_000_000, help="read, mapped and reconciled")
    parser.add_argument("--sent", type=int, default=20_000, help="of these, signed and registered at a hub")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    seed = given.seed if given.seed is not None else secrets.randbits(32)
    with stage.folder() as folder, mariadb_server() as server, stage.durable_postgres() as postgres:
        outcome = trial(
            folder, server, postgres or "", rows=given.rows, sent=given.sent, kills=given.kills,
            chance=random.Random(seed),
        )  # fmt: skip
    told = {"trial": "sync", "seed": seed, "machine": measure.environment(), **vars(outcome)}
    text = json.dumps(told, ensure_ascii=False, indent=1)
    given.json.write_text(text + "\n") if given.json else print(text)
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
) -> Outcome:
    """The whole trial."""
    began, outcome = time.monotonic(), Outcome(rows)
    fill(server, folder, "whole", rows)
    _reconciled(folder, server, outcome, chance)
    _so_far("read and compared", outcome)
    with _hub(folder / "hub", hub_database) as made:
        fill(server, folder, "sent", sent)
        _sent(folder / "sent", made, server, outcome, sent)
        _so_far("sent", outcome)
        fill(server, folder, "killed", max(200, sent // 10))
        _killed(folder / "killed", made, server, outcome, kills, chance)
    outcome.seconds = round(time.monotonic() - began, 1)
    return outcome


def _so_far(part: str, outcome: Outcome) -> None:
    """A long trial tells each part when it is done."""
    print(f"{part}: {json.dumps(vars(outcome), ensure_ascii=False)}", file=sys.stderr, flush=True)


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


def _reconciled(folder: Path, server: MariaDB, outcome: Outcome, chance: random.Random) -> None:
    rows, rates = outcome.rows, outcome.rates
    path = _configured(folder / "whole", "http://127.0.0.1:9", server, "whole")
    with connected(server, cursorclass=pymysql.cursors.SSCursor) as connection, connection.cursor() as cursor:
        cursor.execute("select id, xm, sfzh, xwlx, xxmc, bydate, zsbh from trial.whole")
        rates["driver_cursor"] = _rated(iter(cursor.fetchone, None), rows)
    signer = generate()
    rates["raw_sign"] = measure.rate(lambda: signer.sign(b"x" * 1306), 0.5)
    rates.update(_apart(_read, path, rows))
    with _agent(path) as agent:
        _know(agent, outcome)
        changed, gone = _planted(server, rows, chance, outcome)
        found = _apart(_survey, path, rows)
        outcome.memory_mb["reconcile"] = found.pop("memory")
        rates["reconcile"] = found.pop("rate")
        outcome.found = {name: int(found[name]) for name in ("changed", "gone", "new", "quarantined")}
    if (outcome.found["changed"], outcome.found["gone"], outcome.found["new"]) != (changed, gone, 0):
        outcome.problems.append(f"planted {changed} and {gone}, found {outcome.found}")
    _flat(outcome, "reconcile")
    for name, limit in (("read", "driver_cursor"), ("mapped", "driver_cursor"), ("signed", "raw_sign")):
        outcome.ratios[f"{name} / {limit}"] = round(rates[name] / rates[limit], 3)


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
    """Rates of the reader, of read + map + check + hash, and of signing what comes out."""
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
    signer, began = generate(), time.perf_counter()
    for place, one in enumerate(sample):
        sign_certificate(
            one, kind, issuer="https://hub.example/dept/d", generation=1,
            status=("https://hub.example/l", place), now=datetime.now(UTC), signer=signer,
        )  # fmt: skip
    return {"read": read, "mapped": mapped, "signed": round(len(sample) / (time.perf_counter() - began), 1)}


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


def _planted(server: MariaDB, rows: int, chance: random.Random, outcome: Outcome) -> tuple[int, int]:
    changed, gone = max(2, rows // 1000), max(1, rows // 2000)
    chosen = chance.sample(range(1, rows + 1), changed + gone)
    with connected(server) as connection, connection.cursor() as cursor:
        cursor.executemany(
            "update trial.whole set xxmc = '华南师范大学' where id = %s", [[n] for n in chosen[:changed]]
        )
        cursor.executemany("delete from trial.whole where id = %s", [[n] for n in chosen[changed:]])
    outcome.planted = {"changed": changed, "gone": gone}
    return changed, gone


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
def _hub(folder: Path, database: str) -> Iterator[stage.Stage]:
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
    with stage.served(stage.start(command, port, folder, environment, within=180)):
        yield made


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


def _sync(path: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "adapters.command", "sync", "--json", "-c", str(path)]
    return subprocess.Popen(
        command, env={**os.environ, PASSPHRASE: SECRET, "PYTHONPATH": str(stage.ROOT)}, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def _sent(folder: Path, made: stage.Stage, server: MariaDB, outcome: Outcome, sent: int) -> None:
    path = _configured(folder, made.settings.public_url, server, "sent")
    _enrolled(made, path)
    before = len(_held(made))
    memory: list[float] = []
    began = time.perf_counter()
    process = _sync(path)
    while process.poll() is None:
        time.sleep(0.2)
        memory.append(resident_mb(process.pid) if process.poll() is None else 0.0)
    took = time.perf_counter() - began
    said, trouble = process.communicate()
    report = json.loads(said or "{}")
    if process.returncode or report.get("registered") != sent or len(_held(made)) - before != sent:
        outcome.problems.append(f"sync of {sent}: {report} {trouble.decode()[-300:]}")
    outcome.rates["end_to_end"] = round(sent / took, 1)
    seen = [value for value in memory if value]
    outcome.memory_mb["sync"] = [max(seen[: len(seen) // 3] or [0.0]), max(seen or [0.0])]
    if sent >= 5000:  # of fewer, a third is the program coming up
        _flat(outcome, "sync")
    outcome.rates["bulk_door"] = _door_alone(path, min(2000, sent))
    outcome.ratios["end_to_end / bulk_door"] = round(
        outcome.rates["end_to_end"] / outcome.rates["bulk_door"], 3
    )


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


# --- 4: killed ---


def _killed(
    folder: Path, made: stage.Stage, server: MariaDB, outcome: Outcome, kills: int, chance: random.Random
) -> None:
    path = _configured(folder, made.settings.public_url, server, "killed")
    path.write_text(path.read_text().replace("- id: degree", "- id: killed"))
    _enrolled_again(folder, path)
    with connected(server) as connection, connection.cursor() as cursor:
        for number in range(kills):
            process = _sync(path)
            time.sleep(chance.uniform(1.0, 5.0))
            if process.poll() is None:
                process.kill()
                outcome.kills += 1
            process.communicate()
            cursor.execute(
                "update trial.killed set xxmc = %s where id %% 50 = %s", (f"学校{number}", number % 50)
            )
        for _ in range(2):
            process = _sync(path)
            said, trouble = process.communicate()
        report = json.loads(said or "{}")
        if process.returncode or report.get("registered") or report.get("superseded"):
            outcome.problems.append(f"after the kills: {report} {trouble.decode()[-300:]}")
        cursor.execute("select count(*) from trial.killed")
        [rows] = cursor.fetchone()
    _exactly_once(made, outcome, rows, "killed")


def _enrolled_again(folder: Path, path: Path) -> None:
    """Another agent of the same department, with the same keys."""
    shutil.copytree(folder.parent / "sent" / "keys", folder / "keys")
    with _agent(path) as agent:
        agent.init()  # the state learns which status keys are ours


def _held(made: stage.Stage) -> list[Any]:
    async def rows() -> list[Any]:
        columns = (
            certificate_sources.c.dataset, certificate_sources.c.ref, certificate_sources.c.generation,
            certificates.c.state,
        )  # fmt: skip
        joined = certificate_sources.join(
            certificates, certificates.c.id == certificate_sources.c.certificate_id
        )
        async with made.tx() as tx:
            found = list(await tx.all(sa.select(*columns).select_from(joined)))
        await made.db.close()
        return found

    return asyncio.run(rows())


def _exactly_once(made: stage.Stage, outcome: Outcome, rows: int, dataset: str) -> None:
    held = [row for row in _held(made) if row.dataset == dataset]
    current = Counter(row.ref for row in held if row.state == "current")
    twice = [ref for ref, count in current.items() if count > 1]
    again = [key for key, count in Counter((row.ref, row.generation) for row in held).items() if count > 1]
    if len(current) != rows or twice or again:
        outcome.problems.append(
            f"{len(current)} of {rows} stand, {len(twice)} twice, {len(again)} generations twice"
        )


if __name__ == "__main__":
    sys.exit(main())

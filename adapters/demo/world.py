"""Builds the demo's city by the same commands that an operator types: a hub, its departments, officers and agents.

Layout of the data folder: `hub/` is the hub's own (database, keys, blobs); `departments/<slug>/` is one office each
(legacy store, agent.yaml, keys, state, passphrase); `logs/`; `demo.json` says what is done.
"""

import csv
import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from adapters.command import PASSPHRASE
from adapters.demo import stores
from adapters.demo.families import build
from adapters.demo.processes import CHECKOUT, Children
from adapters.demo.telling import Teller, surprise
from hub.formats.identifiers import credit_check_character

PATIENCE = 120.0
RUNS_THE_HUB = ("dg-data", "东莞市政务服务数据管理局", "Government Services and Data Bureau")
AUDITS = ("dg-audit", "东莞市审计局", "Audit Bureau")
ADMINISTRATORS = ("admin-1", "admin-2")
OFFICERS: Sequence[tuple[str, str, str, str]] = (
    ("dg-data", "admin-2", "管理员乙（演示）", "平台管理员"),
    ("dg-data", "operator-1", "运维员（演示）", "运维人员"),
    ("dg-edu", "clerk-1", "窗口员（演示）", "窗口工作人员"),
    ("dg-edu", "decider-1", "审批员（演示）", "审批人员"),
    ("dg-degree", "issuer-1", "发证员（演示）", "发证人员"),
    ("dg-degree", "second-1", "复核员（演示）", "复核人员"),
    ("dg-audit", "auditor-1", "审计员（演示）", "审计人员"),
)
"""(department, login, name, role) of the officers that `yimen officer import` brings in."""
SHARED = frozenset({"YIMEN_DATABASE_URL", "YIMEN_DATABASE_POOL"})
"""Settings of the caller that the demo's hub takes over; every other YIMEN_ variable stays outside."""


@dataclass(slots=True)
class World:
    """A city at work. `synced` is what each department's agent reported of its first sync."""

    folder: Path
    url: str
    children: Children
    teller: Teller
    written: stores.Written
    log_key: str = ""
    synced: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def logs(self) -> Path:
        """Where children write what they say."""
        return self.folder / "logs"

    def office(self, slug: str) -> Path:
        """The folder of one department."""
        return self.written.departments[slug]

    def passphrase(self, slug: str) -> str:
        """The passphrase of one department's keys; only its own processes are given it."""
        return (self.office(slug) / "passphrase").read_text(encoding="ascii")

    def yimen(self, *arguments: str, codes: Sequence[int] = (0,)) -> dict[str, Any]:
        """Run one `yimen` command with `--json` and give its answer."""
        name = "yimen " + " ".join(arguments[:2])
        said = self.children.run(name, [sys.executable, "-m", "hub.cli", *arguments, "--json"], codes=codes)
        found: dict[str, Any] = json.loads(said.splitlines()[-1])
        return found

    def agent(
        self, slug: str, verb: str, *arguments: str, sent: str = "", calmly: bool = False
    ) -> dict[str, Any]:
        """Run one department's agent to its end, as a process with its own passphrase and folder."""
        command = [sys.executable, "-m", "adapters.demo.agents", verb, str(self.office(slug) / "agent.yaml")]
        secret = {PASSPHRASE: self.passphrase(slug), "YIMEN_HUB": self.url}
        said = self.children.run(
            f"{slug}: {verb}", [*command, *arguments], environment=secret, sent=sent, seconds=3600, codes=(0, 1),
            calmly=calmly,
        )  # fmt: skip
        found: dict[str, Any] = json.loads(said.splitlines()[-1]) if said.strip() else {}
        if "code" in found:
            surprise(f"{slug} 的代理报错：{found['zh']}（{found['code']}）", f"{slug}: {found['en']}")
        return found


def environment(folder: Path, url: str, port: int) -> dict[str, str]:
    """What the hub's processes are started with: this machine's environment, and settings of the demo alone."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith("YIMEN_") or name in SHARED
    }
    kept.pop(PASSPHRASE, None)
    return kept | {
        "YIMEN_DATA_DIR": str(folder / "hub"),
        "YIMEN_PUBLIC_URL": url,
        "YIMEN_PORT": str(port),
        "YIMEN_LOG_LEVEL": "warning",
        "YIMEN_NOTICE_FILES_DIR": str(folder / "outbox"),
        "PYTHONPATH": os.pathsep.join([str(CHECKOUT), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "PYTHONUNBUFFERED": "1",
        "PYTHONUTF8": "1",
        "COLUMNS": "120",
    }


def credit_code(number: int) -> str:
    """A made-up credit code that checks; area 449998 is no county."""
    body = f"11449998{number:09d}"
    return body + credit_check_character(body)


def write_stores(folder: Path) -> stores.Written:
    """The twelve legacy stores, each with a passphrase for the keys of its agent (mode 0600)."""
    written = stores.write(folder / "departments")
    for place in written.departments.values():
        path = place / "passphrase"
        with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as stream:
            stream.write(secrets.token_urlsafe(24))
    return written


def read_stores(folder: Path) -> stores.Written:
    """The stores that an earlier start wrote, and the families as of that day."""
    place = folder / "departments"
    day = date.fromisoformat(json.loads((place / "families.json").read_text(encoding="utf-8"))["today"])
    return stores.Written(place, {slug: place / slug for slug in stores.STORES}, build(day))


def launch_hub(world: World) -> subprocess.Popen[str]:
    """`yimen serve`; see `await_hub`."""
    return world.children.serve([sys.executable, "-m", "hub.cli", "serve"], world.logs / "hub.log")


def await_hub(world: World, hub: subprocess.Popen[str]) -> None:
    """Wait until a launched hub is ready. Raises `Surprise` with the end of its log."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and hub.poll() is None:
        with suppress(httpx.TransportError):
            if httpx.get(f"{world.url}/readyz", timeout=5).status_code == 200:
                return
        time.sleep(0.1)
    log = world.logs / "hub.log"
    tail = log.read_text(encoding="utf-8", errors="replace")[-2000:]
    surprise(f"平台没有启动，日志末尾：\n{tail}", f"the hub did not start; see {log}")


def initialise(world: World) -> None:
    """`yimen init`: tables, the hub's own keys, the ledger, types, items, the first administrator."""
    slug, zh, en = RUNS_THE_HUB
    made = world.yimen(
        "init", "--department", slug, "--uscc", credit_code(1), "--name-zh", zh, "--name-en", en,
        "--login", ADMINISTRATORS[0], "--person", "管理员甲（演示）",
    )  # fmt: skip
    world.log_key = str(made["log_key"])


def admit(world: World) -> None:
    """`yimen department import` for the twelve and the audit office, then `yimen officer import`."""
    offices = [(slug, *names) for slug, names in stores.NAMES.items()] + [AUDITS]
    departments = [[slug, credit_code(n), zh, en] for n, (slug, zh, en) in enumerate(offices, 2)]
    for name, heading, rows in (
        ("department", ["slug", "uscc", "name_zh", "name_en"], departments),
        ("officer", ["部门", "登录名", "姓名", "角色"], OFFICERS),
    ):
        path = world.folder / f"{name}s.csv"
        with path.open("w", encoding="utf-8", newline="") as stream:
            csv.writer(stream).writerows([heading, *rows])
        world.yimen(name, "import", str(path))


def enrol_and_sync(world: World) -> None:
    """Each department: a one-time code made by two administrators, then its agent enrols, checks and syncs."""
    made, approved = (f"{RUNS_THE_HUB[0]}/{login}" for login in ADMINISTRATORS)
    answer = world.yimen(
        "department", "enrol-code", *stores.STORES, "--made-by", made, "--approved-by", approved
    )
    codes = {str(one["department"]): str(one["code"]) for one in answer["codes"]}

    def one(slug: str) -> str:
        world.synced[slug] = world.agent(slug, "begin", sent=codes[slug])
        return slug

    with world.teller.bar("各部门登记密钥并同步", "departments enrol and sync", len(stores.STORES)) as bar:
        for slug in world.children.together([partial(one, slug) for slug in stores.STORES]):
            report = world.synced[slug]
            if report.get("faults"):
                surprise(f"{slug} 同步出错：{report['faults']}", f"{slug} could not sync")
            zh, _ = stores.NAMES[slug]
            spoilt = f"，隔离 {report['quarantined']} 行" if report["quarantined"] else ""
            bar.done(
                f"{zh}：读 {report['read']} 行，签发登记 {report['registered']} 份{spoilt}，{report['seconds']:.1f} 秒"
            )


WAIVED = ("marriage", "degree", "birth", "social_insurance", "property")
"""Materials whose sources are live once everybody has synced: their waivers come into force."""
PROMISED = ("income_proof", "lease")
"""Materials for which a written promise is taken (告知承诺), checked within `CHECK_DAYS`."""
CHECK_DAYS = 30


def waive(world: World) -> None:
    """Two officers draft, review and publish: connected, then in force. The same commands as anywhere else."""
    made, approved = (f"{RUNS_THE_HUB[0]}/{login}" for login in ADMINISTRATORS)
    two = ("--made-by", made, "--approved-by", approved, "--through", "--reason", "数据源已接通（演示）")
    world.yimen("catalogue", "waiver", ",".join(WAIVED), "in_force", *two)
    world.yimen(
        "catalogue", "waiver", ",".join(PROMISED), "in_force", *two, "--check-days", str(CHECK_DAYS)
    )


def resync(world: World) -> int:
    """Every agent syncs once more; gives the number of certificates that stand."""
    with world.teller.bar("各部门再次同步", "departments sync again", len(stores.STORES)) as bar:
        standing = 0
        for report in world.children.together([partial(world.agent, slug, "sync") for slug in stores.STORES]):
            standing += int(report["standing"])
            bar.done()
    return standing


def write_people(world: World) -> None:
    """The identities that the demo's sign-in offers by name: the story's family first, then the others."""
    people = []
    for family in world.written.families:
        for key, adult in (("father", family.father), ("mother", family.mother)):
            if adult is not None:
                label = family.label_zh or "普通家庭"
                role_zh = "父亲" if key == "father" else "母亲"
                people.append(
                    {
                        "key": f"{family.label or family.key}-{key}",
                        "zh": f"{adult.person.name}（{role_zh}，{label}）",
                        "en": f"{adult.person.name} ({key} of family {family.label or family.key})",
                        "id_type": "111",
                        "id_no": adult.person.id_no,
                    }
                )
    path = world.folder / "hub" / "demo" / "people.json"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with os.fdopen(
        os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w", encoding="utf-8"
    ) as stream:
        json.dump(people, stream, ensure_ascii=False, indent=1)


def database() -> str:
    """The database that the caller chose for the demo's hub; empty for SQLite in its data folder."""
    return os.environ.get("YIMEN_DATABASE_URL", "")

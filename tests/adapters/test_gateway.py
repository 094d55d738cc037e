"""A reviewing department's old system and its gateway: a real hub, a citizen who decides, scripts with one password."""

import asyncio
import csv
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa
import uvicorn
from parts import FixedClock, die_with_parent, free_port, listens, missing, wait_until

from adapters import gatewayconfig, gatewaydrop
from adapters.agent import Agent
from adapters.answers import Registration
from adapters.enrolment import Enrolment
from adapters.gateway import Gateway
from adapters.gatewaycommand import PASSPHRASE, password_of
from adapters.gatewaydoor import PLAIN, as_csv, door
from adapters.gatewaysandbox import PEOPLE, Sandbox
from adapters.gatewaytickets import Tickets
from adapters.model import AgentConfig
from adapters.offline import Checker
from adapters.state import State
from adapters.verifier import AsyncVerifier, VerifierClient
from adapters.yamltree import ConfigFault
from hub.actor import Actor, ActorKind
from hub.clock import now
from hub.consent import approve
from hub.consent.model import consent_requests
from hub.errors import Conflict, HubError, Malformed, NotFound
from hub.ledger.create import create
from hub.ledger.model import leaves
from hub.registry import subjects
from keys.files import Keyring
from keys.signer import generate

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "docs" / "samples"
CONFIG = """\
gateway: {{department: dg-edu, hub: "{hub}", listen: "127.0.0.1:{port}"}}
services:
  - name: degree
    item: 441900-edu-points-enrolment
    purpose: points-enrolment
    types: [degree]
    columns: {{学位: degree.degree_level, 学校: degree.school}}
  - name: both
    item: 441900-edu-points-enrolment
    purpose: points-enrolment
    types: [degree, qualification]
drop: {{in: in, out: out}}
"""


class RealClock(FixedClock):
    """The clock of the tests, but it runs."""

    def __call__(self) -> datetime:
        return now()


class Slot:
    """A gateway on the shared clock, its parts within reach."""

    def __init__(self, folder: Path, running_hub) -> None:
        self.folder, self.hub = folder, running_hub
        self.offset = timedelta(0)
        folder.mkdir(exist_ok=True)
        self.path = folder / "gateway.yaml"
        self.path.write_text(CONFIG.format(hub=running_hub.url, port=free_port()), encoding="utf-8")
        self.config = gatewayconfig.load(self.path)
        self.keyring = Keyring(self.config.keys, "gateway-passphrase-1")
        self.start()

    def now(self):
        return self.hub.clock() + self.offset

    def start(self) -> None:
        self.client = VerifierClient(
            self.config.hub, "dg-edu", lambda: self.keyring.active("client", self.hub.clock()), clock=self.now,
            sleep=lambda _: None,
        )  # fmt: skip
        self.tickets = Tickets(self.config.state)
        self.gateway = Gateway(self.config, self.client, self.tickets, clock=self.now)

    def stop(self) -> None:
        self.client.close()
        self.tickets.close()

    def enrol(self) -> None:
        me = AgentConfig("dg-edu", self.config.hub, self.config.state, self.config.keys)
        with closing(State(self.folder / "enrol.db")) as state:
            Enrolment(me, self.keyring, state, self.client, self.now, purposes=("client",)).enrol(
                self.hub.code_for("dg-edu")
            )

    def work(self, times: int = 1) -> None:
        for _ in range(times):
            self.hub.clock.advance(seconds=40)  # what waits is due again
            self.gateway.work()


@pytest.fixture
def ledger(running_hub) -> None:
    """The hub keeps its ledger: certificates count when their leaves are in it."""
    hub = running_hub.hub
    running_hub.in_hub(
        lambda tx: create(
            tx, blobs=hub.blobs, origin=running_hub.settings.origin, signer=hub.signer("ledger")
        )
    )


def sequenced(running_hub) -> None:
    """Wait until every leaf so far is in the ledger."""

    async def waiting(tx):
        return await tx.value(sa.select(sa.func.count()).where(leaves.c.idx.is_(None)))

    for _ in range(300):
        if not running_hub.in_hub(waiting):
            return
        time.sleep(0.1)
    pytest.fail("the ledger stands still")


@pytest.fixture
def slot(running_hub, ledger, tmp_path):
    found = Slot(tmp_path / "gateway", running_hub)
    found.enrol()
    yield found
    found.stop()


@pytest.fixture
def alone(tmp_path):
    """A gateway without a hub behind it."""
    path = tmp_path / "gateway.yaml"
    path.write_text(CONFIG.format(hub="https://hub.example", port=8899), encoding="utf-8")
    config = gatewayconfig.load(path)
    client = VerifierClient(config.hub, "dg-edu", generate)
    with closing(client), closing(Tickets(config.state)) as tickets:
        yield Gateway(config, client, tickets)


@pytest.fixture
def degrees(running_hub, ledger, config_file, fill):
    """Five people whose degrees are registered."""
    fill(1, 5)
    line = f'agent: {{department: dg-degree, hub: "{running_hub.url}", faces: false}}\n'
    with Agent.load(
        config_file(agent=line), passphrase="agent-passphrase-1", clock=running_hub.clock
    ) as agent:
        agent.enrol(running_hub.code_for("dg-degree"))
        assert agent.sync().registered == 5
        sequenced(running_hub)
        yield agent


def decide(running_hub, number: str, *, agree: bool = True) -> None:
    """The citizen answers the request that waits for them."""

    async def who(tx):
        found = await subjects.find(tx, id_type="111", id_no=number)
        rows = await tx.all(sa.select(consent_requests).where(consent_requests.c.state == "pending"))
        return found, [row.public_id for row in rows]

    subject, waiting = running_hub.in_hub(who)

    async def act(tx):
        hub = running_hub.hub
        shown = await approve.show(tx, public_id=waiting[-1], items=hub.items, types=hub.types)
        if not agree:
            await approve.refuse(tx, public_id=waiting[-1])
            return
        chosen = [{ask.type_code: [one.path for one in ask.fields] for ask in part.types} for part in shown.parts]
        await approve.approve(tx, public_id=waiting[-1], chosen=chosen, items=hub.items, types=hub.types)

    running_hub.in_hub(act, Actor(ActorKind.CITIZEN, subject_id=subject))
    sequenced(running_hub)


def test_from_a_number_to_a_checked_answer(slot, degrees, running_hub, resident):
    asked = {"service": "degree", "id_no": resident(3), "reference": "OLD-1"}
    ticket = slot.gateway.accept(asked)
    assert slot.gateway.accept(asked).id == ticket.id
    with pytest.raises(Conflict):
        slot.gateway.accept(asked | {"id_no": resident(4)})
    slot.work(3)
    waiting = slot.tickets.by_id(ticket.id)
    assert waiting.state == "waiting"
    decide(running_hub, resident(3))
    slot.stop()
    slot.start()  # restarted between question and answer
    slot.work(2)
    said = slot.gateway.answer(slot.tickets.by_id(ticket.id))
    assert (said["state"], said["sandbox"]) == ("verified", False)
    assert said["columns"] == {"学位": "bachelor", "学校": "东莞理工学院"}
    [one] = said["certificates"]
    assert Checker(slot.client, None, slot.now).certificate(one["sd_jwt"], "dg-degree")["school"] == "东莞理工学院"
    both = slot.gateway.accept({"service": "both", "id_no": resident(3)})
    slot.work(2)
    decide(running_hub, resident(3))
    slot.work(2)
    said = slot.gateway.answer(slot.tickets.by_id(both.id))
    assert (said["state"], said["code"], len(said["certificates"])) == ("partly", "missing:qualification", 1)
    other = said["certificates"][0] | {"claims": {"degree_level": "master"}}
    assert slot.gateway._flat("degree", [*said["certificates"], other])["学位"] == "bachelor；master"
    assert nothing_of_the_sandbox_verifies(slot, degrees)
    assert asyncio.run(in_an_event_loop(slot, resident(1)))
    slot.start()
    slot.gateway._skew = lambda: 0.0  # the hub's Date is of today, its clock of the test
    slot.hub.clock.advance(days=8)
    slot.gateway.work()
    assert slot.gateway.answer(slot.tickets.by_id(ticket.id))["certificates"] == []  # forgotten


def nothing_of_the_sandbox_verifies(slot, department) -> bool:
    """A certificate of the sandbox against every key that this hub knows, and at the hub's own door."""
    with closing(Tickets(slot.folder / "sandbox.db")) as tickets:
        desk = Sandbox(slot.config, tickets)
        ticket = desk.accept({"service": "degree", "id_no": number("valid")})
        desk.work()
        [one] = desk.answer(tickets.by_id(ticket.id))["certificates"]
    for issuer in ("sandbox", "dg-degree"):
        with pytest.raises((HubError, LookupError)):
            Checker(slot.client, None, slot.now).certificate(one["sd_jwt"], issuer)
    with pytest.raises(HubError) as refused:  # a department with every right hands it in as its own
        department.desk.client.register(Registration(one["sd_jwt"], "sandbox", "r" * 43, 1, "0" * 64))
    assert refused.value.code in ("certificate.issuer_mismatch", "key.unknown")
    return True


async def in_an_event_loop(slot, id_no: str) -> bool:
    """Programs that live in an event loop: the same key, the same case."""
    async with AsyncVerifier(slot.client) as verifier:
        person, item, key = {"id_type": "111", "id_no": id_no}, "441900-edu-points-enrolment", "k" * 16
        first = await verifier.open_case(item, person, key=key)
        return first == await verifier.open_case(item, person, key=key)


def test_a_citizen_who_refuses_one_without_a_record_and_a_revoked_degree(slot, degrees, running_hub, resident):
    refused = slot.gateway.accept({"service": "degree", "id_no": resident(2)})
    slot.work(2)
    decide(running_hub, resident(2), agree=False)
    nobody = slot.gateway.accept({"service": "degree", "id_no": resident(77)})
    slot.work(2)
    assert slot.tickets.by_id(refused.id).state == "refused", slot.tickets.by_id(refused.id)
    assert slot.tickets.by_id(nobody.id).state == "waiting"  # people whom nobody knows are answered alike
    degrees.revoke("degree", "4", "issued-in-error")
    revoked = slot.gateway.accept({"service": "degree", "id_no": resident(4)})
    slot.work(2)
    decide(running_hub, resident(4))
    slot.work(2)
    assert slot.tickets.by_id(revoked.id).state in ("no_record", "not_accepted")
    assert slot.gateway.answer(slot.tickets.by_id(revoked.id))["certificates"] == []


def test_a_clock_that_was_wrong_neither_erases_nor_delays(slot, degrees, running_hub, resident):
    slot.gateway._skew = lambda: slot.offset.total_seconds()  # the hub of the test stands still; its Date does not
    ended = slot.gateway.accept({"service": "degree", "id_no": resident(2), "reference": "old"})
    slot.tickets.update(ended.id, state="refused")
    waiting = slot.gateway.accept({"service": "degree", "id_no": resident(1)})
    slot.offset = timedelta(days=30)
    slot.work()
    assert slot.tickets.by_id(waiting.id).state == "clock_wrong"
    assert slot.tickets.by_id(ended.id).people  # a month has not passed
    slot.offset = timedelta(0)
    slot.work(3)  # not in thirty days: now
    assert slot.tickets.by_id(waiting.id).state == "waiting"
    running_hub.clock.advance(days=8)
    slot.gateway._forgets_next = 0.0
    slot.work()
    assert slot.tickets.by_id(ended.id).people == ()


def test_what_is_not_asked_rightly_is_refused_at_once(alone, resident):
    for asked, kind in (
        ({"service": "nothing", "id_no": resident(1)}, NotFound),
        ({"service": "degree", "id_no": "441900199403150010"}, Malformed),
        ({"service": "degree"}, Malformed),
        ({"service": "degree", "id_no": resident(1), "reference": "x" * 65}, Malformed),
    ):
        with pytest.raises(kind):
            alone.accept(asked)
    assert alone.tickets.states() == []


def test_a_dropped_file_is_answered_line_by_line(slot, degrees, running_hub, resident):
    drop = slot.config.drop
    drop.incoming.mkdir()
    rows = f"流水号,事项,证件号\r\nA1,degree,{resident(3)}\r\nA2,degree,123\r\nA3,nothing,{resident(3)}"
    (drop.incoming / "名单.csv").write_bytes(rows.encode("gb18030"))
    assert gatewaydrop.sweep(slot.gateway, drop, quiet=0) == 0
    assert (drop.incoming / "名单.csv").exists()  # still being written: no closing line break
    (drop.incoming / "名单.csv").write_bytes((rows + "\r\n").encode("gb18030"))
    gatewaydrop.sweep(slot.gateway, drop, quiet=0)
    slot.work(2)
    gatewaydrop.sweep(slot.gateway, drop, quiet=0)
    assert [path.name for path in drop.outgoing.iterdir()] == ["名单.part"]
    decide(running_hub, resident(3))
    slot.work(2)
    assert gatewaydrop.sweep(slot.gateway, drop, quiet=0) == 1
    [out] = drop.outgoing.iterdir()
    assert out.stat().st_mode & 0o077 == 0
    lines = list(csv.DictReader(out.read_text(encoding="gb18030").splitlines()))
    assert [(line["reference"], line["state"], line["学位"]) for line in lines] == [
        ("A1", "verified", "bachelor"), ("A2", "error", ""), ("A3", "error", ""),
    ]  # fmt: skip
    assert list(drop.incoming.iterdir()) == []


# --- the local door ---


class Served:
    """The local door on a real socket."""

    def __init__(self, desk, folder: Path) -> None:
        self.port, self.desk = free_port(), desk
        self.token = folder / "local.token"
        self.token.write_text("local-password")
        self.server = uvicorn.Server(
            uvicorn.Config(door(desk, "local-password"), port=self.port, log_level="warning", access_log=False, **PLAIN)
        )
        self.thread = threading.Thread(target=self.server.run)
        self.worker = threading.Thread(target=self.work)

    def work(self) -> None:
        while not self.server.should_exit:
            self.desk.work()
            time.sleep(0.05)

    def __enter__(self):
        self.thread.start()
        while not self.server.started:
            time.sleep(0.02)
        self.worker.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.should_exit = True
        self.thread.join()
        self.worker.join()

    def environment(self, **more: str) -> dict[str, str]:
        found = {"GATEWAY": f"http://127.0.0.1:{self.port}", "TOKEN_FILE": str(self.token), "PATH": "/usr/bin:/bin"}
        return found | {"SERVICE": "degree", "LANG": "C.UTF-8"} | more


@pytest.fixture
def sandbox(tmp_path):
    path = tmp_path / "gateway.yaml"
    path.write_text(CONFIG.format(hub="https://hub.example", port=8899), encoding="utf-8")
    config = gatewayconfig.load(path)
    with closing(Tickets(tmp_path / "sandbox.db")) as tickets, Served(Sandbox(config, tickets), tmp_path) as served:
        yield served


def number(outcome: str) -> str:
    return next(number for number, name in PEOPLE.items() if name == outcome)


def ran(command: list[str | Path], **environment) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)


SHIFTED = """\
import os, datetime, hub.clock
real, shift = hub.clock.now, datetime.timedelta(seconds=int(os.environ["SHIFT"]))
hub.clock.now = lambda: real() + shift
from adapters import client, gatewaycommand
client.LONGEST_PAUSE, gatewaycommand.EVERY = 0.1, 0.2
gatewaycommand.main()
"""
"""`yimen-gateway` as it is, on a machine whose clock is off by SHIFT seconds."""


@pytest.fixture
def real_time(running_hub):
    """The hub lives now: other processes have no other clock."""
    running_hub.clock.__class__ = RealClock


class Machine:
    """A machine of the reviewing department: `yimen-gateway serve` runs there as its own process, and can be killed."""

    def __init__(self, slot: Slot, folder: Path) -> None:
        self.slot, self.folder, self.process = slot, folder, None

    def serve(self, *, hub: str, shift: int = 0) -> None:
        config = CONFIG.format(hub=hub, port=self.slot.config.port).replace("drop: {in: in, out: out}\n", "")
        self.slot.path.write_text(config, encoding="utf-8")
        self.process = subprocess.Popen(
            [sys.executable, "-c", SHIFTED, "serve", "-c", self.slot.path],
            env=os.environ | {"SHIFT": str(shift), PASSPHRASE: "gateway-passphrase-1", "PYTHONPATH": str(ROOT)},
            stdout=subprocess.DEVNULL, preexec_fn=die_with_parent,
        )  # fmt: skip
        wait_until(lambda: listens(self.slot.config.port), self.process, Path(os.devnull), 60)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)

    def script(self, people: Path, tries: int) -> subprocess.Popen[str]:
        """verify.sh, curl and a CSV."""
        url = f"http://127.0.0.1:{self.slot.config.port}"
        environment = {"GATEWAY": url, "TOKEN_FILE": str(self.slot.config.token), "PATH": "/usr/bin:/bin"}
        environment |= {"SERVICE": "degree", "LANG": "C.UTF-8", "TRIES": str(tries)}
        return subprocess.Popen(
            ["sh", SAMPLES / "verify.sh", people], env=environment, stdout=subprocess.PIPE, text=True
        )


def test_a_script_of_the_nineties_with_curl_and_a_csv(
    running_hub, real_time, slot, degrees, resident, tmp_path
):
    """One request of an old system; its gateway is offline, killed, wrong by three hours, killed, then well."""
    if shutil.which("curl") is None:
        missing("curl", "apt-get install -y curl")
    people = tmp_path / "people.csv"
    people.write_text(f"reference,number\r\nN1,{resident(3)}\r\nN2,999\r\n")
    machine = Machine(slot, tmp_path)

    def told(state: str) -> bool:
        ticket = slot.tickets.by_reference("N1")
        return ticket is not None and ticket.state == state

    machine.serve(hub="http://127.0.0.1:9")
    assert "N1,new," in machine.script(people, 1).communicate()[0]
    until(lambda: told("hub_away"))
    machine.kill()
    machine.serve(hub=running_hub.url, shift=3 * 3600)
    slot.tickets.update(slot.tickets.by_reference("N1").id, due=running_hub.clock())
    until(lambda: told("clock_wrong"))
    assert "N1,clock_wrong," in machine.script(people, 1).communicate()[0]
    assert "+108" in slot.tickets.by_reference("N1").zh
    machine.kill()
    machine.serve(hub=running_hub.url)
    script = machine.script(people, 60)
    until(lambda: told("waiting"))
    decide(running_hub, resident(3))
    said = script.communicate(timeout=60)[0]
    machine.kill()
    assert "N1,verified,学位=bachelor;学校=东莞理工学院;" in said
    assert "N2,error," in said


def until(true, within: float = 30) -> None:
    end = time.monotonic() + within
    while not true():
        assert time.monotonic() < end
        time.sleep(0.1)


SAMPLE_PROGRAMS = {
    "node": (None, ["node", SAMPLES / "verify.mjs"], "nodejs"),
    "javac": (["javac", "-d", "{}", SAMPLES / "Verify.java"], ["java", "-Xshare:auto", "-cp", "{}", "Verify"],
              "default-jdk-headless"),
    "go": (["go", "build", "-o", "{}/verify", SAMPLES / "verify.go"], ["{}/verify"], "golang-go"),
    "mcs": (["mcs", "-r:System.Net.Http.dll", "-out:{}/Verify.exe", SAMPLES / "Verify.cs"], ["mono", "{}/Verify.exe"],
            "mono-mcs libmono-system-net-http4.0-cil"),
}  # fmt: skip
"""Compiler or interpreter -> how the sample is built (into {}), how it is run, what to install."""


@pytest.mark.parametrize("program", SAMPLE_PROGRAMS)
def test_samples_get_the_fixed_outcomes(sandbox, tmp_path, program):
    build, run, packages = SAMPLE_PROGRAMS[program]
    if shutil.which(program) is None:
        missing(f"sample toolchain {program}", f"apt-get install -y {packages}")
    environment = sandbox.environment(HOME=str(tmp_path))  # caches of compilers
    if build is not None:
        built = ran([str(part).format(tmp_path) for part in build], **environment)
        assert built.returncode == 0, built.stderr
    for outcome, code, told in (("valid", 0, "verified"), ("source_down", 1, "pull.unavailable")):
        command = [*(str(part).format(tmp_path) for part in run), "degree", number(outcome)]
        said = ran(command, **environment, REFERENCE=outcome)
        assert said.returncode == code, said.stderr
        assert told in said.stdout


def test_the_door_knows_one_password_and_small_requests(sandbox):
    url = f"http://127.0.0.1:{sandbox.port}"
    asked = {"service": "degree", "id_no": number("valid"), "reference": "d1"}
    good = {"authorization": "Bearer local-password"}
    for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": "local-password"}):
        assert httpx.post(f"{url}/verify", data=asked, headers=headers).status_code == 401
        assert httpx.get(f"{url}/tickets/x", headers=headers).status_code == 401
    assert httpx.post(f"{url}/verify", content=b"x" * 40_000, headers=good).status_code == 400
    as_json = good | {"content-type": "application/json"}
    assert httpx.post(f"{url}/verify", content=b"[1]", headers=as_json).status_code == 400
    assert httpx.get(f"{url}/tickets/none", headers=good).status_code == 404
    first = httpx.post(f"{url}/verify", data=asked, headers=good)
    assert first.headers["cache-control"] == "no-store"
    for _ in range(100):
        told = httpx.get(f"{url}/tickets/{first.json()['ticket']}", headers=good)
        if told.status_code == 200:
            break
        time.sleep(0.05)
    assert told.json()["state"] == "verified"
    as_text = httpx.post(f"{url}/verify", data=asked, headers=good | {"accept": "text/csv; charset=gb18030"})
    assert "沙箱-学位" in as_text.content.decode("gb18030")


def test_every_outcome_of_the_sandbox(tmp_path):
    path = tmp_path / "gateway.yaml"
    path.write_text(CONFIG.format(hub="https://hub.example", port=8899), encoding="utf-8")
    config = gatewayconfig.load(path)
    with closing(Tickets(tmp_path / "sandbox.db")) as tickets:
        desk = Sandbox(config, tickets)
        ends = {}
        for person, outcome in PEOPLE.items():
            ticket = desk.accept({"service": "degree", "id_no": person})
            desk.work()
            ends[outcome] = tickets.by_id(ticket.id).state
            assert desk.answer(tickets.by_id(ticket.id))["sandbox"] is True
        assert ends == {
            "valid": "verified", "revoked": "not_accepted", "source_down": "not_accepted", "refused": "refused",
            "ambiguous": "not_accepted", "no_record": "no_record", "waits": "waiting",
        }  # fmt: skip
        with pytest.raises(Malformed):
            desk.accept({"service": "degree", "id_no": "11010519491231002X"})


def test_the_sample_is_a_configuration():
    sample = Path(gatewayconfig.__file__).with_name("gateway.sample.yaml")
    assert gatewayconfig.load(sample, environment={}).services["degree"].columns["学位"][0] == "degree"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [("types: [degree]", "types: []"), ("degree.degree_level", "marriage.x"), ("127.0.0.1:", "nowhere")],
)
def test_a_mistake_in_the_configuration_is_told_with_its_place(tmp_path, wrong, said):
    path = tmp_path / "gateway.yaml"
    path.write_text(CONFIG.format(hub="https://hub.example", port=8899).replace(wrong, said), encoding="utf-8")
    with pytest.raises(ConfigFault, match=r"gateway\.yaml:\d+:\d+"):
        gatewayconfig.load(path)


def test_the_local_password_is_made_once_for_this_account_only(alone):
    first = password_of(alone.config)
    assert first == password_of(alone.config)
    assert alone.config.token.stat().st_mode & 0o077 == 0
    assert len(first) > 30


def test_answers_are_harmless_in_a_spreadsheet():
    said = {"reference": "=cmd", "state": "verified", "columns": {"a": "+1", "b": "东莞"}}
    assert as_csv([said]).splitlines()[1].startswith("'=cmd")
    assert "'+1" in as_csv([said])
    assert json.dumps(said)

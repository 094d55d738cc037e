"""Two hubs behind haproxy on one PostgreSQL and one S3: what one is told counts at the other at once, and restarting
both, one after the other, loses no request.

1. At once: through process A a citizen withdraws a grant, a department revokes its token, an issuer revokes a
certificate and retires a key; process B, which used each of them a moment before, must refuse with its next answer.
2. Rolling: under load of registrations, verifications and consents each process gets SIGTERM in turn and is
started again. Must hold: no answer of 5xx, no broken connection, no call in doubt, both processes did work, the
ledger went on under the other process, and at the end `yimen ledger check` passes. The proxy's configuration is
the one of docker-compose.yml, with shorter intervals; it repeats only what was never sent.
"""

import argparse
import asyncio
import json
import re
import secrets
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import yaml

from benchmarks import stage
from benchmarks.measure import ROOT
from benchmarks.stage import AUDIENCE, JSON, Server, Stage, key_proof, rotation_proof
from benchmarks.trials.callers import Callers, lost
from hub.actor import SYSTEM
from hub.certificates.find import by_public_id
from hub.clock import now, seconds
from hub.consent.model import Grant
from hub.formats import authorization, statuslist
from hub.registry import sessions
from hub.web.pages.cookies import cookie_name
from keys.signer import generate

DRAIN_SECONDS = 1.5
VERIFY = "/v1/verifications"


@dataclass
class Outcome:
    """How the trial went."""

    restarts: int = 0
    at_once: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    acknowledged: dict[str, int] = field(default_factory=dict)
    served: dict[str, int] = field(default_factory=dict)
    seconds_to_end: list[float] = field(default_factory=list)
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether everything held."""
        return not self.problems


def main() -> int:
    """Run the trial, print what came of it as JSON; exit status 1 when anything did not hold."""
    parser = argparse.ArgumentParser(prog="./run trial rolling")
    parser.add_argument("--restarts", type=int, default=10, help="of the two processes, in turn")
    parser.add_argument("--rounds", type=int, default=20, help="of telling one process and asking the other")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    if haproxy() is None or stage.postgres_bin() is None:
        print("skipped: haproxy and PostgreSQL are needed", file=sys.stderr)
        return 2
    outcome = trial(given.restarts, given.rounds)
    told = {"trial": "rolling", **vars(outcome), "ok": outcome.ok}
    text = json.dumps(told, ensure_ascii=False, indent=1)
    given.json.write_text(text + "\n") if given.json else print(text)
    return 0 if outcome.ok else 1


def haproxy() -> str | None:
    """The proxy's program."""
    return shutil.which("haproxy", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")


def trial(restarts: int, rounds: int, *, callers: tuple[int, int, int] = (2, 3, 1)) -> Outcome:
    """The whole trial; `callers` register, verify and agree at the same time."""
    began, outcome = time.monotonic(), Outcome()
    with ExitStack() as stack:
        folder = stack.enter_context(stage.folder())
        url = stack.enter_context(stage.durable_postgres()) or ""
        endpoint, access, secret, _ = stack.enter_context(stage.s3_server())
        made = stage.set_stage(
            folder / "data", url, s3_endpoint=endpoint, s3_access_key=access, s3_secret_key=secret,
            s3_secure=False, s3_bucket=f"yimen-{secrets.token_hex(6)}",
        )  # fmt: skip
        asyncio.run(_trial(made, outcome, restarts, rounds, callers))
        checked = stage.yimen(made.settings, "ledger", "check", "--json")
        if checked.returncode:
            outcome.problems.append(f"ledger check: {checked.stdout.decode()[-500:]}")
    outcome.seconds = round(time.monotonic() - began, 1)
    return outcome


class Pair:
    """The two processes and the proxy before them."""

    def __init__(self, made: Stage) -> None:
        self.made = made
        self.ports = [stage.free_port(), stage.free_port()]
        self.metrics = [stage.free_port(), stage.free_port()]
        self._starters = ThreadPoolExecutor(2)  # kept: a server dies with the thread that started it
        self.servers = list(self._starters.map(self.start, (0, 1)))

    def start(self, number: int) -> Server:
        """Start one of the two on its own ports, and wait until it is ready."""
        environment = stage.environment_of(self.made.settings) | {
            "YIMEN_DRAIN_SECONDS": str(DRAIN_SECONDS),
            "YIMEN_METRICS_PORT": str(self.metrics[number]),
        }
        port = self.ports[number]
        command = [sys.executable, "-m", "hub.cli", "serve", "--port", str(port)]
        server = stage.start(command, port, self.made.settings.data_dir, environment, within=120)
        for _ in range(600):
            if httpx.get(f"http://127.0.0.1:{port}/readyz", trust_env=False).status_code == 200:
                return server
            time.sleep(0.05)
        raise RuntimeError(f"not ready:\n{server.log.read_text()[-2000:]}")

    def stop(self, number: int) -> float:
        """SIGTERM, and wait until it has ended; gives how long that took."""
        began = time.monotonic()
        self.servers[number].process.send_signal(signal.SIGTERM)
        self.servers[number].process.wait(40)
        return time.monotonic() - began

    def counted(self, number: int, name: str) -> float:
        """The sum of a metric of one process."""
        server = self.servers[number]
        if server.process.poll() is not None:
            raise RuntimeError(f"it ended by itself ({server.process.returncode}):\n{server.log.read_text()[-2000:]}")
        text = httpx.get(f"http://127.0.0.1:{self.metrics[number]}/metrics", trust_env=False).text
        return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if re.match(rf"{name}[ {{]", line))

    @contextmanager
    def proxied(self, door: int) -> Iterator[Server]:
        """haproxy at the port `door`, with the configuration of docker-compose.yml, before both."""
        text = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["configs"]["haproxy"]["content"]
        for old, new in (("hub-a:8000", f"127.0.0.1:{self.ports[0]}"), ("hub-b:8000", f"127.0.0.1:{self.ports[1]}"),
                         ("bind :8000", f"bind 127.0.0.1:{door}"), ("inter 2s", "inter 250ms")):  # fmt: skip
            assert old in text, old
            text = text.replace(old, new)
        path = self.made.settings.data_dir / "haproxy.cfg"
        path.write_text(text)
        command = [str(haproxy()), "-db", "-f", str(path)]
        with stage.served(stage.start(command, door, self.made.settings.data_dir, {})) as proxy:
            yield proxy

    def end(self) -> None:
        """Kill what still runs."""
        for server in self.servers:
            server.kill()
        self._starters.shutdown()


async def _trial(
    made: Stage, outcome: Outcome, restarts: int, rounds: int, load: tuple[int, int, int]
) -> None:
    await made.hub.blobs.prepare()
    async with stage.opened(made):
        callers, others = Callers(made, door := stage.free_port()), AtOnce(made, outcome)
        await callers.prepare(4)
        await others.prepare(rounds)
        pair = await asyncio.to_thread(Pair, made)
        try:
            with pair.proxied(door):
                await _rolling(made, pair, callers, outcome, restarts, load)
            await others.run(pair.ports)
        finally:
            pair.end()
        await made.publish()


# ---------------------------------------------------------------- at once


class AtOnce:
    """Tells process A, asks process B."""

    def __init__(self, made: Stage, outcome: Outcome) -> None:
        self.made, self.outcome = made, outcome
        self.http = httpx.AsyncClient(timeout=30, trust_env=False)
        self.tell = self.ask = ""
        self.granted: list[tuple[stage.Person, str, list[Grant]]] = []

    async def prepare(self, rounds: int) -> None:
        """People with a degree and a standing grant each, one more than there are rounds."""
        for number in range(rounds + 1):
            person = self.made.person(f"张{number}")
            card = await self.made.certificate("degree", (person, "owner"))
            _, granted = await self.made.grant(person, ["degree"])
            self.granted.append((person, card.certificate, granted))
        await self.made.never_used_up()
        await self.made.publish()

    async def run(self, ports: list[int]) -> None:
        """Every round uses a person, grants and a token of its own; then a key, once."""
        self.tell, self.ask = (f"http://127.0.0.1:{port}" for port in ports)
        for number, (person, card, granted) in enumerate(self.granted[:-1]):
            self.tell, self.ask = self.ask, self.tell  # each process is told half of the time
            token = self.made.consent_token(self.made.departments["dg-edu"], granted)
            await self._expect("before", token, "accepted")
            if number % 3 == 0:
                await self._withdraw(person, granted[0].public_id)
                await self._expect("grant.withdrawn", token, "grant.withdrawn")
            elif number % 3 == 1:
                await self._revoke_token(token)
                await self._expect("token.revoked", token, "token.revoked")
            else:
                await self._revoke_certificate(card)
                await self._expect("status.revoked", token, "status.revoked")
        await self._retire_key(self.granted[-1][2])
        await self.http.aclose()

    async def _expect(self, what: str, token: str, wanted: str) -> None:
        headers = self.made.headers(self.made.departments["dg-edu"], "POST", VERIFY, token)
        answer = await self.http.post(
            self.ask + VERIFY, content=b'{"asks":[{"type":"degree"}]}', headers={**headers, "content-type": JSON}
        )
        said = answer.json()
        if answer.status_code == 200:
            verdict = said["verdicts"][0]
            found = verdict["outcome"] if verdict["outcome"] == "accepted" else verdict["reason"]
        else:
            found = said.get("code", "")
        if found != wanted:
            self.outcome.problems.append(f"{what}: the other process answered {found}")
        self.outcome.at_once[what] += 1

    async def _withdraw(self, person: stage.Person, grant: str) -> None:
        async with self.made.tx(SYSTEM) as tx:
            opened = await sessions.open_session(
                tx, assurance="substantial", subject_id=await self.made.subject(person)
            )
        headers = {
            "cookie": f"{cookie_name(self.made.hub, 'session')}={opened.token}",
            "origin": AUDIENCE,
            "sec-fetch-site": "same-origin",
        }
        done = await self.http.post(
            f"{self.tell}/grants/{grant}/withdraw", data={"csrf": opened.session.csrf}, headers=headers
        )
        self._done(done, 303)

    async def _revoke_token(self, token: str) -> None:
        department = self.made.departments["dg-edu"]
        form = {
            "client_id": department.slug,
            "client_assertion_type": authorization.ASSERTION_TYPE,
            "client_assertion": authorization.make_client_assertion(
                department.client, client_id=department.slug, audience=AUDIENCE, now=seconds(now())
            ),
            "token": token,
        }
        self._done(await self.http.post(f"{self.tell}/oauth/revoke", data=form), 200)

    async def _revoke_certificate(self, public_id: str) -> None:
        department = self.made.departments["dg-degree"]
        async with self.made.view() as view:
            found = await by_public_id(view, public_id)
        uri, place = str(found.status_uri), int(found.status_idx or 0)
        signed = department.sign_list(uri, {place: statuslist.INVALID}, seconds(now()))
        path = f"/v1/certificates/{public_id}/status"
        body = {"event": "revoke", "reason": "test", "status_list": signed}
        self._done(await self._post(department, path, body), 200)
        department.accepted(uri, signed)

    async def _retire_key(self, granted: list[Grant]) -> None:
        department = self.made.departments["dg-edu"]
        token = self.made.consent_token(department, granted)
        await self._expect("before", token, "accepted")
        old, new = department.client, generate()
        body = {
            "purpose": "client",
            "jwk": new.public.jwk,
            "proof": key_proof(new, "client", now, department=department.slug),
            "previous_proof": rotation_proof(old, "client", new.kid, now, department=department.slug),
        }
        self._done(await self._post(department, "/v1/keys", body), 201)
        department.client = new
        self._done(await self._post(department, f"/v1/keys/{old.kid}/retire", {}), 200)
        department.client = old
        await self._expect("client.unknown", token, "client.unknown")
        department.client = new

    async def _post(self, department: stage.TestDepartment, path: str, body: Any) -> httpx.Response:
        headers = self.made.headers(department, "POST", path, self.made.own_token(department), secrets.token_hex(8))
        return await self.http.post(
            self.tell + path, content=json.dumps(body), headers={**headers, "content-type": JSON}
        )

    def _done(self, answer: httpx.Response, status: int) -> None:
        if answer.status_code != status:
            self.outcome.problems.append(f"{answer.url.path}: {answer.status_code} {answer.text[:300]}")


# ---------------------------------------------------------------- one after the other


async def _rolling(
    made: Stage, pair: Pair, callers: Callers, outcome: Outcome, restarts: int, workers: tuple[int, int, int]
) -> None:
    async def note(answer: httpx.Response) -> None:
        outcome.statuses[answer.status_code] += 1

    callers.http.event_hooks["response"].append(note)
    load = asyncio.create_task(callers.run(registrars=workers[0], verifiers=workers[1], citizens=workers[2]))
    served: Counter[str] = Counter()
    try:
        await asyncio.sleep(1)
        for number in range(restarts):
            which = number % 2
            served[f"process {which + 1}"] += int(await asyncio.to_thread(pair.counted, which, "yimen_requests_total"))
            outcome.seconds_to_end.append(round(await asyncio.to_thread(pair.stop, which), 2))
            outcome.restarts += 1
            await _ledger_goes_on(made, outcome)
            pair.servers[which] = await asyncio.to_thread(pair.start, which)
            await asyncio.sleep(1.5)  # the proxy asks twice before it believes
        callers.stop.set()
        await load
        outcome.problems += await lost(made, callers.said)
    finally:
        load.cancel()
        await callers.http.aclose()
    said = callers.said
    outcome.served = dict(served)
    outcome.acknowledged = {
        "registrations": len(said.certificates), "cases": len(said.cases), "consents": len(said.requests),
        "accesses": len(said.accesses),
    }  # fmt: skip
    outcome.problems += said.wrong[:20]
    if said.in_doubt:
        outcome.problems.append(f"calls in doubt: {dict(said.in_doubt)}")
    if broken := {code: count for code, count in outcome.statuses.items() if code >= 500}:
        outcome.problems.append(f"answers that were no answer: {broken}")
    if len([one for one in served.values() if one]) < min(2, restarts):
        outcome.problems.append(f"one process did all the work: {dict(served)}")


async def _ledger_goes_on(made: Stage, outcome: Outcome) -> None:
    """The other process has taken the office: within its retry of two seconds the ledger grows again."""
    from hub.ledger.head import read_head

    async with made.view() as view:
        before = (await read_head(view)).size
    for _ in range(100):
        await asyncio.sleep(0.1)
        async with made.view() as view:
            if (await read_head(view)).size > before:
                return
    outcome.problems.append("the ledger stood still after a process had ended")


if __name__ == "__main__":
    sys.exit(main())

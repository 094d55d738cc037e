"""Departments and citizens that call a hub over HTTP and do not give up: what the trials put it under load with.

A call whose answer is lost is in doubt; it is sent again, with the same idempotency key and body and a new proof,
until the hub answers. What was answered is remembered as acknowledged, and must never be lost.
"""

import asyncio
import json
import random
import re
import secrets
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Set
from dataclasses import dataclass, field
from functools import partial
from types import SimpleNamespace
from typing import Any

import httpx
import sqlalchemy as sa

from benchmarks.stage import AUDIENCE, JSON, SCHOOL, Person, Stage, TestDepartment
from hub.access.model import accesses
from hub.actor import SYSTEM
from hub.cases.model import cases
from hub.certificates.model import certificates
from hub.clock import now, seconds
from hub.consent.model import Grant, consent_requests, grants
from hub.formats import authorization
from hub.registry import sessions
from hub.web.pages.cookies import cookie_name

AGAIN = {409, 425, 429, 502, 503, 504}
DURABLE = {"register", "verify", "case", "agree"}
_WAITING = re.compile(r"/requests/([A-Za-z0-9_-]{22})")


@dataclass
class Acknowledged:
    """What the hub has answered for, by public id; and how many calls were in doubt on the way."""

    certificates: dict[str, str] = field(default_factory=dict)  # certificate id -> idempotency key
    cases: set[str] = field(default_factory=set)
    requests: set[str] = field(default_factory=set)  # approved by the citizen
    accesses: dict[str, str] = field(default_factory=dict)  # access id -> idempotency key
    answered: Counter[str] = field(default_factory=Counter)
    in_doubt: Counter[str] = field(default_factory=Counter)
    moments: list[float] = field(default_factory=list)
    """When (monotonic seconds) something was acknowledged that must not be lost."""
    more: asyncio.Event = field(default_factory=asyncio.Event)
    """Set whenever such a thing was acknowledged."""
    wrong: list[str] = field(default_factory=list)

    @property
    def ids(self) -> set[str]:
        """Everything that must not be lost, by its public id."""
        return {*self.certificates, *self.cases, *self.requests, *self.accesses}


@dataclass
class Citizen:
    """Somebody with certificates, signed in in a browser."""

    person: Person
    cookie: str
    csrf: str


class Callers:
    """The load: some registrars, verifiers and citizens, each one call after the other until `stop`."""

    def __init__(self, stage: Stage, port: int) -> None:
        self.stage, self.stop = stage, asyncio.Event()
        self.said = Acknowledged()
        self.chance = random.Random(secrets.randbits(64))
        limits = httpx.Limits(max_connections=64, max_keepalive_connections=64)
        self.http = httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", timeout=30, limits=limits, trust_env=False
        )
        self.citizens: list[Citizen] = []
        self.others: list[Person] = []
        self.granted: list[list[Grant]] = []

    async def prepare(self, people: int) -> None:
        """People with a degree each, signed in, and with one standing grant each; indices for new certificates."""
        await self.stage.reserve("dg-degree", 1_000)
        self.others = [self.stage.person(f"李{number}") for number in range(4 * people)]
        for number in range(people):
            person = self.stage.person(f"王{number}")
            await self.stage.certificate("degree", (person, "owner"))
            self.granted.append((await self.stage.grant(person, ["degree"]))[1])
            subject = await self.stage.subject(person)
            async with self.stage.tx(SYSTEM) as tx:
                opened = await sessions.open_session(tx, assurance="substantial", subject_id=subject)
            name = cookie_name(self.stage.hub, "session")
            self.citizens.append(Citizen(person, f"{name}={opened.token}", opened.session.csrf))
        await self.stage.never_used_up()
        await self.stage.publish()

    async def run(self, *, registrars: int, verifiers: int, citizens: int) -> None:
        """Call until `stop`, then until the last call in doubt is answered."""
        workers: list[Callable[[], Awaitable[None]]] = [self._register] * registrars
        workers += [self._verify] * verifiers
        async with asyncio.TaskGroup() as group:
            for worker in workers:
                group.create_task(self._for_ever(worker))
            for citizen in self.citizens[:citizens]:
                group.create_task(self._for_ever(partial(self._consent, citizen)))

    async def _for_ever(self, work: Callable[[], Awaitable[None]]) -> None:
        while not self.stop.is_set():
            await work()

    # --- what they do ---

    async def _register(self) -> None:
        department = self.stage.departments["dg-degree"]
        person = self.chance.choice(self.others)  # whom nobody verifies: so a verification is one Access
        body = await self.stage.registration("degree", (person, "owner"))
        key = secrets.token_hex(8)
        answer = await self._post(department, "/v1/certificates", body, key=key, kind="register")
        if answer.status_code == 201:
            self.said.certificates[answer.json()["certificate_id"]] = key
        else:
            self._wrong("register", answer)

    async def _verify(self) -> None:
        department, granted = self.stage.departments["dg-edu"], self.chance.choice(self.granted)
        key = secrets.token_hex(8)
        answer = await self._post(
            department, "/v1/verifications", {"asks": [{"type": "degree"}]}, key=key, kind="verify", granted=granted
        )  # fmt: skip
        if answer.status_code == 200:
            for verdict in answer.json()["verdicts"]:
                self.said.accesses[verdict["access"]] = key
        else:
            self._wrong("verify", answer)

    async def _consent(self, citizen: Citizen) -> None:
        """A case is opened, consent is asked, the citizen agrees to all that waits."""
        department, person = self.stage.departments["dg-edu"], citizen.person
        body = {
            "item_code": SCHOOL,
            "applicant": {"id_type": person.id_type, "id_no": person.id_no},
        }
        answer = await self._post(department, "/v1/cases", body, key=secrets.token_hex(8), kind="case")
        if answer.status_code != 201:
            self._wrong("case", answer)
            return
        case_id = answer.json()["case_id"]
        self.said.cases.add(case_id)
        await self._ask(department, person, case_id)
        page = await self._until("wallet", partial(self._browse, citizen, "GET", "/requests"))
        for public_id in sorted(set(_WAITING.findall(page.text))):
            done = await self._until("agree", partial(self._agree, citizen, public_id), settled={409})
            if done.status_code in (303, 409):  # 409: agreed before, and the answer was lost
                self.said.requests.add(public_id)
            else:
                self._wrong("agree", done)

    async def _ask(self, department: TestDepartment, person: Person, case_id: str) -> None:
        detail = self.stage.detail(SimpleNamespace(public_id=case_id, item_code=SCHOOL), ["degree"])

        async def send() -> httpx.Response:
            form = {
                "client_id": department.slug,
                "client_assertion_type": authorization.ASSERTION_TYPE,
                "client_assertion": authorization.make_client_assertion(
                    department.client, client_id=department.slug, audience=AUDIENCE, now=seconds(now())
                ),
                "scope": "openid verify",
                "login_hint": f"{person.id_type}:{person.id_no}",
                "authorization_details": json.dumps([detail.to_json()]),
            }
            return await self.http.post("/oauth/bc-authorize", data=form)

        answer = await self._until("ask", send)
        if answer.status_code != 200:
            self._wrong("ask", answer)

    # --- how they call ---

    async def _post(
        self, department: TestDepartment, path: str, body: Any, *, key: str, kind: str,
        granted: list[Grant] | None = None,
    ) -> httpx.Response:  # fmt: skip
        content = json.dumps(body, ensure_ascii=False).encode()

        async def send() -> httpx.Response:
            token = (
                self.stage.consent_token(department, granted) if granted else self.stage.own_token(department)
            )
            headers = self.stage.headers(department, "POST", path, token, key)
            return await self.http.post(path, content=content, headers={**headers, "content-type": JSON})

        return await self._until(kind, send)

    async def _agree(self, citizen: Citizen, public_id: str) -> httpx.Response:
        data = {"csrf": citizen.csrf, "decision": "agree", "all": "0.0"}
        return await self._browse(citizen, "POST", f"/requests/{public_id}", data)

    async def _browse(
        self, citizen: Citizen, method: str, path: str, data: dict[str, str] | None = None
    ) -> httpx.Response:
        headers = {"cookie": citizen.cookie, "origin": AUDIENCE, "sec-fetch-site": "same-origin"}
        return await self.http.request(method, path, data=data, headers=headers)

    async def _until(
        self, kind: str, send: Callable[[], Awaitable[httpx.Response]], settled: set[int] | None = None
    ) -> httpx.Response:
        """Send until there is an answer that time will not change."""
        for _ in range(600):
            try:
                answer = await send()
            except httpx.ConnectError:  # the hub is down: nothing was sent
                await asyncio.sleep(self.chance.uniform(0.03, 0.1))
                continue
            except httpx.TransportError:
                self.said.in_doubt[kind] += 1
                await asyncio.sleep(self.chance.uniform(0.03, 0.1))
                continue
            if answer.status_code not in AGAIN - (settled or set()):
                self.said.answered[kind] += 1
                if kind in DURABLE:
                    self.said.moments.append(time.monotonic())
                    self.said.more.set()
                return answer
            if answer.status_code == 503:  # "not handled, or the outcome is unknown"
                self.said.in_doubt[kind] += 1
            await asyncio.sleep(0.05)
        raise RuntimeError(f"{kind}: the hub did not come back")

    def _wrong(self, kind: str, answer: httpx.Response) -> None:
        self.said.wrong.append(f"{kind}: {answer.status_code} {answer.text[:300]}")


# ---------------------------------------------------------------- what must be there


async def lost(stage: Stage, said: Acknowledged, seen: Set[str] = frozenset()) -> list[str]:
    """Everything that was acknowledged and is not in the database: must be nothing, whenever it is asked.

    What is in `seen` is not looked for again.
    """
    kinds = (said.certificates, said.accesses, said.cases, said.requests)
    cards, looks, files, asked = ([one for one in kind if one not in seen] for kind in kinds)
    async with stage.view() as view:

        async def missing(column: sa.Column[Any], wanted: list[str], *conditions: Any) -> list[str]:
            found: set[str] = set()
            for begin in range(0, len(wanted), 500):
                part = wanted[begin : begin + 500]
                rows = await view.all(sa.select(column).where(column.in_(part), *conditions))
                found |= {row[0] for row in rows}
            return [f"{column}: {one}" for one in wanted if one not in found]

        with_grant = sa.select(sa.literal(1)).select_from(grants)
        with_grant = with_grant.where(grants.c.request_id == consent_requests.c.id)
        return [
            *await missing(certificates.c.public_id, cards),
            *await missing(accesses.c.public_id, looks),
            *await missing(cases.c.public_id, files),
            *await missing(consent_requests.c.public_id, asked, sa.exists(with_grant)),
        ]


async def doubled(stage: Stage, said: Acknowledged, before: int) -> list[str]:
    """What one idempotency key did twice: each key, answered or in doubt for a while, did its work exactly once.

    `before`: certificates that were there before the load. Only when nothing is in doubt any more.
    """
    async with stage.view() as view:
        looks = await view.value(sa.select(sa.func.count()).select_from(accesses))
        cards = await view.value(sa.select(sa.func.count()).select_from(certificates))
        used = await view.value(sa.select(sa.func.sum(grants.c.uses)))
        taken = await view.value(
            sa.select(sa.func.count()).select_from(accesses).where(accesses.c.outcome != "refused")
        )
    told = []
    if looks != len(said.accesses) or looks != len(set(said.accesses.values())):
        told.append(f"{looks} Accesses are stored, {len(said.accesses)} were answered for")
    if cards - before != len(said.certificates):
        told.append(f"{cards - before} certificates are stored, {len(said.certificates)} were answered for")
    if used != taken:
        told.append(f"{used} uses were taken, {taken} Accesses used one")
    return told

"""A hub with its ledger, a department whose agent looks up in its database, a verifier with citizens' consent."""

import re
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import sqlalchemy as sa

from adapters.agent import Agent
from adapters.enrolment import Enrolment
from adapters.model import AgentConfig
from adapters.state import State
from adapters.verifier import Consent, VerifierClient
from hub.actor import Actor, ActorKind
from hub.catalogue.items import caps
from hub.catalogue.sources import pull_sources
from hub.clock import seconds
from hub.consent import approve
from hub.consent.model import consent_requests
from hub.ledger.create import create
from hub.ledger.model import leaves
from hub.registry import sessions, subjects
from hub.registry.publish import publish_types
from keys.files import Keyring

ITEM = "441900-edu-points-enrolment"
PASSPHRASE = "agent-passphrase-1"


def open_ledger(running_hub: Any) -> None:
    hub = running_hub.hub

    async def work(tx: Any) -> None:
        await create(tx, blobs=hub.blobs, origin=running_hub.settings.origin, signer=hub.signer("ledger"))
        await publish_types(tx, hub.types.values())

    running_hub.in_hub(work)


def sequenced(running_hub: Any) -> None:
    """Wait until every leaf so far has its index."""

    async def waiting(tx: Any) -> int:
        return int(await tx.value(sa.select(sa.func.count()).where(leaves.c.idx.is_(None))))

    ends = time.monotonic() + 30
    while running_hub.in_hub(waiting):
        assert time.monotonic() < ends, "the ledger stands still"
        time.sleep(0.05)


@dataclass
class Town:
    """Everybody, and what they do in one line."""

    hub: Any
    folder: Path
    config: Path
    _verifier: VerifierClient | None = None
    told: list[Any] = field(default_factory=list)

    def agent(self) -> Agent:
        """The department's agent, as a restart would load it."""
        return Agent.load(self.config, passphrase=PASSPHRASE, clock=self.hub.clock)

    @contextmanager
    def serving(self, agent: Agent | None = None):
        """The agent's line is held; everything that it tells is in `told`."""
        mine = agent or self.agent()
        try:
            line = mine.line(self.told.append, wait=1)
            with line:
                yield line
        finally:
            if agent is None:
                mine.close()

    def connected(self) -> None:
        """Wait until the hub counts the agent as connected."""
        ends = time.monotonic() + 10
        while not any(one.connected for one in self.hub.in_hub(pull_sources).values()):
            assert time.monotonic() < ends, self.told
            time.sleep(0.02)

    @property
    def verifier(self) -> VerifierClient:
        if self._verifier is None:
            keyring = Keyring(self.folder / "edu-keys", PASSPHRASE)
            self._verifier = VerifierClient(
                self.hub.url, "dg-edu", lambda: keyring.active("client", self.hub.clock()), clock=self.hub.clock
            )
            me = AgentConfig("dg-edu", self.hub.url, self.folder / "edu.db", self.folder / "edu-keys")
            state = State(self.folder / "edu.db")
            enrolment = Enrolment(me, keyring, state, self._verifier, self.hub.clock, purposes=("client",))
            enrolment.enrol(self.hub.code_for("dg-edu"))
            state.close()
        return self._verifier

    def consent(self, number: str, *, types: tuple[str, ...] = ("degree",), max_uses: int | None = None) -> Consent:
        """A consent of this person, from the case to the token."""
        item = self.hub.hub.items[ITEM]
        case = self.verifier.open_case(ITEM, {"id_type": "111", "id_no": number})
        allowed = caps(item)
        detail = {
            "type": "certificate_verification", "item_code": ITEM, "case_id": case, "purpose": "points-enrolment",
            "basis": "holder", "datatypes": list(types),
            "fields": {code: [list(path) for path in sorted(allowed[code], key=repr)] for code in types},
            "valid_until": seconds(self.hub.clock()) + 86_400, "max_uses": max_uses or item.caps.max_uses,
        }  # fmt: skip
        asked = self.verifier.ask([detail], login_hint=f"111:{number}")
        self.decide(number)
        consent = self.verifier.poll(asked)
        assert consent is not None
        sequenced(self.hub)
        return consent

    def subject(self, number: str) -> Any:
        return self.hub.in_hub(lambda tx: subjects.find(tx, id_type="111", id_no=number))

    def decide(self, number: str) -> None:
        """The citizen agrees to what waits."""

        async def act(tx: Any) -> None:
            hub = self.hub.hub
            [row] = await tx.all(
                sa.select(consent_requests).where(
                    consent_requests.c.state == "pending", consent_requests.c.approver == tx.actor.subject_id
                )
            )
            shown = await approve.show(tx, public_id=row.public_id, items=hub.items, types=hub.types)
            chosen = [{a.type_code: [one.path for one in a.fields] for a in part.types} for part in shown.parts]
            await approve.approve(tx, public_id=row.public_id, chosen=chosen, items=hub.items, types=hub.types)

        self.hub.in_hub(act, Actor(ActorKind.CITIZEN, subject_id=self.subject(number)))

    def verify(self, consent: Consent, type_code: str = "degree", **more: Any) -> list[Any]:
        return list(self.verifier.verify(consent.token, [{"type": type_code}], **more))

    def gathers(self, number: str, consent: Consent) -> str:
        """The citizen presses "gather" on the page of their case; what the page then says."""
        subject = self.subject(number)
        token = self.hub.in_hub(
            lambda tx: sessions.open_session(tx, assurance="demo", subject_id=subject)
        ).token
        case = f"/cases/{consent.details[0]['case_id']}"
        headers = {"origin": self.hub.url, "sec-fetch-site": "same-origin"}
        with httpx.Client(base_url=self.hub.url, cookies={"yimen-session": token}, headers=headers) as browser:
            found = re.search(r'name="csrf" value="([^"]+)"', browser.get(case).text)
            assert found is not None
            done = browser.post(f"{case}/gather", data={"csrf": found[1]}, timeout=20)
            assert done.status_code == 303, done.text
            return browser.get(case).text

    def ended(self, consent: Consent, type_code: str = "degree") -> tuple[str, str]:
        """(outcome, reason) of the one verdict."""
        [one] = self.verify(consent, type_code)
        return one["outcome"], one["reason"]

    def at_once(self, work: Any) -> tuple[threading.Thread, list[Any]]:
        """Begin something in a thread; what it gives is in the list when the thread ended."""
        found: list[Any] = []
        thread = threading.Thread(target=lambda: found.append(work()))
        thread.start()
        return thread, found

    def rows(self, table: Any) -> list[Any]:
        async def work(tx: Any) -> list[Any]:
            return list(await tx.all(sa.select(table)))

        return self.hub.in_hub(work)

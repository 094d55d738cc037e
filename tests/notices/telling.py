"""A hub with everything that tells people: real outbox, real files, and whatever server a test starts."""

import json
import re
import ssl
from collections.abc import Mapping
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

from parts import FixedClock
from web.api.apiworld import ApiWorld
from world import Person

from hub.notices import contacts, inbox
from hub.notices.deliver import Deliverer
from hub.notices.egress import Egress, networks
from hub.notices.files import FileOutbox
from hub.notices.message import Transport
from hub.notices.model import Channel, NoticeKind
from hub.notices.run import tell_once
from hub.notices.webhooks import Webhooks, signers
from keys.files import Keyring

SENDER = "yimen@hub.example"


class Telling(ApiWorld):
    """A world whose messages become files in `out`, unless a test gives other ways."""

    def __init__(self, database: str, clock: FixedClock, folder: Path, keyring: Keyring) -> None:
        super().__init__(database, clock, folder / "data", keyring)
        self.out = folder / "out"
        files = FileOutbox(self.out, SENDER)
        self.ended: list[tuple[str, str]] = []
        self.egress = Egress(networks(["127.0.0.0/8"]), plain=True)
        self.deliverer = self.sending({Channel.EMAIL: files, Channel.SMS: files})

    def sending(self, ways: Mapping[Channel, Transport]) -> Deliverer:
        """A deliverer with these ways out."""
        events = Webhooks(signers=lambda now: signers(self.keyring, now), egress=self.egress)
        ended = lambda channel, result: self.ended.append((channel, result))  # noqa: E731
        return Deliverer(self.db, transports=ways, events=events, brand="一门", on_end=ended)

    def trusting(self, ca: Path) -> None:
        """Webhooks trust this authority too."""
        made = ssl.create_default_context(cafile=str(ca))
        self.egress = Egress(self.egress.networks, plain=True, trusted=made)

    async def tell(self, deliverer: Deliverer | None = None) -> None:
        """Sequence what waits, then work until there is nothing to do."""
        await self.publish()
        while await tell_once(self.db, types=self.types, deliverer=deliverer or self.deliverer):
            pass

    async def kinds(self, person: Person) -> list[NoticeKind]:
        """What stands in a wallet, oldest first."""
        subject = await self.subject(person)
        async with self.view() as view:
            return [one.kind for one in reversed(await inbox.newest(view, subject_id=subject))]

    async def reach(self, person: Person, address: str) -> str:
        """A contact of a person, confirmed with the code that came into the folder; its public id."""
        subject = await self.subject(person)
        async with self.tx() as tx:
            added = await contacts.add(tx, subject_id=subject, address=address, offered=list(Channel))
        await self.tell()
        code = re.findall(r"\b[0-9]{6}\b", self.texts()[-1])[0]
        async with self.tx() as tx:
            assert await contacts.try_code(tx, subject_id=subject, public_id=added, code=code)
        self.empty()
        return added

    def messages(self) -> list[tuple[str, str, str]]:
        """(id, recipient, text) of every file, oldest first."""
        found = []
        for path in sorted(self.out.glob("*.*"), key=lambda path: path.stat().st_mtime_ns):
            if path.suffix == ".json":
                said: dict[str, Any] = json.loads(path.read_bytes())
                found.append((said["id"], said["to"], said["text"]))
            else:
                mail = message_from_bytes(path.read_bytes(), policy=policy.default)
                found.append((path.stem, str(mail["To"]), str(mail.get_content()).strip()))
        return found

    def texts(self) -> list[str]:
        return [text for _, _, text in self.messages()]

    def empty(self) -> None:
        for path in self.out.glob("*.*"):
            path.unlink()

"""Messages as files in a folder: for the demonstration, for trials, and for whoever sends by a program of their own.

A mail is `ID.eml`, a text message `ID.json`. A file appears whole or not at all; the same message is the same file.
"""

import asyncio
import json
import os
from dataclasses import dataclass
from datetime import datetime
from email import message_from_bytes, policy
from pathlib import Path

from hub.clock import from_seconds
from hub.notices.message import SENT, Attempt, Message
from hub.notices.smtp import compose

MODE = 0o600


@dataclass(frozen=True, slots=True)
class FileOutbox:
    """A folder that messages are put into. Nothing is ever taken out of it here."""

    folder: Path
    sender: str

    async def send(self, message: Message) -> Attempt:
        """Write one file, durably, under its final name."""
        return await asyncio.to_thread(self._send, message)

    def _send(self, message: Message) -> Attempt:
        if "@" in message.to:
            name, data = f"{message.id}.eml", bytes(compose(message, self.sender))
        else:
            said = {"id": message.id, "to": message.to, "text": message.text, "at": message.at.isoformat()}
            name, data = f"{message.id}.json", json.dumps(said, ensure_ascii=False, indent=1).encode()
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            unfinished = self.folder / f".{name}.{os.getpid()}"
            with os.fdopen(os.open(unfinished, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, MODE), "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(self.folder / name)
        except OSError:
            return Attempt(sent=False, fault="file.write")
        return SENT


@dataclass(frozen=True, slots=True)
class Written:
    """One file of the folder, as a page shows it."""

    to: str
    subject: str
    text: str
    at: datetime


def newest(folder: Path, *, limit: int = 50) -> list[Written]:
    """The newest messages in the folder; those that cannot be read are left out."""
    try:
        found = [path for path in folder.iterdir() if path.suffix in (".eml", ".json") and path.name[0] != "."]
        found.sort(key=lambda path: path.stat().st_mtime, reverse=True)
        return [_read(path) for path in found[:limit]]
    except OSError:
        return []


def _read(path: Path) -> Written:
    at = from_seconds(int(path.stat().st_mtime))
    if path.suffix == ".json":
        said = json.loads(path.read_bytes())
        return Written(said["to"], "", said["text"], at)
    mail = message_from_bytes(path.read_bytes(), policy=policy.default)
    return Written(str(mail["To"]), str(mail["Subject"]), str(mail.get_content()).strip(), at)

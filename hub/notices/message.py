"""One message to one address, and what became of an attempt to send it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Message:
    """What goes out. `id` is the same at every attempt; `to` is in its normal spelling (`hub.formats.contacts`)."""

    id: str
    to: str
    subject: str
    text: str
    language: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Attempt:
    """Sent, or not: `fault` is a code and never an answer of the other side; `for_good`: no later attempt can succeed.

    `after`: the other side asked for that many seconds of patience.
    """

    sent: bool
    fault: str | None = None
    for_good: bool = False
    after: int | None = None


SENT = Attempt(sent=True)


class Transport(Protocol):
    """A way out. `send` never raises for what happens on the way: it says so."""

    async def send(self, message: Message) -> Attempt:
        """Try once. Sending the same message again is allowed, and carries the same id."""
        ...

"""The receiving side of webhooks, for whatever answers at a verifying department's address.

    receiver = Receiver("https://hub.example", department="dg-edu")
    event = receiver.read(headers, body)      # headers and body as they came

The keys are fetched from the hub by https, never taken from a call. See docs/webhooks.md.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any

import httpx

from adapters.answers import MAX_ANSWER, odd_answer, unreachable
from hub.clock import Clock, now, seconds
from hub.errors import Malformed, Unauthenticated
from hub.formats import jws, webhook
from keys.public import PublicKey

KEYS_PATH = "/.well-known/webhook-keys.json"
KEYS_LIVE = 300.0
REFRESH_AFTER = 30.0
"""An unknown signature asks for the keys again, but no more often than this: strangers must not make us call."""


@dataclass(frozen=True, slots=True)
class Event:
    """What the hub says has changed. `id` is the same at every repetition."""

    id: str
    type: str
    timestamp: str
    data: Mapping[str, Any]


class Receiver:
    """Judges calls. Several threads may use it.

    `first_time(id)` remembers an id and says whether it is new; without it the ids of this process's last minutes are
    remembered, which is enough for one process that may do a thing twice after a restart.
    """

    def __init__(
        self,
        hub: str,
        *,
        department: str,
        first_time: Callable[[str], bool] | None = None,
        transport: httpx.BaseTransport | None = None,
        clock: Clock = now,
    ) -> None:
        self._url = hub.rstrip("/") + KEYS_PATH
        self._department = department
        self._first_time = first_time or _Recent()
        self._clock = clock
        self._http = httpx.Client(transport=transport, trust_env=False, follow_redirects=False, timeout=10)
        self._keys: tuple[PublicKey, ...] = ()
        self._fetched = float("-inf")
        self._lock = Lock()

    def close(self) -> None:
        """Close the connection to the hub."""
        self._http.close()

    def read(self, headers: Mapping[str, str], body: bytes) -> Event | None:
        """The event of a call that the hub really made just now for this department; None when it was seen before.

        Raises Unauthenticated `webhook.*` for anything else, Unavailable when the keys cannot be fetched.
        """
        found = {name.lower(): value for name, value in headers.items()}
        try:
            said = self._verified(found, body, self._known(KEYS_LIVE))
        except Unauthenticated as refused:
            if refused.code != "webhook.signature":
                raise
            said = self._verified(found, body, self._known(REFRESH_AFTER))  # the key may have changed a moment ago
        if not self._first_time(found["webhook-id"]):
            return None
        return Event(found["webhook-id"], str(said["type"]), str(said["timestamp"]), said.get("data", {}))

    def _verified(self, headers: Mapping[str, str], body: bytes, keys: tuple[PublicKey, ...]) -> dict[str, Any]:
        return webhook.verify(
            headers, body, keys=keys, now=seconds(self._clock()), department=self._department
        )

    def _known(self, at_most: float) -> tuple[PublicKey, ...]:
        with self._lock:
            if time.monotonic() - self._fetched > at_most:
                self._keys, self._fetched = self._fetch(), time.monotonic()
            return self._keys

    def _fetch(self) -> tuple[PublicKey, ...]:
        try:
            answer = self._http.get(self._url)
            if answer.status_code != 200:
                raise odd_answer()
            said = jws.loads(answer.content, max_bytes=MAX_ANSWER)
            return tuple(webhook.read_key(str(one["key"])) for one in said["keys"])
        except httpx.HTTPError as fault:
            raise unreachable(type(fault).__name__) from fault
        except (Malformed, LookupError, TypeError) as fault:
            raise odd_answer() from fault


class _Recent:
    """The ids of twice the tolerance: an older call is refused for its time."""

    def __init__(self) -> None:
        self._seen: OrderedDict[str, float] = OrderedDict()
        self._lock = Lock()

    def __call__(self, message_id: str) -> bool:
        present = time.monotonic()
        with self._lock:
            while self._seen and next(iter(self._seen.values())) < present - 2 * webhook.TOLERANCE:
                self._seen.popitem(last=False)
            if message_id in self._seen:
                return False
            self._seen[message_id] = present
            return True



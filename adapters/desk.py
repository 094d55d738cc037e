"""What every verb of the agent has at hand: who we are, the state, the hub, the keys, the time."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime

from adapters import certtypes
from adapters.certtypes import CertificateType
from adapters.client import HubClient
from adapters.model import AgentConfig
from adapters.source import SourceFault
from adapters.state import State
from adapters.statusbook import StatusBook
from hub.clock import Clock, civil_day
from hub.errors import Unavailable
from hub.formats import jws
from keys.signer import Signer

MAX_DOCUMENT = 1 << 20


@dataclass(slots=True)
class Desk:
    """One department's agent at work. `secret` keys the refs; it never leaves this machine."""

    me: AgentConfig
    state: State
    client: HubClient
    book: StatusBook
    signer: Callable[[], Signer]
    secret: bytes
    clock: Clock
    progress: Callable[[str, int, int | None], None] | None = None
    """Told (dataset, rows read, rows in all or None) while a pass reads."""
    _types: dict[str, CertificateType] = field(default_factory=dict)

    @property
    def now(self) -> datetime:
        """The present instant."""
        return self.clock()

    @property
    def today(self) -> date:
        """The civil day in Shanghai."""
        return civil_day(self.clock())

    def stamp(self) -> str:
        """The present instant as text for the state file."""
        return self.clock().isoformat(timespec="seconds")

    def certificate_type(self, code: str, *, fresh: bool = True) -> CertificateType:
        """A certificate type as the hub publishes it; from the cache when the hub is away and `fresh` is off.

        Raises SourceFault `agent.type_not_ours` when this department may not issue it.
        """
        if code in self._types:
            return self._types[code]
        try:
            document = dict(self.client.type_document(code))
        except Unavailable:
            kept = self.state.type_document(code)
            if fresh or kept is None:
                raise
            document = jws.loads(kept[0], max_bytes=MAX_DOCUMENT)
        kind = certtypes.from_document(document)
        if kind.issuers and self.me.department not in kind.issuers:
            raise SourceFault(
                "agent.type_not_ours",
                f"本部门无权签发证照类型 {code}。",
                f"This department may not issue certificates of type {code}.",
                next_zh="请核对配置里的 type 与 department。",
                next_en="Check type and department in the configuration.",
            )
        self.state.keep_type(code, json.dumps(document, ensure_ascii=False), self.stamp())
        self._types[code] = kind
        return kind

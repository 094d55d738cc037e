"""The department's status lists: indices are reserved at the hub, lists are kept and signed here.

The hub stores lists and can sign none. Each version names its number and the hash of the one before, so of two
agents that build on the same version one is told so and builds again.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from adapters.answers import ListHead
from adapters.client import HubClient
from adapters.state import KnownList, State
from hub.clock import Clock, seconds
from hub.errors import Conflict, HubError, Unavailable
from hub.formats import statuslist
from hub.formats.jws import split
from hub.formats.statuslist import INVALID, StatusList
from keys.public import PublicKey
from keys.signer import Signer

LIFE = 7 * 86_400
TTL = 300
REFRESH_BEFORE = 3 * 86_400
"""Lists are signed anew when they have less than this left; the hub alarms at 48 hours."""
RESERVE = 1000


@dataclass(slots=True)
class _Head:
    """The version that the next one will build on."""

    seq: int
    sha256: str | None
    iat: int
    lst: StatusList


class StatusBook:
    """All status lists of one department. `own_key` finds a status key of ours, present or past, by its id."""

    def __init__(
        self,
        state: State,
        client: HubClient,
        signer: Callable[[], Signer],
        own_key: Callable[[str], PublicKey],
        clock: Clock,
    ) -> None:
        self._state = state
        self._client = client
        self._signer = signer
        self._own_key = own_key
        self._clock = clock
        self._heads: dict[str, _Head] = {}

    def ensure(self, wanted: int) -> None:
        """At least `wanted` free indices, in lists whose first version the hub holds."""
        while (missing := wanted - self._state.count_free()) > 0:
            found = self._client.reserve(min(RESERVE, missing))
            for head in found.lists:
                self._know(head)
            self._state.keep_free(found.indices)
            if not found.indices:
                raise Unavailable("hub.no_indices", "枢纽没有给出状态位。", "The hub gave no status index.")

    def ending(self, uri: str, indices: Iterable[int]) -> str:
        """The next version of a list with these entries INVALID. It counts as sent: later ones build on it."""
        return self._next(uri, dict.fromkeys(indices, INVALID))

    def acked(self, token: str) -> None:
        """The hub holds this version now."""
        payload = split(token, max_bytes=1 << 22).payload
        uri = str(payload["sub"])
        lst = statuslist.read_bits(token)
        self._state.keep_list(
            KnownList(
                uri, lst.size, lst.bits, int(payload["seq"]), _sha256(token), token, int(payload["exp"])
            )
        )

    def forget_unsent(self) -> None:
        """Build on what the hub acked again: something in between was refused."""
        self._heads.clear()

    def refresh(self, *, force: bool = False) -> int:
        """Sign anew every list that is near its end. Gives how many."""
        present, done = seconds(self._clock()), 0
        for known in self._state.lists():
            if force or known.expires - present < REFRESH_BEFORE:
                self._push(known.uri, {})
                done += 1
        return done

    def adopt(self) -> None:
        """After a conflict: take the hub's versions as the base, but only such as carry our own signature.

        1. The token is signed by a status key of this department. 2. It names its own list. 3. No entry that we
        know as revoked stands in it as anything else.
        """
        self._heads.clear()
        before = {known.uri: known for known in self._state.lists()}
        for head in self._client.my_lists():
            if head.seq == 0 or head.token is None:
                self._know(head)
                continue
            found = statuslist.verify_token(  # 1, 2
                head.token, key=self._own_key, expected_sub=head.uri, now=_iat(head.token), skew=0
            )
            known = before.get(head.uri)
            if known is not None and known.token is not None and not _keeps(known.token, found.lst):  # 3
                raise Conflict(
                    "agent.list_rolled_back",
                    "枢纽上的状态列表丢失了已撤销的条目，已停止。",
                    "The hub's status list lost a revocation: the agent has stopped.",
                    next_zh="请立即联系枢纽管理员和审计人员。",
                    next_en="Tell the hub's administrators and the auditors at once.",
                )
            self.acked(head.token)

    def _know(self, head: ListHead) -> None:
        known = self._state.known_list(head.uri)
        if known is not None and known.seq == head.seq and known.sha256 == head.sha256 and known.seq > 0:
            return
        if head.seq == 0:
            self._state.keep_list(KnownList(head.uri, head.size, head.bits, 0, None, None, 0))
            self._push(head.uri, {})
        elif known is None or known.seq < head.seq:
            self.adopt()

    def _push(self, uri: str, changes: Mapping[int, int]) -> None:
        token = self._next(uri, changes)
        try:
            self._client.push_list(token)
        except Conflict as fault:
            if fault.facts.get("sha256") != _sha256(token):  # else: our own push, whose answer was lost
                self._heads.pop(uri, None)
                raise
        self.acked(token)

    def _next(self, uri: str, changes: Mapping[int, int]) -> str:
        head = self._heads.get(uri) or self._load(uri)
        present = max(seconds(self._clock()), head.iat)  # a clock that went back must not stop revocations
        lst = head.lst.with_changes(changes) if changes else head.lst
        token = statuslist.sign_token(
            lst, sub=uri, iat=present, exp=present + LIFE, ttl=TTL, seq=head.seq + 1, previous=head.sha256,
            signer=self._signer(),
        )  # fmt: skip
        self._heads[uri] = _Head(head.seq + 1, _sha256(token), present, lst)
        return token

    def _load(self, uri: str) -> _Head:
        known = self._state.known_list(uri)
        if known is None:
            self.adopt()
            known = self._state.known_list(uri)
        if known is None:
            raise Conflict(
                "agent.list_unknown", "枢纽上没有这个状态列表。", "The hub has no such status list."
            )
        if known.token is None:
            return _Head(0, None, 0, StatusList(known.bits, known.size))
        return _Head(known.seq, known.sha256, _iat(known.token), statuslist.read_bits(known.token))


def _sha256(token: str) -> str:
    return hashlib.sha256(token.encode("ascii")).hexdigest()


def _iat(token: str) -> int:
    return int(split(token, max_bytes=1 << 22).payload["iat"])


def _keeps(token: str, lst: StatusList) -> bool:
    try:
        return statuslist.read_bits(token).keeps_invalid(lst)
    except HubError:
        return False

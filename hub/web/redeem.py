"""The busiest door: one verification under a consent token. Callers of one moment share a transaction.

What a caller sends is checked before: token, proof, body. Then, for all callers of a group together: 1. each DPoP
proof is spent and no token was revoked; 2. client keys stand; 3. earlier answers under an Idempotency-Key are found;
4. `verify`; 5. answers are kept; 6. the commit. Who is refused at 1 to 3 leaves the group, and nobody else notices.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from hub.actor import SYSTEM
from hub.cases.open import facts_of
from hub.consent.model import CaseFacts, Grant, GrantState
from hub.consent.use import by_public_ids
from hub.errors import Gone, HubError
from hub.formats.authorization import AccessToken
from hub.store.groupcommit import GroupCommit
from hub.store.tx import Tx
from hub.verification.model import Ask, Pulled, Verdict
from hub.verification.verify import Redemption, verify
from hub.web import idempotency
from hub.web.answer import dumps, issuance_of, json_answer
from hub.web.body import read_body
from hub.web.caller import Caller, enter_all, redeeming, would_enter
from hub.web.deps import Hub, hub_of
from hub.web.idempotency import Asked, Reply, Slot
from hub.web.pulling import pull_first
from hub.web.verdicts import LINE_BYTES, NewVerification, asks_of, no_consent, verdicts_json

PATH = "/v1/verifications"
MOST_TOGETHER = {"sqlite": 16, "postgresql": 64}
"""So many callers share a transaction. On SQLite nobody else writes meanwhile, and the work is done in this process:
who comes just too late for a group waits for all of it."""


@dataclass(frozen=True, slots=True)
class Call:
    """One caller whose token, proof and body are right; `asked` is the place of its Idempotency-Key, if it has one.

    `pulled` is what its pulls came to, which were made before it joined a group.
    """

    caller: Caller
    asks: tuple[Ask, ...]
    asked: Asked | None
    pulled: Pulled


async def redeem(request: Request) -> Response:
    """Answer one verification. See `verifier.verification` for what it promises."""
    hub = hub_of(request)
    caller = await redeeming(request)
    if not caller.token.grants:
        raise no_consent()
    body, raw = await read_body(request, NewVerification, max_bytes=LINE_BYTES)
    # Other grants are another call, whatever the body says.
    under = " ".join(caller.token.grants).encode() + b"\n" + raw
    asked = idempotency.asked(request, caller=caller.actor.reference(), body=under)
    asks = asks_of(body.asks)
    pulled = await _pull(hub, caller, asks, asked)
    queue = hub.db.memory.of(_Queue).of(hub)
    answer = await queue(Call(caller, asks, asked, pulled))
    return json_answer(answer.body, answer.status)


async def _pull(hub: Hub, caller: Caller, asks: Sequence[Ask], asked: Asked | None) -> Pulled:
    """Pull what is asked and not held, when the token is in the right hands, fresh, and not answered before."""

    async def refused(tx: Tx) -> bool:
        return not await would_enter(tx, caller) or (asked is not None and await idempotency.known(tx, asked))

    token = caller.token
    if token.client_id != caller.department or token.jkt != caller.actor.jkt:
        return {}
    given = list(zip(token.grants, token.authorization_details, strict=True))
    keys = [
        (grant, ask.type_code)
        for ask in asks
        for grant, detail in given
        if ask.type_code in detail.datatypes and ask.basis in (None, detail.basis) and ask.certificate is None
    ]
    return await pull_first(hub, by=caller.actor, asked=keys, unless=refused) if keys else {}


class _Queue:
    """The callers of this process's hub."""

    def __init__(self) -> None:
        self._made: GroupCommit[Call, Reply] | None = None

    def of(self, hub: Hub) -> GroupCommit[Call, Reply]:
        """The one queue."""
        if self._made is None:

            async def work(calls: Sequence[Call]) -> Sequence[Reply | HubError]:
                return await together(hub, calls)

            self._made = GroupCommit(work, most=MOST_TOGETHER[hub.db.writer.dialect.name])
        return self._made


async def together(hub: Hub, calls: Sequence[Call]) -> list[Reply | HubError]:
    """The answers of some callers, all recorded in one commit; one who comes twice with one key waits for the next."""
    first, later = _apart(calls)
    answers: list[Reply | HubError | None] = [None] * len(calls)
    async with hub.db.tx(SYSTEM, by_key=True) as tx:
        group = _Group(hub, tx, calls, answers)
        await group.enter(first)  # 1, 2
        await group.find_earlier()  # 3
        await group.verify()  # 4, 5
    if later:
        rest = await _afterwards(hub, [calls[place] for place in later])
        for place, answer in zip(later, rest, strict=True):
            answers[place] = answer
    return [answer for answer in answers if answer is not None]


async def _afterwards(hub: Hub, calls: Sequence[Call]) -> list[Reply | HubError]:
    """As `together`, for those who waited: what befalls them must not touch the answers that are durable already."""
    try:
        return await together(hub, calls)
    except HubError as fault:
        return [fault] * len(calls)


def _apart(calls: Sequence[Call]) -> tuple[list[int], list[int]]:
    """Places of the calls that can go together, and of those whose key came before in the same group."""
    seen: set[tuple[str, str]] = set()
    first, later = [], []
    for place, call in enumerate(calls):
        if call.asked is not None and call.asked.name in seen:
            later.append(place)
            continue
        if call.asked is not None:
            seen.add(call.asked.name)
        first.append(place)
    return first, later


class _Group:
    """One transaction's callers; `left` are the places of those who have no answer yet."""

    def __init__(self, hub: Hub, tx: Tx, calls: Sequence[Call], answers: list[Reply | HubError | None]) -> None:
        self.hub = hub
        self.tx = tx
        self.calls = calls
        self.answers = answers
        self.left: list[int] = []
        self.slots: dict[int, Slot] = {}

    async def enter(self, places: Sequence[int]) -> None:
        """Who may be served at all."""
        faults = await enter_all(self.tx, [self.calls[place].caller for place in places])
        for place, fault in zip(places, faults, strict=True):
            if fault is None:
                self.left.append(place)
            else:
                self.answers[place] = fault

    async def find_earlier(self) -> None:
        """Give earlier answers again, unless their consent was withdrawn meanwhile."""
        keyed = [place for place in self.left if self.calls[place].asked is not None]
        asked = [one for place in keyed if (one := self.calls[place].asked) is not None]
        found = await idempotency.enter_all(self.tx, asked, kept=idempotency.KEPT_PERSONAL)
        for place, slot in zip(keyed, found, strict=True):
            if isinstance(slot, HubError):
                self.answers[place] = slot
            elif slot.reply is not None:
                self.answers[place] = await self._again(place, slot.reply)
            else:
                self.slots[place] = slot
        self.left = [place for place in self.left if self.answers[place] is None]

    async def _again(self, place: int, reply: Reply) -> Reply | HubError:
        named = self.calls[place].caller.token.grants
        known = await by_public_ids(self.tx, named)
        if all(one in known and known[one].state is GrantState.STANDING for one in named):
            return reply
        return Gone("grant.withdrawn", "授权已被本人撤回。", "The consent was withdrawn.")

    async def verify(self) -> None:
        """Answer all who are left, and keep the answers of those who may ask again."""
        calls = [self.calls[place] for place in self.left]
        cases = await facts_of(self.tx, {case_of(call.caller.token) for call in calls})
        redemptions = [_redemption(call, cases) for call in calls]
        if redemptions:
            await verify(self.tx, redemptions, items=self.hub.items, types=self.hub.types, meanwhile=self._answer)
        await self._keep()

    def _answer(self, told: Sequence[Sequence[Verdict]]) -> None:
        for place, answer in zip(self.left, verdicts_json(issuance_of(self.hub), told), strict=True):
            self.answers[place] = Reply(200, dumps(answer))

    async def _keep(self) -> None:
        """A kept answer dies with its grant."""
        firsts = {place: self.calls[place].caller.token.grants[0] for place in self.slots}
        known = await by_public_ids(self.tx, firsts.values())
        kept = []
        for place, slot in self.slots.items():
            answer, grant = self.answers[place], known.get(firsts[place])
            if isinstance(answer, Reply):
                kept.append((slot, Reply(answer.status, answer.body, _row(grant))))
        await idempotency.keep_all(self.tx, kept)


def _row(grant: Grant | None) -> uuid.UUID | None:
    return grant.id if grant is not None else None


def case_of(token: AccessToken) -> str:
    """The one case that all details of a token are about; no case when they disagree."""
    named = {detail.case_id for detail in token.authorization_details}
    return named.pop() if len(named) == 1 else ""


def _redemption(call: Call, cases: dict[str, CaseFacts]) -> Redemption:
    case = cases.get(case_of(call.caller.token))
    return Redemption(call.caller.token, call.asks, case, by=call.caller.actor, pulled=call.pulled)

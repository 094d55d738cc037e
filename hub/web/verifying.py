"""A batch of verifications at work: tokens checked before, then many redemptions in one commit.

What a line is refused for, and what is recorded of it, is what the single door would say (`hub/web/redeem.py`).
"""

import asyncio
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from functools import cache, partial
from typing import Annotated, NamedTuple

from pydantic import Field, StringConstraints
from sqlalchemy.exc import DBAPIError
from starlette.requests import Request

from hub.access.record import record_anonymous
from hub.cases.open import facts_of
from hub.clock import seconds
from hub.errors import HubError, Unauthenticated, each
from hub.formats.authorization import AccessToken
from hub.verification.model import Ask, Verdict
from hub.verification.verify import Redemption, verify
from hub.web.answer import issuance_of, request_id
from hub.web.body import Body, parse
from hub.web.caller import Caller, access_tokens, remembered, revoked_among, revoked_token, token_keys
from hub.web.deps import Hub
from hub.web.ndjson import Limits, LinesAnswer, Result
from hub.web.problems import STATUS, document
from hub.web.pulling import pulled_types
from hub.web.redeem import case_of
from hub.web.verdicts import LINE_BYTES, AskBody, asks_of, no_consent, verdicts_json
from hub.web.workers import Members, Signature, not_handled
from keys import base64url
from keys.public import PublicKey

A_BREATH = 16
"""After so many lines others of this process are served: checking a token takes a tenth of a millisecond, where no
worker has looked at its signature."""


class BatchLine(Body):
    """One verification of a batch, with its own consent token."""

    token: Annotated[str, StringConstraints(min_length=1, max_length=64 * 1024)]
    asks: Annotated[list[AskBody], Field(min_length=1, max_length=32)]
    line: int | None = None


class Asked(NamedTuple):
    """A line that may be worth asking the database about."""

    token: AccessToken
    asks: tuple[Ask, ...]


Checked = list[Asked | HubError]


def verifying_lines(hub: Hub, caller: Caller, request: Request, limits: Limits) -> LinesAnswer[Checked]:
    """The answer to a batch: one result a line, each look recorded before any byte of its commit leaves."""
    number = request_id(request)

    def told(refusal: HubError) -> Result:
        status = STATUS[refusal.kind]
        return {"status": status, "problem": document(refusal, status=status, request_id=number)}

    async def prepare(lines: Sequence[bytes]) -> Checked:
        return await _check(hub, lines)

    async def commit(checked: Checked) -> list[Result]:
        found = await _answer(hub, caller, checked)
        return [told(one) if isinstance(one, HubError) else one for one in found]

    return LinesAnswer(request, limits, prepare=prepare, commit=commit, told=told, place=hub.batches.one())


async def _check(hub: Hub, lines: Sequence[bytes]) -> Checked:
    now = seconds(hub.clock())
    bodies: list[BatchLine | HubError] = []
    for begin in range(0, len(lines), A_BREATH):
        bodies += each(lines[begin : begin + A_BREATH], lambda line: parse(line, BatchLine, max_bytes=LINE_BYTES))
        await asyncio.sleep(0)
    texts = [body.token for body in bodies if isinstance(body, BatchLine)]
    key = await _keys(hub, texts)
    tokens: list[AccessToken | HubError] = []
    for begin in range(0, len(texts), A_BREATH):
        tokens += access_tokens(hub, texts[begin : begin + A_BREATH], now=now, key=key)
        await asyncio.sleep(0)
    told = iter(tokens)
    return [body if isinstance(body, HubError) else _asked(body, next(told)) for body in bodies]


def _asked(body: BatchLine, token: AccessToken | HubError) -> Asked | HubError:
    if isinstance(token, HubError):
        return Unauthenticated("token.invalid", "授权凭证无效或已过期。", "The consent token is not valid.")
    if not token.grants:
        return no_consent()
    return Asked(token, asks_of(body.asks))  # whose token it is, `verify` asks: another's is a recorded refusal


async def _keys(hub: Hub, tokens: Sequence[str]) -> Callable[[str], PublicKey]:
    """Finds the hub's own token keys, as they stand now; the newest knows which signatures workers found to hold.

    What workers are not asked about (an older key, a text that is no token) is checked as if there were none.
    """
    newest, standing = hub.signer("token").public, token_keys(hub)
    members = tuple(sorted(newest.jwk.items()))
    signed = []
    for token in {token for token in tokens if remembered(hub, token) is None}:
        message, _, signature = token.rpartition(".")
        with suppress(ValueError):
            signed.append(Signature(members, message.encode("ascii"), base64url.decode(signature)))
    held = await hub.batches.held(signed, hub.types)

    @cache
    def find(kid: str) -> PublicKey:
        public = standing(kid)
        return _Held(public, members, held) if kid == newest.kid else public

    return find


class _Held(PublicKey):
    """A public key with signatures that were checked under it already, by worker processes of this hub."""

    __slots__ = ("_held", "_named")

    def __init__(self, public: PublicKey, named: Members, held: Collection[Signature]) -> None:
        self._key, self._members, self.alg, self.kid = public._key, public._members, public.alg, public.kid
        self._named, self._held = named, held

    def verify(self, signature: bytes, message: bytes) -> bool:
        """As `PublicKey.verify`."""
        return Signature(self._named, message, signature) in self._held or super().verify(signature, message)


async def _answer(hub: Hub, caller: Caller, checked: Checked) -> list[Result | HubError]:
    """The answers of some lines, all recorded in one commit.

    When that fails whole (a lost race, an erased person) its halves are tried, down to single lines; not when the
    database was lost, because then nobody knows whether the uses were taken.
    """
    if not checked:
        return []
    try:
        return await _together(hub, caller, checked)
    except (HubError, DBAPIError) as fault:
        if len(checked) == 1 or (isinstance(fault, HubError) and fault.code == "store.unavailable"):
            return [fault if isinstance(fault, HubError) else not_handled()] * len(checked)
    middle = len(checked) // 2
    return await _answer(hub, caller, checked[:middle]) + await _answer(hub, caller, checked[middle:])


async def _together(hub: Hub, caller: Caller, checked: Checked) -> list[Result | HubError]:
    answers: list[Result | HubError] = [one if isinstance(one, HubError) else not_handled() for one in checked]
    asked = {place: one for place, one in enumerate(checked) if isinstance(one, Asked)}
    unasked = await pulled_types(hub)
    checking = partial(hub.batches.genuine, hub.db.memory, types=hub.types)
    async with hub.tx(caller.actor, by_key=True) as tx:
        revoked = await revoked_among(tx, {one.token.jti for one in asked.values()})
        for place, one in list(asked.items()):
            if one.token.jti in revoked:
                answers[place] = revoked_token()
                del asked[place]
        for answer in answers:
            if isinstance(answer, Unauthenticated):
                await record_anonymous(tx, department=caller.department, reason=answer.code)
        cases = await facts_of(tx, {case_of(one.token) for one in asked.values()})
        redemptions = [
            Redemption(one.token, one.asks, cases.get(case_of(one.token)), unasked=unasked) for one in asked.values()
        ]

        def told(verdicts: Sequence[Sequence[Verdict]]) -> None:
            for place, answer in zip(asked, verdicts_json(issuance_of(hub), verdicts), strict=True):
                answers[place] = {"status": 200, **answer}

        if redemptions:
            await verify(tx, redemptions, items=hub.items, types=hub.types, checking=checking, meanwhile=told)
    return answers

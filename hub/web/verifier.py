"""The door for departments that verify: cases, verifications under a consent token, scores.

A verification is answered 200 whatever its outcome: the outcome, and each numbered check, stand in the answer, and
each look (refusals too) was recorded before a byte of it left.
"""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from pydantic import Field, StringConstraints
from sqlalchemy.exc import DBAPIError
from starlette.requests import Request
from starlette.responses import Response

from hub.access.record import record_anonymous
from hub.cases.open import facts_of
from hub.clock import seconds
from hub.errors import HubError, Unauthenticated, Unavailable
from hub.formats.authorization import AccessToken, check_access_token
from hub.store.tx import Tx, View
from hub.verification.verify import Redemption, verify
from hub.web import examples, ndjson
from hub.web.answer import request_id
from hub.web.body import Body, lines_schema, parse, request_schema
from hub.web.caller import Caller, is_revoked, token_keys, verifying
from hub.web.deps import Hub, hub_of
from hub.web.problems import STATUS, document
from hub.web.redeem import PATH, case_of, redeem
from hub.web.verdicts import LINE_BYTES, AskBody, NewVerification, asks_of, no_consent, verdicts_json

router = APIRouter(tags=["verifiers"])

Verifying = Annotated[Caller, Depends(verifying)]
LIMITS = ndjson.Limits(lines=1_000, line_bytes=LINE_BYTES, all_bytes=16 * 1024 * 1024, lines_a_commit=50)


class BatchLine(Body):
    """One verification of a batch, with its own consent token."""

    token: Annotated[str, StringConstraints(min_length=1, max_length=64 * 1024)]
    asks: Annotated[list[AskBody], Field(min_length=1, max_length=32)]
    line: int | None = None


@router.post(
    PATH,
    openapi_extra=request_schema(
        NewVerification, {"asks": [{"type": "degree", "fields": [["degree_level"]]}]}
    ),
    responses=examples.VERIFIED,
)
async def verification(request: Request) -> Response:
    """Use a consent token once. The Authorization header carries the consent token itself, with its DPoP proof.

    1. Proof and key are checked and spent in the commit of the look. 2. A repeated Idempotency-Key gets the first
    answer for 10 minutes, unless the grant was withdrawn meanwhile. 3. Uses and Accesses are durable before the answer.
    """
    return await redeem(request)


@router.post(
    "/v1/verifications/batch",
    openapi_extra=lines_schema('{"line":1,"token":"eyJ…","asks":[{"type":"degree"}]}'),
    responses=examples.VERIFIED_LINES,
)
async def batch(request: Request, caller: Verifying) -> Response:
    """Many verifications: one consent token and its asks a line, one result a line, in order.

    The request itself is authenticated by the department's own token; each consent token must be bound to the same
    key. Up to 1,000 lines; a refused line spoils no other.
    """
    hub = hub_of(request)
    ndjson.require_lines(request, LIMITS)
    hub.batches.require_room()
    async with hub.tx(caller.actor) as tx:
        await caller.enter(tx)

    def told(error: HubError) -> dict[str, Any]:
        problem = document(error, status=STATUS[error.kind], request_id=request_id(request))
        return {"status": STATUS[error.kind], "problem": problem}

    async def prepare(lines: Sequence[bytes]) -> Sequence[bytes]:
        return lines

    async def commit(lines: Sequence[bytes]) -> list[dict[str, Any]]:
        return await _together(hub, caller, lines, told) if lines else []

    return ndjson.LinesAnswer(
        request, LIMITS, prepare=prepare, commit=commit, told=told, place=hub.batches.one()
    )


async def _together(
    hub: Hub, caller: Caller, lines: Sequence[bytes], told: ndjson.Told
) -> list[dict[str, Any]]:
    """The answers of some lines, all recorded in one commit; given only after it.

    When one line fails the whole commit (an erased person, a lost connection), each is tried again alone.
    """
    answers: list[dict[str, Any] | None] = [None] * len(lines)
    try:
        async with hub.tx(caller.actor) as tx:
            places, redemptions = [], []
            for place, line in enumerate(lines):
                try:
                    body = parse(line, BatchLine, max_bytes=LINE_BYTES)
                    token = await _consent_token(hub, tx, caller, body.token)
                    redemptions.append(await _redemption(tx, token, body.asks))
                    places.append(place)
                except HubError as error:
                    if error.kind == "unauthenticated":
                        await record_anonymous(tx, department=caller.department, reason=error.code)
                    answers[place] = told(error)
            found = await verify(tx, redemptions, items=hub.items, types=hub.types) if redemptions else []
            for place, verdicts in zip(places, found, strict=True):
                answers[place] = {"status": 200, **verdicts_json(hub, verdicts)}
    except (HubError, DBAPIError) as fault:
        if len(lines) > 1:
            return [(await _together(hub, caller, [line], told))[0] for line in lines]
        return [told(fault if isinstance(fault, HubError) else _try_again())]
    return [answer or told(_try_again()) for answer in answers]


async def _redemption(view: View, token: AccessToken, asks: Sequence[AskBody]) -> Redemption:
    case = case_of(token)
    return Redemption(token, asks_of(asks), (await facts_of(view, {case})).get(case))


async def _consent_token(hub: Hub, tx: Tx, caller: Caller, text: str) -> AccessToken:
    issuer = hub.settings.public_url
    try:
        token = check_access_token(
            text,
            issuer=issuer,
            audience=issuer,
            key=token_keys(hub),
            now=seconds(tx.now),  # whose it is, `verify` asks: another's token is a recorded refusal
        )
    except HubError as fault:
        raise Unauthenticated(
            "token.invalid", "授权凭证无效或已过期。", "The consent token is not valid."
        ) from fault
    if not token.grants:
        raise no_consent()
    if await is_revoked(tx, token.jti):
        raise Unauthenticated("token.revoked", "访问令牌已被撤销。", "The access token was revoked.")
    return token


def _try_again() -> Unavailable:
    return Unavailable(
        "batch.try_again", "该行暂未处理，请重试。", "This line was not handled; send it again."
    )

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
from hub.cases import open as cases
from hub.clock import seconds
from hub.consent.model import CaseFacts, GrantState
from hub.consent.withdraw import by_public_id as grant_by_public_id
from hub.errors import Forbidden, Gone, HubError, NotFound, Unauthenticated, Unavailable
from hub.formats.authorization import AccessToken, check_access_token
from hub.store.tx import Tx, View
from hub.verification.model import Ask, Check, Verdict
from hub.verification.verify import Redemption, verify
from hub.web import examples, idempotency, ndjson
from hub.web.answer import dumps, json_answer, receipt_for, request_id
from hub.web.body import Body, lines_schema, parse, read_body, request_schema
from hub.web.caller import Caller, is_revoked, redeeming, token_keys, verifying
from hub.web.deps import Hub, hub_of
from hub.web.problems import STATUS, document

router = APIRouter(tags=["verifiers"])

Verifying = Annotated[Caller, Depends(verifying)]
Redeeming = Annotated[Caller, Depends(redeeming)]
Word = Annotated[str, StringConstraints(min_length=1, max_length=64)]
TypeCode = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._:-]{1,48}$")]
PathPart = Annotated[str, StringConstraints(min_length=1, max_length=64)] | int | None

LINE_BYTES = 96 * 1024
LIMITS = ndjson.Limits(lines=1_000, line_bytes=LINE_BYTES, all_bytes=16 * 1024 * 1024, lines_a_commit=50)


class AskBody(Body):
    """What is asked of one certificate type; without `fields`, everything that was granted."""

    type: TypeCode
    fields: Annotated[list[list[PathPart]], Field(max_length=128)] | None = None
    predicates: bool = True
    basis: Word | None = None
    certificate: Word | None = None


class NewVerification(Body):
    """What is asked under the consent token of the request."""

    asks: Annotated[list[AskBody], Field(min_length=1, max_length=32)]


class BatchLine(Body):
    """One verification of a batch, with its own consent token."""

    token: Annotated[str, StringConstraints(min_length=1, max_length=64 * 1024)]
    asks: Annotated[list[AskBody], Field(min_length=1, max_length=32)]
    line: int | None = None


@router.post(
    "/v1/verifications",
    openapi_extra=request_schema(
        NewVerification, {"asks": [{"type": "degree", "fields": [["degree_level"]]}]}
    ),
    responses=examples.VERIFIED,
)
async def verification(request: Request, caller: Redeeming) -> Response:
    """Use a consent token once. The Authorization header carries the consent token itself, with its DPoP proof.

    1. Proof and key are checked and spent in the commit of the look. 2. A repeated Idempotency-Key gets the first
    answer for 10 minutes, unless the grant was withdrawn meanwhile. 3. Uses and Accesses are durable before the answer.
    """
    hub = hub_of(request)
    if not caller.token.grants:
        raise _no_consent()
    body, raw = await read_body(request, NewVerification, max_bytes=LINE_BYTES)
    async with hub.tx(caller.actor) as tx:
        await caller.enter(tx)  # 1
        under = " ".join(
            caller.token.grants
        ).encode()  # other grants are another call, whatever the body says
        slot = await idempotency.enter(
            tx,
            request,
            caller=caller.actor.reference(),
            body=under + b"\n" + raw,
            kept=idempotency.KEPT_PERSONAL,
        )
        if slot and slot.reply:  # 2
            await _require_standing(tx, caller.token)
            return json_answer(slot.reply.body, slot.reply.status)
        redemption = await _redemption(tx, caller.token, body.asks)
        verdicts = (await verify(tx, [redemption], items=hub.items, types=hub.types))[0]
        answer = dumps(_verdicts(hub, verdicts))
        if slot is not None:  # the kept answer dies with its grant
            first = await grant_by_public_id(tx, caller.token.grants[0])
            await idempotency.keep(tx, slot, status=200, body=answer, grant_row=first.id)
    return json_answer(answer)  # 3


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
                answers[place] = {"status": 200, **_verdicts(hub, verdicts)}
    except (HubError, DBAPIError) as fault:
        if len(lines) > 1:
            return [(await _together(hub, caller, [line], told))[0] for line in lines]
        return [told(fault if isinstance(fault, HubError) else _try_again())]
    return [answer or told(_try_again()) for answer in answers]


async def _redemption(view: View, token: AccessToken, asks: Sequence[AskBody]) -> Redemption:
    wanted = tuple(
        Ask(
            type_code=ask.type,
            fields=None if ask.fields is None else tuple(tuple(path) for path in ask.fields),
            predicates=ask.predicates,
            basis=ask.basis,
            certificate=ask.certificate,
        )
        for ask in asks
    )
    return Redemption(token, wanted, await _case_facts(view, token))


async def _case_facts(view: View, token: AccessToken) -> CaseFacts | None:
    case_ids = {detail.case_id for detail in token.authorization_details}
    if len(case_ids) != 1:
        return None
    try:
        return (await cases.by_public_id(view, case_ids.pop())).facts()
    except NotFound:
        return None


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
        raise _no_consent()
    if await is_revoked(tx, token.jti):
        raise Unauthenticated("token.revoked", "访问令牌已被撤销。", "The access token was revoked.")
    return token


async def _require_standing(view: View, token: AccessToken) -> None:
    for public_id in token.grants:
        if (await grant_by_public_id(view, public_id)).state is not GrantState.STANDING:
            raise Gone("grant.withdrawn", "授权已被本人撤回。", "The consent was withdrawn.")


def _verdicts(hub: Hub, verdicts: Sequence[Verdict]) -> dict[str, Any]:
    return {"verdicts": [_verdict(hub, one) for one in verdicts]}


def _verdict(hub: Hub, one: Verdict) -> dict[str, Any]:
    receipt = None
    if one.leaf_hash is not None and one.at is not None:
        receipt = receipt_for(hub, kind="access", leaf_hash=one.leaf_hash, at=one.at)
    return {
        "outcome": one.outcome,
        "reason": one.reason,
        "type": one.type_code,
        "checks": [_check(check) for check in one.checks],
        "certificate": one.certificate,
        "issuer": one.issuer,
        "registered_at": seconds(one.registered_at) if one.registered_at else None,
        "sd_jwt": one.sd_jwt,
        "claims": one.claims,
        "predicates": [
            {
                "path": list(answer.path),
                "op": answer.op,
                "value": answer.value,
                "answer": answer.answer,
                "attested_by": answer.attested_by,
            }
            for answer in one.predicates
        ],
        "access": one.access,
        "receipt": receipt,
    }


def _check(check: Check) -> dict[str, Any]:
    return {
        "number": check.number,
        "name": check.step,
        "result": check.result,
        "code": check.code,
        "zh": check.zh,
        "en": check.en,
    }


def _no_consent() -> Forbidden:
    return Forbidden(
        "token.no_consent",
        "核验须出示授权凭证，而不是部门自己的令牌。",
        "A verification needs a consent token, not the department's own.",
        next_zh="请先在 /oauth/bc-authorize 请求授权，再用 auth_req_id 换取凭证。",
        next_en="Ask for consent at /oauth/bc-authorize and exchange auth_req_id for the token.",
    )


def _try_again() -> Unavailable:
    return Unavailable(
        "batch.try_again", "该行暂未处理，请重试。", "This line was not handled; send it again."
    )

"""Where an agent says what its department's source covers, and what its official decided about a mass change.

A gap on paper is no "no record"; and who let many certificates end at once can be asked for ever.
"""

from datetime import date
from typing import Annotated, Literal

from fastapi import APIRouter, Depends
from pydantic import BeforeValidator, Field, StringConstraints
from starlette.requests import Request
from starlette.responses import Response

from hub.catalogue import holds, sources
from hub.ledger.receipt import receipt
from hub.web import examples, idempotency
from hub.web.answer import dumps, issuance_of, json_answer
from hub.web.body import SMALL, Body, read_body, request_schema
from hub.web.caller import Caller, issuing
from hub.web.deps import hub_of

router = APIRouter(tags=["issuers"])

Issuing = Annotated[Caller, Depends(issuing)]
Said = Annotated[str, StringConstraints(max_length=200)]


def _day(value: object) -> object:
    return date.fromisoformat(value) if isinstance(value, str) else value


Day = Annotated[date, BeforeValidator(_day)]
"""YYYY-MM-DD: JSON has no dates, and bodies are read strictly."""


class Coverage(Body):
    """From which day on the source holds everything of this type, and its known gaps in both languages."""

    covers_from: Day | None = None
    gaps_zh: Said = ""
    gaps_en: Said = ""


Count = Annotated[int, Field(ge=0, le=1_000_000_000)]


class Decision(Body):
    """A held pass: why, about how many rows of how many, since when, and the commitment to who decided.

    `official` is the hex SHA-256 of 32 random bytes and the name, which stay at the department.
    """

    decision: Literal["released", "discarded"]
    reason: Annotated[str, StringConstraints(pattern="^[a-z_]{1,32}$")]
    rows: Count
    total: Count
    held_at: Annotated[int, Field(ge=0, le=2**40)]
    official: Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]


@router.put(
    "/v1/sources/{type_code}",
    status_code=204,
    openapi_extra=request_schema(
        Coverage,
        {"covers_from": "1998-01-01", "gaps_zh": "1998年以前只有纸质", "gaps_en": "Before 1998 on paper"},
    ),
)
async def declare(type_code: str, request: Request, caller: Issuing) -> Response:
    """Say what the calling department's source of one type covers; the planner then names the paper route."""
    hub = hub_of(request)
    body, _ = await read_body(request, Coverage, max_bytes=SMALL)
    async with hub.tx(caller.actor) as tx:
        await caller.enter(tx)
        await sources.declare(
            tx, type_code=type_code, covers_from=body.covers_from, gaps_zh=body.gaps_zh, gaps_en=body.gaps_en
        )
    return Response(status_code=204)


@router.post(
    "/v1/sources/{type_code}/decisions",
    status_code=201,
    openapi_extra=request_schema(
        Decision,
        {
            "decision": "released", "reason": "mass_revocation", "rows": 240, "total": 31000, "held_at": 1795397400,
            "official": "0" * 64,
        },
    ),
    responses=examples.DECIDED_HOLD,
)  # fmt: skip
async def decide(type_code: str, request: Request, caller: Issuing) -> Response:
    """Tell what the department's official decided about a mass change that its agent held: a public ledger entry."""
    hub = hub_of(request)
    body, raw = await read_body(request, Decision, max_bytes=SMALL)
    async with hub.tx(caller.actor) as tx:
        await caller.enter(tx)
        slot = await idempotency.enter(tx, request, caller=caller.actor.reference(), body=raw)
        if slot and slot.reply:
            return json_answer(slot.reply.body, slot.reply.status)
        leaf = await holds.decided(tx, type_code=type_code, types=hub.types, **body.model_dump())
        promise = receipt(issuance_of(hub), kind=holds.KIND, leaf_hash=leaf.leaf_hash, at=tx.now)
        answer = dumps({"receipt": promise})
        await idempotency.keep(tx, slot, status=201, body=answer)
    return json_answer(answer, 201)

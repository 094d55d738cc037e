"""The door for departments that verify: cases, verifications under a consent token, scores.

A verification is answered 200 whatever its outcome: the outcome, and each numbered check, stand in the answer, and
each look (refusals too) was recorded before a byte of it left.
"""

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from hub.web import examples, ndjson
from hub.web.body import lines_schema, request_schema
from hub.web.caller import Caller, verifying
from hub.web.deps import hub_of
from hub.web.redeem import PATH, redeem
from hub.web.verdicts import LINE_BYTES, NewVerification
from hub.web.verifying import verifying_lines

router = APIRouter(tags=["verifiers"])

Verifying = Annotated[Caller, Depends(verifying)]
LIMITS = ndjson.Limits(
    lines=10_000, line_bytes=LINE_BYTES, all_bytes=32 * 1024 * 1024, lines_a_commit=200, commits_at_once=2
)
ON_SQLITE = replace(LIMITS, lines_a_commit=50, commits_at_once=1)
"""Its one writer is held for a commit: so long everybody else waits."""


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
    key. At most 10,000 lines and 32 MiB; a refused line spoils no other. Results come as their lines are committed.
    """
    hub = hub_of(request)
    ndjson.require_lines(request, LIMITS)
    hub.batches.require_room()
    async with hub.tx(caller.actor) as tx:
        await caller.enter(tx)
    limits = ON_SQLITE if hub.db.writer.dialect.name == "sqlite" else LIMITS
    return verifying_lines(hub, caller, request, limits)

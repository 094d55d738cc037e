"""The agent's line: it waits here for pull orders and answers them. Outbound from the department; no port is opened."""

import asyncio
import time
from datetime import timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends
from pydantic import Field, StringConstraints
from starlette.requests import Request
from starlette.responses import Response

from hub.catalogue.sources import answers_pulls
from hub.errors import Gone, HubError, Unprocessable
from hub.verification import ordering, pull
from hub.verification.model import PullEnd, PullOutcome
from hub.web.answer import dumps, issuance_of, json_answer
from hub.web.body import CERTIFICATE, SMALL, Body, read_body, request_schema
from hub.web.caller import Caller, issuing
from hub.web.deps import Hub, hub_of, tiles_of
from hub.web.health import Health
from hub.web.pullwatch import watch_of
from hub.web.registering import register_one, registered
from hub.web.registration import NewCertificate, Short

router = APIRouter(tags=["pulls"])

Issuing = Annotated[Caller, Depends(issuing)]
TypeCode = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]{1,48}$")]

LONGEST_WAIT = 25
GRACE_SECONDS = 15
"""An agent that has not come back so long after its last wait is not there any more."""
PROOF_PATIENCE = 3.0
"""Seconds for which an order may wait for its grant's place in the ledger."""


class Waiting(Body):
    """Which types the agent looks up now, how long it waits for orders (seconds), and how many it can take.

    `leaving`: it is about to stop; nothing more is sent to it.
    """

    types: Annotated[list[TypeCode], Field(min_length=1, max_length=64)]
    wait: Annotated[int, Field(ge=0, le=LONGEST_WAIT)] = LONGEST_WAIT
    room: Annotated[int, Field(ge=1, le=16)] = 4
    leaving: bool = False


class Answer(Body):
    """What a look-up came to. With `registered` either the new certificate, or the id of one that stands already."""

    outcome: Literal[
        "registered", "not_found", "not_current", "ambiguous", "not_covered", "unusable", "name_differs", "refused",
        "unavailable",
    ]  # fmt: skip
    reason: Annotated[str, StringConstraints(pattern=r"^[a-z0-9._]{0,64}$")] = ""
    certificate: NewCertificate | None = None
    certificate_id: Short | None = None


@router.post(
    "/v1/pulls/next",
    openapi_extra=request_schema(Waiting, {"types": ["degree"], "wait": 25, "room": 4, "leaving": False}),
)
async def following(request: Request, caller: Issuing) -> Response:
    """Wait for orders (long poll). Each is a `yimen-pull+jwt` for this department, good for a minute.

    1. The proof is spent, and the department counts as connected for these types. 2. Nothing is held while waiting:
    no transaction, no connection. 3. Taken orders are signed with the evidence of their consent; one whose grant is
    not in the ledger yet waits for a moment, and is given back after three seconds.
    """
    hub = hub_of(request)
    body, _ = await read_body(request, Waiting, max_bytes=SMALL)
    until = timedelta(seconds=0 if body.leaving else body.wait + GRACE_SECONDS)
    async with hub.tx(caller.actor) as tx:  # 1
        await caller.enter(tx)
        types = await answers_pulls(tx, types=body.types, until=tx.now + until)
        claimed = [] if body.leaving else await pull.claim(tx, types=types, room=body.room)
    health: Health = request.app.state.health
    ends = time.monotonic() + body.wait
    while not claimed and not body.leaving and (left := ends - time.monotonic()) > 0:  # 2
        if not await watch_of(hub).work(hub, caller.department, seconds=left, leaving=health.leaving):
            break
        if await request.is_disconnected():
            break
        async with hub.tx(caller.actor) as tx:
            claimed = await pull.claim(tx, types=types, room=body.room)
        if not claimed:  # of another type, or somebody was faster
            await asyncio.sleep(0.2)
    return json_answer(dumps({"orders": await _orders(hub, caller, request, claimed), "types": types}))


async def _orders(hub: Hub, caller: Caller, request: Request, claimed: list[pull.Claimed]) -> list[str]:
    """The tokens of what was claimed."""  # 3
    orders: list[str] = []
    left, ends = claimed, time.monotonic() + PROOF_PATIENCE
    while left:
        early: list[pull.Claimed] = []
        for one in left:
            try:
                async with hub.view(caller.actor) as view:
                    orders.append(
                        await ordering.order_of(
                            view, tiles_of(request), one, signer=hub.signer("token"), issuer=hub.settings.public_url
                        )
                    )
            except HubError as fault:
                if ordering.not_yet(fault):
                    early.append(one)
                else:
                    await _cannot(hub, caller, one, fault)
        left = early
        if left and time.monotonic() >= ends:
            async with hub.tx(caller.actor) as tx:
                await pull.release(tx, left)
            break
        if left:
            await asyncio.sleep(0.1)
    return orders


async def _cannot(hub: Hub, caller: Caller, one: pull.Claimed, fault: HubError) -> None:
    """No order can be made of it: an erased person, no number, a broken proof. That says nothing about a record."""
    reason = fault.code if isinstance(fault, Unprocessable | Gone) else "pull.no_order"
    async with hub.tx(caller.actor) as tx:
        await pull.end(tx, one.row, PullEnd(PullOutcome.UNAVAILABLE, reason))
    watch_of(hub).nudge()


@router.post(
    "/v1/pulls/{pull_id}/answer",
    openapi_extra=request_schema(Answer, {"outcome": "not_found", "reason": "", "certificate": None}),
)
async def answered(pull_id: str, request: Request, caller: Issuing) -> Response:
    """Answer an order, once. A certificate is examined and registered exactly like any other, in the same commit.

    1. The pull is this department's and open; the same answer again, after a reply that was lost, is answered alike.
    2. With a certificate: the consent stands at this very moment, the certificate passes every check of a registration,
    and it is of the type and the person asked for. 3. The pull ends.
    """
    hub = hub_of(request)
    body, _ = await read_body(request, Answer, max_bytes=CERTIFICATE)
    outcome = PullOutcome(body.outcome)
    if (outcome is PullOutcome.REGISTERED) != (body.certificate is not None or body.certificate_id is not None):
        raise Unprocessable(
            "pull.answer",
            "“已登记”须附证照，其他结果不能附证照。",
            "An answer has a certificate exactly when it says registered.",
        )
    told: dict[str, Any] = {}
    async with hub.tx(caller.actor) as tx:
        await caller.enter(tx)
        row = await pull.require_mine(tx, pull_id)
        again = pull.is_over(tx, row, outcome)  # 1
        certificate = body.certificate_id
        if outcome is PullOutcome.REGISTERED:  # 2
            if not again:
                await pull.require_grant(tx, row)
            if body.certificate is not None:
                made = await register_one(tx, hub, body.certificate)
                certificate = made.certificate
                told = registered(made, issuance_of(hub))
            await pull.require_about(tx, row, certificate or "")
            if again and certificate != row.certificate:
                raise pull.over()
        await pull.end(tx, row, PullEnd(outcome, body.reason), certificate=certificate)  # 3
    watch_of(hub).nudge()
    return json_answer(dumps({"pull": pull_id, "outcome": outcome, **told}))


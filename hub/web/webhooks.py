"""Where a verifying department is called when something it relied on changes: its addresses, and our keys."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from hub.clock import seconds
from hub.formats.webhook import TOLERANCE
from hub.notices import endpoints
from hub.notices.egress import Egress, networks
from hub.notices.endpoints import Endpoint
from hub.notices.webhooks import published_keys, signers
from hub.web import idempotency
from hub.web.answer import dumps, json_answer
from hub.web.body import SMALL, Body, read_body, request_schema
from hub.web.caller import Caller, verifying
from hub.web.deps import Hub, hub_of

router = APIRouter(tags=["webhooks"])

Verifying = Annotated[Caller, Depends(verifying)]


class NewEndpoint(Body):
    """An https address, and the types of events that are wanted there."""

    url: str = Field(max_length=400)
    events: list[str] = Field(min_length=1, max_length=16)


@router.post(
    "/v1/webhooks",
    status_code=201,
    openapi_extra=request_schema(
        NewEndpoint,
        {"url": "https://verifier.example.gov.cn/yimen", "events": ["certificate.revoked", "grant.withdrawn"]},
    ),
)
async def register(request: Request, caller: Verifying) -> Response:
    """Register an address. The same address again changes which events it gets; five at most.

    Calls follow Standard Webhooks: `webhook-id` stays the same through retries, `webhook-timestamp` is the time of the
    attempt, `webhook-signature` is `v1a,` and Ed25519. See `/.well-known/webhook-keys.json` and docs/webhooks.md.
    """
    hub = hub_of(request)
    body, raw = await read_body(request, NewEndpoint, max_bytes=SMALL)
    async with hub.tx(caller.actor) as tx:
        await caller.enter(tx)
        slot = await idempotency.enter(tx, request, caller=caller.actor.reference(), body=raw)
        if slot and slot.reply:
            return json_answer(slot.reply.body, slot.reply.status)
        made = await endpoints.add(
            tx, department=caller.department, url=body.url, events=body.events, egress=egress_of(hub)
        )
        answer = dumps(_shown(made))
        await idempotency.keep(tx, slot, status=201, body=answer)
    return json_answer(answer, 201)


@router.get("/v1/webhooks")
async def all_of_mine(request: Request, caller: Verifying) -> Response:
    """The calling department's addresses, and how each does: since when it fails, what waits, what was given up."""
    hub = hub_of(request)
    async with hub.tx(caller.actor) as tx:
        await caller.enter(tx)
        found = await endpoints.of_department(tx, department=caller.department)
    return json_answer(dumps({"webhooks": [_shown(one) for one in found]}))


@router.delete("/v1/webhooks/{webhook_id}", status_code=204)
async def remove(webhook_id: str, request: Request, caller: Verifying) -> Response:
    """Call this address no more."""
    hub = hub_of(request)
    async with hub.tx(caller.actor) as tx:
        await caller.enter(tx)
        await endpoints.remove(tx, department=caller.department, public_id=webhook_id)
    return Response(status_code=204)


@router.post("/v1/webhooks/{webhook_id}/test", status_code=202)
async def test(webhook_id: str, request: Request, caller: Verifying) -> Response:
    """Send `webhook.test` to this address now; its message id."""
    hub = hub_of(request)
    async with hub.tx(caller.actor) as tx:
        await caller.enter(tx)
        message = await endpoints.send_test(tx, department=caller.department, public_id=webhook_id)
    return json_answer(dumps({"message_id": message}), 202)


@router.post("/v1/webhooks/{webhook_id}/resume")
async def resume(webhook_id: str, request: Request, caller: Verifying) -> Response:
    """Call a disabled address again, and send anew what it missed within seven days, under the same ids."""
    hub = hub_of(request)
    async with hub.tx(caller.actor) as tx:
        await caller.enter(tx)
        again = await endpoints.resume(tx, department=caller.department, public_id=webhook_id)
    return json_answer(dumps({"again": again}))


@router.get("/v1/webhooks/{webhook_id}/deliveries")
async def deliveries(webhook_id: str, request: Request, caller: Verifying) -> Response:
    """The newest fifty messages to this address: state, attempts, and why the last one failed."""
    hub = hub_of(request)
    async with hub.tx(caller.actor) as tx:
        await caller.enter(tx)
        rows = await endpoints.newest_deliveries(tx, department=caller.department, public_id=webhook_id)
    found = [
        {
            "message_id": row.public_id,
            "state": row.state,
            "attempts": row.attempts,
            "fault": row.fault,
            "next_attempt_at": seconds(row.due_at) if row.state == "waiting" else None,
            "created_at": seconds(row.created_at),
        }
        for row in rows
    ]
    return json_answer(dumps({"deliveries": found}))


@router.get("/.well-known/webhook-keys.json")
async def keys(request: Request) -> Response:
    """The keys that sign webhooks: in use, used lately, or to be used next; and the events there are."""
    hub = hub_of(request)
    signers(hub.keyring, hub.clock())  # made on first use
    told = {
        "keys": published_keys(hub.keyring),
        "tolerance_seconds": TOLERANCE,
        "events": [*endpoints.EVENTS, endpoints.TEST],
    }
    return json_answer(dumps(told), headers={"Cache-Control": "public, max-age=300"})


def egress_of(hub: Hub) -> Egress:
    """What may be called, for judging an address that is registered."""
    return Egress(networks(hub.settings.webhook_networks), plain=not hub.settings.production)


def _shown(one: Endpoint) -> dict[str, Any]:
    return {
        "id": one.public_id,
        "url": one.url,
        "events": list(one.events),
        "state": one.state,
        "created_at": seconds(one.created_at),
        "failing_since": None if one.failing_since is None else seconds(one.failing_since),
        "disabled_at": None if one.disabled_at is None else seconds(one.disabled_at),
        "fault": one.fault,
        "waiting": one.waiting,
        "dead": one.dead,
    }

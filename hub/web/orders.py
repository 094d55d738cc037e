"""The agent's side of work orders: what waits, the file, and what became of it (DESIGN section 3, rule 15)."""

from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from hub.certificates import workorders
from hub.certificates.workorders import OrderState
from hub.clock import seconds
from hub.web.answer import dumps, json_answer
from hub.web.body import SMALL, Body, read_body, request_schema
from hub.web.caller import Caller, issuing
from hub.web.deps import hub_of

router = APIRouter(tags=["work orders"])

Issuing = Annotated[Caller, Depends(issuing)]


class Ended(Body):
    """How many rows of the file became certificates, and how many the agent put into quarantine."""

    signed: Annotated[int, Field(ge=0)]
    quarantined: Annotated[int, Field(ge=0)]


@router.get("/v1/work-orders")
async def waiting(request: Request, caller: Issuing) -> Response:
    """The confirmed orders of the calling department that are not done yet, oldest first."""
    hub = hub_of(request)
    async with hub.tx(caller.actor) as tx:
        await caller.enter(tx)
        orders = await workorders.of_department(tx)
    mine = [o for o in reversed(orders) if o.state in (OrderState.CONFIRMED, OrderState.FETCHED)]
    return json_answer(
        dumps(
            {
                "orders": [
                    {
                        "id": order.public_id,
                        "type": order.type_code,
                        "rows": order.rows,
                        "made_at": seconds(order.made_at),
                        "made_by": str(order.made_by),
                        "confirmed_by": str(order.confirmed_by),
                    }
                    for order in mine
                ]
            }
        )
    )


@router.get("/v1/work-orders/{order_id}/file")
async def file(order_id: str, request: Request, caller: Issuing) -> Response:
    """The file as it was handed in, for the department's own agent alone."""
    hub = hub_of(request)
    async with hub.tx(caller.actor) as tx:
        await caller.enter(tx)
        data = await workorders.fetch(tx, public_id=order_id, blobs=hub.blobs)
    return Response(data, media_type="text/csv", headers={"Cache-Control": "no-store"})


@router.post(
    "/v1/work-orders/{order_id}/done", openapi_extra=request_schema(Ended, {"signed": 98, "quarantined": 2})
)
async def done(order_id: str, request: Request, caller: Issuing) -> Response:
    """The agent is through with the file; the counts must add up to its rows."""
    hub = hub_of(request)
    body, _ = await read_body(request, Ended, max_bytes=SMALL)
    async with hub.tx(caller.actor) as tx:
        await caller.enter(tx)
        order = await workorders.finish(
            tx, public_id=order_id, signed=body.signed, quarantined=body.quarantined
        )
    return json_answer(dumps({"id": order.public_id, "state": order.state}))

"""The door where an agent says what its department's source covers: a gap on paper is no "no record"."""

from datetime import date
from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import StringConstraints
from starlette.requests import Request
from starlette.responses import Response

from hub.catalogue import sources
from hub.web.body import SMALL, Body, read_body, request_schema
from hub.web.caller import Caller, issuing
from hub.web.deps import hub_of

router = APIRouter(tags=["issuers"])

Issuing = Annotated[Caller, Depends(issuing)]
Said = Annotated[str, StringConstraints(max_length=200)]


class Coverage(Body):
    """From which day on the source holds everything of this type, and its known gaps in both languages."""

    covers_from: date | None = None
    gaps_zh: Said = ""
    gaps_en: Said = ""


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

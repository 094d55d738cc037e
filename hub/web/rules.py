"""The published rules: who may look without consent, when that is told later, and the limits against misuse."""

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.responses import Response

from hub.consent.guard import load_guard
from hub.consent.office import LONGEST_DELAY, load_delays, load_rules
from hub.web.pages.render import render
from hub.web.pages.visit import Visit, visit_of

router = APIRouter(include_in_schema=False)


@router.get("/office-rules")
async def rules_page(visit: Annotated[Visit, Depends(visit_of)]) -> Response:
    """Everybody may read them."""
    return render(
        visit, "officerules.html", rules=load_rules(), delays=load_delays(), guard=load_guard(), longest=LONGEST_DELAY
    )

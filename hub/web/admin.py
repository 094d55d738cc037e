"""How the hub is doing, for operators and administrators: counts and ages, no personal data, each red line with
a command that helps."""

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.responses import Response

from hub.catalogue.sources import pull_sources
from hub.clock import seconds
from hub.ledger.head import lag
from hub.registry import departments, keys, officers
from hub.web.pages.render import render
from hub.web.pages.visit import Visit, officer

router = APIRouter(prefix="/admin", include_in_schema=False)

operating = officer("system.operate", "registry.administer")

LAG_ALARM = 10
"""Seconds that a leaf may wait for its index (DESIGN section 3, rule 11)."""


@router.get("")
async def admin_page(visit: Annotated[Visit, Depends(operating)]) -> Response:
    """The state of the ledger, the departments and their keys, and the officers."""
    async with visit.hub.view(visit.actor) as view:
        waiting = await lag(view)
        offices = await departments.all_departments(view)
        admitted = await keys.history(view)
        people = await officers.all_officers(view)
        now = view.now
        answering = sorted((await pull_sources(view)).values(), key=lambda one: (one.department, one.type_code))
    standing = {
        office.slug: [key for key in admitted if key.department == office.slug and key.stands_at(now)]
        for office in offices
    }
    return render(
        visit, "admin.html", lag=waiting, lag_alarm=LAG_ALARM, offices=offices, standing=standing, people=people,
        inventory=visit.hub.keyring.inventory(), now=now, seconds=seconds, answering=answering, types=visit.hub.types,
    )  # fmt: skip

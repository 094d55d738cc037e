"""Auditors search every look and every refusal, follow one to its proof, and are recorded themselves.

There is no search by name or number: an auditor watches departments, not citizens.
"""

from datetime import date
from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.responses import Response

from hub.access.model import Access
from hub.catalogue.catalogue import listed
from hub.clock import day_end, day_start
from hub.consent.office import newest_alarms
from hub.errors import HubError, NotFound, Unavailable
from hub.ledger.prove import prove_inclusion
from hub.ledger.tileset import TileReader
from hub.oversight.chain import chain_of
from hub.oversight.search import Query, recent_searches, search
from hub.web.pages import words
from hub.web.pages.render import render
from hub.web.pages.visit import Visit, officer
from hub.web.wallet import office_names

router = APIRouter(prefix="/auditor", include_in_schema=False)

auditing = officer("accesses.search")

ROWS = 50


@router.get("")
async def auditor_page(visit: Annotated[Visit, Depends(auditing)]) -> Response:
    """The query is the address, so it can be kept and sent; each run of it is recorded."""
    asked, hub = visit.request.query_params, visit.hub
    given = {name: asked.get(name, "").strip() for name in ("department", "item", "case", "outcome", "basis")}
    days = {name: asked.get(name, "").strip() for name in ("since", "until")}
    errors = [
        (name, "日期写成 2026-11-23 的样子。", "Write dates like 2026-11-23.")
        for name, value in days.items()
        if value and _day(value) is None
    ]
    since, until = (_day(days[name]) for name in ("since", "until"))
    page = int(asked["page"]) if asked.get("page", "").isdecimal() and len(asked["page"]) < 6 else 1
    query = Query(
        department=given["department"] or None,
        item_code=given["item"] or None,
        case_id=given["case"] or None,
        outcome=given["outcome"] or None,
        basis=given["basis"] or None,
        since=day_start(since) if since else None,
        until=day_end(until) if until else None,
    )
    async with hub.tx(visit.actor) as tx:
        found = await search(tx, query=query, limit=ROWS, offset=(max(page, 1) - 1) * ROWS)
    async with hub.view(visit.actor) as view:
        offices = await office_names(view)
        searches = await recent_searches(view, limit=10)
        alarms = await newest_alarms(view)
    return render(
        visit, "auditor.html", found=found, given=given | days, errors=errors, offices=offices, items=hub.items,
        types=hub.types, searches=searches, alarms=alarms, page=max(page, 1),
        office_options=[(o.slug, visit.t(o.name_zh, o.name_en)) for o in offices.values()],
        item_options=[(one.code, one.label(visit.lang)) for one in listed(hub.items) if one.complete],
        outcome_options=[(str(code), visit.t(word.zh, word.en)) for code, word in words.AUDIT.items()],
        basis_options=[(str(code), visit.t(*pair)) for code, pair in words.BASES.items()],
        more=found.total > max(page, 1) * ROWS,
    )  # fmt: skip


@router.get("/accesses/{public_id}")
async def access_page(public_id: str, visit: Annotated[Visit, Depends(auditing)]) -> Response:
    """One look from request to leaf, with its proof checked now. Opening it is a recorded search."""
    hub = visit.hub
    async with hub.tx(visit.actor) as tx:
        found = await search(tx, query=Query(public_id=public_id), limit=1)
        if not found.rows:
            raise NotFound("access.unknown", "没有这条记录。", "There is no such record.")
        chain = await chain_of(tx, access=found.rows[0])
    proof = await _proof(visit, found.rows[0])
    async with hub.view(visit.actor) as view:
        offices = await office_names(view)
    return render(
        visit, "access.html", access=found.rows[0], chain=chain, proof=proof, offices=offices, items=hub.items,
        types=hub.types,
    )  # fmt: skip


async def _proof(visit: Visit, access: Access) -> dict[str, object]:
    """The inclusion proof, verified at this moment: state is proved, waiting or broken."""
    async with visit.hub.view(visit.actor) as view:
        try:
            proof = await prove_inclusion(view, TileReader(visit.hub.blobs), leaf_hash=access.leaf_hash)
        except Unavailable:
            return {"state": "waiting"}
        except HubError as fault:
            return {"state": "broken", "code": fault.code}
    return {"state": "proved", "index": proof.index, "hashes": len(proof.path)}


def _day(value: str) -> date | None:
    try:
        found = date.fromisoformat(value)
    except ValueError:
        return None
    return found if 1990 <= found.year <= 2200 else None

"""Rankings: the public notice that anybody can check, and the desk where a department announces, closes and draws."""

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from hub.actor import PUBLIC
from hub.cases import draw, notice
from hub.cases.publish import scheme_at
from hub.clock import seconds
from hub.errors import HubError, Malformed, NotFound
from hub.web.answer import dumps, json_answer
from hub.web.deps import hub_of
from hub.web.pages.render import render
from hub.web.pages.visit import Visit, officer, posted, text, visit_of
from hub.web.wallet import office_names

router = APIRouter(include_in_schema=False)

decider = officer("cases.decide")
PAGE = 200


@router.get("/rankings")
async def rankings_page(visit: Annotated[Visit, Depends(visit_of)]) -> Response:
    """Every ranking, newest first."""
    async with visit.hub.view(visit.actor) as view:
        found = await notice.all_rankings(view)
        offices = await office_names(view)
    return render(visit, "rankings.html", rankings=found, offices=offices)


@router.get("/rankings/{public_id}")
async def ranking_page(public_id: str, visit: Annotated[Visit, Depends(visit_of)]) -> Response:
    """One ranking: what was promised, when the list was closed, what was drawn, and the notice page by page."""
    after, revision, receipt = (visit.request.query_params.get(name, "") for name in ("after", "revision", "receipt"))
    async with visit.hub.view(visit.actor) as view:
        found = await notice.ranking(view, public_id)
        chosen = _number(revision, found.revision)
        rows = await notice.lines(view, found, revision=chosen, after=_number(after, 0), limit=PAGE)
        results = await notice.results(view, found)
        mine = await notice.line_of(view, found, revision=chosen, receipt=receipt) if receipt else None
        scheme = await scheme_at(view, code=found.scheme, version=found.scheme_version)
        offices = await office_names(view)
    return render(
        visit, "ranking.html", ranking=found, rows=rows, results=results, revision=chosen, scheme=scheme,
        offices=offices, page=PAGE, receipt=receipt, mine=mine,
        tie_names=[_tie_name(scheme, name) for name in scheme.tie_order],
    )  # fmt: skip


@router.get("/rankings/{public_id}/{revision}/notice.csv")
async def notice_file(public_id: str, revision: str, request: Request) -> Response:
    """The notice as it was hashed: its SHA-256 is in the ledger."""
    hub = hub_of(request)
    async with hub.view(PUBLIC) as view:
        found = await notice.ranking(view, public_id)
        number = _number(revision, 0)
        if not 1 <= number <= found.revision:
            raise NotFound("ranking.unknown", "没有这个排名。", "There is no such ranking.")
        pieces: AsyncIterator[str] = notice.whole_notice(view, found, revision=number)
        whole = "".join([piece async for piece in pieces])
    return Response(whole, media_type="text/csv; charset=utf-8", headers={"Cache-Control": "public, max-age=60"})


@router.get("/rankings/{public_id}/facts.json")
async def facts_file(public_id: str, request: Request) -> Response:
    """What a program needs to check a ranking: hashes, the seed once drawn, and the leaves that prove the order."""
    async with hub_of(request).view(PUBLIC) as view:
        found = await notice.ranking(view, public_id)
        results = await notice.results(view, found)
    return json_answer(dumps(_facts(found, results)))


@router.post("/desk/rankings")
async def announce_page(visit: Annotated[Visit, Depends(decider)]) -> Response:
    """Announce: the seed is made and sealed, its hash becomes public."""
    form = await posted(visit)
    item = visit.hub.items.get(text(form, "item"))
    scheme = visit.hub.schemes.get(item.scheme or "") if item else None
    places = text(form, "places")
    if item is None or scheme is None or not places.isascii() or not places.isdecimal() or len(places) > 6:
        raise Malformed("form.field_invalid", "请选择事项并填写学位数。", "Choose an item and give a number of places.")
    async with visit.hub.tx(visit.actor) as tx:
        title = text(form, "title", limit=120)
        made = await draw.announce(
            tx, item=item, scheme=scheme, title_zh=title, title_en=text(form, "title_en", limit=120) or title,
            places=int(places),
        )  # fmt: skip
    return RedirectResponse(f"/rankings/{made.public_id}", status_code=303)


@router.post("/desk/rankings/{public_id}/close")
async def close_page(public_id: str, visit: Annotated[Visit, Depends(decider)]) -> Response:
    """Close the list."""
    await posted(visit, fresh=True)
    async with visit.hub.tx(visit.actor) as tx:
        await draw.close(tx, await notice.ranking(tx, public_id))
    return RedirectResponse(f"/rankings/{public_id}", status_code=303)


@router.post("/desk/rankings/{public_id}/draw")
async def draw_page(public_id: str, visit: Annotated[Visit, Depends(decider)]) -> Response:
    """Draw, or draw again after a correction."""
    form = await posted(visit, fresh=True)
    reason = text(form, "reason", limit=120)
    async with visit.hub.tx(visit.actor) as tx:
        found = await notice.ranking(tx, public_id)
        if found.revision and not reason:
            raise _no_reason()
        await draw.draw(tx, found, reason=reason or "first")
    return RedirectResponse(f"/rankings/{public_id}", status_code=303)


def _no_reason() -> HubError:
    return Malformed("form.field_invalid", "重新排名须写明原因。", "Drawing again needs a reason.")


def _number(value: str, otherwise: int) -> int:
    return int(value) if value.isascii() and value.isdecimal() and len(value) < 8 else otherwise


def _tie_name(scheme: Any, name: str) -> tuple[str, str]:
    """What a number of the tie order is, in both languages; an unnamed one shows its code."""
    names = {
        "residence_years": ("居住年限", "residence years"),
        "social_insurance_years": ("参保年限", "insurance years"),
    }
    for thing in (*scheme.groups, *scheme.rules):
        if getattr(thing, "code", None) == name or getattr(thing, "id", None) == name:
            return thing.display["zh-CN"], thing.display["en"]
    return names.get(name, (name, name))


def _facts(found: notice.Ranking, results: list[notice.Result]) -> dict[str, Any]:
    return {
        "ranking": found.public_id,
        "item": found.item_code,
        "scheme": found.scheme,
        "scheme_version": found.scheme_version,
        "places": found.places,
        "announced": {
            "at": seconds(found.announced_at),
            "seed_sha256": found.seed_sha256.hex(),
            "leaf": found.announced_leaf.hex(),
        },
        "closed": {
            "at": seconds(found.closed_at),
            "entries": found.entries,
            "list_sha256": (found.list_sha256 or b"").hex(),
            "leaf": (found.closed_leaf or b"").hex(),
        }
        if found.closed_at
        else None,
        "seed": found.seed.hex() if found.seed else None,
        "drawn": [
            {
                "revision": one.revision,
                "at": seconds(one.drawn_at),
                "reason": one.reason,
                "notice_sha256": one.sha256.hex(),
                "leaf": one.leaf_hash.hex(),
            }
            for one in results
        ],
        "lot": 'SHA-256("yimen-lot-v1" || 0x00 || seed || list_sha256 || receipt), smaller first',
    }

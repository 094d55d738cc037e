"""Entrusting somebody: offer with a code, take with the code, end it; for oneself or for a company one represents."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends
from starlette.responses import RedirectResponse, Response

from hub.catalogue.items import caps
from hub.clock import day_end
from hub.consent import entrust
from hub.consent.entrust import Entrustment, Offered
from hub.consent.licence import companies_of
from hub.consent.model import EntrustmentState
from hub.errors import Gone, HubError, Malformed
from hub.formats.masking import mask_name
from hub.registry import subjects
from hub.registry.model import SubjectKind
from hub.store.tx import View
from hub.web.pages.render import render
from hub.web.pages.visit import Form, Visit, citizen, posted, text

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True, slots=True)
class Line:
    """One entrustment as its people see it: for whom, by whom, and whether it is good now."""

    one: Entrustment
    principal: str
    delegate: str
    mine: bool
    standing: bool


@router.get("/entrust")
async def entrust_page(visit: Annotated[Visit, Depends(citizen)]) -> Response:
    """What I entrusted and what was entrusted to me; a form for each."""
    return await _page(visit)


@router.post("/entrust")
async def offer(visit: Annotated[Visit, Depends(citizen)]) -> Response:
    """Make an offer; the code is on this page only. A company is named by its number in the person's own list."""
    form = await posted(visit, fresh=True)
    try:
        items = _items(visit, form)
        ends = _last_day(text(form, "until"))
        types = {code for item in items for code in caps(visit.hub.items[item])}
        async with visit.hub.tx(visit.actor) as tx:
            companies = {str(n): one for n, one in enumerate(await companies_of(tx, person=visit.subject_id), 1)}
            wanted = text(form, "company")
            if wanted and wanted not in companies:
                raise Malformed("form.field_invalid", "名单里没有这家公司。", "There is no such company in your list.")
            principal = companies[wanted] if wanted else visit.subject_id
            made = await entrust.offer(
                tx, principal=principal, items=items, types=sorted(types), valid_until=ends
            )
    except HubError as error:
        if error.kind not in ("malformed", "unprocessable") or error.code.startswith("form.t"):
            raise
        return await _page(visit, errors=[("until" if error.code == "entrust.end" else "items", error.zh, error.en)])
    return await _page(visit, made=made)


@router.post("/entrust/take")
async def take(visit: Annotated[Visit, Depends(citizen)]) -> Response:
    """Take an offer with its code."""
    form = await posted(visit)
    try:
        async with visit.hub.tx(visit.actor) as tx:
            await entrust.take(tx, code=text(form, "code", limit=40))
    except HubError as error:
        if error.code != "entrust.code":
            raise
        return await _page(visit, errors=[("code", error.zh + error.next_zh, f"{error.en} {error.next_en}")])
    return RedirectResponse("/entrust?done=taken", status_code=303)


@router.post("/entrust/{public_id}/end")
async def finish(public_id: str, visit: Annotated[Visit, Depends(citizen)]) -> Response:
    """End it now, with everything that rests on it."""
    await posted(visit)
    async with visit.hub.tx(visit.actor) as tx:
        await entrust.finish(tx, public_id=public_id)
    return RedirectResponse("/entrust?done=ended", status_code=303)


async def _page(
    visit: Visit, *, made: Offered | None = None, errors: list[tuple[str, str, str]] | None = None
) -> Response:
    async with visit.hub.view(visit.actor) as view:
        lines = [await _line(view, visit, one) for one in await entrust.of_citizen(view)]
        companies = [
            (str(n), await name_of(view, one))
            for n, one in enumerate(await companies_of(view, person=visit.subject_id), 1)
        ]
    return render(
        visit, "entrust.html", status=422 if errors else 200, errors=errors or [], made=made, lines=lines,
        companies=companies, items=visit.hub.items, types=visit.hub.types,
        choices=sorted(visit.hub.items.values(), key=lambda item: item.code),
    )  # fmt: skip


async def _line(view: View, visit: Visit, one: Entrustment) -> Line:
    return Line(
        one,
        await name_of(view, one.principal),
        await name_of(view, one.delegate) if one.delegate else "",
        mine=one.delegate != visit.subject_id,
        standing=one.state is not EntrustmentState.ENDED and one.valid_until > view.now,
    )


async def name_of(view: View, subject_id: UUID) -> str:
    """A masked name, the whole name of a company; empty when none is known any more."""
    try:
        face = await subjects.face(view, subject_id)
        legal = await subjects.kind_of(view, subject_id) is SubjectKind.LEGAL
    except Gone:
        return ""
    return "" if face is None else face.name if legal else mask_name(face.name)


def _items(visit: Visit, form: Form) -> list[str]:
    chosen = form.texts.get("item", [])
    if any(code not in visit.hub.items for code in chosen):
        raise Malformed("form.field_invalid", "没有这个事项。", "There is no such matter.")
    return chosen


def _last_day(value: str) -> datetime:
    try:
        return day_end(date.fromisoformat(value))
    except ValueError as fault:
        raise Malformed("entrust.end", "请写明委托到哪一天。", "Say on which day it ends.") from fault

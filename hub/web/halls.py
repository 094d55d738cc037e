"""Halls: a counter takes a case for any department, gathers, accepts, and hands it over; the department answers.

What a hall sees is its own cases, and of a case the conclusions: contents belong to the department that decides.
"""

from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.responses import RedirectResponse, Response

from hub.cases import halls, uploads
from hub.cases.asseen import as_seen
from hub.cases.gather import ask, asked_for, gather, standing
from hub.cases.open import Case, open_case, unknown_case
from hub.cases.procedure import procedure_of
from hub.cases.scope import Scope, in_scope
from hub.cases.steps import steps_of
from hub.catalogue.catalogue import listed
from hub.consent.model import RequestState
from hub.errors import Malformed
from hub.registry import subjects
from hub.registry.model import SubjectKind, may
from hub.store.tx import View
from hub.web.answer import dumps, json_answer, receipt_for
from hub.web.counter import number_errors
from hub.web.deps import Hub
from hub.web.mycase import UPLOAD_BYTES
from hub.web.pages.render import render
from hub.web.pages.visit import Visit, officer, posted, text
from hub.web.pulling import pull_for_case
from hub.web.wallet import office_names

router = APIRouter(prefix="/halls", include_in_schema=False)

clerk = officer("counter.verify")
ROWS = 50
"""Matters offered at once; with more, a search narrows them."""


@router.get("")
async def halls_page(visit: Annotated[Visit, Depends(clerk)]) -> Response:
    """The officer's halls with their cases, and what halls have handed over to this department."""
    return await _halls(visit, [], {})


@router.post("/cases")
async def open_page(visit: Annotated[Visit, Depends(clerk)]) -> Response:
    """Take a case in a hall for whichever department handles the matter."""
    form = await posted(visit)
    given = {name: text(form, name) for name in ("hall", "item", "id_type", "applicant", "child_type", "child")}
    item = visit.hub.items.get(given["item"])
    id_type = "001" if item is not None and item.subject == "legal" else "111"
    errors = number_errors("applicant", id_type, given["applicant"])
    if given["child"]:
        errors += number_errors("child", given["child_type"], given["child"])
    async with visit.hub.view(visit.actor) as view:
        hall = next((one for one in await halls.halls_of(view) if one.code == given["hall"]), None)
    if hall is None:
        errors.append(("hall", "请选择您所在的大厅。", "Choose a hall in which you work."))
    if item is None or not item.complete or (hall is not None and not hall.takes(item.code)):
        errors.append(("item", "这个大厅不受理该事项。", "This hall does not take this matter."))
    if errors or item is None or hall is None:
        return await _halls(visit, errors, given)
    async with visit.hub.tx(visit.actor) as tx:
        kind = SubjectKind(item.subject)
        applicant = await subjects.resolve(tx, id_type=id_type, id_no=given["applicant"], kind=kind)
        child = None
        if given["child"]:
            natural = SubjectKind.NATURAL
            child = await subjects.resolve(tx, id_type=given["child_type"], id_no=given["child"], kind=natural)
        case = await open_case(tx, item=item, applicant=applicant, beneficiary=child, hall=hall.code)
    return RedirectResponse(f"/halls/cases/{case.public_id}", status_code=303)


@router.get("/cases/{public_id}")
async def case_page(public_id: str, visit: Annotated[Visit, Depends(clerk)]) -> Response:
    """A case as its hall and its department see it on the way between them: conclusions, hand-overs, receipts."""
    async with visit.hub.view(visit.actor) as view:
        case, scope = await _mine(view, public_id)
        item = visit.hub.items[case.item_code]
        seen = await as_seen(view, case=case, item=item, scheme=visit.hub.schemes.get(item.scheme or ""))
        found, asked = await steps_of(view, case=case), await asked_for(view, case=case)
        sent, offices = await halls.handovers_of(view, case=case), await office_names(view)
    newest = sent[-1] if sent else None
    return render(
        visit, "hallcase.html", case=case, scope=scope, item=item, seen=seen, steps=found, sent=sent, newest=newest,
        types=visit.hub.types, plan=procedure_of(item), offices=offices, halls=halls.load_halls(),
        given=bool(standing(asked)),
        pending=next((one for one in asked if one.state is RequestState.PENDING and not one.expired), None),
        may_answer=scope.handles and newest is not None and newest.state == "sent",
        may_open=may(visit.actor.roles, "cases.open"),
    )  # fmt: skip


@router.post("/cases/{public_id}/gather")
async def gather_page(public_id: str, visit: Annotated[Visit, Depends(clerk)]) -> Response:
    """With the applicant's consent, gather for the department; without one, ask for it in its name."""
    await posted(visit)
    hub = visit.hub
    pulled = await pull_for_case(hub, visit.actor, public_id)
    async with hub.tx(visit.actor) as tx:
        case, scope = await _mine(tx, public_id)
        if standing(await asked_for(tx, case=case)):
            await gather(
                tx, case=case, items=hub.items, types=hub.types, issuer=hub.settings.public_url,
                pulled=pulled, scope=scope,
            )  # fmt: skip
        else:
            await ask(tx, case=case, item=hub.items[case.item_code], scope=scope)
    return _back(public_id, "materials")


@router.post("/cases/{public_id}/materials")
async def upload_page(public_id: str, visit: Annotated[Visit, Depends(clerk)]) -> Response:
    """Scan a paper for the applicant."""
    form = await posted(visit, max_bytes=UPLOAD_BYTES)
    async with visit.hub.view(visit.actor) as view:
        await _mine(view, public_id)
    file = await uploads.judge(form.files.get("file", b""))
    async with visit.hub.tx(visit.actor) as tx:
        case, scope = await _mine(tx, public_id)
        item, code = visit.hub.items[case.item_code], text(form, "material")
        await uploads.upload(tx, visit.hub.blobs, case=case, item=item, code=code, file=file, scope=scope)
    return _back(public_id, "materials")


@router.post("/cases/{public_id}/handover")
async def handover_page(public_id: str, visit: Annotated[Visit, Depends(clerk)]) -> Response:
    """Hand the case over; the receipt is on the page then."""
    await posted(visit)
    async with visit.hub.tx(visit.actor) as tx:
        case, _ = await _mine(tx, public_id)
        await halls.hand_over(tx, case=case)
    return _back(public_id, "handover")


@router.post("/cases/{public_id}/answer")
async def answer_page(public_id: str, visit: Annotated[Visit, Depends(clerk)]) -> Response:
    """The department has the case, or sends it back and says why."""
    form = await posted(visit)
    decision = text(form, "decision")
    if decision not in ("receive", "refuse"):
        raise Malformed("form.field_invalid", "请选择接收或退回。", "Choose to receive it or to send it back.")
    async with visit.hub.tx(visit.actor) as tx:
        case, _ = await _mine(tx, public_id)
        if decision == "receive":
            await halls.receive(tx, case=case)
        else:
            await halls.refuse(tx, case=case, reason=text(form, "reason", limit=1000))
    return _back(public_id, "handover")


@router.get("/cases/{public_id}/receipts")
async def receipts(public_id: str, visit: Annotated[Visit, Depends(clerk)]) -> Response:
    """The signed receipts of every hand-over, for both sides to keep (`yimen-receipt+jwt`)."""
    async with visit.hub.view(visit.actor) as view:
        case, _ = await _mine(view, public_id)
        sent = await halls.handovers_of(view, case=case)
    told = [_receipts(visit.hub, one) for one in sent]
    headers = {"Content-Disposition": f'attachment; filename="receipts-{case.public_id}.json"'}
    return json_answer(dumps({"case": case.public_id, "handovers": told}), headers=headers)


def _receipts(hub: Hub, one: halls.Handover) -> Mapping[str, object]:
    answered = {"received": "case.received", "refused": "case.handover_refused"}
    return {
        "receipt": one.receipt,
        "hall": one.hall,
        "department": one.department,
        "state": one.state,
        "sent": one.sent_leaf
        and receipt_for(hub, kind="case.handed_over", leaf_hash=one.sent_leaf, at=one.sent_at),
        "answered": one.answered_leaf
        and receipt_for(
            hub, kind=answered[one.state], leaf_hash=one.answered_leaf, at=one.answered_at or one.sent_at
        ),
    }


async def _halls(visit: Visit, errors: list[tuple[str, str, str]], given: dict[str, str]) -> Response:
    async with visit.hub.view(visit.actor) as view:
        mine = await halls.halls_of(view)
        taken = await halls.of_halls(view, halls=[one.code for one in mine]) if mine else []
        waiting = await halls.waiting_for(view, department=visit.actor.department or "")
        states = await _states(view, taken)
        offices = await office_names(view)
    wanted = visit.request.query_params.get("q", "")
    offered = [
        one
        for one in listed(visit.hub.items)
        if one.complete
        and one.department in offices
        and any(hall.takes(one.code) for hall in mine)
        and (not wanted or wanted in one.zh or wanted.casefold() in one.en.casefold())
    ]
    return render(
        visit, "halls.html", status=422 if errors else 200, errors=errors, given=given, mine=mine, taken=taken,
        waiting=waiting, offered=offered[:ROWS], more=len(offered) > ROWS, query=wanted, states=states,
        all_items=visit.hub.items, offices=offices, halls=halls.load_halls(),
        may_open=may(visit.actor.roles, "cases.open"),
    )  # fmt: skip


async def _states(view: View, taken: list[Case]) -> dict[str, str]:
    found: dict[str, str] = {}
    for case in taken:
        sent = await halls.handover_of(view, case=case)
        found[case.public_id] = sent.state if sent else "here"
    return found


async def _mine(view: View, public_id: str) -> tuple[Case, Scope]:
    """The case of one of the officer's halls or of their department; NotFound alike for any other."""
    case, scope = await in_scope(view, public_id)
    if not (scope.handles or scope.hall):
        raise unknown_case()
    return case, scope


def _back(public_id: str, place: str) -> Response:
    return RedirectResponse(f"/halls/cases/{public_id}#{place}", status_code=303)

"""The door for departments whose own systems decide: steps, uploads and objections, with the department's token.

Every decision names an officer of the department who may make it (`officer`, their login): the system speaks for a
person, and the hub checks that person's role as it stands now. What is visible is what an officer of the department
sees: its own steps, and all of a case that it handles.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends
from pydantic import StringConstraints
from starlette.requests import Request
from starlette.responses import Response

from hub.actor import Actor, ActorKind
from hub.cases import steps, uploads
from hub.cases.model import MaterialState
from hub.cases.open import Case
from hub.cases.procedure import procedure_of
from hub.cases.scope import Scope, in_scope
from hub.clock import civil_day, seconds
from hub.errors import Forbidden
from hub.oversight import objections
from hub.oversight.model import ObjectionState
from hub.registry import officers
from hub.store.tx import Tx, View
from hub.web import examples, idempotency
from hub.web.answer import dumps, json_answer, receipt_for
from hub.web.body import Body, read_body, request_schema
from hub.web.caller import Caller, verifying
from hub.web.deps import Hub, hub_of

router = APIRouter(tags=["deciders"])

Verifying = Annotated[Caller, Depends(verifying)]
Word = Annotated[str, StringConstraints(min_length=1, max_length=64)]
Words = Annotated[str, StringConstraints(max_length=1000)]


class Decision(Body):
    """A step decided by an officer: the reason is one of the item's list; words are needed to reject."""

    officer: Word
    passed: bool
    reason: Word
    note: Words = ""


class Mending(Body):
    """What the applicant must mend; the clock is theirs from the next working day on."""

    officer: Word
    reason: Word = "mend"
    ask: Words


class Mended(Body):
    """The mended paper was taken."""

    officer: Word


class Judged(Body):
    """What becomes of an upload; `compare` says that the original was seen (level B)."""

    officer: Word
    decision: Literal["accepted", "mend", "refused", "compare"]
    note: Words = ""


class Answered(Body):
    """The answer to an objection or a complaint."""

    officer: Word
    outcome: Literal["superseded", "revoked", "explained", "upheld"]
    words: Words


_STEP = {"step": "tax", "department": "dg-tax", "state": "running", "days": 32, "due_on": "2027-01-07"}
WAITING = examples.answer(200, {"steps": [{**_STEP, "case_id": "mZvU8dLE2anteF0wAnMLwQ", "item_code": "x"}]})
STEPS = examples.answer(200, {"case_id": "mZvU8dLE2anteF0wAnMLwQ", "outcome": None, "steps": [_STEP]})
DONE = examples.answer(200, {"case_id": "mZvU8dLE2anteF0wAnMLwQ", "outcome": None, "step": _STEP, "receipt": "eyJ…"})
MATERIALS = examples.answer(200, {"materials": [{"id": "x", "material": "work", "state": "pending", "level": "C"}]})
OBJECTIONS = examples.answer(200, {"objections": [{"id": "x", "state": "open", "due_on": "2026-12-14"}]})


@router.get("/v1/steps", responses=WAITING)
async def waiting(request: Request, caller: Verifying) -> Response:
    """What waits for the department to decide, the oldest first, 200 at most."""
    async with hub_of(request).tx(caller.actor) as tx:
        await caller.enter(tx)
        found = await steps.waiting(tx, department=caller.department)
    told = [
        {"case_id": case.public_id, "item_code": case.item_code, "step": code, "state": state,
         "started_at": seconds(since)}
        for case, code, state, since in found
    ]  # fmt: skip
    return json_answer(dumps({"steps": told}))


@router.get("/v1/cases/{case_id}/steps", responses=STEPS)
async def of_case(case_id: str, request: Request, caller: Verifying) -> Response:
    """The steps of a case: all of them for the department that handles it, its own for another."""
    async with hub_of(request).tx(caller.actor) as tx:
        await caller.enter(tx)
        case, scope = await in_scope(tx, case_id)
        found = [one for one in await steps.steps_of(tx, case=case) if scope.handles or one.code in scope.steps]
    return json_answer(
        dumps({"case_id": case.public_id, "outcome": case.outcome, "steps": [_step(one) for one in found]})
    )


@router.post(
    "/v1/cases/{case_id}/steps/{code}/decision",
    openapi_extra=request_schema(Decision, {"officer": "li", "passed": True, "reason": "verified", "note": ""}),
    responses=DONE,
)
async def decide(case_id: str, code: str, request: Request, caller: Verifying) -> Response:
    """Decide one's own step, once; the last decision gives the case its final state."""
    body, raw = await read_body(request, Decision)

    async def work(tx: Tx, case: Case, _: Scope) -> Mapping[str, Any]:
        plan = procedure_of(hub_of(request).items[case.item_code])
        ended = await steps.decide(
            tx, case=case, procedure=plan, code=code, passed=body.passed, reason_code=body.reason, note=body.note
        )
        return await _done(tx, hub_of(request), ended, code)

    return await _by_officer(request, caller, case_id, body.officer, raw, work)


@router.post(
    "/v1/cases/{case_id}/steps/{code}/pause",
    openapi_extra=request_schema(Mending, {"officer": "li", "reason": "mend", "ask": "请补 2020 年缴费证明"}),
    responses=DONE,
)
async def pause(case_id: str, code: str, request: Request, caller: Verifying) -> Response:
    """Ask the applicant to mend something (补正)."""
    body, raw = await read_body(request, Mending)

    async def work(tx: Tx, case: Case, _: Scope) -> Mapping[str, Any]:
        await steps.pause(tx, case=case, code=code, reason_code=body.reason, ask=body.ask)
        return await _done(tx, hub_of(request), case, code)

    return await _by_officer(request, caller, case_id, body.officer, raw, work)


@router.post(
    "/v1/cases/{case_id}/steps/{code}/resume",
    openapi_extra=request_schema(Mended, {"officer": "li"}),
    responses=DONE,
)
async def resume(case_id: str, code: str, request: Request, caller: Verifying) -> Response:
    """The mended paper was taken: the department's clock runs again."""
    body, raw = await read_body(request, Mended)

    async def work(tx: Tx, case: Case, _: Scope) -> Mapping[str, Any]:
        await steps.resume(tx, case=case, code=code)
        return await _done(tx, hub_of(request), case, code)

    return await _by_officer(request, caller, case_id, body.officer, raw, work)


@router.get("/v1/cases/{case_id}/materials", responses=MATERIALS)
async def materials(case_id: str, request: Request, caller: Verifying) -> Response:
    """What was uploaded for a case that the department handles."""
    async with hub_of(request).tx(caller.actor) as tx:
        await caller.enter(tx)
        case, scope = await in_scope(tx, case_id)
        item = hub_of(request).items[case.item_code]
        found = (await uploads.held(tx, case=case, item=item)).values() if scope.handles else ()
    return json_answer(dumps({"materials": [_material(one) for one in found]}))


@router.get("/v1/cases/{case_id}/materials/{material_id}", responses=examples.text("%PDF-1.7", "application/pdf"))
async def material_file(case_id: str, material_id: str, request: Request, caller: Verifying) -> Response:
    """One upload as it was sent."""
    hub = hub_of(request)
    async with hub.tx(caller.actor) as tx:
        await caller.enter(tx)
        case, scope = await in_scope(tx, case_id)
        _handling(scope)
        found = await uploads.of_case(tx, case, hub.items[case.item_code], material_id)
        data = await uploads.content(tx, hub.blobs, found)
    media = "application/pdf" if found.kind == "pdf" else "application/octet-stream"
    return Response(data, media_type=media, headers={"Cache-Control": "no-store"})


@router.post(
    "/v1/cases/{case_id}/materials/{material_id}",
    openapi_extra=request_schema(Judged, {"officer": "li", "decision": "accepted", "note": ""}),
    responses=MATERIALS,
)
async def judge(case_id: str, material_id: str, request: Request, caller: Verifying) -> Response:
    """Accept, ask to mend, refuse, or say that the original was compared."""
    body, raw = await read_body(request, Judged)

    async def work(tx: Tx, case: Case, scope: Scope) -> Mapping[str, Any]:
        _handling(scope)
        if body.decision == "compare":
            found = await uploads.compare(tx, case=case, scope=scope, public_id=material_id)
        else:
            found = await uploads.review(
                tx, case=case, item=hub_of(request).items[case.item_code], scope=scope, public_id=material_id,
                state=MaterialState(body.decision), reason_code=body.decision, note=body.note,
            )  # fmt: skip
        return {"materials": [_material(found)]}

    return await _by_officer(request, caller, case_id, body.officer, raw, work)


@router.get("/v1/objections", responses=OBJECTIONS)
async def queue(request: Request, caller: Verifying) -> Response:
    """What the department has to answer (异议、投诉), open ones first."""
    async with hub_of(request).tx(caller.actor) as tx:
        await caller.enter(tx)
        found = await objections.queue_of(tx, department=caller.department)
    return json_answer(dumps({"objections": [_objection(one) for one in found]}))


@router.post(
    "/v1/objections/{objection_id}/answer",
    openapi_extra=request_schema(Answered, {"officer": "chu", "outcome": "explained", "words": "与档案一致"}),
    responses=OBJECTIONS,
)
async def answer(objection_id: str, request: Request, caller: Verifying) -> Response:
    """Answer once; superseded or revoked only when the department has registered it so."""
    body, raw = await read_body(request, Answered)
    async with hub_of(request).tx(caller.actor) as tx:
        await caller.enter(tx)
        slot = await idempotency.enter(tx, request, caller=caller.actor.reference(), body=raw)
        if slot and slot.reply:
            return json_answer(slot.reply.body, slot.reply.status)
        tx.actor = await _officer(tx, caller, body.officer)
        found = await objections.answer(
            tx, public_id=objection_id, outcome=ObjectionState(body.outcome), words=body.words
        )
        said = dumps({"objections": [_objection(found)]})
        await idempotency.keep(tx, slot, status=200, body=said)
    return json_answer(said)


async def _by_officer(
    request: Request, caller: Caller, case_id: str, login: str, raw: bytes, work: Any
) -> Response:
    """The same call again gets the same answer; the case must be in scope before the officer is looked at."""
    async with hub_of(request).tx(caller.actor) as tx:
        await caller.enter(tx)
        slot = await idempotency.enter(tx, request, caller=caller.actor.reference(), body=raw)
        if slot and slot.reply:
            return json_answer(slot.reply.body, slot.reply.status)
        case, scope = await in_scope(tx, case_id)
        tx.actor = await _officer(tx, caller, login)
        said = dumps(await work(tx, case, scope))
        await idempotency.keep(tx, slot, status=200, body=said)
    return json_answer(said)


async def _officer(tx: Tx, caller: Caller, login: str) -> Actor:
    """The named officer of the calling department, with the roles that count now. Forbidden `officer.not_yours`."""
    for one in await officers.all_officers(tx, caller.department):
        if one.login == login and one.active:
            roles = frozenset(str(role) for role in await officers.roles_of(tx, one.id))
            return replace(caller.actor, kind=ActorKind.OFFICER, officer_id=one.id, roles=roles)
    raise Forbidden(
        "officer.not_yours",
        "本部门没有这名在岗的工作人员。",
        "Your department has no such active officer.",
        next_zh="officer 填平台上登记的登录名（yimen officer list）。",
        next_en="`officer` is the login registered here: yimen officer list",
    )


async def _done(view: View, hub: Hub, case: Case, code: str) -> Mapping[str, Any]:
    found = next(one for one in await steps.steps_of(view, case=case) if one.code == code)
    receipt = None
    if found.leaf_hash is not None and found.decided_at is not None:
        receipt = receipt_for(hub, kind="step.decided", leaf_hash=found.leaf_hash, at=found.decided_at)
    return {"case_id": case.public_id, "outcome": case.outcome, "step": _step(found), "receipt": receipt}


def _handling(scope: Scope) -> None:
    if not scope.handles:
        raise Forbidden(
            "material.not_yours",
            "只有申请人、办理部门和受理大厅可以处理这个办件的材料。",
            "Only the applicant, the handling department and the accepting hall handle its materials.",
        )


def _step(one: steps.Step) -> Mapping[str, Any]:
    return {
        "step": one.code, "department": one.department, "state": one.state, "days": one.clock.limit,
        "ours": one.clock.ours, "theirs": one.clock.theirs, "overdue": one.clock.overdue,
        "due_on": one.clock.due_on.isoformat() if one.clock.due_on else None, "passed": one.passed,
        "reason": one.reason_code, "note": one.note, "evidence": list(one.evidence),
        "started_at": seconds(one.started_at), "decided_at": seconds(one.decided_at) if one.decided_at else None,
    }  # fmt: skip


def _material(one: uploads.Material) -> Mapping[str, Any]:
    return {
        "id": one.public_id, "material": one.code, "kind": one.kind, "size": one.size, "sha256": one.sha256.hex(),
        "level": one.level, "state": one.state, "note": one.note, "expires_on": one.expires_on.isoformat(),
    }  # fmt: skip


def _objection(one: objections.Objection) -> Mapping[str, Any]:
    return {
        "id": one.public_id, "state": one.state, "certificate": one.certificate, "access": one.access,
        "words": one.words, "filed_on": civil_day(one.filed_at).isoformat(),
        "due_on": one.due_on.isoformat() if one.due_on else None, "answer": one.answer,
    }  # fmt: skip

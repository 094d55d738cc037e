"""The door for departments that handle applications: open a case, list cases, score from disclosures they hold."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from pydantic import Field, StringConstraints
from starlette.requests import Request
from starlette.responses import Response

from hub.cases.open import Case, of_department, open_case, readable
from hub.cases.score import MAX_DISCLOSURES, CaseScore, latest, score_case
from hub.catalogue.items import ServiceItem
from hub.clock import seconds
from hub.errors import NotFound
from hub.registry import subjects
from hub.registry.model import SubjectKind
from hub.store.tx import Tx
from hub.web import idempotency
from hub.web.answer import dumps, json_answer, receipt_for
from hub.web.body import Body, read_body, request_schema
from hub.web.caller import Caller, verifying
from hub.web.deps import Hub, hub_of

router = APIRouter(tags=["cases"])

Verifying = Annotated[Caller, Depends(verifying)]
Short = Annotated[str, StringConstraints(min_length=1, max_length=64)]
SCORE_BYTES = 8 * 1024 * 1024
PAGE = 100


class Identity(Body):
    """Who somebody is: only ever in a body, never in a URL."""

    id_type: Short
    id_no: Short


class NewCase(Body):
    """What is applied for, by whom, and for whom."""

    item_code: Short
    applicant: Identity
    beneficiary: Identity | None = None


class Disclosures(Body):
    """SD-JWTs exactly as verification gave them out."""

    disclosures: Annotated[list[str], Field(min_length=1, max_length=MAX_DISCLOSURES)]
    grade_1: bool = True


_EXAMPLE = {
    "item_code": "441900-edu-points-enrolment",
    "applicant": {"id_type": "111", "id_no": "11010519491231002X"},
    "beneficiary": None,
}


@router.post("/v1/cases", status_code=201, openapi_extra=request_schema(NewCase, _EXAMPLE))
async def new_case(request: Request, caller: Verifying) -> Response:
    """Open a case of the calling department; people we never heard of are answered alike."""
    hub = hub_of(request)
    body, raw = await read_body(request, NewCase)
    async with hub.tx(caller.actor) as tx:
        await caller.enter(tx)
        slot = await idempotency.enter(tx, request, caller=caller.actor.reference(), body=raw)
        if slot and slot.reply:
            return json_answer(slot.reply.body, slot.reply.status)
        case = await open_case(
            tx,
            item=_item(hub, body.item_code),
            applicant=await _subject(tx, body.applicant),
            beneficiary=await _subject(tx, body.beneficiary) if body.beneficiary else None,
        )
        answer = dumps(_case(case))
        await idempotency.keep(tx, slot, status=201, body=answer)
    return json_answer(answer, 201)


@router.get("/v1/cases")
async def cases_page(
    request: Request,
    caller: Verifying,
    cursor: Annotated[str | None, Query(max_length=64)] = None,
) -> Response:
    """The department's cases, newest first, 100 a page; `next` is the cursor of the following page."""
    hub = hub_of(request)
    async with hub.tx(caller.actor) as tx:
        await caller.enter(tx)
        before = await readable(tx, cursor) if cursor else None
        found = await of_department(tx, department=caller.department, before=before, limit=PAGE)
    more = found[-1].public_id if len(found) == PAGE else None
    return json_answer(dumps({"cases": [_case(case) for case in found], "next": more}))


@router.get("/v1/cases/{case_id}")
async def case_page(case_id: str, request: Request, caller: Verifying) -> Response:
    """One case of the department, with its newest score."""
    hub = hub_of(request)
    async with hub.tx(caller.actor) as tx:
        await caller.enter(tx)
        case = await readable(tx, case_id)
        found = await latest(tx, case=case)
    return json_answer(dumps({**_case(case), "score": dict(found.document) if found else None}))


@router.post(
    "/v1/cases/{case_id}/score",
    status_code=201,
    openapi_extra=request_schema(Disclosures, {"disclosures": ["eyJ…~WyJ…~"], "grade_1": True}),
)
async def score(case_id: str, request: Request, caller: Verifying) -> Response:
    """Score a case by its item's scheme; each point names rule, claim and certificate."""
    hub = hub_of(request)
    body, raw = await read_body(request, Disclosures, max_bytes=SCORE_BYTES)
    async with hub.tx(caller.actor) as tx:
        await caller.enter(tx)
        slot = await idempotency.enter(tx, request, caller=caller.actor.reference(), body=raw)
        if slot and slot.reply:
            return json_answer(slot.reply.body, slot.reply.status)
        case = await readable(tx, case_id)
        scheme = hub.schemes.get(_item(hub, case.item_code).scheme or "")
        if scheme is None:
            raise NotFound(
                "score.no_scheme",
                "该事项没有积分方案。",
                "This service item has no points scheme.",
            )
        made = await score_case(
            tx,
            case=case,
            scheme=scheme,
            disclosures=body.disclosures,
            types=hub.types,
            grade_1=body.grade_1,
        )
        answer = dumps(_score(hub, made))
        await idempotency.keep(tx, slot, status=201, body=answer)
    return json_answer(answer, 201)


def _item(hub: Hub, code: str) -> ServiceItem:
    item = hub.items.get(code)
    if item is None:
        raise NotFound(
            "item.unknown",
            "事项目录中没有这个事项。",
            "There is no such service item in the catalogue.",
            next_zh="请在 GET /v1/items 中查找事项代码。",
            next_en="Find its code with GET /v1/items.",
        )
    return item


async def _subject(tx: Tx, identity: Identity) -> Any:
    kind = SubjectKind.LEGAL if identity.id_type == "001" else SubjectKind.NATURAL
    return await subjects.resolve(tx, id_type=identity.id_type, id_no=identity.id_no, kind=kind)


def _case(case: Case) -> dict[str, Any]:
    return {
        "case_id": case.public_id,
        "item_code": case.item_code,
        "item_version": case.item_version,
        "state": str(case.state),
        "opened_at": seconds(case.opened_at),
        "has_beneficiary": case.beneficiary is not None,
    }


def _score(hub: Hub, made: CaseScore) -> dict[str, Any]:
    return {
        **made.document,
        "receipt": receipt_for(hub, kind="case.scored", leaf_hash=made.leaf_hash, at=made.scored_at),
    }

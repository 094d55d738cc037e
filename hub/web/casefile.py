"""The door for cases: a department opens one for an applicant, lists, reads, scores it. People stand in bodies only."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from pydantic import Field, StringConstraints
from starlette.requests import Request
from starlette.responses import Response

from hub.cases import open as cases
from hub.cases.named import by_number
from hub.cases.open import Case
from hub.cases.score import CaseScore, score_case
from hub.catalogue.items import ServiceItem
from hub.clock import seconds
from hub.consent.guard import admit
from hub.errors import NotFound, Unprocessable
from hub.registry.model import SubjectKind
from hub.web import examples, idempotency
from hub.web.answer import dumps, json_answer, receipt_for
from hub.web.body import Body, read_body, request_schema
from hub.web.caller import Caller, verifying
from hub.web.deps import Hub, hub_of

router = APIRouter(tags=["verifiers"])

Verifying = Annotated[Caller, Depends(verifying)]
Word = Annotated[str, StringConstraints(min_length=1, max_length=64)]

SCORE_BYTES = 8 * 1024 * 1024
PAGE = 100


class PersonBody(Body):
    """A person or organisation, by number; only ever in a body."""

    id_type: Annotated[str, StringConstraints(min_length=1, max_length=16)]
    id_no: Annotated[str, StringConstraints(min_length=1, max_length=256)]


class NewCase(Body):
    """An application that the calling department handles."""

    item_code: Word
    applicant: PersonBody
    beneficiary: PersonBody | None = None


class NewScore(Body):
    """The issuer-signed disclosures that a case is to be scored by."""

    scheme: Word | None = None
    disclosures: Annotated[list[str], Field(max_length=64)]
    grade_1: bool = True


_CASE_EXAMPLE = {
    "item_code": "441900-edu-points-enrolment",
    "applicant": {"id_type": "111", "id_no": "11010519491231002X"},
    "beneficiary": None,
}


@router.post(
    "/v1/cases",
    status_code=201,
    openapi_extra=request_schema(NewCase, _CASE_EXAMPLE),
    responses=examples.OPENED,
)
async def open_case(request: Request, caller: Verifying) -> Response:
    """Open a case at the calling department. Somebody nobody knew before is answered like anybody else."""
    hub = hub_of(request)
    body, raw = await read_body(request, NewCase)
    item = _item(hub, body.item_code)
    async with hub.tx(caller.actor) as tx:
        await caller.enter(tx)
        slot = await idempotency.enter(tx, request, caller=caller.actor.reference(), body=raw)
        if slot and slot.reply:
            return json_answer(slot.reply.body, slot.reply.status)
        applicant = await by_number(
            tx, id_type=body.applicant.id_type, id_no=body.applicant.id_no, kind=SubjectKind(item.subject)
        )
        beneficiary = body.beneficiary and await by_number(
            tx, id_type=body.beneficiary.id_type, id_no=body.beneficiary.id_no, kind=SubjectKind.NATURAL
        )
        await admit(tx, "opened", person=applicant)
        case = await cases.open_case(tx, item=item, applicant=applicant, beneficiary=beneficiary or None)
        answer = dumps(_case(case))
        await idempotency.keep(tx, slot, status=201, body=answer)
    return json_answer(answer, 201)


@router.get("/v1/cases", responses=examples.CASES)
async def many_cases(
    request: Request, caller: Verifying, cursor: Annotated[str | None, Query(max_length=64)] = None
) -> Response:
    """The department's cases, newest first, 100 a page; `next` is the cursor of the following page, or null."""
    async with hub_of(request).tx(caller.actor) as tx:
        await caller.enter(tx)
        before = await cases.readable(tx, cursor) if cursor else None
        found = await cases.of_department(tx, department=caller.department, before=before, limit=PAGE)
    more = found[-1].public_id if len(found) == PAGE else None
    return json_answer(dumps({"cases": [_case(case) for case in found], "next": more}))


@router.get("/v1/cases/{case_id}", responses=examples.CASE)
async def one_case(case_id: str, request: Request, caller: Verifying) -> Response:
    """A case of the calling department; another's is not found."""
    async with hub_of(request).tx(caller.actor) as tx:
        await caller.enter(tx)
        case = await cases.readable(tx, case_id)
    return json_answer(dumps(_case(case)))


@router.post(
    "/v1/cases/{case_id}/score",
    status_code=201,
    openapi_extra=request_schema(NewScore, {"disclosures": ["eyJ…~WyJ…~"], "grade_1": True}),
    responses=examples.SCORED,
)
async def score(case_id: str, request: Request, caller: Verifying) -> Response:
    """Score a case by the disclosures that verification gave: each is checked again, each line is explained."""
    hub = hub_of(request)
    body, _ = await read_body(request, NewScore, max_bytes=SCORE_BYTES)
    async with hub.tx(caller.actor) as tx:
        await caller.enter(tx)
        case = await cases.readable(tx, case_id)
        code = body.scheme or _item(hub, case.item_code).scheme
        scheme = hub.schemes.get(code or "")
        if scheme is None:
            raise NotFound("score.no_scheme", "该事项没有积分方案。", "This item has no points scheme.")
        made = await score_case(
            tx, case=case, scheme=scheme, disclosures=body.disclosures, types=hub.types, grade_1=body.grade_1
        )
        answer = dumps(_score(hub, made))
    return json_answer(answer, 201)


def _item(hub: Hub, code: str) -> ServiceItem:
    item = hub.items.get(code)
    if item is None:
        raise Unprocessable("item.unknown", "没有这个事项。", "There is no such service item.")
    return item


def _case(case: Case) -> dict[str, Any]:
    return {
        "case_id": case.public_id,
        "item_code": case.item_code,
        "item_version": case.item_version,
        "state": case.state,
        "opened_at": seconds(case.opened_at),
        "closed_at": seconds(case.closed_at) if case.closed_at else None,
    }


def _score(hub: Hub, made: CaseScore) -> Mapping[str, Any]:
    return {
        "scheme": made.scheme,
        "scheme_version": made.scheme_version,
        "total": str(made.total),
        "score": made.document,
        "scored_at": seconds(made.scored_at),
        "receipt": receipt_for(hub, kind="case.scored", leaf_hash=made.leaf_hash, at=made.scored_at),
    }

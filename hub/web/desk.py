"""The desk of deciders: what waits for their department, and each case as far as it is theirs."""

from decimal import Decimal
from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.responses import RedirectResponse, Response

from hub.cases import promises, steps
from hub.cases.archive import archive_of
from hub.cases.evidence import evidence_of
from hub.cases.notice import all_rankings
from hub.cases.open import Case, readable
from hub.cases.procedure import procedure_of
from hub.cases.publish import scheme_at
from hub.cases.review import Review, answer_review, reviews_of, waiting_reviews
from hub.cases.scope import in_scope
from hub.cases.score import CaseScore, again, by_id, latest
from hub.catalogue.items import ServiceItem
from hub.clock import civil_day
from hub.errors import HubError, Malformed
from hub.oversight import reliance
from hub.store.tx import View
from hub.web.pages.render import render
from hub.web.pages.visit import Visit, officer, posted, text
from hub.web.wallet import office_names

router = APIRouter(prefix="/desk", include_in_schema=False)

decider = officer("cases.decide")


@router.get("")
async def desk_page(visit: Annotated[Visit, Depends(decider)]) -> Response:
    """What waits, with its last day, and the department's rankings."""
    department = visit.actor.department or ""
    async with visit.hub.view(visit.actor) as view:
        reviews = await waiting_reviews(view, department=department)
        rankings = await all_rankings(view, department=department)
        queue = await steps.waiting(view, department=department)
        checks = await promises.to_check(view, department=department)
        today = civil_day(view.now)
    items = [one for one in visit.hub.items.values() if one.department == department and one.scheme]
    return render(
        visit, "desk.html", reviews=reviews, rankings=rankings, queue=queue, step_name=_step_name,
        checks=checks, today=today,
        all_items=visit.hub.items, ranked_items=items,
    )  # fmt: skip


@router.get("/cases/{public_id}")
async def case_page(public_id: str, visit: Annotated[Visit, Depends(decider)]) -> Response:
    """A case as far as it is theirs: their own steps; the score, its reviews and flags for the handling department."""
    async with visit.hub.view(visit.actor) as view:
        case, scope = await in_scope(view, public_id)
        item = visit.hub.items[case.item_code]
        found = await steps.steps_of(view, case=case)
        looks = await evidence_of(view, case=case)
        score = await latest(view, case=case) if scope.handles else None
        reviews = await reviews_of(view, case=case) if scope.handles else []
        checked = {one.public_id: await _again(view, case, one) for one in reviews}
        flags = await reliance.flags_of(view, case=case) if scope.handles else []
        offices = await office_names(view)
        kept = await archive_of(view, case=case) if scope.handles else None
        given = await promises.promises_of(view, case=case) if scope.handles else []
        today = civil_day(view.now)
    mine = [one for one in found if one.code in scope.steps]
    plan = procedure_of(item)
    return render(
        visit, "deskcase.html", case=case, item=item, offices=offices, mine=mine, plan=plan, flags=flags,
        others=[one for one in found if one not in mine], looks={one.type_code: one for one in looks},
        score=score.document if score else None, types=visit.hub.types, reviews=reviews, checked=checked,
        handles=scope.handles, kept=kept, given=given, today=today,
    )  # fmt: skip


@router.post("/cases/{public_id}/steps/{code}")
async def step_page(public_id: str, code: str, visit: Annotated[Visit, Depends(decider)]) -> Response:
    """Decide one's own step, or ask the applicant to mend something (the clock is then theirs)."""
    form = await posted(visit)
    async with visit.hub.tx(visit.actor) as tx:
        case, _ = await in_scope(tx, public_id)
        words, decision = text(form, "note", limit=1000), text(form, "decision")
        if decision == "mend":
            await steps.pause(tx, case=case, code=code, reason_code="mend", ask=words)
        else:
            plan = procedure_of(visit.hub.items[case.item_code])
            passed = any(one.code == decision and one.passed for one in plan.reasons)
            await steps.decide(
                tx, case=case, procedure=plan, code=code, passed=passed, reason_code=decision, note=words
            )
    return RedirectResponse(f"/desk/cases/{public_id}", status_code=303)


@router.post("/cases/{public_id}/flags/{certificate}")
async def flag_page(public_id: str, certificate: str, visit: Annotated[Visit, Depends(decider)]) -> Response:
    """Looked again at what the case relied on: scored anew, or it makes no difference."""
    form = await posted(visit)
    conclusion = "scored_anew" if text(form, "conclusion") == "scored_anew" else "no_difference"
    async with visit.hub.tx(visit.actor) as tx:
        case, _ = await in_scope(tx, public_id)
        await reliance.clear(tx, case=case, certificate=certificate, conclusion=conclusion)
    return RedirectResponse(f"/desk/cases/{public_id}", status_code=303)


@router.post("/cases/{public_id}/promises/{promise_id}")
async def promise_page(public_id: str, promise_id: str, visit: Annotated[Visit, Depends(decider)]) -> Response:
    """What the later check of a promise found."""
    form = await posted(visit)
    found = text(form, "found")
    if found not in ("kept", "broken"):
        raise Malformed("form.field_invalid", "请选择属实或不实。", "Choose true or false.")
    async with visit.hub.tx(visit.actor) as tx:
        case, scope = await in_scope(tx, public_id)
        await promises.check(
            tx, case=case, scope=scope, public_id=promise_id, kept=found == "kept",
            note=text(form, "note", limit=1000),
        )  # fmt: skip
    return RedirectResponse(f"/desk/cases/{public_id}#promises", status_code=303)


@router.post("/cases/{public_id}/reviews/{review_id}")
async def answer_page(public_id: str, review_id: str, visit: Annotated[Visit, Depends(decider)]) -> Response:
    """Answer a review: upheld when computing again gives the same, changed when the case was scored anew."""
    form = await posted(visit)
    async with visit.hub.tx(visit.actor) as tx:
        case = await readable(tx, public_id)
        await answer_review(tx, case=case, public_id=review_id, answer=text(form, "answer"))
    return RedirectResponse(f"/desk/cases/{public_id}#reviews", status_code=303)


async def _again(view: View, case: Case, one: Review) -> tuple[CaseScore, Decimal | None]:
    """The score that a review is about, and its total computed again; None when it cannot be."""
    kept = await by_id(view, case=case, score_id=one.score_id)
    try:
        return kept, again(kept, await scheme_at(view, code=kept.scheme, version=kept.scheme_version)).total
    except HubError:
        return kept, None


def _step_name(item: ServiceItem, code: str, lang: str) -> str:
    return next((one.label(lang) for one in procedure_of(item).steps if one.code == code), code)

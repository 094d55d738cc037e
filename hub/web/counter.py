"""The counter: open a case, ask the applicant, verify under the consent, score point by point.

The id number is typed into a form and travels in the body of a POST only. No token is signed here: the officer's
session stands where a department's DPoP key stands at the API, and every look names the officer.
"""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from starlette.responses import RedirectResponse, Response

from hub.access.model import Outcome
from hub.cases.asseen import as_seen
from hub.cases.gather import ask, gather, standing
from hub.cases.named import by_number
from hub.cases.open import Case, of_department, open_case, readable
from hub.cases.papers import of_case as papers_of_case
from hub.cases.procedure import procedure_of
from hub.cases.scope import in_scope
from hub.cases.score import latest, score_case
from hub.cases.showncode import Agreed, agree_by_code
from hub.cases.steps import steps_of
from hub.catalogue.catalogue import listed
from hub.catalogue.items import ServiceItem
from hub.consent.guard import admit
from hub.consent.model import Basis, RequestState
from hub.consent.of_case import Asked, requests_of
from hub.consent.office import load_rules, rule_for
from hub.errors import Conflict, HubError
from hub.formats.identifiers import normal_id
from hub.notices.inbox import reached
from hub.registry import subjects
from hub.registry.model import SubjectKind, may
from hub.store.tx import Tx
from hub.verification.model import Pulled, Verdict
from hub.web.keep import keep, kept
from hub.web.pages.render import render
from hub.web.pages.visit import Visit, officer, posted, text
from hub.web.pulling import pull_for_case, pulled_types
from hub.web.wallet import office_names

router = APIRouter(prefix="/counter", include_in_schema=False)

clerk = officer("counter.verify")

@router.get("")
async def counter_page(visit: Annotated[Visit, Depends(clerk)]) -> Response:
    """The form for a new case, and the newest cases of this department."""
    return await _counter(visit, [], {})


@router.post("/cases")
async def open_page(visit: Annotated[Visit, Depends(clerk)]) -> Response:
    """Open a case for whoever stands at the counter; people we know and do not know are treated alike."""
    form = await posted(visit)
    given = {name: text(form, name) for name in ("item", "applicant", "child_type", "child")}
    item = visit.hub.items.get(given["item"])
    errors: list[tuple[str, str, str]] = []
    if item is None or item.department != visit.actor.department:
        errors.append(("item", "请选择本部门的事项。", "Choose an item of this department."))
    id_type = "001" if item is not None and item.subject == "legal" else "111"
    errors += number_errors("applicant", id_type, given["applicant"])
    if given["child"]:
        errors += number_errors("child", given["child_type"], given["child"])
    if errors or item is None:
        return await _counter(visit, errors, given)
    async with visit.hub.tx(visit.actor) as tx:
        applicant = await by_number(
            tx, id_type=id_type, id_no=given["applicant"], kind=SubjectKind(item.subject)
        )
        child = None
        if given["child"]:
            kind = SubjectKind.NATURAL
            child = await by_number(tx, id_type=given["child_type"], id_no=given["child"], kind=kind)
        await admit(tx, "opened", person=applicant)
        case = await open_case(tx, item=item, applicant=applicant, beneficiary=child)
    return RedirectResponse(f"/counter/cases/{case.public_id}", status_code=303)


@router.get("/cases/{public_id}")
async def case_page(public_id: str, visit: Annotated[Visit, Depends(clerk)]) -> Response:
    """One case: what is needed, where the consent stands, and (for ten minutes) the last verdict.

    A hall that took the case for another department has a page of its own, without contents.
    """
    return await _case_page(visit, public_id)


async def _case_page(
    visit: Visit, public_id: str, *, errors: Sequence[tuple[str, str, str]] = (), status: int = 200
) -> Response:
    async with visit.hub.view(visit.actor) as view:
        case, scope = await in_scope(view, public_id)
        if scope.hall and not scope.handles:
            return RedirectResponse(f"/halls/cases/{public_id}", status_code=303)
        case = await readable(view, public_id)
        asked = await requests_of(view, case_id=public_id)
        score = await latest(view, case=case)
        offices = await office_names(view)
        shown = await kept(view, key=_key(case, asked)) if standing(asked) else None
        item = visit.hub.items[case.item_code]
        seen = await as_seen(view, case=case, item=item, scheme=visit.hub.schemes.get(item.scheme or ""))
        found = await steps_of(view, case=case)
        newest = asked[0].public_id if asked else ""
        reach = (await reached(view, requests=[newest])).get(newest) if newest else None
        papers = await papers_of_case(view, case=case)
    given = standing(asked)
    return render(
        visit, "case.html", papers=papers, status=status, errors=list(errors), case=case, seen=seen, steps=found,
        plan=procedure_of(item), item=item,
        asked=asked, score=score.document if score else None,
        offices=offices, types=visit.hub.types, shown=shown, standing=given,
        left=min((grant.max_uses - grant.uses for grant in given), default=0),
        reach=reach, can_score=bool(shown) and item.scheme is not None,
        power=rule_for(load_rules(), department=case.department, item_code=case.item_code),
        pending=bool(asked) and asked[0].state is RequestState.PENDING and not asked[0].expired,
        overall=_overall([one["outcome"] for one in shown]) if shown else None,
    )  # fmt: skip


@router.post("/cases/{public_id}/ask")
async def ask_page(public_id: str, visit: Annotated[Visit, Depends(clerk)]) -> Response:
    """Ask for what the item allows: the applicant, or whoever decides for them, named by their number. Whether that
    one may decide is not told here: a request to somebody who may not simply stays unanswered."""
    form = await posted(visit)
    number = text(form, "decider")
    if number and (errors := number_errors("decider", "111", number)):
        return await _case_page(visit, public_id, errors=errors, status=422)
    async with visit.hub.tx(visit.actor) as tx:
        case = await readable(tx, public_id)
        item = visit.hub.items[case.item_code]
        by, decider = Basis.HOLDER, None
        if number:
            by = Basis.LEGAL_REPRESENTATIVE if item.subject == "legal" else Basis.DELEGATE
            decider = await subjects.find(tx, id_type="111", id_no=number)
            if decider is None:
                await admit(tx, "unknown_number")
        await ask(tx, case=case, item=item, approver=decider, by=by)
    return RedirectResponse(f"/counter/cases/{public_id}", status_code=303)


@router.post("/codes")
async def open_by_code(visit: Annotated[Visit, Depends(clerk)]) -> Response:
    """Open a case for whoever shows a use code, and look: no number is typed."""
    form = await posted(visit)
    item = visit.hub.items.get(text(form, "item"))
    if item is None or item.department != visit.actor.department:
        fault = ("item", "请选择本部门的事项。", "Choose an item of this department.")
        return await _counter(visit, [fault], {})
    seen = await _by_code(visit, text(form, "code"), item, None)
    if seen is None:
        return await _counter(visit, [_wrong_code()], {"item": item.code})
    return RedirectResponse(f"/counter/cases/{seen.case.public_id}#verdict", status_code=303)


@router.post("/cases/{public_id}/code")
async def look_with_code(public_id: str, visit: Annotated[Visit, Depends(clerk)]) -> Response:
    """Look at what the applicant's use code opens; the code is typed or scanned, and good for this case only."""
    form = await posted(visit)
    async with visit.hub.view(visit.actor) as view:
        case = await readable(view, public_id)
    seen = await _by_code(visit, text(form, "code"), visit.hub.items[case.item_code], case)
    if seen is None:
        return await _case_page(visit, public_id, errors=[_wrong_code()], status=422)
    return RedirectResponse(f"/counter/cases/{public_id}#verdict", status_code=303)


async def _by_code(visit: Visit, code: str, item: ServiceItem, case: Case | None) -> Agreed | None:
    """One commit, unless a source could be asked for what was agreed to: it wants to see the consent in the ledger."""
    hub, sources = visit.hub, await pulled_types(visit.hub)
    async with hub.tx(visit.actor) as tx:
        agreed = await agree_by_code(tx, code=code, item=item, case=case, items=hub.items, types=hub.types)
        if agreed is None:
            return None
        number = agreed.case.public_id
        at_once = sources.isdisjoint(agreed.types)
        if at_once:
            await _look(visit, tx, number, {})
    if not at_once:
        pulled = await pull_for_case(hub, visit.actor, number)
        async with hub.tx(visit.actor) as tx:
            await _look(visit, tx, number, pulled)
    return agreed


async def _look(visit: Visit, tx: Tx, public_id: str, pulled: Pulled) -> None:
    """Take one use of each grant of the case and keep the answers for ten minutes."""
    hub = visit.hub
    case = await readable(tx, public_id)
    asked = await requests_of(tx, case_id=public_id)
    issuer = hub.settings.public_url
    verdicts = await gather(tx, case=case, items=hub.items, types=hub.types, issuer=issuer, pulled=pulled)
    grants = standing(asked)
    await keep(tx, key=_key(case, asked), value=[_as_json(verdict) for verdict in verdicts], grant=grants[0].id)


def _wrong_code() -> tuple[str, str, str]:
    return (
        "code",
        "用证码不对、已过 60 秒、已经用过，或者不是给这件事、这个人的。请申请人刷新页面，出示新的码。",
        "Wrong, older than 60 seconds, used, or for another matter or person. Let the applicant reload the page.",
    )


@router.post("/cases/{public_id}/verify")
async def verify_page(public_id: str, visit: Annotated[Visit, Depends(clerk)]) -> Response:
    """Take one use of each grant and answer; the Accesses are durable before anything is shown."""
    await posted(visit)
    pulled = await pull_for_case(visit.hub, visit.actor, public_id)
    async with visit.hub.tx(visit.actor) as tx:
        await _look(visit, tx, public_id, pulled)
    return RedirectResponse(f"/counter/cases/{public_id}#verdict", status_code=303)


@router.post("/cases/{public_id}/score")
async def score_page(public_id: str, visit: Annotated[Visit, Depends(clerk)]) -> Response:
    """Score from the disclosures of the last verdict, each checked again; the result belongs to the applicant."""
    await posted(visit)
    async with visit.hub.tx(visit.actor) as tx:
        case = await readable(tx, public_id)
        asked = await requests_of(tx, case_id=public_id)
        shown = await kept(tx, key=_key(case, asked)) if standing(asked) else None
        scheme = visit.hub.schemes.get(visit.hub.items[case.item_code].scheme or "")
        if shown is None or scheme is None:
            raise Conflict(
                "counter.nothing_to_score",
                "没有可用于评分的核验结果，结果只保留十分钟。",
                "There is no verdict to score from; verdicts are kept for ten minutes only.",
                next_zh="请重新核验后再评分。",
                next_en="Verify again, then score.",
            )
        disclosures = [one["sd_jwt"] for one in shown if one["sd_jwt"]]
        await score_case(tx, case=case, scheme=scheme, disclosures=disclosures, types=visit.hub.types)
    return RedirectResponse(f"/counter/cases/{public_id}#score", status_code=303)


async def _counter(visit: Visit, errors: list[tuple[str, str, str]], given: dict[str, str]) -> Response:
    department = visit.actor.department or ""
    async with visit.hub.view(visit.actor) as view:
        newest = await of_department(view, department=department, limit=20)
    items = [
        visit.hub.items[one.code]
        for one in listed(visit.hub.items)
        if one.complete and one.department == department
    ]
    return render(
        visit, "counter.html", status=422 if errors else 200, errors=errors, given=given, items=items,
        cases=newest, may_open=may(visit.actor.roles, "cases.open"), all_items=visit.hub.items,
    )  # fmt: skip


def number_errors(name: str, id_type: str, number: str) -> list[tuple[str, str, str]]:
    """The faults of a typed number, without the number."""
    try:
        normal_id(id_type, number)
    except HubError as fault:
        return [(name, fault.zh, fault.en)]
    return []


def _key(case: Case, asked: Sequence[Asked]) -> str:
    approved = next((one.public_id for one in asked if one.state is RequestState.APPROVED), "")
    return f"{case.public_id}:{approved}"


def _as_json(verdict: Verdict) -> dict[str, Any]:
    """A verdict as the page shows it again within ten minutes."""
    return {
        "type": verdict.type_code,
        "outcome": str(verdict.outcome),
        "reason": verdict.reason,
        "checks": [[c.number, str(c.step), str(c.result), c.zh, c.en] for c in verdict.checks],
        "certificate": verdict.certificate,
        "issuer": verdict.issuer,
        "claims": dict(verdict.claims or {}),
        "sd_jwt": verdict.sd_jwt,
        "access": verdict.access,
        "at": verdict.at.isoformat() if verdict.at else None,
    }


def _overall(outcomes: Sequence[str]) -> Outcome:
    """One word for the whole: refused beats undecided; a missing certificate is brought on paper instead."""
    for outcome in (Outcome.REFUSED, Outcome.UNDECIDED, Outcome.ACCEPTED):
        if outcome in outcomes:
            return outcome
    return Outcome.NO_RECORD

"""The counter: open a case, ask the applicant, verify under the consent, score point by point.

The id number is typed into a form and travels in the body of a POST only. No token is signed here: the officer's
session stands where a department's DPoP key stands at the API, and every look names the officer.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from starlette.responses import RedirectResponse, Response

from hub.access.model import Outcome
from hub.actor import Actor
from hub.cases.open import Case, of_department, open_case, readable
from hub.cases.score import latest, score_case
from hub.catalogue.catalogue import listed
from hub.catalogue.items import ClaimPath, ServiceItem
from hub.clock import seconds
from hub.consent import request
from hub.consent.model import Basis, Grant, GrantState, RequestState
from hub.consent.of_case import Asked, requests_of
from hub.errors import Conflict, HubError
from hub.formats.authorization import AccessToken
from hub.formats.details import Detail
from hub.formats.identifiers import normal_id
from hub.ids import public_token
from hub.registry import subjects
from hub.registry.model import SubjectKind
from hub.verification.model import Ask, Verdict
from hub.verification.verify import Redemption, verify
from hub.web.keep import keep, kept
from hub.web.pages.render import render
from hub.web.pages.visit import Visit, officer, posted, text
from hub.web.wallet import office_names

router = APIRouter(prefix="/counter", include_in_schema=False)

clerk = officer("counter.verify")

SESSION_KEY = "officer-session"
"""Stands for the key binding of a consent token that never leaves this process."""

ASK_DAYS = 7
ASK_USES = 3
"""What a clerk asks for at most, within the caps of the item: a few looks, one week."""


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
    errors += _number_errors("applicant", "111", given["applicant"])
    if given["child"]:
        errors += _number_errors("child", given["child_type"], given["child"])
    if errors or item is None:
        return await _counter(visit, errors, given)
    async with visit.hub.tx(visit.actor) as tx:
        applicant = await subjects.resolve(tx, id_type="111", id_no=given["applicant"], kind=SubjectKind.NATURAL)
        child = None
        if given["child"]:
            kind = SubjectKind.NATURAL
            child = await subjects.resolve(tx, id_type=given["child_type"], id_no=given["child"], kind=kind)
        case = await open_case(tx, item=item, applicant=applicant, beneficiary=child)
    return RedirectResponse(f"/counter/cases/{case.public_id}", status_code=303)


@router.get("/cases/{public_id}")
async def case_page(public_id: str, visit: Annotated[Visit, Depends(clerk)]) -> Response:
    """One case: what is needed, where the consent stands, and (for ten minutes) the last verdict."""
    async with visit.hub.view(visit.actor) as view:
        case = await readable(view, public_id)
        asked = await requests_of(view, case_id=public_id)
        score = await latest(view, case=case)
        offices = await office_names(view)
        shown = await kept(view, key=_key(case, asked)) if _standing(asked) else None
    item, standing = visit.hub.items[case.item_code], _standing(asked)
    return render(
        visit, "case.html", case=case, item=item, asked=asked, score=score.document if score else None,
        offices=offices, types=visit.hub.types, shown=shown, standing=standing,
        left=min((grant.max_uses - grant.uses for grant in standing), default=0),
        can_score=bool(shown) and item.scheme is not None,
        pending=bool(asked) and asked[0].state is RequestState.PENDING and not asked[0].expired,
        overall=_overall([one["outcome"] for one in shown]) if shown else None,
    )  # fmt: skip


@router.post("/cases/{public_id}/ask")
async def ask_page(public_id: str, visit: Annotated[Visit, Depends(clerk)]) -> Response:
    """Ask the applicant for what the item allows: their own certificates, and as guardian the child's."""
    await posted(visit)
    async with visit.hub.tx(visit.actor) as tx:
        case = await readable(tx, public_id)
        item = visit.hub.items[case.item_code]
        details = [
            detail
            for basis in (Basis.HOLDER, Basis.GUARDIAN)
            if (detail := _detail(item, case, basis, seconds(tx.now))) is not None
        ]
        code = public_token(3).upper().replace("-", "7").replace("_", "8")
        await request.start(
            tx, details=details, item=item, case=case.facts(), approver=case.applicant, binding_message=code
        )
    return RedirectResponse(f"/counter/cases/{public_id}", status_code=303)


@router.post("/cases/{public_id}/verify")
async def verify_page(public_id: str, visit: Annotated[Visit, Depends(clerk)]) -> Response:
    """Take one use of each grant and answer; the Accesses are durable before anything is shown."""
    await posted(visit)
    hub = visit.hub
    actor = replace(visit.actor, jkt=SESSION_KEY)
    async with hub.tx(actor) as tx:
        case = await readable(tx, public_id)
        asked = await requests_of(tx, case_id=public_id)
        grants = _standing(asked)
        if not grants:
            raise Conflict(
                "counter.no_consent",
                "申请人还没有同意，或已经收回，不能核验。",
                "The applicant has not agreed, or has withdrawn: nothing can be verified.",
                next_zh="请申请人在“待我同意”里决定，或请其出示原件。",
                next_en="Let the applicant decide on their page, or look at the originals.",
            )
        asks = tuple(Ask(code, basis=grant.basis) for grant in grants for code in grant.detail["datatypes"])
        redemption = Redemption(_as_token(hub.settings.public_url, actor, grants, seconds(tx.now)), asks, case.facts())
        verdicts = (await verify(tx, [redemption], items=hub.items, types=hub.types))[0]
        await keep(tx, key=_key(case, asked), value=[_as_json(verdict) for verdict in verdicts], grant=grants[0].id)
    return RedirectResponse(f"/counter/cases/{public_id}#verdict", status_code=303)


@router.post("/cases/{public_id}/score")
async def score_page(public_id: str, visit: Annotated[Visit, Depends(clerk)]) -> Response:
    """Score from the disclosures of the last verdict, each checked again; the result belongs to the applicant."""
    await posted(visit)
    async with visit.hub.tx(visit.actor) as tx:
        case = await readable(tx, public_id)
        asked = await requests_of(tx, case_id=public_id)
        shown = await kept(tx, key=_key(case, asked)) if _standing(asked) else None
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
        cases=newest, all_items=visit.hub.items,
    )  # fmt: skip


def _number_errors(name: str, id_type: str, number: str) -> list[tuple[str, str, str]]:
    """The faults of a typed number, without the number."""
    try:
        normal_id(id_type, number)
    except HubError as fault:
        return [(name, fault.zh, fault.en)]
    return []


def _detail(item: ServiceItem, case: Case, basis: Basis, now: int) -> Detail | None:
    """Everything that the item lets a clerk ask of one person, for one look; None when it asks nothing of them."""
    about_child = basis is Basis.GUARDIAN
    if about_child and case.beneficiary is None:
        return None
    fields: dict[str, set[ClaimPath]] = {}
    for material in item.materials:
        if (material.holder == "child") is about_child:
            for evidence in material.satisfied_by:
                fields.setdefault(evidence.type, set()).update(evidence.fields)
    if not fields:
        return None
    return Detail(
        item_code=item.code,
        case_id=case.public_id,
        purpose=sorted(item.caps.purposes)[0],
        basis=basis,
        datatypes=tuple(sorted(fields)),
        fields={code: tuple(sorted(paths, key=repr)) for code, paths in sorted(fields.items())},
        valid_until=now + min(item.caps.valid_days, ASK_DAYS) * 86_400,
        max_uses=min(item.caps.max_uses, ASK_USES),
    )


def _standing(asked: Sequence[Asked]) -> list[Grant]:
    """The grants of the newest approved request, or none once one of them was withdrawn."""
    for one in asked:
        if one.state is RequestState.APPROVED:
            withdrawn = any(grant.state is GrantState.WITHDRAWN for grant in one.grants)
            return [] if withdrawn else list(one.grants)
    return []


def _key(case: Case, asked: Sequence[Asked]) -> str:
    approved = next((one.public_id for one in asked if one.state is RequestState.APPROVED), "")
    return f"{case.public_id}:{approved}"


def _as_token(issuer: str, actor: Actor, grants: Sequence[Grant], now: int) -> AccessToken:
    """The consent as `verify` takes it, for the department of the signed-in officer."""
    return AccessToken(
        issuer=issuer,
        subject=str(actor.officer_id),
        audience=issuer,
        client_id=actor.department or "",
        jkt=SESSION_KEY,
        jti=public_token(),
        iat=now,
        exp=now + 60,
        scope=frozenset({"verify"}),
        authorization_details=tuple(Detail.from_json(grant.detail) for grant in grants),
        grants=tuple(grant.public_id for grant in grants),
    )


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

"""Looks by office power on the counter's pages: ask, a second officer where one is needed, look once."""

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.responses import RedirectResponse, Response

from hub.cases.office import (
    ask_office,
    confirm_office,
    look_by_office,
    looks_of_department,
    office_look,
    record_stopped,
)
from hub.cases.open import readable
from hub.consent.office import load_rules, rule_for
from hub.consent.release import holds_of, vouch
from hub.errors import Forbidden, Malformed, TooMany
from hub.verification.model import Verdict
from hub.web.pages.render import render
from hub.web.pages.visit import Visit, officer, posted, text
from hub.web.pulling import pulled_types

router = APIRouter(prefix="/office", include_in_schema=False)

clerk = officer("counter.verify")


@router.get("")
async def office_page(visit: Annotated[Visit, Depends(clerk)]) -> Response:
    """What waits for a second officer, and the department's newest looks."""
    async with visit.hub.view(visit.actor) as view:
        looks = await looks_of_department(view)
        holds = await holds_of(view)
    return render(
        visit, "office.html", looks=looks, holds=holds, rules=load_rules(), me=visit.actor.officer_id
    )


@router.post("/holds")
async def release(visit: Annotated[Visit, Depends(clerk)]) -> Response:
    """Vouch for another officer of the department whom a limit against misuse holds up."""
    form = await posted(visit, fresh=True)
    _require_own_provider(visit)
    async with visit.hub.tx(visit.actor) as tx:
        await vouch(tx, code=text(form, "code"), key=text(form, "key"), span=text(form, "span"))
    return RedirectResponse("/office#holds", status_code=303)


@router.post("/cases/{public_id}")
async def ask(public_id: str, visit: Annotated[Visit, Depends(clerk)]) -> Response:
    """Ask to look at a case's applicant. A limit that is met is recorded for the citizen and the auditors."""
    await posted(visit, fresh=True)
    _require_own_provider(visit)
    async with visit.hub.view(visit.actor) as view:
        case = await readable(view, public_id)
    rule = rule_for(load_rules(), department=visit.actor.department or "", item_code=case.item_code)
    if rule is None:
        raise Forbidden(
            "office.no_rule",
            "本部门对这个事项没有依职能查验的规定。",
            "No published rule gives this department office power for this item.",
        )
    try:
        async with visit.hub.tx(visit.actor) as tx:
            look = await ask_office(tx, case_id=public_id, rule=rule)
    except (TooMany, Forbidden) as stopped:
        async with visit.hub.tx(visit.actor) as tx:
            await record_stopped(tx, case_id=public_id, rule=rule, reason=stopped.code)
        raise
    return RedirectResponse(f"/office/{look.public_id}", status_code=303)


@router.get("/{public_id}")
async def look_page(public_id: str, visit: Annotated[Visit, Depends(clerk)]) -> Response:
    """One look: where it stands, and who may do what next."""
    return await _page(visit, public_id, None)


@router.post("/{public_id}")
async def decide(public_id: str, visit: Annotated[Visit, Depends(clerk)]) -> Response:
    """The second officer agrees or refuses."""
    form = await posted(visit, fresh=True)
    _require_own_provider(visit)
    decision = text(form, "decision")
    if decision not in ("agree", "refuse"):
        raise Malformed("form.field_invalid", "没有选择同意或不同意。", "Neither agree nor refuse was chosen.")
    async with visit.hub.tx(visit.actor) as tx:
        await confirm_office(tx, public_id=public_id, agree=decision == "agree")
    return RedirectResponse(f"/office/{public_id}", status_code=303)


@router.post("/{public_id}/look")
async def look(public_id: str, visit: Annotated[Visit, Depends(clerk)]) -> Response:
    """Look, once; the answer is on this page only."""
    await posted(visit, fresh=True)
    _require_own_provider(visit)
    hub = visit.hub
    unasked = await pulled_types(hub)
    async with hub.tx(visit.actor) as tx:
        verdicts = await look_by_office(
            tx, public_id=public_id, rules=load_rules(), items=hub.items, types=hub.types,
            issuer=hub.settings.public_url, unasked=unasked,
        )  # fmt: skip
    return await _page(visit, public_id, verdicts)


def _require_own_provider(visit: Visit) -> None:
    """Office power is for officers whom their own department's identity provider signed in (DESIGN section 3, rule 9);
    one who came by a one-time link is nobody's word but an administrator's."""
    if visit.session is None or visit.session.provider is None:
        raise Forbidden(
            "office.provider",
            "依职能查验须从本单位的统一身份认证登录。",
            "Office power needs a sign-in through your own department's identity provider.",
            next_zh="请退出后从本单位的登录系统进入；单位尚未接入的，请联系平台管理员。",
            next_en="Sign out and enter through your office's provider; if it has none, ask an administrator.",
        )


async def _page(visit: Visit, public_id: str, verdicts: list[Verdict] | None) -> Response:
    async with visit.hub.view(visit.actor) as view:
        found = await office_look(view, public_id=public_id)
    return render(
        visit, "officelook.html", look=found, rule=load_rules()[found.rule], verdicts=verdicts,
        types=visit.hub.types, mine=found.officer == visit.actor.officer_id,
    )  # fmt: skip

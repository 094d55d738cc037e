"""The citizen decides about a request: reads it in plain words, ticks what is optional, agrees or refuses."""

from collections.abc import Sequence
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends
from starlette.responses import RedirectResponse, Response

from hub.catalogue.items import ClaimPath
from hub.certificates.find import of_holder
from hub.clock import from_seconds
from hub.consent import approve, passkeys
from hub.consent.entrust import principals_of
from hub.consent.evidence import demands_passkey
from hub.consent.licence import companies_of
from hub.consent.model import Basis, RequestState
from hub.consent.redirect import answer, return_address
from hub.consent.represent import record_refusal
from hub.consent.shown import Part, narrowed
from hub.errors import Forbidden, HubError, Malformed
from hub.formats.webauthn import request_text
from hub.ids import public_token
from hub.web.entrust import name_of
from hub.web.pages.render import render
from hub.web.pages.visit import Visit, citizen, posted, text
from hub.web.wallet import children, office_names

router = APIRouter(include_in_schema=False)


@router.get("/requests")
async def requests_page(visit: Annotated[Visit, Depends(citizen)]) -> Response:
    """The requests that wait for this person."""
    hub = visit.hub
    async with hub.view(visit.actor) as view:
        waiting = await approve.pending(view, items=hub.items, types=hub.types)
        offices = await office_names(view)
    return render(visit, "requests.html", waiting=waiting, offices=offices)


@router.get("/requests/{public_id}")
async def request_page(public_id: str, visit: Annotated[Visit, Depends(citizen)]) -> Response:
    """One request: who, for what, which fields and why, how often and until when, and what they will not see."""
    hub = visit.hub
    async with hub.view(visit.actor) as view:
        asked = await approve.show(view, public_id=public_id, items=hub.items, types=hub.types)
        offices = await office_names(view)
        back = await return_address(view, public_id=public_id)
        own = {visit.subject_id} | {child.subject_id for child in await children(view, visit)}
        own |= {one.principal for one in await principals_of(view, delegate=visit.subject_id)}
        own |= set(await companies_of(view, person=visit.subject_id))
        names = {part.holder: await name_of(view, part.holder) if part.holder in own else "" for part in asked.parts}
        held = {  # of somebody whom they are not proved to act for, nothing is told: neither name nor what they hold
            part.holder: {one.certificate.type_code for one in await of_holder(view, subject_id=part.holder)}
            if part.holder in own
            else {ask.type_code for ask in part.types}
            for part in asked.parts
        }
        late = asked.expires_at <= view.now
        has_passkey = bool(await passkeys.of_person(view))
    return render(
        visit, "request.html", demanded=demands_passkey(asked.item.code), has_passkey=has_passkey,
        asked=asked, offices=offices, names=names, held=held, types=hub.types,
        open=asked.state is RequestState.PENDING and not late,
        until=from_seconds(min(part.detail.valid_until for part in asked.parts)),
        back=_origin(back), form_to=_origin(back),
    )  # fmt: skip


@router.post("/requests/{public_id}")
async def decide(public_id: str, visit: Annotated[Visit, Depends(citizen)]) -> Response:
    """Agree or refuse. What is not ticked is not granted; required fields come with agreeing. A request that came from
    a department's website leads back there."""
    form = await posted(visit)
    decision, hub = text(form, "decision"), visit.hub
    ticked = {value for name in ("field", "all") for value in form.texts.get(name, [])}
    if decision == "agree" and (page := await _sign_page(visit, public_id, ticked)):
        return page
    try:
        async with hub.tx(visit.actor) as tx:
            if decision in ("agree", "login"):
                asked = await approve.show(tx, public_id=public_id, items=hub.items, types=hub.types)
                chosen = chosen_of(asked.parts, ticked)
                await approve.approve(tx, public_id=public_id, chosen=chosen, items=hub.items, types=hub.types)
            elif decision == "refuse":
                await approve.refuse(tx, public_id=public_id)
            else:
                raise Malformed(
                    "form.field_invalid", "没有选择同意或不同意。", "Neither agree nor refuse was chosen."
                )
            back = await answer(tx, public_id=public_id, issuer=hub.settings.public_url)
    except Forbidden as refusal:
        await _record_refusal(visit, public_id, refusal.code)
        raise
    return RedirectResponse(back or f"/requests/{public_id}", status_code=303)


def _origin(back: str | None) -> str:
    """Scheme and host of the website that the browser came from and goes back to; empty for other requests."""
    return "" if back is None else "{0.scheme}://{0.netloc}".format(urlsplit(back))


@router.post("/requests/{public_id}/sign")
async def sign(public_id: str, visit: Annotated[Visit, Depends(citizen)]) -> Response:
    """Agree with the passkey's signature over exactly what was shown."""
    form = await posted(visit)
    hub, origin = visit.hub, visit.hub.settings.public_url
    try:
        async with hub.tx(visit.actor) as tx:
            signed = await passkeys.finish_signing(
                tx, ticket=text(form, "ticket", limit=64), credential=text(form, "credential", limit=32_000),
                origin=origin,
            )  # fmt: skip
            if signed.request != public_id:
                raise _another()
            asked = await approve.show(tx, public_id=public_id, items=hub.items, types=hub.types)
            await approve.approve(
                tx, public_id=public_id, chosen=chosen_of(asked.parts, set(signed.ticked)), items=hub.items,
                types=hub.types, approval=signed.approval,
            )  # fmt: skip
            back = await answer(tx, public_id=public_id, issuer=origin)
    except Forbidden as refusal:
        await _record_refusal(visit, public_id, refusal.code)
        raise
    return RedirectResponse(back or f"/requests/{public_id}", status_code=303)


def _another() -> HubError:
    return Malformed(
        "approval.other_request", "通行密钥签的不是这个请求。", "The passkey signed another request."
    )


async def _sign_page(visit: Visit, public_id: str, ticked: set[str]) -> Response | None:
    """The page on which a passkey signs what was ticked; None for somebody who has no passkey."""
    hub, origin = visit.hub, visit.hub.settings.public_url
    async with hub.tx(visit.actor) as tx:
        if not await passkeys.of_person(tx):
            return None
        asked = await approve.show(tx, public_id=public_id, items=hub.items, types=hub.types)
        details = [one.to_json() for _, one in narrowed(asked.parts, chosen_of(asked.parts, ticked))]
        if not details or asked.state is not RequestState.PENDING:
            return None
        signed = request_text(
            request=public_id, department=asked.department, details=details, nonce=public_token(), audience=origin,
            owners=await passkeys.owners_of(tx),
        )  # fmt: skip
        begun = await passkeys.begin_signing(
            tx, origin=origin, request=public_id, signed=signed, ticked=sorted(ticked)
        )
        offices = await office_names(tx)
        back = await return_address(tx, public_id=public_id)
    return render(
        visit, "sign.html", asked=asked, begun=begun,
        codes=[code for one in details for code in one["datatypes"]], ticked=sorted(ticked), offices=offices,
        types=hub.types, demanded=demands_passkey(asked.item.code), form_to=_origin(back),
    )  # fmt: skip


async def _record_refusal(visit: Visit, public_id: str, reason: str) -> None:
    """Whoever is not proved to be a guardian gets nothing, and the child's history shows the attempt."""
    hub = visit.hub
    async with hub.tx(visit.actor) as tx:
        asked = await approve.show(tx, public_id=public_id, items=hub.items, types=hub.types)
        for part in asked.parts:
            if part.basis is Basis.GUARDIAN and reason.startswith("guardian."):
                await record_refusal(
                    tx,
                    child=part.holder,
                    department=asked.department,
                    item_code=asked.item.code,
                    case_id=asked.case_id,
                    reason=reason,
                )


def chosen_of(parts: Sequence[Part], ticked: set[str]) -> list[dict[str, list[ClaimPath]]]:
    """Per part, the required fields and those optional ones whose box was ticked: "part.type.field", or
    "part.type" for all of a certificate."""
    return [
        {
            ask.type_code: [
                field.path
                for f, field in enumerate(ask.fields)
                if field.required or not ticked.isdisjoint((f"{p}.{t}", f"{p}.{t}.{f}"))
            ]
            for t, ask in enumerate(part.types)
        }
        for p, part in enumerate(parts)
    ]

"""用证码 on the citizen's side: choose what it opens, show it, see who used it. A reload gives a new code."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends
from starlette.responses import RedirectResponse, Response

from hub.cases.gather import details_of
from hub.cases.open import of_applicant
from hub.catalogue.catalogue import listed
from hub.catalogue.items import ServiceItem
from hub.certificates.find import of_holder
from hub.clock import from_seconds, seconds
from hub.consent import usecode
from hub.consent.approver import principals
from hub.consent.evidence import demands_passkey
from hub.consent.model import Basis
from hub.consent.shown import Part, narrowed, parts_of
from hub.errors import Conflict, Gone, Malformed, Unprocessable
from hub.paper import qr
from hub.store.tx import View
from hub.web.entrust import name_of
from hub.web.pages.render import inline_svg, render
from hub.web.pages.visit import Visit, citizen, posted, text
from hub.web.requests import chosen_of
from hub.web.wallet import children, office_names

router = APIRouter(prefix="/usecode", include_in_schema=False)


@dataclass(frozen=True, slots=True)
class Party:
    """Whose matter it can be: `code` stands in the address; the basis is the visitor's right to decide."""

    code: str
    name: str
    applicant: UUID
    basis: Basis
    child: UUID | None = None


@router.get("")
async def choose_page(visit: Annotated[Visit, Depends(citizen)]) -> Response:
    """First the matter, then for whom, then what it opens."""
    return await _choose(visit)


@router.post("/choice")
async def choose(visit: Annotated[Visit, Depends(citizen)]) -> Response:
    """Keep what was ticked and go to the code. What is not ticked is not opened; needed claims come with showing."""
    form = await posted(visit)
    item = visit.hub.items.get(text(form, "item"))
    if item is None or not item.complete:
        raise _no_item()
    ticked = {value for name in ("field", "all") for value in form.texts.get(name, [])}
    async with visit.hub.tx(visit.actor) as tx:
        party = _party(await _parties(tx, visit, item), text(form, "for"))
        parts = _parts(visit, item, party, seconds(tx.now))
        kept = [detail for _, detail in narrowed(parts, chosen_of(parts, ticked))]
        if not kept:
            raise Unprocessable(
                "consent.nothing_ticked",
                "一项都没有勾选，用证码什么也打不开。",
                "Nothing is ticked, so the code would open nothing.",
                next_zh="请勾选愿意出示的内容；都不愿意，就不用出示，带原件办理。",
                next_en="Tick what you are willing to show; if nothing, show no code and bring the originals.",
            )
        made = await usecode.choose(
            tx, item=item, applicant=party.applicant, beneficiary=party.child, details=kept
        )
    return RedirectResponse(f"/usecode/{made.public_id}", status_code=303)


@router.get("/{public_id}")
async def code_page(public_id: str, visit: Annotated[Visit, Depends(citizen)]) -> Response:
    """A fresh code with every reload, and after it was used, by whom and for what."""
    shown = None
    async with visit.hub.tx(visit.actor) as tx:
        made = await usecode.choice_of(tx, public_id=public_id)
        with suppress(Conflict, Gone):  # the page says which of both it is
            shown = await usecode.fresh_code(tx, public_id=public_id)
        offices = await office_names(tx)
    return render(
        visit, "usecode.html", made=made, shown=shown, offices=offices, item=visit.hub.items[made.item_code],
        types=visit.hub.types, picture=inline_svg(qr.svg(shown.long)) if shown else None,
    )  # fmt: skip


@router.post("/{public_id}/stop")
async def stop(public_id: str, visit: Annotated[Visit, Depends(citizen)]) -> Response:
    """Close it: the code on the screen opens nothing from now on."""
    await posted(visit)
    async with visit.hub.tx(visit.actor) as tx:
        made = await usecode.choice_of(tx, public_id=public_id)
        await usecode.stop(tx, public_id=made.public_id)
    return RedirectResponse(f"/usecode/{public_id}", status_code=303)


async def _choose(visit: Visit) -> Response:
    query, hub = visit.request.query_params, visit.hub
    item = hub.items.get(query.get("item", ""))
    async with hub.view(visit.actor) as view:
        offices = await office_names(view)
        mine = {case.item_code for case in await of_applicant(view, subject_id=visit.subject_id) if case.in_hand}
        if item is None or not item.complete or demands_passkey(item.code):
            known = [one for one in listed(hub.items) if one.complete and not demands_passkey(one.code)]
            known.sort(key=lambda one: one.code not in mine)
            options = [(one.code, one.label(visit.lang)) for one in known]
            return render(
                visit, "usecodechoose.html", item=None, options=options, only_passkey=item is not None and item.complete
            )
        parties = await _parties(view, visit, item)
        party = _party(parties, query.get("for", "")) if parties else None
        parts = _parts(visit, item, party, seconds(view.now)) if party else ()
        names = {part.holder: await name_of(view, part.holder) for part in parts}
        held = {
            part.holder: {one.certificate.type_code for one in await of_holder(view, subject_id=part.holder)}
            for part in parts
        }
    return render(
        visit, "usecodechoose.html", item=item, parties=parties, party=party, parts=parts, names=names, held=held,
        offices=offices, types=hub.types, open=True, until=from_seconds(parts[0].detail.valid_until) if parts else None,
        party_options=[(one.code, one.name) for one in parties],
    )  # fmt: skip


def _parts(visit: Visit, item: ServiceItem, party: Party, now: int) -> tuple[Part, ...]:
    """Everything that the item may ask of these people, as its citizen reads it."""
    details = details_of(
        item, case_id=usecode.UNKNOWN_CASE, with_child=party.child is not None, by=party.basis, now=now
    )
    holders = [
        party.child if detail.basis is Basis.GUARDIAN and party.child else party.applicant for detail in details
    ]
    return parts_of(list(zip(details, holders, strict=True)), item, visit.hub.types)


async def _parties(view: View, visit: Visit, item: ServiceItem) -> list[Party]:
    """For whom the visitor may show a code for this item: themselves, their child, their principals, a company."""
    found = []
    if item.subject == "natural":
        me = visit.t("我自己", "Myself")
        if any(material.holder == "child" for material in item.materials):
            for child in await children(view, visit):
                name = visit.t(f"我的孩子 {child.name}", f"my child {child.name}")
                found.append(
                    Party(f"k{child.number}", name, visit.subject_id, Basis.HOLDER, child.subject_id)
                )
            me = visit.t("只出示我自己的", "only my own")
        found.append(Party("me", me, visit.subject_id, Basis.HOLDER))
    for number, one in enumerate(await principals(view, person=visit.subject_id, item=item), start=1):
        found.append(Party(f"p{number}", await name_of(view, one.principal), one.principal, one.basis))
    return found


def _party(parties: Sequence[Party], code: str) -> Party:
    if not parties:
        raise Unprocessable(
            "use_code.no_party",
            "这件事您现在不能替任何人出示用证码。",
            "There is nobody for whom you could show a use code for this matter.",
            next_zh="企业事项须由营业执照上的法定代表人或其委托的经办人出示。",
            next_en="For a company, its legal representative or an agent whom they entrusted shows the code.",
        )
    return next((one for one in parties if one.code == code), parties[0])


def _no_item() -> Malformed:
    return Malformed("form.field_invalid", "没有选择要办的事项。", "No matter was chosen.")

"""The citizen's own certificates: cards, details (masked until asked), the printed face; children by title only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

import sqlalchemy as sa
from fastapi import APIRouter, Depends
from starlette.responses import Response

from hub.cases.papers import papers_of_person
from hub.certificates import find
from hub.certificates.face import read_face
from hub.certificates.find import StatusWord
from hub.certificates.model import Certificate, certificates
from hub.clock import civil_day
from hub.consent import approve
from hub.consent.represent import children_of, of_age
from hub.errors import Conflict, Gone
from hub.formats.masking import mask_name
from hub.ledger.model import leaves
from hub.registry import departments, subjects
from hub.registry.departments import Department
from hub.registry.types import CertificateType
from hub.store.tx import View
from hub.web.pages import words
from hub.web.pages.render import render
from hub.web.pages.visit import Visit, citizen

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True, slots=True)
class Child:
    """A child for whom the signed-in person is named as a parent; `number` is what stands in addresses.

    With `company`, a company that the person represents instead.
    """

    number: int
    subject_id: UUID
    name: str
    company: bool = False


@dataclass(frozen=True, slots=True)
class Card:
    """A certificate of a child: its title and state, without any claim."""

    certificate: Certificate
    kind: CertificateType
    word: StatusWord


@dataclass(frozen=True, slots=True)
class Fact:
    """One line of a certificate as its holder sees it; `hidden` says that stars stand for something."""

    label: str
    value: str
    hidden: bool


@router.get("/wallet")
async def wallet_page(visit: Annotated[Visit, Depends(citizen)]) -> Response:
    """What waits for consent first, then every card; revoked ones stay visible."""
    hub = visit.hub
    async with hub.view(visit.actor) as view:
        cards = sorted(
            await find.wallet(view, subject_id=visit.subject_id, types=hub.types), key=lambda card: _urgency(card.word)
        )
        waiting = await approve.pending(view, items=hub.items, types=hub.types)
        offices = await office_names(view)
        family = await children(view, visit)
        below = [(child, await _cards_of(view, child.subject_id, hub.types)) for child in family]
        faces = await _with_face(view, [card.held.certificate for card in cards])
        papers = await papers_of_person(view)
    return render(
        visit, "wallet.html", cards=cards, papers=papers, items=hub.items, waiting=waiting, offices=offices,
        below=below, faces=faces, usable=words.USABLE,
    )  # fmt: skip


@router.get("/wallet/{public_id}")
async def certificate_page(public_id: str, visit: Annotated[Visit, Depends(citizen)]) -> Response:
    """One certificate; claims are masked unless `show=1` asks for them."""
    hub = visit.hub
    show = visit.request.query_params.get("show") == "1"
    async with hub.view(visit.actor) as view:
        card = await _own_card(view, visit, public_id)
        offices = await office_names(view)
        index = await view.value(
            sa.select(leaves.c.idx).where(leaves.c.leaf_hash == card.held.certificate.leaf_hash)
        )
        faces = await _with_face(view, [card.held.certificate])
    facts = _facts(card.kind, card.claims, visit.lang, show=show)
    return render(
        visit, "certificate.html", card=card, facts=facts, show=show, offices=offices, index=index,
        can_show=any(fact.hidden for fact in facts), faces=faces, usable=words.USABLE,
        others=[h["role"] for h in card.claims.get("holders", []) if set(h) == {"role"}],
    )  # fmt: skip


@router.get("/wallet/{public_id}/face.pdf")
async def face(public_id: str, visit: Annotated[Visit, Depends(citizen)]) -> Response:
    """The printed face exactly as the department made it; not for a certificate that no longer stands."""
    async with visit.hub.view(visit.actor) as view:
        card = await _own_card(view, visit, public_id)
        if card.word not in words.USABLE:
            raise Conflict(
                "face.not_standing",
                "这份证照现在不能使用，因此不提供打印版。",
                "This certificate does not stand, so its printed face is not handed out.",
            )
        data = await read_face(view, held=card.held, blobs=visit.hub.blobs)
    return Response(
        data,
        media_type="application/pdf",
        headers={
            "Content-Disposition": f'attachment; filename="{card.kind.code}.pdf"',
            "Cache-Control": "no-store",
        },
    )


async def office_names(view: View) -> dict[str, Department]:
    """Every department by slug, for naming them on a page."""
    return {office.slug: office for office in await departments.all_departments(view)}


async def children(view: View, visit: Visit) -> list[Child]:
    """The children under 18 for whom the signed-in person is named as a parent, numbered from 1."""
    found: list[Child] = []
    for subject_id in await children_of(view, guardian=visit.subject_id):
        try:
            known = await subjects.face(view, subject_id)
        except Gone:  # erased: there is nothing to look after any more
            continue
        if known and (known.birth_date is None or not of_age(known.birth_date, civil_day(view.now))):
            found.append(Child(len(found) + 1, subject_id, mask_name(known.name)))
    return found


def _urgency(word: StatusWord) -> int:
    """What needs attention first, what no longer stands last; otherwise the newest first."""
    if word in (StatusWord.EXPIRING, StatusWord.OUTDATED, StatusWord.UNKNOWN):
        return 0
    return 1 if word in words.USABLE else 2


async def _own_card(view: View, visit: Visit, public_id: str) -> find.WalletCard:
    """The card with this id among the person's own; the same NotFound for everybody else's."""
    for held in await find.of_holder(view, subject_id=visit.subject_id, past=True):
        if held.certificate.public_id == public_id:
            kind = visit.hub.types[held.certificate.type_code]
            token = await find.open_body(view, held)
            word = await find.word_for(view, held.certificate, kind)
            return find.WalletCard(held, kind, word, find.own_claims(token, held.position), token)
    raise find.unknown_certificate()


async def _cards_of(view: View, subject_id: UUID, types: Mapping[str, CertificateType]) -> list[Card]:
    cards = []
    for held in await find.of_holder(view, subject_id=subject_id, past=True):
        kind = types[held.certificate.type_code]
        cards.append(Card(held.certificate, kind, await find.word_for(view, held.certificate, kind)))
    return cards


async def _with_face(view: View, those: Sequence[Certificate]) -> set[str]:
    """The public ids of those certificates that have a printed face."""
    rows = await view.all(
        sa.select(certificates.c.public_id).where(
            certificates.c.bucket.in_({one.ref.bucket for one in those}),
            certificates.c.id.in_([one.ref.id for one in those]),
            certificates.c.face_key.is_not(None),
        )
    )
    return {row.public_id for row in rows}


def _facts(kind: CertificateType, claims: Mapping[str, Any], lang: str, *, show: bool) -> list[Fact]:
    """The holder's own lines first, then the claims of the type in the order of its file."""
    own: dict[str, Any] = next((h for h in claims.get("holders", []) if set(h) != {"role"}), {})
    pairs: list[tuple[tuple[str | int | None, ...], Any]] = [
        (("holders", None, name), own[name]) for name in ("name", "id_type", "id_no", "role") if name in own
    ]
    top = [info.path for info in kind.claims if len(info.path) == 1]
    pairs += [(path, claims[str(path[0])]) for path in top if path[0] in claims]
    facts = []
    for path, value in pairs:
        plain, stars = words.claim_value(kind, path, value, lang), words.masked(kind, path, value, lang)
        facts.append(Fact(kind.claim_label(path, lang), plain if show else stars, plain != stars))
    return facts

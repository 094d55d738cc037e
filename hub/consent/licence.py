"""What a business licence says: which person is the legal representative of which company, now."""

from uuid import UUID

import sqlalchemy as sa

from hub.certificates.find import Held, of_holder
from hub.certificates.model import certificate_holders
from hub.consent.represent import proves
from hub.store.tx import View

LICENCE = "business_licence"
COMPANY, REPRESENTATIVE = "company", "legal_representative"


async def companies_of(view: View, *, person: UUID) -> list[UUID]:
    """The companies of which a current licence names this person as the legal representative."""
    found: list[UUID] = []
    for held in await of_holder(view, subject_id=person, type_code=LICENCE):
        if held.role == REPRESENTATIVE and await proves(view, held):
            found += [one for one in await _named(view, held, COMPANY) if one not in found]
    return found


async def licence_of(view: View, person: UUID, company: UUID) -> Held | None:
    """The current licence that names this person as the representative of this company."""
    for held in await of_holder(view, subject_id=person, type_code=LICENCE):
        stands = held.role == REPRESENTATIVE and await proves(view, held)
        if stands and company in await _named(view, held, COMPANY):
            return held
    return None


async def _named(view: View, held: Held, role: str) -> list[UUID]:
    link = certificate_holders.c
    rows = await view.all(
        sa.select(link.subject_id).where(
            link.certificate_bucket == held.certificate.ref.bucket,
            link.certificate_id == held.certificate.ref.id,
            link.role == role,
        )
    )
    return [row.subject_id for row in rows]

"""A citizen at a company's case: its legal representative by the business licence, or the agent they entrusted.

The right is proved anew for each request, by what stands now; nothing is kept. The acting person stays named in every
record (`Actor.person`), beside the company for which they act.
"""

from copy import copy
from dataclasses import replace
from typing import TypeVar
from uuid import UUID

import sqlalchemy as sa

from hub.actor import ActorKind
from hub.cases.model import cases
from hub.consent.company import may_represent
from hub.consent.entrust import of_citizen
from hub.consent.licence import companies_of, licence_of
from hub.consent.model import EntrustmentState
from hub.store.tx import View

V = TypeVar("V", bound=View)


async def on_behalf(view: V, *, public_id: str, only_representative: bool = False) -> V:
    """The same view or transaction, acting for the company whose case this is; unchanged for everything else.

    An agent stands in for a company as far as the entrustment covers the matter; `only_representative` leaves them
    out: for what shows contents.
    """
    person = view.actor.subject_id
    if view.actor.kind is not ActorKind.CITIZEN or person is None:
        return view
    row = await view.first(sa.select(cases.c.applicant, cases.c.item_code).where(cases.c.public_id == public_id))
    if row is None or row.applicant == person:
        return view
    if only_representative:
        allowed = await licence_of(view, person, row.applicant) is not None
    else:
        allowed = await represents(view, person=person, company=row.applicant, item_code=row.item_code)
    return acting_for(view, row.applicant) if allowed else view


async def represents(view: View, *, person: UUID, company: UUID, item_code: str) -> bool:
    """Whether this person may act for this company in this matter now."""
    return await may_represent(view, person=person, company=company, item_code=item_code, types=())


def acting_for(view: V, company: UUID) -> V:
    """The same view or transaction in the company's name; the caller has made sure that the person may."""
    acting = copy(view)
    acting.actor = replace(view.actor, subject_id=company, person=view.actor.subject_id)
    return acting


async def companies_for(view: View, *, person: UUID, item_code: str) -> list[UUID]:
    """The companies for which this person may act in this matter: by a licence first, then by an entrustment."""
    found = await companies_of(view, person=person)
    for one in await of_citizen(view):
        mine = one.state is EntrustmentState.STANDING and one.delegate == person and one.principal not in found
        if mine and await represents(view, person=person, company=one.principal, item_code=item_code):
            found.append(one.principal)
    return found

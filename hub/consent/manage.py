"""What a verifier may do with the consent it got: look how it stands, and give it up (Grant Management, draft 03)."""

from uuid import UUID

import sqlalchemy as sa

from hub.consent.model import Grant, GrantState, RequestState, consent_requests, grants
from hub.consent.withdraw import end, from_row, unknown_grant
from hub.store.tx import Tx, View


def stands(grant: Grant, view: View) -> bool:
    """Whether a grant could be used now."""
    return grant.state is GrantState.STANDING and grant.valid_until > view.now and grant.uses < grant.max_uses


async def grants_of_request(view: View, *, grant_id: str) -> list[Grant]:
    """The grants that the calling department got by one request, in the order asked, ended ones included.

    NotFound `grant.unknown`, alike for an unknown one, an undecided one, and another department's.
    """
    request = await view.value(
        sa.select(consent_requests.c.id).where(
            consent_requests.c.public_id == grant_id,
            consent_requests.c.department == view.actor.department,
            consent_requests.c.state == RequestState.APPROVED,
        )
    )
    if request is None:
        raise unknown_grant()
    return await _of(view, request)


async def give_up(tx: Tx, *, grant_id: str) -> None:
    """The verifier needs it no more: every grant of the request ends, and its tokens with it. Once is for ever.

    Raises NotFound as `grants_of_request`.
    """
    for grant in sorted(await grants_of_request(tx, grant_id=grant_id), key=lambda one: one.id):
        await end(tx, grant, by="verifier")


async def _of(view: View, request: UUID) -> list[Grant]:
    rows = await view.all(sa.select(grants).where(grants.c.request_id == request).order_by(grants.c.position))
    return [from_row(row) for row in rows]

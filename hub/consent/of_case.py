"""The requests and grants of one case, as the department that handles it sees them."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from hub.consent.model import Grant, RequestState, consent_requests, grants
from hub.consent.withdraw import from_row
from hub.store.tx import View


@dataclass(frozen=True, slots=True)
class Asked:
    """One request of a case: where it stands, and the grants that came of it in the order asked."""

    public_id: str
    binding_message: str
    state: RequestState
    expired: bool
    created_at: datetime
    expires_at: datetime
    decided_at: datetime | None
    grants: tuple[Grant, ...]


async def requests_of(view: View, *, case_id: str) -> list[Asked]:
    """The acting department's requests for this case, newest first; none for anybody else's case."""
    rows = await view.all(
        sa.select(consent_requests)
        .where(consent_requests.c.case_id == case_id, consent_requests.c.department == view.actor.department)
        .order_by(consent_requests.c.id.desc())
    )
    found = []
    for row in rows:
        given = await view.all(
            sa.select(grants).where(grants.c.request_id == row.id).order_by(grants.c.position)
        )
        found.append(
            Asked(
                public_id=row.public_id,
                binding_message=row.binding_message,
                state=RequestState(row.state),
                expired=row.state == RequestState.PENDING and row.expires_at <= view.now,
                created_at=row.created_at,
                expires_at=row.expires_at,
                decided_at=row.decided_at,
                grants=tuple(from_row(grant) for grant in given),
            )
        )
    return found

"""From one Access back to what allowed it: the grant, the request it came from, and the certificate it read."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from hub.access.model import Access
from hub.consent.model import Grant, consent_requests, grants
from hub.consent.withdraw import from_row
from hub.errors import Forbidden
from hub.registry.model import may
from hub.store.model import public_ids
from hub.store.tx import View


@dataclass(frozen=True, slots=True)
class Chain:
    """What stands behind one look; None where there is nothing (office power, a refusal without grant)."""

    grant: Grant | None
    requested_at: datetime | None
    decided_at: datetime | None
    assurance: str | None
    within: bool


async def chain_of(view: View, *, access: Access) -> Chain:
    """The chain behind an Access, for auditors. `within` says that what left was covered by the grant as given."""
    if not may(view.actor.roles, "accesses.search"):
        raise Forbidden("audit.not_auditor", "只有审计人员可以查看。", "Only auditors may see this.")
    row: Any = None
    if access.look.grant_public_id is not None:
        row = await view.first(
            sa.select(grants)
            .join(public_ids, sa.and_(public_ids.c.bucket == grants.c.bucket, public_ids.c.row_id == grants.c.id))
            .where(public_ids.c.token == access.look.grant_public_id, public_ids.c.kind == "grant")
        )
    if row is None:
        return Chain(None, None, None, None, within=not access.look.fields)
    asked = await view.first(
        sa.select(consent_requests.c.created_at, consent_requests.c.decided_at).where(
            consent_requests.c.id == row.request_id
        )
    )
    granted = {tuple(path) for path in row.detail["fields"].get(access.look.type_code or "", ())}
    return Chain(
        grant=from_row(row),
        requested_at=asked.created_at if asked else None,
        decided_at=asked.decided_at if asked else None,
        assurance=row.assurance,
        within=set(access.look.fields) <= granted,
    )

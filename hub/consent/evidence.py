"""The evidence that a passkey approved: kept sealed with the request; and which items demand it."""

import json
from functools import cache
from importlib.resources import files
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from hub.consent.model import approvals, consent_requests, grants
from hub.errors import Gone
from hub.formats.webauthn import Approval
from hub.store.model import public_ids
from hub.store.seal import seal, unseal
from hub.store.tx import Tx, View


@cache
def _demanding() -> frozenset[str]:
    data = (files("hub.consent") / "data" / "passkey_items.json").read_text(encoding="utf-8")
    return frozenset(json.loads(data)["items"])


def demands_passkey(item_code: str) -> bool:
    """Whether this item takes a passkey approval only (`data/passkey_items.json`, data with an owner)."""
    return item_code in _demanding()


async def keep_approval(tx: Tx, *, request: UUID, approval: Approval) -> None:
    """Keep the evidence of an approval, sealed for the acting citizen, in the commit of its grants."""
    person = tx.actor.subject_id
    if person is None:
        raise ValueError("only citizens approve")
    key = await tx.vault.person_key(tx, person)
    plain = json.dumps(approval.to_json()).encode()
    await tx.insert(
        approvals,
        {
            "request_id": request,
            "approver": person,
            "sealed": seal(key, plain, bound_to=request.bytes),
            "created_at": tx.now,
        },
    )


async def approval_of(view: View, *, request: str) -> dict[str, Any] | None:
    """The evidence of a request (its public id), for whoever may see its grants; None when a sign-in approved it."""
    return await _opened(
        view,
        sa.select(approvals)
        .join(consent_requests, approvals.c.request_id == consent_requests.c.id)
        .where(consent_requests.c.public_id == request),
    )


async def approval_of_grant(view: View, *, grant: str) -> dict[str, Any] | None:
    """The evidence of the request that a grant (its public id) came from; None when a sign-in approved it."""
    return await _opened(
        view,
        sa.select(approvals)
        .join(grants, grants.c.request_id == approvals.c.request_id)
        .join(public_ids, sa.and_(public_ids.c.bucket == grants.c.bucket, public_ids.c.row_id == grants.c.id))
        .where(public_ids.c.token == grant, public_ids.c.kind == "grant"),
    )


async def _opened(view: View, query: sa.Select[Any]) -> dict[str, Any] | None:
    row = await view.first(query)
    if row is None:
        return None
    try:
        key = await view.vault.person_key(view, row.approver)
    except Gone:  # the person was erased, and the evidence with them
        return None
    found: dict[str, Any] = json.loads(unseal(key, row.sealed, bound_to=row.request_id.bytes))
    return found

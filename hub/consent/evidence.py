"""The evidence that a passkey approved: kept sealed with the request; and which items demand it."""

import json
from functools import cache
from importlib.resources import files
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from hub.consent.model import approvals, consent_requests
from hub.errors import Gone
from hub.formats.webauthn import Approval
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
    row = await view.first(
        sa.select(approvals)
        .join(consent_requests, approvals.c.request_id == consent_requests.c.id)
        .where(consent_requests.c.public_id == request)
    )
    if row is None:
        return None
    try:
        key = await view.vault.person_key(view, row.approver)
    except Gone:  # the person was erased, and the evidence with them
        return None
    found: dict[str, Any] = json.loads(unseal(key, row.sealed, bound_to=row.request_id.bytes))
    return found

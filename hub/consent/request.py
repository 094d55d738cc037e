"""A verifier asks: capped by the catalogue, bound to a case, answered alike for people we do not know.

OpenID CIBA Core 1.0, poll mode: the verifier starts, the citizen approves when they look, the verifier polls.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from hub.catalogue.items import ServiceItem, caps, over_caps, predicates
from hub.clock import seconds
from hub.consent.approver import belong_together, may_decide
from hub.consent.model import Basis, CaseFacts, Grant, RequestState, consent_requests, grants
from hub.consent.withdraw import from_row
from hub.errors import Forbidden, NotFound, Unprocessable
from hub.formats.authorization import Detail
from hub.ids import public_token, uuid7
from hub.registry import departments
from hub.store.outbox import emit
from hub.store.tx import Tx

POLL_SECONDS = 5
LIVES_AT_MOST = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Started:
    """What the verifier gets back: `auth_req_id` is a secret, kept here only as a hash."""

    auth_req_id: str
    public_id: str
    expires_in: int
    interval: int


class Progress(StrEnum):
    """Where a request stands when the verifier polls; the words are CIBA's error codes."""

    APPROVED = "approved"
    PENDING = "authorization_pending"
    SLOW_DOWN = "slow_down"
    REFUSED = "access_denied"
    EXPIRED = "expired_token"


@dataclass(frozen=True, slots=True)
class Poll:
    """The answer to one poll; `grants` in the order of the details that were asked, `grant_id` their common name."""

    progress: Progress
    grants: tuple[Grant, ...] = ()
    grant_id: str | None = None


async def start(
    tx: Tx,
    *,
    details: Sequence[Detail],
    item: ServiceItem,
    case: CaseFacts,
    approver: UUID | None,
    binding_message: str,
    lives: timedelta = LIVES_AT_MOST,
) -> Started:
    """Record a request of the calling department for the consent of one person.

    1. the department is active and the case is its own, for this item, still open; 2. every detail stays inside
    the item's caps (promise 4); 3. each holder comes from the case, never from the caller; 4. one
    person decides: one whom we do not know, or who may not, is answered alike, and nobody will ever see the request.
    """
    department = tx.actor.department or ""
    await departments.require_active(tx, slug=department)  # 1
    if case.department != department or case.item_code != item.code or not case.open:
        raise _not_your_case()
    if not 1 <= len(details) <= 8:
        raise _over_caps("details")
    holders = []
    for detail in details:
        _within_caps(detail, item, case, seconds(tx.now))  # 2
        holders.append(case.holder_for(Basis(detail.basis)))  # 3
    if not belong_together(details):
        raise _over_caps("basis")
    reachable = approver is not None and await may_decide(  # 4
        tx, person=approver, applicant=case.applicant, details=details
    )
    secret, public_id = public_token(32), public_token()
    lives = min(lives, LIVES_AT_MOST)
    await tx.insert(
        consent_requests,
        {
            "id": uuid7(),
            "public_id": public_id,
            "secret_hash": _hash(secret),
            "department": department,
            "approver": approver if reachable else None,
            "item_code": item.code,
            "case_id": case.public_id,
            "details": [detail.to_json() for detail in details],
            "holders": [str(holder) for holder in holders],
            "binding_message": binding_message,
            "state": RequestState.PENDING,
            "interval": POLL_SECONDS,
            "created_at": tx.now,
            "expires_at": tx.now + lives,
        },
    )
    if reachable:
        await emit(tx, kind="consent.asked", request=public_id)
    return Started(secret, public_id, int(lives.total_seconds()), POLL_SECONDS)


async def poll(tx: Tx, *, auth_req_id: str) -> Poll:
    """Where the request stands; polling faster than `interval` makes the interval five seconds longer.

    NotFound `consent.request_unknown` (OAuth `invalid_grant`) for an unknown id and for another department's.
    """
    row = await tx.first(
        sa.select(consent_requests)
        .where(
            consent_requests.c.secret_hash == _hash(auth_req_id),
            consent_requests.c.department == tx.actor.department,
        )
        .with_for_update()
    )
    if row is None:
        raise NotFound(
            "consent.request_unknown",
            "没有这个授权请求，或它不是本部门发起的。",
            "There is no such consent request, or another department made it.",
        )
    if row.state == RequestState.APPROVED:
        found = await tx.all(
            sa.select(grants).where(grants.c.request_id == row.id).order_by(grants.c.position)
        )
        return Poll(Progress.APPROVED, tuple(from_row(grant) for grant in found), row.public_id)
    if row.state == RequestState.REFUSED:
        return Poll(Progress.REFUSED)
    if row.expires_at <= tx.now:
        return Poll(Progress.EXPIRED)
    too_fast = row.polled_at is not None and tx.now - row.polled_at < timedelta(seconds=row.interval - 0.5)
    values: dict[str, Any] = {"polled_at": tx.now}
    if too_fast:
        values["interval"] = min(row.interval + 5, 300)
    await tx.run(consent_requests.update().where(consent_requests.c.id == row.id).values(**values))
    return Poll(Progress.SLOW_DOWN if too_fast else Progress.PENDING)


def _within_caps(detail: Detail, item: ServiceItem, case: CaseFacts, now: int) -> None:
    if detail.item_code != item.code or detail.case_id != case.public_id:
        raise _not_your_case()
    if detail.purpose not in item.caps.purposes:
        raise _over_caps("purpose")
    if detail.max_uses > item.caps.max_uses:
        raise _over_caps("max_uses")
    if not now < detail.valid_until <= now + item.caps.valid_days * 86_400:
        raise _over_caps("valid_until")
    allowed = caps(item)
    for type_code in detail.datatypes:
        if type_code not in allowed or over_caps(item, type_code, detail.fields.get(type_code, ())):
            raise _over_caps(type_code)
    for asked in detail.predicates:
        known = {(p.path, p.op, repr(p.value)) for p in predicates(item, asked.type)}
        if (asked.path, asked.op, repr(asked.value)) not in known:
            raise _over_caps("predicates")


def _over_caps(what: str) -> Unprocessable:
    return Unprocessable(
        "consent.over_caps",
        f"请求超出了该事项允许查看的范围：{what}",
        f"The request goes beyond what this service item may ask: {what}",
        next_zh="只能请求事项目录中为该事项列出的证照、字段、次数和期限。",
        next_en="Ask only for the types, fields, uses and time that the catalogue lists for this item.",
        what=what,
    )


def _not_your_case() -> Forbidden:
    return Forbidden(
        "consent.case_not_yours",
        "没有这个办件，或者它不属于本部门的这个事项。",
        "There is no such case, or it is not this department's case for this item.",
        next_zh="请先为申请人开立办件，再请求授权。",
        next_en="Open a case for the applicant first, then ask for consent.",
    )


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()

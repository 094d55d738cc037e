"""Happenings to notices: what rooms put into the outbox, each turned into who is told what.

One function a kind of happening. An entry names ids; everything else is read here, after the fact, so that the
transaction in which it happened does one insert.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
import structlog

from hub.cases.open import by_public_id as case_by_public_id
from hub.certificates.find import by_public_id, holders_of
from hub.certificates.model import CertificateState
from hub.consent.model import Basis, RequestState, consent_requests, grants
from hub.errors import HubError
from hub.notices.model import NoticeKind
from hub.notices.told import Event, Told, concerned, to_each
from hub.oversight.model import objections, reliance_notices
from hub.registry.types import CertificateType
from hub.store.model import public_ids
from hub.store.outbox import take
from hub.store.tx import Tx

ENTRIES_AT_ONCE = 200
SUBJECT, DEPARTMENT = "subject:", "department:"

log = structlog.get_logger()

Types = Mapping[str, CertificateType]
Happening = Callable[[Tx, Mapping[str, Any], datetime, Types], Awaitable[Sequence[Told | Event]]]


async def next_happenings(tx: Tx, *, types: Types) -> tuple[int, list[Told | Event]]:
    """How many entries were taken out of the outbox, and what is to be told of them."""
    told: list[Told | Event] = []
    rows = await take(tx, limit=ENTRIES_AT_ONCE)
    for row in rows:
        happening = HAPPENINGS.get(row.kind)
        if happening is None:
            log.error("notice.unknown_kind", kind=row.kind)
            continue
        try:
            told += await happening(tx, row.facts, row.at, types)
        except HubError as gone:  # what it was about was erased meanwhile: there is nobody to tell
            log.warning("notice.nothing_to_tell", kind=row.kind, code=gone.code)
    return len(rows), told


async def _asked(tx: Tx, facts: Mapping[str, Any], at: datetime, _: Types) -> Sequence[Told]:
    row = await tx.first(sa.select(consent_requests).where(consent_requests.c.public_id == facts["request"]))
    if row is None or row.approver is None or await _on_paper(tx, row):  # the paper is told of: nobody was asked here
        return []
    held = {UUID(one) for one in row.holders}
    about = None if row.approver in held else next(iter(held), None)
    return [
        Told(
            subject_id=row.approver,
            kind=NoticeKind.ASKED,
            source=row.public_id,
            at=at,
            ref=row.public_id,
            about=about,
            facts={"department": row.department, "item": row.item_code},
            until=row.expires_at,
        )
    ]


async def _on_paper(tx: Tx, request: Any) -> bool:
    """Whether a request was decided by a signed form, in the commit that made it."""
    if request.state != RequestState.APPROVED:
        return False
    signed = sa.select(grants.c.id).where(grants.c.request_id == request.id, grants.c.assurance == "paper")
    return await tx.value(signed.limit(1)) is not None


async def _withdrawn(tx: Tx, facts: Mapping[str, Any], at: datetime, _: Types) -> Sequence[Told | Event]:
    row = await _grant(tx, facts["grant"])
    if row is None or row.basis == Basis.OFFICE_POWER:
        return []
    told: list[Told | Event] = [*await _of_grant(tx, row, NoticeKind.WITHDRAWN, at)]
    request = await tx.value(sa.select(consent_requests.c.public_id).where(consent_requests.c.id == row.request_id))
    if request is not None:  # the name by which the verifier knows it
        data = {"grant_id": request, "case_id": row.case_id, "types": row.detail["datatypes"]}
        told.append(Event(row.department, "grant.withdrawn", at, data))
    return told


async def _given(tx: Tx, facts: Mapping[str, Any], at: datetime, _: Types) -> Sequence[Told]:
    """Told to the holder alone: whoever agreed in their place did it themselves. On paper, whoever is said to
    have signed is told, too."""
    row = await _grant(tx, facts["grant"])
    found = [] if row is None else await _of_grant(tx, row, NoticeKind.GIVEN, at)
    return [one for one in found if row is not None and (row.assurance == "paper" or one.subject_id != row.approver)]


async def _changed(tx: Tx, facts: Mapping[str, Any], at: datetime, types: Types) -> Sequence[Told]:
    """A living certificate is replaced with each new figure of its source: no notice of that."""
    found = await by_public_id(tx, facts["certificate"])
    state, kind = facts["state"], types.get(found.type_code)
    if state == CertificateState.SUPERSEDED and kind is not None and kind.living:
        return []
    told = []
    for held in await holders_of(tx, found):
        told += to_each(
            await concerned(tx, held.subject_id),
            held.subject_id,
            kind=NoticeKind.CERTIFICATE,
            source=f"{found.public_id}:{state}:{at.isoformat()}",
            at=at,
            ref=found.public_id,
            facts={"department": found.department, "types": [found.type_code], "state": state},
        )
    return told


async def _answered(tx: Tx, facts: Mapping[str, Any], at: datetime, _: Types) -> Sequence[Told | Event]:
    row = await tx.first(sa.select(objections).where(objections.c.public_id == facts["objection"]))
    if row is None:
        return []
    filed = UUID(row.filed_by.removeprefix(SUBJECT)) if row.filed_by.startswith(SUBJECT) else None
    told: list[Told | Event] = [
        *to_each(
            await concerned(tx, row.subject_id, filed),
            row.subject_id,
            kind=NoticeKind.ANSWERED,
            source=row.public_id,
            at=at,
            ref=row.public_id,
            facts={"department": row.department, "state": row.state},
        )
    ]
    if row.filed_by.startswith(DEPARTMENT):
        data = {"objection": row.public_id, "certificate": row.certificate, "outcome": row.state}
        told.append(Event(row.filed_by.removeprefix(DEPARTMENT), "objection.answered", at, data))
    return told


async def _decided(tx: Tx, facts: Mapping[str, Any], at: datetime, _: Types) -> Sequence[Told]:
    return await _of_case(tx, facts["case"], NoticeKind.DECIDED, at)


async def _paused(tx: Tx, facts: Mapping[str, Any], at: datetime, _: Types) -> Sequence[Told]:
    return await _of_case(tx, facts["case"], NoticeKind.MEND, at)


async def _relied(tx: Tx, facts: Mapping[str, Any], at: datetime, _: Types) -> Sequence[Event]:
    table = reliance_notices.c
    row = await tx.first(
        sa.select(reliance_notices).where(
            table.certificate == facts["certificate"],
            table.event == facts["state"],
            table.department == facts["department"],
        )
    )
    if row is None:
        return []
    data = {
        "certificate_id": row.certificate,
        "type": row.type_code,
        "replaced_by": row.new_certificate,
        "case_ids": list(row.cases),
    }
    return [Event(row.department, f"certificate.{row.event}", at, data)]


HAPPENINGS: Mapping[str, Happening] = {
    "consent.asked": _asked,
    "grant.withdrawn": _withdrawn,
    "grant.given": _given,
    "certificate.changed": _changed,
    "objection.answered": _answered,
    "case.decided": _decided,
    "step.paused": _paused,
    "reliance.told": _relied,
}


async def _of_case(tx: Tx, public_id: str, kind: NoticeKind, at: datetime) -> Sequence[Told]:
    case = await case_by_public_id(tx, public_id)
    return to_each(
        await concerned(tx, case.applicant),
        case.applicant,
        kind=kind,
        source=f"{public_id}:{at.isoformat()}",
        at=at,
        ref=public_id,
        facts={"department": case.department, "item": case.item_code},
    )


async def _of_grant(tx: Tx, row: Any, kind: NoticeKind, at: datetime) -> list[Told]:
    return to_each(
        await concerned(tx, row.holder, row.approver),
        row.holder,
        kind=kind,
        source=f"{row.public_id}",
        at=at,
        ref=row.public_id,
        facts={"department": row.department, "item": row.item_code, "types": row.detail["datatypes"]},
    )


async def _grant(tx: Tx, public_id: str) -> Any | None:
    return await tx.first(
        sa.select(grants)
        .join(public_ids, sa.and_(grants.c.bucket == public_ids.c.bucket, grants.c.id == public_ids.c.row_id))
        .where(public_ids.c.token == public_id, public_ids.c.kind == "grant")
    )

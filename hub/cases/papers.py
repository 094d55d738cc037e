"""Forms of consent on paper: one form as a value, and how it is found again. Verbs: `paperconsent.py`."""

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from hub.actor import Actor, ActorKind
from hub.cases.open import Case
from hub.catalogue.items import ServiceItem
from hub.consent.manage import grants_of_request
from hub.consent.model import Basis, Grant, paper_consents
from hub.consent.shown import Part, parts_of
from hub.errors import Forbidden, HubError, NotFound
from hub.formats.details import Detail
from hub.registry.model import may
from hub.registry.types import CertificateType
from hub.store.tx import View

ACT = "counter.verify"
ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"

class PaperState(StrEnum):
    """Printed; scanned and waiting for the second officer; granted or refused, once; withdrawn at a counter."""

    PRINTED = "printed"
    SCANNED = "scanned"
    GRANTED = "granted"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class PaperConsent:
    """One form, from printing to what became of it."""

    id: UUID
    public_id: str
    slip: str
    case_id: str
    department: str
    applicant: UUID
    beneficiary: UUID | None
    item_code: str
    state: PaperState
    document_type: str
    details: tuple[Detail, ...]
    officer: UUID
    second: UUID | None
    request_id: str | None
    kind: str | None
    blob: str | None
    blob_sha256: bytes | None
    created_at: datetime
    decided_at: datetime | None
    ends_at: datetime

    def code(self) -> str:
        """What the QR code of the printed form says."""
        return f"YIMEN-PAPER-{self.slip}"

    def parts(self, item: ServiceItem, types: Mapping[str, CertificateType]) -> tuple[Part, ...]:
        """What is asked, as its reader sees it."""
        pairs = [
            (one, self.beneficiary if one.basis == Basis.GUARDIAN and self.beneficiary else self.applicant)
            for one in self.details
        ]
        return parts_of(pairs, item, types)


async def paper_of(view: View, *, public_id: str) -> PaperConsent:
    """A form of the acting officer's department. NotFound `paper.unknown` for any other."""
    row = await view.first(
        sa.select(paper_consents).where(
            paper_consents.c.public_id == public_id, paper_consents.c.department == officer_of(view).department
        )
    )
    if row is None:
        raise NotFound("paper.unknown", "没有这份纸质同意。", "There is no such consent on paper.")
    return from_row(row)


async def papers_of_department(view: View, *, limit: int = 50) -> list[PaperConsent]:
    """The department's forms that wait for somebody, then the newest others."""
    table = paper_consents.c
    waits = sa.case((table.state == PaperState.SCANNED, 0), else_=1)
    rows = await view.all(
        sa.select(paper_consents)
        .where(table.department == officer_of(view).department)
        .order_by(waits, table.id.desc())
        .limit(limit)
    )
    return [from_row(row) for row in rows]


async def papers_of_person(view: View) -> list[PaperConsent]:
    """What was granted on paper in the acting citizen's name, newest first: they are told, whenever they look."""
    table = paper_consents.c
    rows = await view.all(
        sa.select(paper_consents)
        .where(
            table.applicant == view.actor.subject_id,
            table.state == PaperState.GRANTED,
            table.decided_at > view.now - timedelta(days=365),
        )
        .order_by(table.id.desc())
        .limit(20)
    )
    return [from_row(row) for row in rows]


async def of_case(view: View, *, case: Case) -> list[PaperConsent]:
    """The forms of a case, newest first, for its department's page."""
    rows = await view.all(
        sa.select(paper_consents)
        .where(paper_consents.c.case_id == case.public_id)
        .order_by(paper_consents.c.id.desc())
    )
    return [from_row(row) for row in rows]


async def grants_until(view: View, found: PaperConsent) -> list[Grant]:
    """The grants that came of a form, for its slip."""
    acting = copy(view)
    acting.actor = Actor(ActorKind.DEPARTMENT, department=found.department)
    return list(await grants_of_request(acting, grant_id=str(found.request_id)))


def normal_slip(text: str) -> str:
    """A slip's number as it was typed, without spaces and hyphens."""
    return "".join(letter for letter in text.upper() if letter in ALPHABET)[:10]


def from_row(row: Any) -> PaperConsent:
    """The form of a row."""
    return PaperConsent(
        id=row.id,
        public_id=row.public_id,
        slip=row.slip,
        case_id=row.case_id,
        department=row.department,
        applicant=row.applicant,
        beneficiary=row.beneficiary,
        item_code=row.item_code,
        state=PaperState(row.state),
        document_type=row.document_type,
        details=tuple(Detail.from_json(one) for one in row.details),
        officer=row.officer,
        second=row.second,
        request_id=row.request_id,
        kind=row.kind,
        blob=row.blob,
        blob_sha256=row.blob_sha256,
        created_at=row.created_at,
        decided_at=row.decided_at,
        ends_at=row.ends_at,
    )


def officer_of(view: View) -> Actor:
    """The acting officer, who may work at a counter. Forbidden `paper.not_yours` for anybody else."""
    actor = view.actor
    if actor.kind is not ActorKind.OFFICER or not may(actor.roles, ACT):
        raise not_yours()
    return actor


def not_yours() -> HubError:
    """The refusal of whoever has no part in a form."""
    return Forbidden(
        "paper.not_yours",
        "只有办理部门窗口的经办人员可以这样做。",
        "Only the officer at the handling department's counter who began it may do this.",
    )

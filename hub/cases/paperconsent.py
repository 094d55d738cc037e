"""A consent on paper, for somebody without a phone (assisted consent). Lower assurance, and marked so everywhere.

1. An officer sees the person's identity document; its number must be that of the case's applicant, and is not kept.
2. The hub prints a form that says what is asked, in the words of the page on a phone; the person ticks and signs.
3. The scan is read in the limited child process, must carry the code of this very form, and rests sealed for the
person; the officer enters what was ticked. 4. A second officer of the department compares both and confirms: only then
there is a grant, approved "by paper", its leaf naming both officers and the scan's hash. 5. The person sees it in the
wallet, now or years later, and on a printed slip; it is withdrawn at any counter. Numbers a day are capped
(`hub.consent.guard`).
"""

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from copy import copy
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from hub.actor import Actor, ActorKind
from hub.cases.gather import details_of, for_department
from hub.cases.open import Case, readable
from hub.cases.papers import (
    ALPHABET,
    PaperConsent,
    PaperState,
    from_row,
    normal_slip,
    not_yours,
    officer_of,
    paper_of,
)
from hub.cases.uploads import Safe
from hub.catalogue.items import ServiceItem
from hub.clock import seconds
from hub.consent import approve, request
from hub.consent.evidence import demands_passkey
from hub.consent.guard import admit, require_free
from hub.consent.manage import grants_of_request
from hub.consent.model import GrantState, paper_consents
from hub.consent.withdraw import end
from hub.errors import Conflict, Forbidden, HubError, NotFound, Unprocessable
from hub.formats.details import Detail
from hub.ids import public_token, uuid7
from hub.ledger.append import commit_event
from hub.registry import subjects
from hub.registry.types import CertificateType
from hub.store.blobs import Blobs
from hub.store.seal import seal, unseal
from hub.store.tx import Tx, View

ASSURANCE = "paper"
FORM_LIVES = timedelta(hours=24)
DOCUMENTS: Mapping[str, tuple[str, str]] = {"111": ("居民身份证", "Resident identity card")}
"""Documents that prove who somebody is at a counter: those whose number the hub knows people by."""



async def begin(
    tx: Tx, *, case: Case, item: ServiceItem, document_type: str, document_no: str
) -> PaperConsent:
    """Say that the applicant's identity document was seen, and get a form to print.

    Raises Forbidden `paper.other_person`, `paper.passkey_needed`, `paper.not_yours`; `Stopped` above the day's number.
    """
    actor = officer_of(tx)
    await require_free(tx)
    if case.department != actor.department or not case.in_hand:
        raise not_yours()
    if item.subject != "natural" or demands_passkey(item.code):
        raise Forbidden(
            "paper.passkey_needed",
            "这件事不能用纸质同意办理，请申请人出示原件。",
            "A consent on paper is not enough for this matter: look at the originals.",
        )
    if document_type not in DOCUMENTS:
        raise Unprocessable("paper.document", "请选择查验的证件。", "Choose the document that was seen.")
    if await subjects.find(tx, id_type=document_type, id_no=document_no) != case.applicant:
        raise Forbidden(
            "paper.other_person",
            "证件号码与办件的申请人不符，不能由别人代签。",
            "The number is not the applicant's: nobody else can sign for them.",
            next_zh="请核对证件；受委托人请用自己的手机或委托手续办理。",
            next_en="Compare the document; a delegate uses their own phone or the entrustment.",
        )
    await admit(tx, "paper", person=case.applicant)
    details = details_of(
        item, case_id=case.public_id, with_child=case.beneficiary is not None, now=seconds(tx.now)
    )
    row = {
        "id": uuid7(),
        "public_id": public_token(),
        "slip": "".join(secrets.choice(ALPHABET) for _ in range(10)),
        "case_id": case.public_id,
        "department": case.department,
        "applicant": case.applicant,
        "beneficiary": case.beneficiary,
        "item_code": item.code,
        "state": PaperState.PRINTED,
        "document_type": document_type,
        "details": [one.to_json() for one in details],
        "officer": actor.officer_id,
        "created_at": tx.now,
        "ends_at": tx.now + FORM_LIVES,
    }
    await tx.insert(paper_consents, row)
    return await paper_of(tx, public_id=str(row["public_id"]))


async def keep_scan(
    tx: Tx, blobs: Blobs, *, public_id: str, file: Safe, pages: int, ticked: Sequence[Detail]
) -> PaperConsent:
    """Keep the signed form, sealed for the applicant, and what was ticked on it, for the second officer to compare.

    `pages`: how many the form has. Raises Unprocessable `paper.other_form` unless the scan carries this form's code,
    `paper.pages_missing`, `consent.nothing_ticked`; Conflict `paper.state`.
    """
    found = await paper_of(tx, public_id=public_id)
    if found.officer != officer_of(tx).officer_id:
        raise not_yours()
    if found.code() not in file.codes:
        raise Unprocessable(
            "paper.other_form",
            "扫描件上没有这张表右上角的二维码，可能拿错了表或没有扫全。",
            "The scan does not show this form's code: another form, or not the whole page.",
            next_zh="请把签好字的全部页扫描成一个 PDF，第一页要完整。",
            next_en="Scan all pages of the signed form into one PDF, the first page whole.",
        )
    if file.pages < pages:  # the signature stands at the end
        raise Unprocessable(
            "paper.pages_missing",
            f"这张表有 {pages} 页，扫描件不全。",
            f"The form has {pages} pages; some are missing from the scan.",
            next_zh="请把签好字的全部页扫描成一个 PDF。",
            next_en="Scan all pages of the signed form into one PDF.",
        )
    if not ticked:
        raise Unprocessable(
            "consent.nothing_ticked",
            "一项都没有勾选，等于没有同意。",
            "Nothing is ticked, so there is nothing to agree to.",
        )
    key = await tx.vault.person_key(tx, found.applicant)
    blob = f"paper/{found.id.hex}"
    digest = await blobs.put(blob, seal(key, file.data, bound_to=found.id.bytes))
    await _move(
        tx, found, PaperState.PRINTED, state=PaperState.SCANNED, scanned_at=tx.now, kind=file.kind, blob=blob,
        sha256=hashlib.sha256(file.data).digest(), blob_sha256=digest, details=[one.to_json() for one in ticked],
    )  # fmt: skip
    return await paper_of(tx, public_id=public_id)


async def scan_of(view: View, blobs: Blobs, found: PaperConsent) -> bytes:
    """The scan, for whoever is to compare it; once it was decided, nobody at the counter opens it again."""
    if found.blob is None or found.state is not PaperState.SCANNED:
        raise NotFound("paper.unknown", "没有这份纸质同意。", "There is no such consent on paper.")
    sealed = await blobs.get(found.blob, sha256=found.blob_sha256)
    return unseal(await view.vault.person_key(view, found.applicant), sealed, bound_to=found.id.bytes)


async def confirm(
    tx: Tx, *, public_id: str, items: Mapping[str, ServiceItem], types: Mapping[str, CertificateType]
) -> PaperConsent:
    """A second officer has compared scan and ticks: the grants are made, in the applicant's name, by paper.

    Raises Forbidden `paper.same_officer`, Conflict `paper.state`, and what refuses a consent (`guardian.*`).
    """
    found = await paper_of(tx, public_id=public_id)
    actor = officer_of(tx)
    if found.officer == actor.officer_id:
        raise _sameofficer_of()
    await admit(tx, "paper_second", person=found.applicant)
    case = await readable(tx, found.case_id)
    started = await request.start(
        for_department(tx, case), details=found.details, item=items[case.item_code], case=case.facts(),
        approver=case.applicant, binding_message="", lives=FORM_LIVES,
    )  # fmt: skip
    await _move(
        tx, found, PaperState.SCANNED, state=PaperState.GRANTED, second=actor.officer_id, decided_at=tx.now,
        request_id=started.public_id,
    )  # fmt: skip
    await _event(tx, found, "paper.confirmed", second=str(actor.officer_id), request=started.public_id)
    deciding = copy(tx)
    deciding.actor = Actor(ActorKind.CITIZEN, subject_id=case.applicant)
    await approve.approve(
        deciding, public_id=started.public_id, chosen=[one.fields for one in found.details], items=items, types=types,
        channel=ASSURANCE,
    )  # fmt: skip
    return await paper_of(tx, public_id=public_id)


async def refuse(tx: Tx, *, public_id: str) -> PaperConsent:
    """The second officer does not confirm: signature or ticks do not fit. Nothing was seen; print a new form."""
    found = await paper_of(tx, public_id=public_id)
    actor = officer_of(tx)
    if found.officer == actor.officer_id:
        raise _sameofficer_of()
    await _move(
        tx, found, PaperState.SCANNED, state=PaperState.REFUSED, second=actor.officer_id, decided_at=tx.now
    )
    await _event(tx, found, "paper.refused", second=str(actor.officer_id))
    return await paper_of(tx, public_id=public_id)


async def withdraw_at_counter(tx: Tx, *, id_type: str, id_no: str, slip: str = "") -> int:
    """End what somebody consented to on paper, at whatever counter they stand: with the slip that one, without it all.

    The officer has seen the identity document. Returns how many forms ended; a number that nobody has ends none, and is
    counted.
    """
    actor = officer_of(tx)
    person = await subjects.find(tx, id_type=id_type, id_no=id_no)
    if person is None:
        await admit(tx, "unknown_number")
        return 0
    table = paper_consents.c
    condition = [table.applicant == person, table.state == PaperState.GRANTED]
    if slip:
        condition.append(table.slip == normal_slip(slip))
    rows = await tx.all(sa.select(paper_consents).where(*condition).order_by(table.id))
    for row in rows:
        found = from_row(row)
        acting = copy(tx)
        acting.actor = Actor(ActorKind.DEPARTMENT, department=found.department)
        for grant in await grants_of_request(acting, grant_id=str(found.request_id)):
            if grant.state is not GrantState.WITHDRAWN:
                await end(tx, grant, by="counter", at_department=actor.department or "", officer=str(actor.officer_id))
        await tx.run(
            paper_consents.update().where(table.id == found.id).values(state=PaperState.WITHDRAWN)
        )
    return len(rows)


async def _move(tx: Tx, found: PaperConsent, before: PaperState, **values: Any) -> None:
    table = paper_consents.c
    moved = await tx.run(
        paper_consents.update()
        .where(table.id == found.id, table.state == before, table.ends_at > tx.now)
        .values(**values)
    )
    if not moved:
        raise Conflict(
            "paper.state",
            "这份纸质同意已经处理过，或者已过 24 小时。",
            "This consent on paper was dealt with, or is older than 24 hours.",
            next_zh="如仍需要，请重新打印一张表。",
            next_en="Print a new form if it is still needed.",
        )


async def _event(tx: Tx, found: PaperConsent, kind: str, **more: str) -> None:
    sha256 = await tx.value(sa.select(paper_consents.c.sha256).where(paper_consents.c.id == found.id))
    body = {
        "event": kind,
        "case": found.case_id,
        "department": found.department,
        "document": found.document_type,
        "officer": str(found.officer),
        "scan_sha256": bytes(sha256).hex() if sha256 else None,
        **more,
        "at": seconds(tx.now),
    }
    await commit_event(tx, kind=kind, subject_id=found.applicant, body=body)


def _sameofficer_of() -> HubError:
    return Forbidden(
        "paper.same_officer", "须由本部门另一名工作人员复核。", "Another officer of the department must confirm."
    )

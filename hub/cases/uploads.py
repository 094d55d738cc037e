"""Materials that no department can verify: uploaded into the case, judged by somebody, brought once.

1. What a stranger sends is read in the limited child process of `hub.paper` first: a PDF without active content, or a
picture; anything else is refused and never stored. 2. It rests sealed for its person. 3. It is trust level C until a
clerk has compared the original (B). 4. Accepted and compared, it is found again by person and material in any
later case, until it expires.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from uuid import UUID

import sqlalchemy as sa

from hub.actor import ActorKind
from hub.cases.accept import came
from hub.cases.model import MaterialState, materials
from hub.cases.open import Case
from hub.cases.scope import Scope
from hub.catalogue.items import ServiceItem
from hub.catalogue.plan import Filed
from hub.clock import civil_day, day_end, seconds
from hub.errors import Conflict, Forbidden, NotFound, TooLarge, Unprocessable
from hub.ids import public_token, uuid7
from hub.ledger.append import commit_event
from hub.paper.model import Inspection, Outcome
from hub.paper.read import inspect_in_child
from hub.registry.model import may
from hub.store.blobs import Blobs
from hub.store.seal import seal, unseal
from hub.store.tx import Tx, View

MAX_UPLOAD = 10 * 1024 * 1024
REUSED_DAYS = 365
"""How long an upload counts where the item says nothing: a rule of this hub."""
HARMLESS = {("pdf", Outcome.NOT_OURS, "no_attachment"), ("image", Outcome.UNREADABLE_PHOTO, "no_code")}
"""A readable document that is simply not one of our faces."""


@dataclass(frozen=True, slots=True)
class Material:
    """One upload: what it is, how far it is trusted, what was said of it."""

    id: UUID
    public_id: str
    subject_id: UUID
    code: str
    case_id: UUID
    kind: str
    size: int
    sha256: bytes
    blob: str
    blob_sha256: bytes
    level: str
    state: MaterialState
    reason_code: str | None
    note: str | None
    uploaded_at: datetime
    reviewed_by: str | None
    compared_by: str | None
    expires_on: date
    leaf_hash: bytes

    @property
    def compared(self) -> bool:
        """Whether it counts for every later case: taken, and a clerk has seen the original."""
        return self.state is MaterialState.ACCEPTED and self.level == "B"


@dataclass(frozen=True, slots=True)
class Safe:
    """A file that the child process has read: only this can be stored. `codes`: texts of the QR codes on it;
    `pages`: a picture has one."""

    data: bytes
    kind: str
    codes: tuple[str, ...] = ()
    pages: int = 1


async def judge(data: bytes) -> Safe:
    """Read a stranger's file in the limited child process. Before any transaction: it may take seconds.

    Raises TooLarge `material.too_large`, Unprocessable `material.refused` with the reason.
    """
    if not 0 < len(data) <= MAX_UPLOAD:
        raise TooLarge("material.too_large", "文件须在 10 MB 以内。", "A file has at most 10 MB.")
    found: Inspection = await inspect_in_child(data)
    readable = found.outcome is Outcome.FOUND and found.kind in ("pdf", "image")
    if not readable and (found.kind, found.outcome, found.reason) not in HARMLESS:
        raise Unprocessable(
            "material.refused",
            "这个文件不能接收：请上传不带密码、脚本和附件的 PDF，或清晰的 JPG、PNG 照片。",
            "This file is not taken: a PDF without password, scripts or attachments, or a clear JPG or PNG.",
            next_zh="请重新扫描或拍照后再上传。",
            next_en="Scan or photograph it again.",
            why=found.reason or str(found.outcome),
        )
    return Safe(data, found.kind, found.qr, max(found.pages, 1))


async def upload(
    tx: Tx, blobs: Blobs, *, case: Case, item: ServiceItem, code: str, file: Safe, scope: Scope | None = None
) -> Material:
    """Keep an upload of the applicant (or of a clerk who scans for them) for a material of the item, at level C.

    Raises NotFound `item.material_unknown`, Forbidden `material.not_yours`, Conflict `material.held_already`.
    """
    material = item.material(code)
    mine = tx.actor.kind is ActorKind.CITIZEN and tx.actor.subject_id == case.applicant
    theirs = tx.actor.department == case.department or (scope is not None and scope.may_accept)
    clerk = theirs and may(tx.actor.roles, "counter.verify")
    if not (mine or clerk) or not case.in_hand:
        raise _not_yours()
    subject = case.beneficiary if material.holder == "child" and case.beneficiary else case.applicant
    standing = (await held(tx, case=case, item=item)).get(code)
    if standing is not None and standing.state is MaterialState.ACCEPTED:
        raise Conflict(
            "material.held_already",
            "这份材料以前交过，仍在有效期内，不用再交。",
            "This was brought before and still counts: it need not be brought again.",
        )
    row_id, public_id = uuid7(), public_token()
    key = await tx.vault.person_key(tx, subject)
    blob = f"materials/{row_id.hex}"
    digest = await blobs.put(blob, seal(key, file.data, bound_to=row_id.bytes))
    leaf = await commit_event(
        tx,
        kind="material.uploaded",
        subject_id=subject,
        body={
            "event": "material.uploaded",
            "case": case.public_id,
            "material": code,
            "sha256": hashlib.sha256(file.data).hexdigest(),
            "at": seconds(tx.now),
        },
    )
    old = materials.c
    await tx.run(
        materials.update()
        .where(
            old.subject_id == subject,
            old.material == code,
            old.case_id == case.id,  # what another case rests on stays with it
            old.replaced_by.is_(None),
        )
        .values(replaced_by=row_id)
    )
    await tx.insert(
        materials,
        {
            "id": row_id,
            "public_id": public_id,
            "subject_id": subject,
            "material": code,
            "case_id": case.id,
            "kind": file.kind,
            "size": len(file.data),
            "sha256": hashlib.sha256(file.data).digest(),
            "blob": blob,
            "blob_sha256": digest,
            "level": "C",
            "state": MaterialState.PENDING,
            "uploaded_at": tx.now,
            "expires_on": civil_day(tx.now) + timedelta(days=REUSED_DAYS),
            "leaf_hash": leaf.leaf_hash,
        },
    )
    return await by_public_id(tx, public_id)


async def review(
    tx: Tx, *, case: Case, item: ServiceItem, scope: Scope, public_id: str, state: MaterialState, reason_code: str,
    note: str,
) -> Material:  # fmt: skip
    """A clerk or decider says of an upload: accepted, to be mended, or refused; the last two with a reason.

    Conflict `material.judged_before` when it does not wait any more.
    """
    found = await _own(tx, case, public_id)
    if not scope.may_accept and not scope.steps:
        raise _not_yours()
    if state is MaterialState.PENDING or (state is not MaterialState.ACCEPTED and not note.strip()):
        raise Unprocessable(
            "material.reason_missing",
            "请写明要补什么或为什么不收。",
            "Say what to mend, or why it is not taken.",
        )
    row = materials.c
    words = note.strip()[:1000].encode()
    judged = await tx.run(
        materials.update()
        .where(row.id == found.id, row.state == MaterialState.PENDING)
        .values(
            state=state,
            reason_code=reason_code[:48] or None,
            sealed_note=await tx.vault.seal_for(tx, found.subject_id, words, bound_to=found.id.bytes),
            reviewed_at=tx.now,
            reviewed_by=tx.actor.reference(),
        )
    )
    if judged != 1:
        raise Conflict("material.judged_before", "这份材料已经有结论。", "This material was judged already.")
    if state is MaterialState.ACCEPTED:
        await came(tx, case=case, item=item, code=found.code)
    await _event(tx, case, found, "material.reviewed", {"state": state, "reason": reason_code[:48]})
    return await by_public_id(tx, public_id)


async def compare(tx: Tx, *, case: Case, scope: Scope, public_id: str) -> Material:
    """A clerk has seen the original and it is the same: level B from now on. Only of an accepted upload.

    Conflict `material.not_accepted` otherwise.
    """
    found = await _own(tx, case, public_id)
    if not scope.may_accept or not may(tx.actor.roles, "counter.verify"):
        raise _not_yours()
    row = materials.c
    raised = await tx.run(
        materials.update()
        .where(row.id == found.id, row.state == MaterialState.ACCEPTED, row.level == "C")
        .values(level="B", compared_at=tx.now, compared_by=tx.actor.reference())
    )
    if raised != 1:
        raise Conflict(
            "material.not_accepted",
            "只有已接收、尚未核对的材料可以登记核对原件。",
            "Only an accepted upload whose original was not compared yet.",
        )
    await _event(tx, case, found, "material.compared", {"level": "B"})
    return await by_public_id(tx, public_id)


async def held(view: View, *, case: Case, item: ServiceItem) -> dict[str, Material]:
    """For each material of the item the upload that counts here and has not expired: this case's own, else one that a
    clerk has compared with the original in another. What the item does not need is nobody's business here."""
    row, people = materials.c, [one for one in (case.applicant, case.beneficiary) if one]
    rows = await view.all(
        sa.select(row.public_id).where(
            row.subject_id.in_(people),
            row.material.in_([one.code for one in item.materials]),
            row.replaced_by.is_(None),
            row.expires_on >= civil_day(view.now),
        )
    )
    found = [await by_public_id(view, one.public_id) for one in rows]
    found.sort(key=lambda one: (one.case_id == case.id, one.uploaded_at))
    return {one.code: one for one in found if one.case_id == case.id or one.compared}


async def filed(view: View, people: Sequence[UUID]) -> dict[str, Filed]:
    """What these people brought once and a clerk compared, by material: the planner does not ask for it again."""
    row = materials.c
    rows = await view.all(
        sa.select(row.material, row.compared_at, row.expires_on).where(
            row.subject_id.in_(people),
            row.replaced_by.is_(None),
            row.state == MaterialState.ACCEPTED,
            row.level == "B",
            row.expires_on >= civil_day(view.now),
        )
    )
    return {one.material: Filed(civil_day(one.compared_at), day_end(one.expires_on)) for one in rows}


async def content(view: View, blobs: Blobs, found: Material) -> bytes:
    """The file, unsealed, proved against what was stored."""
    sealed = await blobs.get(found.blob, sha256=found.blob_sha256)
    return unseal(await view.vault.person_key(view, found.subject_id), sealed, bound_to=found.id.bytes)


async def by_public_id(view: View, public_id: str) -> Material:
    """One upload. NotFound `material.unknown`."""
    row = await view.first(sa.select(materials).where(materials.c.public_id == public_id))
    if row is None:
        raise _unknown()
    note = None
    if row.sealed_note is not None:
        note = (
            await view.vault.open_for(view, row.subject_id, row.sealed_note, bound_to=row.id.bytes)
        ).decode()
    return Material(
        id=row.id,
        public_id=row.public_id,
        subject_id=row.subject_id,
        code=row.material,
        case_id=row.case_id,
        kind=row.kind,
        size=row.size,
        sha256=row.sha256,
        blob=row.blob,
        blob_sha256=row.blob_sha256,
        level=row.level,
        state=MaterialState(row.state),
        reason_code=row.reason_code,
        note=note or None,
        uploaded_at=row.uploaded_at,
        reviewed_by=row.reviewed_by,
        compared_by=row.compared_by,
        expires_on=row.expires_on,
        leaf_hash=row.leaf_hash,
    )


async def of_case(view: View, case: Case, item: ServiceItem, public_id: str) -> Material:
    """An upload that counts in this case (`held`). NotFound `material.unknown` for any other."""
    for one in (await held(view, case=case, item=item)).values():
        if one.public_id == public_id:
            return one
    raise _unknown()


async def _own(view: View, case: Case, public_id: str) -> Material:
    """An upload of this very case, which is where it is judged."""
    found = await by_public_id(view, public_id)
    if found.case_id != case.id or found.expires_on < civil_day(view.now):
        raise _unknown()
    return found


def _unknown() -> NotFound:
    return NotFound("material.unknown", "没有这份材料。", "There is no such material.")


async def _event(tx: Tx, case: Case, found: Material, kind: str, more: dict[str, object]) -> None:
    body = {"event": kind, "case": case.public_id, "material": found.code, **more, "at": seconds(tx.now)}
    await commit_event(tx, kind=kind, subject_id=found.subject_id, body=body)


def _not_yours() -> Forbidden:
    return Forbidden(
        "material.not_yours",
        "只有申请人、办理部门和受理大厅可以处理这个办件的材料。",
        "Only the applicant, the handling department and the accepting hall handle its materials.",
    )

"""告知承诺: a written promise in the place of a paper, and its check afterwards.

1. Only where such a waiver is in force for this item and material, and only by the applicant, in their own case. 2. The
text is the hub's; what is declared is sealed, and its hash and the legal basis stand in the leaf. 3. The handling
department checks by the day that the waiver sets. 4. Broken: the case is flagged to be looked at again, and for
`BARRED_DAYS` no promise of this applicant is taken. A case with an unchecked promise is not closed.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from hub.actor import ActorKind
from hub.cases.accept import came
from hub.cases.model import PromiseState, case_flags, case_promises, cases
from hub.cases.open import Case, from_row
from hub.cases.scope import Scope
from hub.catalogue.items import ServiceItem
from hub.catalogue.materials import bases
from hub.catalogue.waivers import COMMITMENT, Standing, Waiver
from hub.clock import civil_day, seconds
from hub.errors import Conflict, Forbidden, NotFound, Unprocessable
from hub.ids import public_token, uuid7
from hub.ledger.append import commit_event
from hub.registry.model import may
from hub.store.tx import Tx, View

BARRED_DAYS = 365
"""A rule of this hub; the city's own rule on broken promises is not confirmed."""
BROKEN_EVENT = "promise_broken"


@dataclass(frozen=True, slots=True)
class Promise:
    """One promise: what for, what was declared, by when it is checked, and what the check found."""

    id: UUID
    public_id: str
    case_id: UUID
    material: str
    department: str
    basis: str
    text: str
    made_at: datetime
    check_by: date
    state: PromiseState
    checked_at: datetime | None
    note: str | None
    leaf_hash: bytes

    def overdue(self, today: date) -> bool:
        """Whether it should have been checked by now."""
        return self.state is PromiseState.MADE and self.check_by < today


def wording(item: ServiceItem, material: str, waiver: Waiver) -> str:
    """What the applicant declares, in Chinese: basis, fact, later check, and what follows if it is false."""
    basis = bases()[waiver.basis][0] if waiver.basis in bases() else waiver.basis
    return (
        f"本人办理“{item.label()}”，已知晓{basis}的要求，承诺“{item.material(material).label()}”所证明的情况属实，"
        f"不再提交该材料；同意部门在 {waiver.check_days} 日内核查；承诺不实的，愿意承担撤销决定等法律责任，"
        f"并在 {BARRED_DAYS} 日内不再适用告知承诺。"
    )


def offered(item: ServiceItem, city: Standing, *, barred: bool) -> dict[str, Waiver]:
    """The materials of an item for which a promise is taken now."""
    if barred:
        return {}
    found = {one.code: city.waiver(item.code, one.code) for one in item.materials}
    return {code: one for code, one in found.items() if one and one.effective and one.kind == COMMITMENT}


async def promise(tx: Tx, *, case: Case, item: ServiceItem, city: Standing, material: str) -> Promise:
    """The applicant declares. Raises Forbidden `promise.not_yours`, Unprocessable `promise.not_taken`, Conflict
    `promise.made_before`."""
    mine = tx.actor.kind is ActorKind.CITIZEN and tx.actor.subject_id == case.applicant
    if not mine or not case.in_hand or case.outcome is not None:
        raise Forbidden(
            "promise.not_yours", "只有申请人本人可以承诺。", "Only the applicant makes a promise."
        )
    waiver = offered(item, city, barred=await barred(tx, case.applicant)).get(material)
    if waiver is None:
        raise Unprocessable(
            "promise.not_taken",
            "这项材料现在不适用告知承诺。",
            "No promise is taken for this material now.",
            next_zh="请上传或带来这份材料。",
            next_en="Upload or bring it.",
        )
    text, row_id, public_id = wording(item, material, waiver), uuid7(), public_token()
    check_by = civil_day(tx.now) + timedelta(days=waiver.check_days or 30)
    leaf = await commit_event(
        tx,
        kind="promise.made",
        subject_id=case.applicant,
        body={
            "event": "promise.made",
            "case": case.public_id,
            "promise": public_id,
            "material": material,
            "basis": waiver.basis,
            "text_sha256": hashlib.sha256(text.encode()).hexdigest(),
            "by": tx.actor.reference(),
            "check_by": check_by.isoformat(),
            "at": seconds(tx.now),
        },
    )
    made = await tx.insert_new(
        case_promises,
        {
            "id": row_id, "public_id": public_id, "case_id": case.id, "subject_id": case.applicant,
            "material": material, "department": case.department, "basis": waiver.basis,
            "sealed_text": await tx.vault.seal_for(tx, case.applicant, text.encode(), bound_to=row_id.bytes),
            "made_at": tx.now, "check_by": check_by, "state": PromiseState.MADE, "leaf_hash": leaf.leaf_hash,
        },
    )  # fmt: skip
    if not made:
        raise Conflict("promise.made_before", "这项材料已经承诺过。", "It was promised already.")
    await came(tx, case=case, item=item, code=material)
    return await one(tx, case=case, public_id=public_id)


async def check(tx: Tx, *, case: Case, scope: Scope, public_id: str, kept: bool, note: str = "") -> Promise:
    """An officer of the handling department says what the check found, once; broken needs words.

    Raises Forbidden `promise.not_yours_to_check`, Conflict `promise.checked_before`.
    """
    if not scope.handles or not may(tx.actor.roles, "cases.decide"):
        raise Forbidden(
            "promise.not_yours_to_check",
            "只有办理部门的审批人员可以登记核查结果。",
            "Only a decider of the handling department records what the check found.",
        )
    words = note.strip()[:1000]
    if not kept and not words:
        raise Unprocessable(
            "promise.words_missing", "请写明核查发现了什么。", "Say what the check found."
        )
    found, row = await one(tx, case=case, public_id=public_id), case_promises.c
    sealed = await tx.vault.seal_for(tx, case.applicant, words.encode(), bound_to=b"note:" + found.id.bytes)
    done = await tx.run(
        case_promises.update()
        .where(row.id == found.id, row.state == PromiseState.MADE)
        .values(
            state=PromiseState.KEPT if kept else PromiseState.BROKEN,
            checked_at=tx.now,
            checked_by=tx.actor.reference(),
            sealed_note=sealed if words else None,
        )
    )
    if done != 1:
        raise Conflict("promise.checked_before", "这项承诺已经核查过。", "This promise was checked already.")
    body = {"event": "promise.checked", "case": case.public_id, "promise": public_id, "kept": kept}
    more = {"by": tx.actor.reference(), "at": seconds(tx.now)}
    await commit_event(tx, kind="promise.checked", subject_id=case.applicant, body=body | more)
    if not kept:
        flag = {"case_id": case.id, "certificate": public_id, "event": BROKEN_EVENT, "raised_at": tx.now}
        await tx.insert_new(case_flags, flag)
    return await one(tx, case=case, public_id=public_id)


async def barred(view: View, subject_id: UUID) -> bool:
    """Whether a promise of this person or company was found broken lately."""
    row = case_promises.c
    since = view.now - timedelta(days=BARRED_DAYS)
    where = (row.subject_id == subject_id, row.state == PromiseState.BROKEN, row.checked_at > since)
    return await view.value(sa.select(sa.literal(1)).where(*where).limit(1)) is not None


async def promises_of(view: View, *, case: Case) -> list[Promise]:
    """The promises of a case, in the order made."""
    row = case_promises.c
    rows = await view.all(sa.select(case_promises).where(row.case_id == case.id).order_by(row.id))
    return [await _promise(view, case, one) for one in rows]


async def one(view: View, *, case: Case, public_id: str) -> Promise:
    """A promise of this case. NotFound `promise.unknown`."""
    for found in await promises_of(view, case=case):
        if found.public_id == public_id:
            return found
    raise NotFound("promise.unknown", "没有这项承诺。", "There is no such promise.")


async def to_check(view: View, *, department: str, limit: int = 100) -> Sequence[tuple[Case, str, date]]:
    """What a department has to check: the case, the material, the last day; the most urgent first."""
    row = case_promises.c
    rows = await view.all(
        sa.select(cases, row.material, row.check_by)
        .join(case_promises, row.case_id == cases.c.id)
        .where(row.department == department, row.state == PromiseState.MADE)
        .order_by(row.check_by)
        .limit(limit)
    )
    return [(from_row(one), one.material, one.check_by) for one in rows]


async def _promise(view: View, case: Case, row: Any) -> Promise:
    text = await view.vault.open_for(view, case.applicant, row.sealed_text, bound_to=row.id.bytes)
    note = None
    if row.sealed_note is not None:
        bound = b"note:" + row.id.bytes
        note = (await view.vault.open_for(view, case.applicant, row.sealed_note, bound_to=bound)).decode()
    return Promise(
        row.id, row.public_id, row.case_id, row.material, row.department, row.basis, text.decode(), row.made_at,
        row.check_by, PromiseState(row.state), row.checked_at, note, row.leaf_hash,
    )  # fmt: skip

"""A look by office power: without consent, but by a statute, for one case, counted, and seen by the citizen.

Asked by an officer for a case that the citizen or a different officer opened; above a number of persons a day, or at
night, a second officer must agree; then made once. The grant names rule and officer. The citizen sees it at once, or,
where the rule names a published delay, when its days are over, without anybody having to do anything.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from hub.access.model import Look, Outcome
from hub.access.record import record
from hub.actor import Actor, ActorKind
from hub.cases.gather import as_token, for_department
from hub.cases.model import cases
from hub.cases.open import Case, by_public_id, readable
from hub.catalogue.items import ServiceItem, caps
from hub.clock import seconds
from hub.consent.model import Basis, Grant, GrantState, grants, office_looks
from hub.consent.office import OfficeRule, count_person, raise_alarm
from hub.consent.withdraw import from_row
from hub.errors import Conflict, Forbidden, HubError, NotFound
from hub.formats.authorization import Detail
from hub.ids import bucket_of, public_token, uuid7
from hub.ledger.append import commit_event
from hub.registry import departments
from hub.registry.model import may
from hub.registry.types import CertificateType
from hub.store.model import public_ids
from hub.store.tx import Tx, View
from hub.verification.model import Ask, Verdict
from hub.verification.verify import Redemption, verify

ACT = "counter.verify"
GOOD_FOR = timedelta(hours=8)


class LookState(StrEnum):
    """Waiting for a second officer, open to be made once, made, or refused by the second officer."""

    WAITING = "waiting"
    OPEN = "open"
    MADE = "made"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class OfficeLook:
    """One look that an officer asked for."""

    public_id: str
    rule: str
    department: str
    officer: UUID
    second: UUID | None
    case_id: str
    holder: UUID
    state: LookState
    why_second: str | None
    created_at: datetime


async def ask_office(tx: Tx, *, case_id: str, rule: OfficeRule) -> OfficeLook:
    """Ask to look at a case's applicant without consent.

    1. An officer of the rule's department at the counter. 2. The case is open, for the rule's item, opened by the
    citizen or by a different officer. 3. The day's limits of officer, item and department, counted in this commit. 4. A
    second officer above the rule's number and outside its hours. Raises Forbidden `office.not_yours`,
    `office.own_case`, TooMany `office.limit_*`.
    """
    actor = _officer(tx)  # 1
    await departments.require_active(tx, slug=actor.department or "")
    case = await readable(tx, case_id)
    if rule.department != actor.department or case.item_code != rule.item_code or not case.facts().open:  # 2
        raise _not_yours()
    opener = await tx.value(sa.select(cases.c.opened_by).where(cases.c.id == case.id))
    if not _opened_by_another(str(opener), actor):
        raise Forbidden(
            "office.own_case",
            "依职能查验的办件须由申请人本人或另一名工作人员开立。",
            "The case must have been opened by the citizen or by a different officer.",
            next_zh="请改用本人授权，或由申请人自己在线申请。",
            next_en="Ask for consent, or let the citizen open the case.",
        )
    why = await count_person(tx, rule=rule, officer=_id(actor), person=case.applicant)  # 3
    row = {
        "id": uuid7(),
        "public_id": public_token(),
        "rule": rule.code,
        "rule_version": rule.version,
        "department": actor.department,
        "officer": actor.officer_id,
        "case_id": case.public_id,
        "holder": case.applicant,
        "state": LookState.WAITING if why else LookState.OPEN,  # 4
        "why_second": why,
        "created_at": tx.now,
    }
    await tx.insert(office_looks, row)
    return await office_look(tx, public_id=str(row["public_id"]))


async def confirm_office(tx: Tx, *, public_id: str, agree: bool) -> None:
    """A second officer of the department agrees or refuses; never the one who asked. Raises Forbidden
    `office.same_officer`, Conflict `office.state`."""
    found = await office_look(tx, public_id=public_id)
    if found.officer == tx.actor.officer_id:
        raise Forbidden(
            "office.same_officer", "须由另一名工作人员复核。", "Another officer than the asking one must agree."
        )
    state = LookState.OPEN if agree else LookState.REFUSED
    await _move(tx, found, LookState.WAITING, state, {"second": tx.actor.officer_id})


async def look_by_office(
    tx: Tx,
    *,
    public_id: str,
    rules: Mapping[str, OfficeRule],
    items: Mapping[str, ServiceItem],
    types: Mapping[str, CertificateType],
    issuer: str,
    unasked: Collection[str] = (),
) -> list[Verdict]:
    """Make the look, once, by the officer who asked: grant, use and Accesses in this one commit.

    `unasked`: the types for which a source answers pulls; none is asked without the person's consent. Nothing may be
    shown before the transaction has committed. Raises Conflict `office.state`, Forbidden `office.not_yours`.
    """
    found = await office_look(tx, public_id=public_id)
    if found.officer != tx.actor.officer_id:
        raise _not_yours()
    await _move(tx, found, LookState.OPEN, LookState.MADE, {})
    case = await by_public_id(tx, found.case_id)
    if not case.facts().open:
        raise _not_yours()
    acting = for_department(tx, case)
    grant = await _grant(tx, found, case, rules[found.rule], items[case.item_code])
    asks = tuple(Ask(code, basis=Basis.OFFICE_POWER) for code in grant.detail["datatypes"])
    token = as_token(issuer, acting.actor, [grant], seconds(tx.now))
    redemption = Redemption(token, asks, case.facts(), unasked=unasked)
    return (await verify(acting, [redemption], items=items, types=types))[0]


async def record_stopped(tx: Tx, *, case_id: str, rule: OfficeRule, reason: str) -> None:
    """What a limit stopped is told to the person who would have been looked at, and to the auditors.

    In a transaction of its own: the limit undid the one in which it was met.
    """
    case = await readable(tx, case_id)
    await record(
        tx,
        [
            Look(
                subject_id=case.applicant,
                department=rule.department,
                officer_id=tx.actor.officer_id,
                item_code=rule.item_code,
                case_id=case.public_id,
                purpose=rule.purpose,
                basis=Basis.OFFICE_POWER,
                outcome=Outcome.REFUSED,
                reason=reason,
                visible_at=rule.delay.until(tx.now) if rule.delay else None,
            )
        ],
    )
    await raise_alarm(tx, kind=reason, rule=rule.code)


async def office_look(view: View, *, public_id: str) -> OfficeLook:
    """A look of the acting officer's department; NotFound `office.unknown` for any other."""
    row = await view.first(
        sa.select(office_looks).where(
            office_looks.c.public_id == public_id, office_looks.c.department == _officer(view).department
        )
    )
    if row is None:
        raise NotFound("office.unknown", "没有这次查验。", "There is no such look.")
    return _look(row)


async def looks_of_department(view: View, *, limit: int = 50) -> list[OfficeLook]:
    """The looks of the acting officer's department, newest first."""
    rows = await view.all(
        sa.select(office_looks)
        .where(office_looks.c.department == _officer(view).department)
        .order_by(office_looks.c.id.desc())
        .limit(limit)
    )
    return [_look(row) for row in rows]


async def _grant(tx: Tx, found: OfficeLook, case: Case, rule: OfficeRule, item: ServiceItem) -> Grant:
    """The grant of one look: one use, eight hours, only what rule and item both allow; its leaf names the officer."""
    allowed = caps(item)
    detail = Detail(
        item_code=item.code,
        case_id=case.public_id,
        purpose=rule.purpose,
        basis=str(Basis.OFFICE_POWER),
        datatypes=tuple(code for code in rule.types if code in allowed),
        fields={code: tuple(sorted(allowed[code], key=repr)) for code in rule.types if code in allowed},
        valid_until=seconds(tx.now + GOOD_FOR),
        max_uses=1,
    )
    values: dict[str, Any] = {
        "bucket": bucket_of(case.applicant),
        "id": uuid7(),
        "public_id": public_token(),
        "position": 0,
        "holder": case.applicant,
        "approver": found.officer,
        "basis": Basis.OFFICE_POWER,
        "basis_evidence": rule.code[:43],
        "assurance": "office",
        "department": rule.department,
        "item_code": item.code,
        "case_id": case.public_id,
        "purpose": rule.purpose,
        "detail": detail.to_json(),
        "valid_until": tx.now + GOOD_FOR,
        "max_uses": 1,
        "uses": 0,
        "state": GrantState.STANDING,
        "seq": 1,
        "created_at": tx.now,
        "visible_at": rule.delay.until(tx.now) if rule.delay else None,
    }
    row = (await tx.conn.execute(grants.insert().values(**values).returning(grants))).first()
    where = {"token": values["public_id"], "kind": "grant", "bucket": values["bucket"], "row_id": values["id"]}
    await tx.insert(public_ids, where)
    await commit_event(
        tx,
        kind="grant.given",
        subject_id=case.applicant,
        body={
            "event": "grant.given",
            "grant": values["public_id"],
            "grant_seq": 1,
            "basis": str(Basis.OFFICE_POWER),
            "assurance": "office",
            "rule": rule.code,
            "rule_version": rule.version,
            "delay": rule.delay.code if rule.delay else None,
            "officer": str(found.officer),
            "second": str(found.second) if found.second else None,
            "detail": detail.to_json(),
            "department": rule.department,
            "at": seconds(tx.now),
        },
    )
    return from_row(row)


async def _move(tx: Tx, found: OfficeLook, before: LookState, after: LookState, values: dict[str, Any]) -> None:
    moved = await tx.run(
        office_looks.update()
        .where(
            office_looks.c.public_id == found.public_id,
            office_looks.c.state == before,
            office_looks.c.created_at > tx.now - GOOD_FOR,
        )
        .values(state=after, **values, **({} if after is LookState.OPEN else {"ended_at": tx.now}))
    )
    if not moved:
        raise Conflict(
            "office.state",
            "这次查验已经做过、未获复核或已过期。",
            "This look was made, was not agreed to, or is too old.",
            next_zh="如仍需要，请重新提出。",
            next_en="Ask again if you still need it.",
        )


def _opened_by_another(opener: str, actor: Actor) -> bool:
    if opener.startswith("subject:"):
        return True
    return opener.startswith("officer:") and opener != actor.reference()


def _officer(view: View) -> Actor:
    actor = view.actor
    if actor.kind is not ActorKind.OFFICER or not may(actor.roles, ACT):
        raise _not_yours()
    return actor


def _id(actor: Actor) -> UUID:
    if actor.officer_id is None:
        raise _not_yours()
    return actor.officer_id


def _look(row: Any) -> OfficeLook:
    return OfficeLook(
        public_id=row.public_id,
        rule=row.rule,
        department=row.department,
        officer=row.officer,
        second=row.second,
        case_id=row.case_id,
        holder=row.holder,
        state=LookState(row.state),
        why_second=row.why_second,
        created_at=row.created_at,
    )


def _not_yours() -> HubError:
    return Forbidden(
        "office.not_yours",
        "没有依职能查验这个办件的权限。",
        "You have no power to look at this case without consent.",
    )

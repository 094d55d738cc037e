"""Who relied on a certificate is told when it changes (superseded, revoked, suspended), and their cases are flagged.

The reverse index needs no table of its own: every look is an Access in its holder's chain, and every case keeps the
certificates that it was decided on (`case_evidence`).
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from hub.access.model import Outcome, accesses
from hub.cases.evidence import relied_on
from hub.cases.model import CaseState, case_evidence, case_flags, cases
from hub.cases.open import Case, from_row
from hub.certificates.find import by_public_id, by_public_ids, holders_of, subjects_of
from hub.certificates.model import Certificate, CertificateState, certificates
from hub.clock import seconds
from hub.errors import Conflict, Forbidden
from hub.ids import bucket_of
from hub.ledger.append import commit_event
from hub.oversight.model import reliance_notices
from hub.registry.model import may
from hub.store.outbox import emit
from hub.store.rows import rows_of
from hub.store.statement import Statement
from hub.store.tx import Tx, View

CHANGED = (CertificateState.SUPERSEDED, CertificateState.REVOKED, CertificateState.SUSPENDED)
REINSTATED = "reinstated"


@dataclass(frozen=True, slots=True)
class Notice:
    """What a department is told: this certificate, on which these cases of yours rest, was superseded, revoked,
    suspended or reinstated (`event`)."""

    certificate: str
    event: str
    type_code: str
    new_certificate: str | None
    cases: Sequence[str]
    told_at: datetime
    seen_at: datetime | None


async def tell_who_relied(tx: Tx, *, certificate: str) -> list[str]:
    """Tell every department that saw this certificate or decided on it, and flag the cases; returns the departments.

    Twice is the same as once. Of a certificate that stands again those hear who heard that it was suspended; the
    flag on their case stays until somebody has looked. Nobody else hears of one that stands.
    """
    found = await by_public_id(tx, certificate)
    resting = await _cases(tx, found)
    if found.state in CHANGED:
        event, departments = str(found.state), await _looked(tx, found) | set(resting)
    else:
        event, departments = REINSTATED, await _heard_of_suspension(tx, found)
    new = await successor(tx, found)
    told = []
    for department in sorted(departments):
        mine = resting.get(department, [])
        said = {
            "type_code": found.type_code,
            "new_certificate": new,
            "cases": [case.public_id for case in mine],
            "told_at": tx.now,
        }
        if await _say(tx, found, event, department, said):
            told.append(department)
            await emit(tx, kind="reliance.told", certificate=found.public_id, state=event, department=department)
            if event != REINSTATED:
                await _flag(tx, found, mine)
    if told:
        holder = (await holders_of(tx, found))[0].subject_id
        body = {"event": "certificate.reliers_told", "certificate": found.public_id, "state": event}
        more = {"departments": told, "at": seconds(tx.now)}
        await commit_event(tx, kind="certificate.reliers_told", subject_id=holder, body=body | more)
    return told


async def tell_all_who_relied(tx: Tx, *, certificates: Collection[str]) -> None:
    """As `tell_who_relied`, of many: most were never looked at, and a few statements find those that were."""
    found = await by_public_ids(tx, certificates)
    evidence, notice = case_evidence.c, reliance_notices.c
    relied = {row.certificate for row in await rows_of(tx, sa.select(notice.certificate), notice.certificate, found)}
    rested = sa.select(evidence.certificate).where(evidence.replaced_by.is_(None))
    relied |= {row.certificate for row in await rows_of(tx, rested, evidence.certificate, found)}
    rows = {(one.ref.bucket, one.ref.id): one.public_id for one in found.values()}
    looks = [
        {"in_bucket": bucket_of(holder), "of": holder, "at": rows[place]}
        for place, holder in await subjects_of(tx, rows)
    ]
    relied |= {row.certificate for row in await tx.each(LOOKED_AT, looks)}
    for certificate in certificates:
        if certificate in relied:
            await tell_who_relied(tx, certificate=certificate)


def _looked_at(_: str) -> sa.Executable:
    row = accesses.c
    mine = (row.bucket == sa.bindparam("in_bucket"), row.subject_id == sa.bindparam("of", type_=row.subject_id.type))
    accepted = (row.certificate == sa.bindparam("at"), row.outcome == sa.literal_column(f"'{Outcome.ACCEPTED}'"))
    return sa.select(row.certificate).where(*mine, *accepted).limit(sa.literal_column("1"))


LOOKED_AT = Statement(_looked_at)


async def _say(tx: Tx, found: Certificate, event: str, department: str, said: Mapping[str, Any]) -> bool:
    """Write down what a department is told; False when it heard of this very change before.

    A certificate may be suspended again: then the older notice becomes this one, and has not been seen.
    """
    key = {"certificate": found.public_id, "event": event, "department": department}
    if await tx.insert_new(reliance_notices, {**key, **said}):
        return True
    row = reliance_notices.c
    older = sa.and_(*(row[name] == value for name, value in key.items()), row.told_at < found.state_since)
    return await tx.run(reliance_notices.update().where(older).values(**said, seen_at=None, seen_by=None)) == 1


async def _heard_of_suspension(view: View, found: Certificate) -> set[str]:
    row = reliance_notices.c
    suspended = (row.certificate == found.public_id, row.event == str(CertificateState.SUSPENDED))
    return {one.department for one in await view.all(sa.select(row.department).where(*suspended))}


async def notices_of(view: View, *, department: str, limit: int = 100) -> list[Notice]:
    """What a department was told, newest first."""
    row = reliance_notices.c
    rows = await view.all(
        sa.select(reliance_notices)
        .where(row.department == department)
        .order_by(row.told_at.desc(), row.certificate)
        .limit(limit)
    )
    return [_notice(one) for one in rows]


async def flags_of(view: View, *, case: Case) -> list[Any]:
    """What a case relied on and is not any more what it was; cleared ones too."""
    return list(await view.all(sa.select(case_flags).where(case_flags.c.case_id == case.id)))


async def clear(tx: Tx, *, case: Case, certificate: str, conclusion: str) -> None:
    """A decider of the handling department looked again and says what follows. Conflict `flag.cleared_before`."""
    if tx.actor.department != case.department or not may(tx.actor.roles, "cases.decide"):
        raise Forbidden("flag.not_yours", "只有办理部门的审批人员可以处理。", "Only a decider of its department.")
    flag = case_flags.c
    cleared = await tx.run(
        case_flags.update()
        .where(flag.case_id == case.id, flag.certificate == certificate, flag.cleared_at.is_(None))
        .values(cleared_at=tx.now, cleared_by=tx.actor.reference(), conclusion=conclusion[:48])
    )
    if cleared != 1:
        raise Conflict("flag.cleared_before", "没有待处理的提示。", "Nothing waits to be looked at again.")
    row = reliance_notices.c
    await tx.run(
        reliance_notices.update()
        .where(row.certificate == certificate, row.department == case.department, row.seen_at.is_(None))
        .values(seen_at=tx.now, seen_by=tx.actor.reference())
    )


async def successor(view: View, old: Certificate) -> str | None:
    """The public id of the certificate that took the place of `old`."""
    row = certificates.c
    after = await view.value(
        sa.select(row.superseded_by).where(row.bucket == old.ref.bucket, row.id == old.ref.id)
    )
    if after is None:
        return None
    # The new one stands in the same wallet; its row may be in another partition only if its first holder changed.
    new = sa.select(row.public_id).where(row.id == after)
    near = await view.value(new.where(row.bucket == old.ref.bucket))
    return str(near) if near is not None else await view.value(new)


async def _looked(view: View, found: Certificate) -> set[str]:
    """The departments that an accepted look gave this certificate, from its holders' own chains."""
    departments: set[str] = set()
    for holder in {held.subject_id for held in await holders_of(view, found)}:
        row = accesses.c
        rows = await view.all(
            sa.select(row.department)
            .where(
                row.bucket == bucket_of(holder),
                row.subject_id == holder,
                row.certificate == found.public_id,
                row.outcome == Outcome.ACCEPTED,
            )
            .distinct()
        )
        departments |= {one.department for one in rows}
    return departments


async def _cases(view: View, found: Certificate) -> Mapping[str, list[Case]]:
    """The cases that rest on it, by department; a withdrawn one rests on nothing."""
    ids = await relied_on(view, certificate=found.public_id)
    rows = await view.all(sa.select(cases).where(cases.c.id.in_(ids)))
    by_department: dict[str, list[Case]] = {}
    for case in map(from_row, rows):
        if case.in_hand or case.state is CaseState.CLOSED:
            by_department.setdefault(case.department, []).append(case)
    return by_department


async def _flag(tx: Tx, found: Certificate, mine: Sequence[Case]) -> None:
    """Flag the cases; a flag of an earlier event is raised anew, even when somebody had cleared it."""
    raised = {"event": found.state, "raised_at": tx.now}
    flag = case_flags.c
    for case in mine:
        if not await tx.insert_new(case_flags, {"case_id": case.id, "certificate": found.public_id, **raised}):
            await tx.run(
                case_flags.update()
                .where(flag.case_id == case.id, flag.certificate == found.public_id)
                .values(**raised, cleared_at=None, cleared_by=None, conclusion=None)
            )


def _notice(row: Any) -> Notice:
    return Notice(
        row.certificate, row.event, row.type_code, row.new_certificate, tuple(row.cases), row.told_at, row.seen_at
    )

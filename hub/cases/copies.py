"""Copies of archive packages: who may take one, and the record of it, durable before a byte leaves (promise 2)."""

from dataclasses import replace
from uuid import UUID

from hub.access.model import Look, Outcome
from hub.access.record import record
from hub.cases.archive import archive_of, handed_out
from hub.cases.evidence import evidence_of
from hub.cases.open import Case, readable
from hub.cases.scope import in_scope
from hub.catalogue.items import ARCHIVE_PURPOSE
from hub.consent.withdraw import by_public_id as grant_by_id
from hub.errors import Forbidden
from hub.formats import sdjwt
from hub.registry.model import may
from hub.store.tx import Tx

ARCHIVE = "archive"
"""The basis of such a look: the department's own file of a case that it decided."""


async def copy_for_applicant(tx: Tx, *, public_id: str) -> Case:
    """The applicant takes a copy; the caller reads the package after the commit. NotFound as `readable`."""
    case = await readable(tx, public_id)
    if await _kept(tx, case):
        await handed_out(tx, case=case)
    return case


async def copy_for_department(tx: Tx, *, public_id: str) -> Case:
    """A decider of the handling department takes a copy: an Access for every certificate that is shown in it.

    Raises NotFound `case.unknown` out of scope, Forbidden `archive.not_yours` for a department that decided a step
    only: the package shows more than its part.
    """
    case, scope = await in_scope(tx, public_id)
    if not scope.handles or not may(tx.actor.roles, "cases.decide"):
        raise Forbidden(
            "archive.not_yours",
            "只有办理部门的审批人员可以取用归档包。",
            "Only a decider of the handling department takes a copy of the package.",
        )
    if await _kept(tx, case):
        await record(tx, await _looks(tx, case))
    return case


async def _kept(tx: Tx, case: Case) -> bool:
    """Whether there is something to copy; without it nothing is recorded, and reading says why there is none."""
    found = await archive_of(tx, case=case)
    return found is not None and found.destroyed_at is None


async def _looks(tx: Tx, case: Case) -> list[Look]:
    made = []
    for shown in await evidence_of(tx, case=case):
        if shown.sd_jwt is None:
            continue
        grant = await grant_by_id(tx, shown.grant)
        look = replace(
            _look(tx, case, grant.holder),
            type_code=shown.type_code,
            certificate=shown.certificate,
            fields=tuple(sorted(sdjwt.paths(shown.sd_jwt), key=repr)),
            grant_public_id=grant.public_id,
            grant_seq=grant.seq,
        )
        made.append(look)
    return made or [_look(tx, case, case.applicant)]


def _look(tx: Tx, case: Case, holder: UUID) -> Look:
    return Look(
        subject_id=holder,
        department=case.department,
        officer_id=tx.actor.officer_id,
        item_code=case.item_code,
        case_id=case.public_id,
        purpose=ARCHIVE_PURPOSE,
        basis=ARCHIVE,
        outcome=Outcome.ACCEPTED,
        reason="archive.copied",
    )

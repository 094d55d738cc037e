"""One consent gathers what the item needs: asked once for everything, verified in one go, kept with the case.

The applicant may start both alone: the hub then asks and looks in the name of the item's department, by the item's
published list and nothing beyond it. Every look is recorded like any other.
"""

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import replace
from typing import TypeVar
from uuid import UUID

from hub.actor import Actor, ActorKind
from hub.cases.evidence import keep_verdicts
from hub.cases.model import CaseState, cases
from hub.cases.open import Case
from hub.cases.scope import Scope
from hub.catalogue.items import ClaimPath, ServiceItem
from hub.clock import seconds
from hub.consent import request
from hub.consent.guard import admit
from hub.consent.model import Basis, Grant, GrantState, RequestState
from hub.consent.of_case import Asked, requests_of
from hub.errors import Conflict, Forbidden
from hub.formats.authorization import AccessToken
from hub.formats.details import Detail
from hub.ids import public_token
from hub.registry.types import CertificateType
from hub.store.tx import Tx, View
from hub.verification.model import Ask, Pulled, Verdict
from hub.verification.verify import MAX_ASKS, Redemption, verify

V = TypeVar("V", bound=View)
IN_HUB = "case-file"
"""Stands for the key binding of a consent token that never leaves this process."""

ASK_DAYS = 7
ASK_USES = 3
"""What is asked for at most, within the caps of the item: a few looks, one week."""


def details_of(
    item: ServiceItem, *, case_id: str, with_child: bool, now: int, by: Basis = Basis.HOLDER
) -> list[Detail]:
    """Everything that the item may ask of the applicant, and as guardian of the child: one request, one answer.

    `by` is the basis of whoever decides; only the holder themselves decides as guardian too.
    """
    bases = (by, Basis.GUARDIAN) if with_child and by is Basis.HOLDER else (by,)
    return [found for basis in bases if (found := _detail(item, case_id, basis, now)) is not None]


async def ask(
    tx: Tx,
    *,
    case: Case,
    item: ServiceItem,
    approver: UUID | None = None,
    by: Basis = Basis.HOLDER,
    scope: Scope | None = None,
) -> request.Started:
    """Ask for what the item needs, in the name of its department: the applicant, or `approver`, who decides for them as
    delegate or for their company. One who may not is answered alike, and nobody will see the request. A hall that has
    the case may ask too (`scope`)."""
    _require(tx, case, scope)
    if by is Basis.HOLDER:
        approver = case.applicant
    await admit(tx, "asked", person=case.applicant)
    code = public_token(3).upper().replace("-", "7").replace("_", "8")
    return await request.start(
        for_department(tx, case, scope),
        details=details_of(
            item, case_id=case.public_id, with_child=case.beneficiary is not None, now=seconds(tx.now), by=by
        ),
        item=item,
        case=case.facts(),
        approver=approver,
        binding_message=code,
    )


async def gather(
    tx: Tx,
    *,
    case: Case,
    items: Mapping[str, ServiceItem],
    types: Mapping[str, CertificateType],
    issuer: str,
    pulled: Pulled | None = None,
    scope: Scope | None = None,
) -> list[Verdict]:
    """Verify everything that was granted and keep the answers with the case; takes one use of each grant.

    `pulled`: how the pulls ended that were made for it just before (`to_pull` names them).

    Nothing may be shown before the transaction has committed: only then are the Accesses durable.
    Raises Conflict `case.no_consent` while no grant stands.
    """
    _require(tx, case, scope)
    acting = for_department(tx, case, scope)
    grants = standing(await requests_of(acting, case_id=case.public_id))
    if not grants:
        raise Conflict(
            "case.no_consent",
            "申请人还没有同意，或已经收回，不能取证。",
            "The applicant has not agreed, or has withdrawn: nothing can be gathered.",
            next_zh="请先在“待我同意”里同意，或上传材料。",
            next_en="Agree under “Waiting for me” first, or upload the materials.",
        )
    asks = [Ask(code, basis=grant.basis) for grant in grants for code in grant.detail["datatypes"]]
    token = as_token(issuer, acting.actor, grants, seconds(tx.now))
    redemptions = [
        Redemption(token, tuple(asks[start : start + MAX_ASKS]), case.facts(), pulled=pulled or {})
        for start in range(0, len(asks), MAX_ASKS)
    ]
    answered = await verify(acting, redemptions, items=items, types=types)
    verdicts = [verdict for group in answered for verdict in group]
    by_type = {code: grant.public_id for grant in grants for code in grant.detail["datatypes"]}
    await keep_verdicts(tx, case=case, verdicts=[(one, by_type[one.type_code]) for one in verdicts])
    opened = cases.update().where(cases.c.id == case.id, cases.c.state == CaseState.OPEN)
    await tx.run(opened.values(state=CaseState.GATHERED))
    return verdicts


async def to_pull(
    view: View, *, case: Case, scope: Scope | None = None
) -> tuple[Actor, list[tuple[str, str]]]:
    """Who would look, and at what, when everything granted is gathered: (grant, type) pairs; none without consent.

    Raises Forbidden as `gather`.
    """
    _require(view, case, scope)
    acting = for_department(view, case, scope)
    grants = standing(await requests_of(acting, case_id=case.public_id))
    keys = [(grant.public_id, code) for grant in grants for code in grant.detail["datatypes"]]
    return acting.actor, keys


def standing(asked: Sequence[Asked]) -> list[Grant]:
    """The grants of the newest approved request, or none once one of them was withdrawn."""
    for one in asked:
        if one.state is RequestState.APPROVED:
            withdrawn = any(grant.state is GrantState.WITHDRAWN for grant in one.grants)
            return [] if withdrawn else list(one.grants)
    return []


def for_department(tx: V, case: Case, scope: Scope | None = None) -> V:
    """The same transaction, acting for the department of the case; its officer, or the hall's, stays named."""
    theirs = tx.actor.department == case.department or _in_hall(scope)
    officer: UUID | None = tx.actor.officer_id if theirs else None
    actor = Actor(ActorKind.DEPARTMENT, department=case.department, officer_id=officer, jkt=IN_HUB)
    acting = copy(tx)
    acting.actor = actor
    return acting


async def asked_for(view: View, *, case: Case) -> list[Asked]:
    """The requests of a case, newest first, for its applicant or its department."""
    acting = copy(view)
    acting.actor = replace(view.actor, department=case.department)
    return await requests_of(acting, case_id=case.public_id)


def as_token(issuer: str, actor: Actor, grants: Sequence[Grant], now: int) -> AccessToken:
    """The consent as `verify` takes it, for a case in hand: nothing is signed, nothing leaves."""
    return AccessToken(
        issuer=issuer,
        subject=str(actor.officer_id or actor.department),
        audience=issuer,
        client_id=actor.department or "",
        jkt=actor.jkt or IN_HUB,
        jti=public_token(),
        iat=now,
        exp=now + 60,
        scope=frozenset({"verify"}),
        authorization_details=tuple(Detail.from_json(grant.detail) for grant in grants),
        grants=tuple(grant.public_id for grant in grants),
    )


def _in_hall(scope: Scope | None) -> bool:
    return scope is not None and scope.hall and not scope.handed_over


def _require(tx: View, case: Case, scope: Scope | None) -> None:
    """The applicant, the handling department or the hall that has the case, and their officers, while it is in hand."""
    mine = tx.actor.kind is ActorKind.CITIZEN and tx.actor.subject_id == case.applicant
    theirs = tx.actor.department == case.department or _in_hall(scope)
    if not (mine or theirs) or not case.in_hand:
        raise Forbidden(
            "case.not_yours_to_gather",
            "只有申请人或办理部门可以为未办结的办件取证。",
            "Only the applicant or the handling department gathers for a case in hand.",
        )


def _detail(item: ServiceItem, case_id: str, basis: Basis, now: int) -> Detail | None:
    """Everything that the item lets be asked of one person; None when it asks nothing of them."""
    about_child = basis is Basis.GUARDIAN
    fields: dict[str, set[ClaimPath]] = {}
    for material in item.materials:
        if (material.holder == "child") is about_child:
            for evidence in material.satisfied_by:
                fields.setdefault(evidence.type, set()).update(evidence.fields)
    if not fields:
        return None
    return Detail(
        item_code=item.code,
        case_id=case_id,
        purpose=sorted(item.caps.purposes)[0],
        basis=basis.value,
        datatypes=tuple(sorted(fields)),
        fields={code: tuple(sorted(paths, key=repr)) for code, paths in sorted(fields.items())},
        valid_until=now + min(item.caps.valid_days, ASK_DAYS) * 86_400,
        max_uses=min(item.caps.max_uses, ASK_USES),
    )

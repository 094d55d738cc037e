"""Who may decide about a request, and the proof of it when they do (DESIGN section 3, rule 9)."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from hub.catalogue.items import ServiceItem
from hub.certificates.model import CertificateRef
from hub.clock import seconds
from hub.consent.company import may_represent, prove_company
from hub.consent.entrust import entrusted, lock, not_entrusted, principals_of
from hub.consent.licence import companies_of
from hub.consent.model import Basis
from hub.consent.represent import prove_guardian
from hub.formats.authorization import Detail
from hub.registry.model import SubjectKind
from hub.registry.subjects import kind_of
from hub.store.tx import Tx, View

TOGETHER: tuple[frozenset[Basis], ...] = (
    frozenset({Basis.HOLDER, Basis.GUARDIAN}),
    frozenset({Basis.DELEGATE}),
    frozenset({Basis.LEGAL_REPRESENTATIVE}),
)
"""One request is decided by one person: these bases may stand beside each other. Office power is asked elsewhere."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What proves that the approver may decide: a certificate or an entrustment, and its end in seconds.

    `row` is the certificate behind it, which every use needs to be current.
    """

    evidence: str | None = None
    ends_at: int | None = None
    row: CertificateRef | None = None


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody for whom a person may decide, and on which basis."""

    principal: UUID
    basis: Basis


async def principals(view: View, *, person: UUID, item: ServiceItem) -> list[Principal]:
    """Whom this person may decide for in this matter besides themselves: who entrusted them, companies they act for."""
    legal = item.subject == "legal"
    found = await companies_of(view, person=person) if legal else []
    found += [
        one.principal for one in await principals_of(view, delegate=person)
        if item.code in one.items and (await kind_of(view, one.principal) is SubjectKind.LEGAL) is legal
    ]  # fmt: skip
    basis = Basis.LEGAL_REPRESENTATIVE if legal else Basis.DELEGATE
    return [Principal(one, basis) for one in dict.fromkeys(found)]


def belong_together(details: Sequence[Detail]) -> bool:
    """Whether one person can decide about all of these."""
    bases = {Basis(detail.basis) for detail in details}
    return any(bases <= together for together in TOGETHER)


async def may_decide(view: View, *, person: UUID, applicant: UUID, details: Sequence[Detail]) -> bool:
    """Whether this person could decide now. A guardian is the applicant; the child is proved at the decision."""
    basis = Basis(details[0].basis)
    item_code = details[0].item_code
    types = tuple(code for detail in details for code in detail.datatypes)
    if basis is Basis.DELEGATE:
        found = await entrusted(view, delegate=person, principal=applicant, item_code=item_code, types=types)
        return found is not None
    if basis is Basis.LEGAL_REPRESENTATIVE:
        return await may_represent(view, person=person, company=applicant, item_code=item_code, types=types)
    return person == applicant


async def prove(
    tx: Tx, *, person: UUID, holder: UUID, detail: Detail, department: str, case_id: str
) -> Proof:
    """Prove anew, in the commit of the grant, that this person may decide for the holder.

    Raises Forbidden `guardian.*`, `delegate.not_entrusted`, `company.not_representative`.
    """
    basis = Basis(detail.basis)
    place = {"department": department, "item_code": detail.item_code, "case_id": case_id}
    if basis is Basis.GUARDIAN:
        guardianship = await prove_guardian(tx, guardian=person, child=holder, **place)
        return Proof(guardianship.certificate, seconds(guardianship.ends_at), guardianship.row)
    if basis is Basis.DELEGATE:
        found = await entrusted(
            tx, delegate=person, principal=holder, item_code=detail.item_code, types=detail.datatypes
        )
        if found is None or not await lock(tx, found):
            raise not_entrusted()
        return Proof(found.public_id, seconds(found.valid_until))
    if basis is Basis.LEGAL_REPRESENTATIVE:
        proof = await prove_company(tx, person=person, company=holder, types=detail.datatypes, **place)
        return Proof(proof.evidence, proof.ends_at, proof.row)
    return Proof()

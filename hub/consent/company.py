"""Who may act for a company: its legal representative by the business licence, or an agent whom that person entrusted.

The licence is read anew each time, and so is the representative behind an agent: whoever stops being the representative
takes the agents along.
"""

from dataclasses import dataclass
from uuid import UUID

from hub.access.model import Look, Outcome
from hub.access.record import record
from hub.certificates.model import CertificateRef
from hub.clock import seconds
from hub.consent.entrust import entrusted, lock, not_entrusted
from hub.consent.licence import licence_of
from hub.consent.model import Basis
from hub.errors import Forbidden
from hub.store.tx import Tx, View


@dataclass(frozen=True, slots=True)
class Representation:
    """The proof that somebody may act for a company: what says so, and until when (seconds; None: while it stands)."""

    evidence: str
    ends_at: int | None
    row: CertificateRef


async def may_represent(
    view: View, *, person: UUID, company: UUID, item_code: str, types: tuple[str, ...]
) -> bool:
    """Whether this person could decide for the company now; nothing is recorded, since nothing is shown."""
    if await licence_of(view, person, company) is not None:
        return True
    agency = await entrusted(view, delegate=person, principal=company, item_code=item_code, types=types)
    return agency is not None and await licence_of(view, agency.made_by, company) is not None


async def prove_company(
    tx: Tx, *, person: UUID, company: UUID, department: str, item_code: str, case_id: str, types: tuple[str, ...]
) -> Representation:
    """Prove that `person` may act for `company` now, and record the reading of the licence as an Access.

    1. A current licence names both; or 2. a standing entrustment by somebody whom it names covers this matter. Raises
    Forbidden `delegate.not_entrusted`, `company.not_representative`.
    """
    representative, agency = person, None
    licence = await licence_of(tx, person, company)  # 1
    if licence is None:
        agency = await entrusted(tx, delegate=person, principal=company, item_code=item_code, types=types)  # 2
        if agency is None or not await lock(tx, agency):
            raise not_entrusted()
        representative = agency.made_by
        licence = await licence_of(tx, representative, company)
    if licence is None:
        raise Forbidden(
            "company.not_representative",
            "营业执照上的法定代表人已不是委托人。",
            "The business licence no longer names whoever entrusted you.",
            next_zh="请现任法定代表人重新委托。",
            next_en="Ask the present legal representative to entrust you.",
        )
    await record(
        tx,
        [
            Look(
                subject_id=company,
                department=department,
                item_code=item_code,
                case_id=case_id,
                purpose="prove-company",
                basis=Basis.LEGAL_REPRESENTATIVE,
                outcome=Outcome.ACCEPTED,
                reason="company.proved",
                type_code=licence.certificate.type_code,
                certificate=licence.certificate.public_id,
                fields=(("holders", None, "role"),),
            )
        ],
    )
    if agency is not None:
        return Representation(agency.public_id, seconds(agency.valid_until), licence.certificate.ref)
    return Representation(licence.certificate.public_id, None, licence.certificate.ref)

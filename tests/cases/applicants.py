"""Applicants in one line each: their certificates registered, their consent given, verified, scored."""

import hashlib
from dataclasses import dataclass
from typing import Any

from world import Person, World

from hub.actor import Actor, ActorKind
from hub.cases.open import Case, by_public_id
from hub.cases.scheme import Scheme, load_schemes
from hub.cases.score import CaseScore, score_case
from hub.ids import uuid7
from hub.verification.model import Ask

SCHEME = load_schemes()["dg-points-enrolment-2016"]
ROLES = {
    "employment": "worker",
    "residence_permit": "owner",
    "social_insurance": "insured",
    "tax_record": "taxpayer",
    "degree": "owner",
    "family_planning": "person",
    "property": "owner",
}
"""The role of the parent in each certificate that counts."""


@dataclass
class Applicant:
    """Somebody with a scored case, and what the bureau was shown of them."""

    person: Person
    case: Case
    disclosures: list[str]
    certificates: dict[str, str]


def decider(department: str = "dg-edu", *, number: int = 1, roles: tuple[str, ...] = ("decider",)) -> Actor:
    """An officer of a department; the same number is the same officer."""
    digest = hashlib.sha256(f"{department}{number}".encode()).digest()
    officer = type(uuid7())(bytes=digest[:16])
    return Actor(ActorKind.OFFICER, department=department, officer_id=officer, roles=frozenset(roles))


async def applicant(world: World, name: str, papers: dict[str, dict[str, Any]]) -> Applicant:
    """A person with these certificates, who applied, agreed, and was verified by the education bureau."""
    person = world.person(name)
    made = {
        code: (await world.certificate(code, (person, ROLES[code]), **claims)).certificate
        for code, claims in papers.items()
    }
    case, grants = await world.grant(person, list(papers))
    verdicts = await world.verify(case, grants, [Ask(code) for code in papers])
    return Applicant(person, case, [one.sd_jwt for one in verdicts if one.sd_jwt], made)


async def scored(world: World, one: Applicant, *, scheme: Scheme = SCHEME, by: Actor | None = None) -> CaseScore:
    """The case scored by its department."""
    actor = by or world.acting(await world.department("dg-edu"))
    async with world.tx(actor) as tx:
        case = await by_public_id(tx, one.case.public_id)
        return await score_case(tx, case=case, scheme=scheme, disclosures=one.disclosures, types=world.types)

"""An application form with everything that the hub may use for the applicant to check, so that nothing is retyped.

For the eyes of the person who is signed in: their own certificates as their wallet shows them, cut down to what the
item may ask, with the source and the day of each line. What others hold (a child's record, a spouse's) is not opened
here; the form says that it is read, with consent, when the case is handled.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from hub.catalogue.items import ClaimPath, caps
from hub.catalogue.plan import ItemPlan, Planned, Way
from hub.certificates.find import Held, of_holder, open_body, own_claims
from hub.registry.types import CertificateType
from hub.store.tx import View

Say = Callable[[CertificateType, ClaimPath, object], str]
"""How a claim's value is written in words."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the form: the claim's names, its value in words, and the certificate it stands in. `own`: it says
    who the applicant is."""

    zh: str
    en: str
    value: str
    source: Held
    own: bool


@dataclass(frozen=True, slots=True)
class Part:
    """The lines of one material; `planned` says how it gets to the office."""

    planned: Planned
    lines: tuple[Line, ...]


async def prefill(
    view: View, *, plan: ItemPlan, subject_id: UUID, types: Mapping[str, CertificateType], say: Say
) -> list[Part]:
    """The parts of the form, in the order of the item. A claim is written once, where it first belongs."""
    allowed = caps(plan.item)
    mine = {held.certificate.public_id: held for held in await of_holder(view, subject_id=subject_id)}
    written: set[tuple[str, ClaimPath]] = set()  # who somebody is, is written once for all types
    parts = []
    for requirement in plan.requirements:
        best = requirement.best
        lines: list[Line] = []
        held = mine.get(best.holding.public_id) if best.way is Way.HELD and best.holding else None
        if held is not None:
            kind = types[held.certificate.type_code]
            claims = own_claims(await open_body(view, held), held.position)
            for path, value in _allowed(kind, claims, allowed[kind.code]):
                own = path[0] == "holders"
                place = ("" if own else kind.code, path)
                if place not in written:
                    written.add(place)
                    zh, en = kind.claim_label(path), kind.claim_label(path, "en")
                    lines.append(Line(zh, en, say(kind, path, value), held, own))
        parts.append(Part(best, tuple(lines)))
    return parts


def _allowed(
    kind: CertificateType, claims: Mapping[str, Any], paths: frozenset[ClaimPath]
) -> list[tuple[ClaimPath, Any]]:
    """The holder's own particulars, then the claims that the item may ask, in the order of the type's file."""
    own: dict[str, Any] = next((h for h in claims.get("holders", []) if set(h) != {"role"}), {})
    found: list[tuple[ClaimPath, Any]] = [
        (("holders", None, name), own[name])
        for name in ("name", "id_type", "id_no")
        if name in own and ("holders", None, name) in paths
    ]
    tops = [info.path for info in kind.claims if len(info.path) == 1 and info.path in paths]
    return found + [(path, claims[str(path[0])]) for path in tops if claims.get(str(path[0])) is not None]

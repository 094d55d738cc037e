"""Online pre-review: will it pass, and if not, why not, before anybody travels. Pure: facts in, findings out.

Nothing is decided here; a department decides. "Will pass" means that every required material is there and every
condition that can be judged is met. Of alternatives ("A or B") one is enough, and only when all are refused it fails.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Literal

from hub.access.model import Outcome
from hub.cases.eligibility import Condition, conditions
from hub.cases.model import MaterialState
from hub.cases.scheme import Scheme
from hub.cases.scoring import Evidence
from hub.catalogue.items import ServiceItem

How = Literal[
    "verified", "uploaded", "waived", "promised", "waits", "mend", "refused", "missing", "not_needed"
]
"""Verified by the hub; uploaded and accepted; spared by a waiver in force; promised (告知承诺); uploaded and waiting;
to be mended; refused; missing; optional."""
THERE = frozenset({"verified", "uploaded", "waived", "promised"})


@dataclass(frozen=True, slots=True)
class MaterialFinding:
    """How one material stands. `blocks`: a required one that is neither verified nor uploaded. `one_of`: the
    alternatives, itself among them, where one of several is enough."""

    code: str
    how: How
    required: bool
    type_code: str | None
    reason: str | None
    one_of: tuple[str, ...] = ()

    @property
    def blocks(self) -> bool:
        """Whether acceptance needs a promise for it (容缺)."""
        return self.required and self.how not in THERE


@dataclass(frozen=True, slots=True)
class PreReview:
    """What was found. `passes` None: not everything is known yet."""

    passes: bool | None
    materials: tuple[MaterialFinding, ...]
    conditions: tuple[Condition, ...]

    @property
    def lacking(self) -> set[tuple[str, ...]]:
        """What acceptance needs a promise for: of each of these one."""
        return {one.one_of or (one.code,) for one in self.materials if one.blocks}


@dataclass(frozen=True, slots=True)
class Uploaded:
    """The newest upload for a material: its state and why."""

    state: MaterialState
    reason: str | None


def prereview(
    item: ServiceItem,
    *,
    looks: Mapping[str, tuple[Outcome, str]],
    uploads: Mapping[str, Uploaded],
    scheme: Scheme | None = None,
    evidence: Evidence | None = None,
    spared: Mapping[str, How] | None = None,
    as_of: date,
) -> PreReview:
    """Judge a case: `looks` are outcome and reason by certificate type, `uploads` by material code, `spared` what need
    not be brought ("waived" or "promised").

    Conditions are judged for schemes of one parent (enrolment). Raises those of `conditions`.
    """
    every = range(len(item.materials))
    found = _one_of_each([_finding(item, n, looks, uploads, spared or {}) for n in every], item)
    judged: Sequence[Condition] = ()
    if scheme is not None and scheme.one_parent and evidence is not None:
        judged = conditions(evidence, as_of=as_of)
    can_come = {one.one_of for one in found if one.one_of and one.how != "refused"}
    refused = any(one.required and one.how == "refused" and one.one_of not in can_come for one in found) or any(
        c.met is False for c in judged
    )
    unknown = any(one.blocks for one in found) or any(c.met is None for c in judged)
    passes = False if refused else None if unknown else True
    return PreReview(passes, found, tuple(judged))


def _one_of_each(found: Sequence[MaterialFinding], item: ServiceItem) -> tuple[MaterialFinding, ...]:
    """Of alternatives ("A or B") one is enough: where one is there, the others are not needed."""
    there = {
        material.either
        for material, one in zip(item.materials, found, strict=True)
        if material.either and one.how in THERE
    }
    return tuple(
        _alternative(one, item.alternatives(one.code), material.either in there) if material.either else one
        for material, one in zip(item.materials, found, strict=True)
    )


def _alternative(one: MaterialFinding, one_of: Sequence[str], there: bool) -> MaterialFinding:
    if there and one.how not in THERE:
        return replace(one, how="not_needed", required=False, one_of=tuple(one_of))
    return replace(one, one_of=tuple(one_of))


_UPLOADED: Mapping[MaterialState, How] = {
    MaterialState.ACCEPTED: "uploaded",
    MaterialState.PENDING: "waits",
    MaterialState.MEND: "mend",
    MaterialState.REFUSED: "refused",
}


def _finding(
    item: ServiceItem,
    number: int,
    looks: Mapping[str, tuple[Outcome, str]],
    uploads: Mapping[str, Uploaded],
    spared: Mapping[str, How],
) -> MaterialFinding:
    """The best that stands for one material: a verified certificate, an accepted upload, what spares it, else the
    newest upload, else what a look said. A certificate that was refused (revoked) is not spared by a waiver."""
    material = item.materials[number]
    types = [evidence.type for evidence in material.satisfied_by]
    for code in types:
        if code in looks and looks[code][0] is Outcome.ACCEPTED:
            return MaterialFinding(material.code, "verified", material.required, code, None)
    accepted = material.code in uploads and uploads[material.code].state is MaterialState.ACCEPTED
    against = any(code in looks and looks[code][0] is Outcome.REFUSED for code in types)
    if material.code in spared and not accepted and not against:
        return MaterialFinding(material.code, spared[material.code], material.required, None, None)
    if material.code in uploads:
        upload = uploads[material.code]
        return MaterialFinding(material.code, _UPLOADED[upload.state], material.required, None, upload.reason)
    for code in types:
        if code in looks and looks[code][0] is Outcome.REFUSED:
            return MaterialFinding(material.code, "refused", material.required, code, looks[code][1])
    how: How = "missing" if material.required else "not_needed"
    reason = next((looks[code][1] for code in types if code in looks), None)
    return MaterialFinding(material.code, how, material.required, None, reason)

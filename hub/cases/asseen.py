"""The pre-review of a case as it stands now: what was gathered, what was uploaded, what the conditions say of both."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hub.cases.evidence import Found, evidence_of
from hub.cases.model import PromiseState
from hub.cases.open import Case
from hub.cases.prereview import How, PreReview, Uploaded, prereview
from hub.cases.promises import Promise, barred, offered, promises_of, wording
from hub.cases.scheme import Scheme
from hub.cases.scoring import Evidence, Shown
from hub.cases.uploads import Material, held
from hub.catalogue.items import ServiceItem
from hub.catalogue.waivers import COMMITMENT, Standing, standing
from hub.certificates.find import by_public_id, holders_of
from hub.clock import civil_day
from hub.store.tx import View


@dataclass(frozen=True, slots=True)
class AsSeen:
    """The findings with what they rest on."""

    review: PreReview
    looks: tuple[Found, ...]
    uploads: Mapping[str, Material]
    promises: tuple[Promise, ...] = ()
    offered: Mapping[str, str] = field(default_factory=dict)
    """What may be promised (告知承诺) in the place of a paper: the words of the promise, by material."""


async def as_seen(view: View, *, case: Case, item: ServiceItem, scheme: Scheme | None) -> AsSeen:
    """Judge a case by what is known of it at this moment; nothing is looked at anew."""
    looks, uploads = await evidence_of(view, case=case), await held(view, case=case, item=item)
    promises, city = await promises_of(view, case=case), await standing(view)
    may = offered(item, city, barred=await barred(view, case.applicant))
    shown = [one for look in looks if (one := await _shown(view, look)) is not None]
    review = prereview(
        item,
        looks={one.type_code: (one.outcome, one.reason) for one in looks},
        uploads={code: Uploaded(one.state, one.note or one.reason_code) for code, one in uploads.items()},
        scheme=scheme,
        evidence=Evidence(
            parent=str(case.applicant),
            child=str(case.beneficiary) if case.beneficiary else None,
            shown=tuple(shown),
        ),
        spared=_spared(item, city, promises),
        as_of=civil_day(view.now),
    )
    made = {one.material for one in promises}
    words = {
        one.code: wording(item, one.code, may[one.code])
        for one in review.materials
        if one.blocks and one.code in may and one.code not in made
    }
    return AsSeen(review, tuple(looks), uploads, tuple(promises), words)


def _spared(item: ServiceItem, city: Standing, promises: Sequence[Promise]) -> dict[str, How]:
    """What a waiver in force spares, and what was promised and not found broken."""
    found: dict[str, How] = {}
    for material in item.materials:
        waiver = city.waiver(item.code, material.code)
        if waiver is not None and waiver.effective and waiver.kind != COMMITMENT:
            found[material.code] = "waived"
    for one in promises:
        if one.state is not PromiseState.BROKEN:
            found[one.material] = "promised"
    return found


async def _shown(view: View, look: Found) -> Shown | None:
    """A look as conditions read it; None while it shows nothing."""
    if look.claims is None or look.certificate is None:
        return None
    certificate = await by_public_id(view, look.certificate)
    people = frozenset(str(one.subject_id) for one in await holders_of(view, certificate))
    return Shown(look.certificate, look.type_code, people, look.claims, certificate.as_of)

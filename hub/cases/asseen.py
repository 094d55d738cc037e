"""The pre-review of a case as it stands now: what was gathered, what was uploaded, what the conditions say of both."""

from collections.abc import Mapping
from dataclasses import dataclass

from hub.cases.evidence import Found, evidence_of
from hub.cases.open import Case
from hub.cases.prereview import PreReview, Uploaded, prereview
from hub.cases.scheme import Scheme
from hub.cases.scoring import Evidence, Shown
from hub.cases.uploads import Material, held
from hub.catalogue.items import ServiceItem
from hub.certificates.find import by_public_id, holders_of
from hub.clock import civil_day
from hub.store.tx import View


@dataclass(frozen=True, slots=True)
class AsSeen:
    """The findings with what they rest on."""

    review: PreReview
    looks: tuple[Found, ...]
    uploads: Mapping[str, Material]


async def as_seen(view: View, *, case: Case, item: ServiceItem, scheme: Scheme | None) -> AsSeen:
    """Judge a case by what is known of it at this moment; nothing is looked at anew."""
    looks, uploads = await evidence_of(view, case=case), await held(view, case=case)
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
        as_of=civil_day(view.now),
    )
    return AsSeen(review, tuple(looks), uploads)


async def _shown(view: View, look: Found) -> Shown | None:
    """A look as conditions read it; None while it shows nothing."""
    if look.claims is None or look.certificate is None:
        return None
    certificate = await by_public_id(view, look.certificate)
    people = frozenset(str(one.subject_id) for one in await holders_of(view, certificate))
    return Shown(look.certificate, look.type_code, people, look.claims, certificate.as_of)

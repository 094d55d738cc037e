"""A use code typed or scanned at the counter: the citizen's consent, and the one look it opens.

1. The officer works at a counter of the item's own department; the department is active. 2. The code is spent for
this case, once (`hub.consent.usecode`). Without a case, one is opened for whoever shows the code: no number is typed.
3. What was ticked becomes the grant, decided by the one who chose it, proved anew, and capped by the item as it is now.
4. The look is made by the door (`gather`), in the same commit unless something must be pulled for it first.
A code that opens nothing is counted against the officer and the department; a living one of somebody, shown for
another matter or another person, is told to that somebody.
"""

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, replace
from datetime import timedelta

from hub.access.model import Look, Outcome
from hub.access.record import record
from hub.actor import Actor, ActorKind
from hub.cases.gather import for_department
from hub.cases.open import Case, open_case
from hub.catalogue.items import ServiceItem
from hub.clock import seconds
from hub.consent import approve, request
from hub.consent.guard import admit, give_back
from hub.consent.model import Grant
from hub.consent.usecode import NotOpened, Opened, take
from hub.errors import Forbidden
from hub.ids import public_token
from hub.registry import departments
from hub.registry.model import may
from hub.registry.types import CertificateType
from hub.store.tx import Tx

ACT = "counter.verify"
ASSURANCE = "use_code"
GOOD_FOR = timedelta(minutes=10)
"""The grant is used in the commit that makes it, or as soon as its sources have answered, or broken down meanwhile."""


@dataclass(frozen=True, slots=True)
class Agreed:
    """What a code came to: the case, and the grants for one look."""

    case: Case
    grants: tuple[Grant, ...]

    @property
    def types(self) -> set[str]:
        """The types of certificates that may be looked at."""
        return {code for grant in self.grants for code in grant.detail["datatypes"]}


async def agree_by_code(
    tx: Tx,
    *,
    code: str,
    item: ServiceItem,
    case: Case | None,
    items: Mapping[str, ServiceItem],
    types: Mapping[str, CertificateType],
) -> Agreed | None:
    """Spend the code for the consent that it stands for; the look is still to be made (`gather`), within ten minutes.

    None when it opens nothing here. Raises `Stopped` after too many wrong codes, Forbidden `use_code.not_yours`, and
    whatever refuses a consent (`guardian.*`, `delegate.*`, `company.*`): then the code is not spent.
    """
    actor = tx.actor
    if actor.kind is not ActorKind.OFFICER or not may(actor.roles, ACT) or item.department != actor.department:
        raise _not_yours()  # 1
    if case is not None and (case.department != actor.department or not case.in_hand):
        raise _not_yours()
    await departments.require_active(tx, slug=item.department)
    await admit(tx, "wrong_code")  # before it is known: whoever tried too often is not told that a code was right
    number = case.public_id if case else public_token()
    taken = await take(  # 2
        tx, code=code, department=item.department, item=item, case_id=number,
        applicant=case.applicant if case else None, beneficiary=case.beneficiary if case else None,
    )  # fmt: skip
    if isinstance(taken, NotOpened):
        await _tell(tx, taken, item, number if case else "")
        return None
    await give_back(tx, "wrong_code")
    if case is None:
        case = await open_case(
            tx, item=item, applicant=taken.applicant, beneficiary=taken.beneficiary, public_id=number
        )
    return Agreed(case, tuple(await _agree(tx, taken, case, item, items, types)))  # 3


async def _agree(
    tx: Tx,
    taken: Opened,
    case: Case,
    item: ServiceItem,
    items: Mapping[str, ServiceItem],
    types: Mapping[str, CertificateType],
) -> list[Grant]:
    """The request in the department's name, and the answer in the citizen's: both said already, one by the code."""
    until = seconds(tx.now + GOOD_FOR)
    details = [replace(detail, valid_until=until, max_uses=1) for detail in taken.details]
    started = await request.start(
        for_department(tx, case), details=details, item=item, case=case.facts(), approver=taken.subject,
        binding_message="", lives=GOOD_FOR,
    )  # fmt: skip
    deciding = copy(tx)
    deciding.actor = Actor(ActorKind.CITIZEN, subject_id=taken.subject)
    chosen = [detail.fields for detail in details]
    return await approve.approve(
        deciding, public_id=started.public_id, chosen=chosen, items=items, types=types, channel=ASSURANCE
    )


async def _tell(tx: Tx, missed: NotOpened, item: ServiceItem, case_id: str) -> None:
    """Whose living code was tried for something else, sees it among the looks."""
    if missed.subject is None:
        return
    look = Look(
        subject_id=missed.subject,
        department=item.department,
        officer_id=tx.actor.officer_id,
        item_code=item.code,
        case_id=case_id,
        purpose=sorted(item.caps.purposes)[0],
        basis="holder",
        outcome=Outcome.REFUSED,
        reason="use_code.other_matter",
    )
    await record(tx, [look])


def _not_yours() -> Forbidden:
    return Forbidden(
        "use_code.not_yours",
        "用证码只能由办理该事项的部门窗口、为未办结的办件使用。",
        "A use code works at the counter of the department that handles the item, for a case in hand.",
    )

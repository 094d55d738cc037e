"""Who may act for whom. A guardian is proved by the child's birth or household certificate, each time anew."""

from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

import sqlalchemy as sa

from hub.access.model import Look, Outcome
from hub.access.record import record
from hub.certificates.find import Held, holders_of, of_holder, open_body
from hub.certificates.model import CertificateRef, CertificateState, certificate_holders
from hub.clock import civil_day, day_start
from hub.consent.model import Basis, guardianships
from hub.errors import Forbidden
from hub.formats import sdjwt
from hub.registry.keys import find_key
from hub.store.tx import Tx, View

GUARDIAN_ENDS_AT = 18
PROOFS: tuple[tuple[str, frozenset[str], str], ...] = (
    ("birth", frozenset({"mother", "father"}), "born_on"),
    ("household_register", frozenset({"head", "spouse"}), "child_born_on"),
)
"""Types that prove a guardian, the roles that count as parent, and the claim with the child's birthday."""


@dataclass(frozen=True, slots=True)
class Guardianship:
    """The proof that one person may consent for a child: which certificate says so, and until when they may."""

    guardian: UUID
    child: UUID
    certificate: str
    ends_at: datetime
    row: CertificateRef


async def prove_guardian(
    tx: Tx, *, guardian: UUID, child: UUID, department: str, item_code: str, case_id: str
) -> Guardianship:
    """Prove that `guardian` may act for `child` now, and record the reading as an Access to the child's data.

    1. a current birth or household certificate names both, the guardian as parent; 2. the child is under 18 in
    Shanghai today; 3. no dispute freezes this guardian. Raises Forbidden `guardian.not_proved`,
    `guardian.child_of_age`, `guardian.frozen`.
    """
    found = await _proof(tx, guardian, child)  # 1
    if found is None:
        raise Forbidden(
            "guardian.not_proved",
            "平台没有能证明监护关系的出生证明或户口登记。",
            "No birth or household certificate here proves this guardianship.",
            next_zh="请联系卫生健康部门或公安机关登记，或携带原件到窗口办理。",
            next_en="Ask the health or public security department to register it, or bring the original.",
        )
    held, birthday = found
    await record(
        tx,
        [
            Look(
                subject_id=child,
                department=department,
                item_code=item_code,
                case_id=case_id,
                purpose="prove-guardian",
                basis=Basis.GUARDIAN,
                outcome=Outcome.ACCEPTED,
                reason="guardian.proved",
                type_code=held.certificate.type_code,
                certificate=held.certificate.public_id,
                fields=(("holders", None, "role"), ("born_on",)),
            )
        ],
    )
    if of_age(birthday, civil_day(tx.now)):  # 2
        raise Forbidden(
            "guardian.child_of_age",
            "孩子已满18周岁，应由本人授权。",
            "The child is 18 or older and consents for themselves.",
        )
    if await _frozen(tx, guardian, child):  # 3
        raise Forbidden(
            "guardian.frozen",
            "监护关系存在争议，暂停代为授权。",
            "The guardianship is disputed; consent for the child is frozen.",
            next_zh="请联系窗口处理争议。",
            next_en="Ask the counter to settle the dispute.",
        )
    ends_at = day_start(eighteenth_birthday(birthday))
    return Guardianship(guardian, child, held.certificate.public_id, ends_at, held.certificate.ref)


async def record_refusal(
    tx: Tx, *, child: UUID, department: str, item_code: str, case_id: str, reason: str
) -> None:
    """Record that consent for a child was refused to somebody: the child's people see who was asked for what.

    In a transaction of its own: the refusal itself undid the one in which it was found.
    """
    await record(
        tx,
        [
            Look(
                subject_id=child,
                department=department,
                item_code=item_code,
                case_id=case_id,
                purpose="prove-guardian",
                basis=Basis.GUARDIAN,
                outcome=Outcome.REFUSED,
                reason=reason,
            )
        ],
    )


async def children_of(view: View, *, guardian: UUID) -> list[UUID]:
    """The people for whom this person is named as a parent in a current certificate (their wallets to show)."""
    found: list[UUID] = []
    for type_code, parents, _ in PROOFS:
        for held in await of_holder(view, subject_id=guardian, type_code=type_code):
            if held.role not in parents or not await proves(view, held):
                continue
            link = certificate_holders.c
            rows = await view.all(
                sa.select(link.subject_id).where(
                    link.certificate_bucket == held.certificate.ref.bucket,
                    link.certificate_id == held.certificate.ref.id,
                    link.role == "child",
                )
            )
            found += [row.subject_id for row in rows if row.subject_id not in found]
    return found


async def guardians_of(view: View, *, child: UUID) -> list[UUID]:
    """Who may act for this person today because a current certificate names them as a parent; nobody of age has any."""
    found: list[UUID] = []
    for type_code, parents, claim in PROOFS:
        for held in await of_holder(view, subject_id=child, type_code=type_code):
            if held.role != "child" or not await proves(view, held):
                continue
            birthday = sdjwt.claims(await open_body(view, held)).get(claim)
            if isinstance(birthday, str) and not of_age(date.fromisoformat(birthday), civil_day(view.now)):
                named = await holders_of(view, held.certificate)
                found += [one.subject_id for one in named if one.role in parents and one.subject_id not in found]
    return found


def of_age(birthday: date, today: date) -> bool:
    """Whether 00:00 Shanghai of the 18th birthday has passed."""
    return today >= eighteenth_birthday(birthday)


def eighteenth_birthday(birthday: date) -> date:
    """The day on which a guardian's power ends; whoever was born on 29 February comes of age on 1 March."""
    try:
        return birthday.replace(year=birthday.year + GUARDIAN_ENDS_AT)
    except ValueError:
        return date(birthday.year + GUARDIAN_ENDS_AT, 3, 1)


async def _proof(view: View, guardian: UUID, child: UUID) -> tuple[Held, date] | None:
    link = certificate_holders.c
    for type_code, parents, claim in PROOFS:
        for held in await of_holder(view, subject_id=child, type_code=type_code):
            if held.role != "child" or not await proves(view, held):
                continue
            roles = await view.all(
                sa.select(link.role).where(
                    link.certificate_bucket == held.certificate.ref.bucket,
                    link.certificate_id == held.certificate.ref.id,
                    link.subject_id == guardian,
                )
            )
            if not any(row.role in parents for row in roles):
                continue
            birthday = sdjwt.claims(await open_body(view, held)).get(claim)
            if isinstance(birthday, str):
                return held, date.fromisoformat(birthday)
    return None


async def proves(view: View, held: Held) -> bool:
    """Whether a certificate counts: current, not past its end, its key trusted when it was registered."""
    one = held.certificate
    if one.state is not CertificateState.CURRENT or (one.valid_until and one.valid_until <= view.now):
        return False
    key = await find_key(view, department=one.department, kid=one.kid)
    return key is not None and key.stands_at(one.registered_at)


async def _frozen(view: View, guardian: UUID, child: UUID) -> bool:
    row = await view.first(
        sa.select(guardianships.c.frozen_at).where(
            guardianships.c.guardian == guardian, guardianships.c.child == child
        )
    )
    return row is not None and row.frozen_at is not None

"""用证码, a use code: what a citizen shows at a counter. A channel, not a basis (DESIGN section 3, rule 9).

The citizen chooses, on a phone however old, what it opens: one matter, for themselves or somebody whom they may decide
for, and the claims that they tick. Each reload of the page gives a new code and ends the one before; a code lives 60
seconds and opens one look, once. The QR code says 130 random bits, the eight characters 40: those work only inside an
officer's session, where wrong ones are counted (`hub.consent.guard`). What rests here is an HMAC of both.
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from hub.catalogue.items import ServiceItem
from hub.consent.evidence import demands_passkey
from hub.consent.model import use_codes
from hub.errors import Conflict, Forbidden, Gone, NotFound
from hub.formats.authorization import Detail
from hub.ids import public_token, uuid7
from hub.store.tx import Tx, View

CODE_LIVES = timedelta(seconds=60)
CHOICE_LIVES = timedelta(minutes=30)
SHORT, LONG = 8, 26
UNKNOWN_CASE = "use-code"
"""What stands for the case in a choice: the counter names it."""

_ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"


@dataclass(frozen=True, slots=True)
class Choice:
    """What one citizen chose to open, and what became of it."""

    public_id: str
    item_code: str
    applicant: UUID
    beneficiary: UUID | None
    details: tuple[Detail, ...]
    ends_at: datetime
    used_at: datetime | None
    department: str | None
    case_id: str | None


@dataclass(frozen=True, slots=True)
class Shown:
    """A fresh code: `short` is read out (shown as ABCD-EFGH), `long` stands in the QR code. Nothing keeps either."""

    short: str
    long: str
    until: datetime


@dataclass(frozen=True, slots=True)
class Opened:
    """A code that was taken just now, in this transaction."""

    subject: UUID
    applicant: UUID
    beneficiary: UUID | None
    details: tuple[Detail, ...]


@dataclass(frozen=True, slots=True)
class NotOpened:
    """A code that opens nothing here. `subject`: whose it is, when it is a living one for something else."""

    subject: UUID | None = None


async def choose(
    tx: Tx, *, item: ServiceItem, applicant: UUID, beneficiary: UUID | None, details: Sequence[Detail]
) -> Choice:
    """Keep what the acting citizen ticked, for half an hour; a choice made before that was not used ends.

    Raises Forbidden `use_code.passkey_needed` for an item that takes a passkey only: a code cannot carry one.
    """
    person = _citizen(tx)
    if demands_passkey(item.code):
        raise Forbidden(
            "use_code.passkey_needed",
            "办理这件事，同意须用通行密钥确认，不能用用证码。",
            "For this matter consent must be confirmed with a passkey; a use code is not enough.",
            next_zh="请窗口发起授权请求，再用通行密钥同意；或带原件办理。",
            next_en="Let the counter send a request and confirm it with your passkey, or bring the originals.",
        )
    old = use_codes.c
    await tx.run(
        use_codes.update()
        .where(old.subject_id == person, old.used_at.is_(None), old.ends_at > tx.now)
        .values(ends_at=tx.now, long_hash=None, short_hash=None)
    )
    row = {
        "id": uuid7(),
        "public_id": public_token(),
        "subject_id": person,
        "applicant": applicant,
        "beneficiary": beneficiary,
        "item_code": item.code,
        "details": [detail.to_json() for detail in details],
        "ends_at": tx.now + CHOICE_LIVES,
        "created_at": tx.now,
    }
    await tx.insert(use_codes, row)
    return await choice_of(tx, public_id=str(row["public_id"]))


async def choice_of(view: View, *, public_id: str) -> Choice:
    """A choice of the acting citizen. NotFound `use_code.unknown` for anybody else's."""
    row = await view.first(
        sa.select(use_codes).where(
            use_codes.c.public_id == public_id, use_codes.c.subject_id == _citizen(view)
        )
    )
    if row is None:
        raise _unknown()
    return Choice(
        public_id=row.public_id,
        item_code=row.item_code,
        applicant=row.applicant,
        beneficiary=row.beneficiary,
        details=_details(row),
        ends_at=row.ends_at,
        used_at=row.used_at,
        department=row.department,
        case_id=row.case_id,
    )


async def fresh_code(tx: Tx, *, public_id: str) -> Shown:
    """A new code for this choice; the one before is dead from this commit on.

    Raises Conflict `use_code.used`, Gone `use_code.over`, NotFound `use_code.unknown`.
    """
    shown = Shown(_random(SHORT), _random(LONG), tx.now + CODE_LIVES)
    row = use_codes.c
    made = await tx.run(
        use_codes.update()
        .where(
            row.public_id == public_id,
            row.subject_id == _citizen(tx),
            row.used_at.is_(None),
            row.ends_at > tx.now,
        )
        .values(
            long_hash=_hash(tx, shown.long), short_hash=_hash(tx, shown.short), code_expires_at=shown.until
        )
    )
    if made:
        return shown
    if (await choice_of(tx, public_id=public_id)).used_at is not None:
        raise Conflict("use_code.used", "这个用证码已经用过。", "This use code was used.")
    raise Gone(
        "use_code.over", "时间太久，请重新选择要出示的内容。", "This is too old: choose again what to show."
    )


async def stop(tx: Tx, *, public_id: str) -> None:
    """The citizen closes it: whatever code is on a screen opens nothing any more."""
    row = use_codes.c
    await tx.run(
        use_codes.update()
        .where(row.public_id == public_id, row.subject_id == _citizen(tx), row.used_at.is_(None))
        .values(ends_at=tx.now, long_hash=None, short_hash=None)
    )


async def take(
    tx: Tx, *, code: str, department: str, item: ServiceItem, applicant: UUID | None, beneficiary: UUID | None,
    case_id: str,
) -> Opened | NotOpened:  # fmt: skip
    """Spend a code for one case of this item; under any number of callers at once exactly one gets it.

    One guarded statement repeats every condition: the code of this minute, unspent, for this item, and for the
    people of the case where there is one already (`applicant` None: the case is opened for whoever shows the code).
    """
    spelled = normal(code)
    row = use_codes.c
    column = {SHORT: row.short_hash, LONG: row.long_hash}.get(len(spelled))
    if column is None or item.department != department:
        return NotOpened()
    right = sa.and_(
        column == _hash(tx, spelled),
        row.used_at.is_(None),
        row.code_expires_at > tx.now,
        row.ends_at > tx.now,
    )
    people = []
    if applicant is not None:
        same = row.beneficiary.is_(None) if beneficiary is None else row.beneficiary == beneficiary
        people = [row.applicant == applicant, same]
    taken = (
        await tx.conn.execute(
            use_codes.update()
            .where(right, row.item_code == item.code, *people)
            .values(used_at=tx.now, department=department, case_id=case_id, long_hash=None, short_hash=None)
            .returning(use_codes)
        )
    ).first()
    if taken is None:
        return NotOpened(await tx.value(sa.select(row.subject_id).where(right)))
    return Opened(taken.subject_id, taken.applicant, taken.beneficiary, _details(taken, case_id))


async def forget_old(tx: Tx) -> int:
    """Choices of more than a day ago; what came of them stands in grants and Accesses."""
    return await tx.run(use_codes.delete().where(use_codes.c.ends_at < tx.now - timedelta(days=1)))


def normal(code: str) -> str:
    """A code as it was typed or scanned, without the spaces and hyphens that people and scanners put in."""
    return "".join(letter for letter in code.upper() if letter in _ALPHABET)[: LONG + 1]


def _details(row: Any, case_id: str | None = None) -> tuple[Detail, ...]:
    told: list[Mapping[str, Any]] = row.details
    return tuple(Detail.from_json({**one, "case_id": case_id or one["case_id"]}) for one in told)


def _random(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def _hash(view: View, code: str) -> bytes:
    return view.vault.blind("use-code", code)


def _citizen(view: View) -> UUID:
    if view.actor.subject_id is None:
        raise _unknown()
    return view.actor.subject_id


def _unknown() -> NotFound:
    return NotFound(
        "use_code.unknown", "没有这个用证码，或者它不是您的。", "There is no such use code, or it is not yours."
    )

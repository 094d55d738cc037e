"""Entrusting somebody: a delegate decides for a person, an agent for a company; scoped, with an end, revocable.

Two people make it: one offers and gets a code, the other takes it with the code. No number of anybody is typed, and
nobody can be looked up by trying.
"""

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from hub.clock import seconds
from hub.consent.model import Basis, EntrustmentState, entrustments
from hub.consent.withdraw import end_resting_on
from hub.errors import Forbidden, HubError, NotFound, Unprocessable
from hub.ids import public_token, uuid7
from hub.ledger.append import commit_event
from hub.store.tx import Tx, View

LONGEST = timedelta(days=366)
CODE_LIVES = timedelta(days=7)
MOST = 32
_ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"


@dataclass(frozen=True, slots=True)
class Entrustment:
    """Who may decide for whom, for which items and certificate types, until when."""

    public_id: str
    principal: UUID
    made_by: UUID
    delegate: UUID | None
    items: tuple[str, ...]
    types: tuple[str, ...]
    valid_until: datetime
    state: EntrustmentState

    def covers(self, item_code: str, types: Sequence[str], now: datetime) -> bool:
        """Whether it is good now for these types of this item."""
        standing = self.state is EntrustmentState.STANDING and self.valid_until > now
        return standing and item_code in self.items and set(types) <= set(self.types)


@dataclass(frozen=True, slots=True)
class Offered:
    """A new offer; the code (80 bits, four groups of four) is shown once, to be given to the other person."""

    public_id: str
    code: str


async def offer(
    tx: Tx, *, principal: UUID, items: Sequence[str], types: Sequence[str], valid_until: datetime
) -> Offered:
    """Offer to be represented: by the acting citizen over their own certificates, or over those of `principal`.

    For a company the caller has proved that the citizen represents it (`company.py`). Ends within 366 days; the code
    within seven. Raises Unprocessable `entrust.scope`, `entrust.end`.
    """
    if not 1 <= len(items) <= MOST or not 1 <= len(types) <= MOST:
        raise Unprocessable(
            "entrust.scope",
            "请选择委托办理的事项和证照。",
            "Choose the matters and the certificates that this is good for.",
        )
    if not tx.now < valid_until <= tx.now + LONGEST:
        raise Unprocessable(
            "entrust.end", "委托最长一年，且须在将来结束。", "It must end in the future, within one year."
        )
    code = "-".join("".join(secrets.choice(_ALPHABET) for _ in range(4)) for _ in range(4))
    row = {
        "id": uuid7(),
        "public_id": public_token(),
        "principal": principal,
        "made_by": _citizen(tx),
        "delegate": None,
        "code_hash": _hash(code),
        "code_expires_at": tx.now + CODE_LIVES,
        "items": sorted(set(items)),
        "types": sorted(set(types)),
        "valid_until": valid_until,
        "state": EntrustmentState.OFFERED,
        "seq": 1,
        "created_at": tx.now,
    }
    await tx.insert(entrustments, row)
    await _record(tx, row, "entrust.offered", 1)
    return Offered(str(row["public_id"]), code)


async def take(tx: Tx, *, code: str) -> Entrustment:
    """Take what somebody offered, with the code; NotFound `entrust.code` for a wrong, late, taken or own one."""
    table = entrustments.c
    row = (
        await tx.conn.execute(
            entrustments.update()
            .where(
                table.code_hash == _hash(code.strip().upper()),
                table.state == EntrustmentState.OFFERED,
                table.code_expires_at > tx.now,
                table.valid_until > tx.now,
                table.principal != _citizen(tx),
            )
            .values(
                delegate=_citizen(tx), state=EntrustmentState.STANDING, code_hash=None, seq=table.seq + 1
            )
            .returning(entrustments)
        )
    ).first()
    if row is None:
        raise NotFound(
            "entrust.code",
            "委托码不对、已过期或已用过。",
            "This code is wrong, too old, or was used.",
            next_zh="请向委托人核对；委托码七天内有效，只能用一次。",
            next_en="Ask for it again: a code is good for seven days and once.",
        )
    await _record(tx, row._mapping, "entrust.taken", row.seq)
    return _entrustment(row)


async def finish(tx: Tx, *, public_id: str) -> Entrustment:
    """End it: the principal, whoever made it, or the delegate may. Every grant that rests on it ends in this commit."""
    table = entrustments.c
    citizen = _citizen(tx)
    row = (
        await tx.conn.execute(
            entrustments.update()
            .where(
                table.public_id == public_id,
                sa.or_(table.principal == citizen, table.made_by == citizen, table.delegate == citizen),
                table.state != EntrustmentState.ENDED,
            )
            .values(state=EntrustmentState.ENDED, code_hash=None, ended_at=tx.now, seq=table.seq + 1)
            .returning(entrustments)
        )
    ).first()
    if row is None:
        raise _unknown()
    await _record(tx, row._mapping, "entrust.ended", row.seq)
    await end_resting_on(tx, evidence=row.public_id)
    return _entrustment(row)


async def of_citizen(view: View) -> list[Entrustment]:
    """What the acting citizen offered, made or took, newest first; ended ones included."""
    table, citizen = entrustments.c, view.actor.subject_id
    rows = await view.all(
        sa.select(entrustments)
        .where(sa.or_(table.principal == citizen, table.made_by == citizen, table.delegate == citizen))
        .order_by(table.id.desc())
        .limit(100)
    )
    return [_entrustment(row) for row in rows]


async def entrusted(
    view: View, *, delegate: UUID, principal: UUID, item_code: str, types: Sequence[str]
) -> Entrustment | None:
    """The entrustment by which `delegate` may decide for `principal` now, the longest one; None when there is none."""
    table = entrustments.c
    rows = await view.all(
        sa.select(entrustments)
        .where(
            table.delegate == delegate,
            table.principal == principal,
            table.state == EntrustmentState.STANDING,
            table.valid_until > view.now,
        )
        .order_by(table.valid_until.desc())
    )
    found = map(_entrustment, rows)
    return next((one for one in found if one.covers(item_code, types, view.now)), None)


async def lock(tx: Tx, found: Entrustment) -> bool:
    """Hold an entrustment until this commit: what rests on it and its end have one order. False: it has just ended."""
    table = entrustments.c
    return bool(
        await tx.run(
            entrustments.update()
            .where(table.public_id == found.public_id, table.state == EntrustmentState.STANDING)
            .values(seq=table.seq)
        )
    )


async def principals_of(view: View, *, delegate: UUID) -> list[Entrustment]:
    """The entrustments by which this person may decide for others now."""
    table = entrustments.c
    rows = await view.all(
        sa.select(entrustments).where(
            table.delegate == delegate,
            table.state == EntrustmentState.STANDING,
            table.valid_until > view.now,
        )
    )
    return [_entrustment(row) for row in rows]


def not_entrusted() -> Forbidden:
    """Told alike whether there never was an entrustment, it ended, or it is for something else."""
    return Forbidden(
        "delegate.not_entrusted",
        "没有有效的委托，或者委托不包括这件事。",
        "There is no standing entrustment for this matter.",
        next_zh="请委托人在“委托他人”页面作出委托。",
        next_en="Ask the person to entrust you on the page “Entrust somebody”.",
    )


async def _record(tx: Tx, row: Any, event: str, seq: int) -> None:
    await commit_event(
        tx,
        kind=event,
        subject_id=row["principal"],
        body={
            "event": event,
            "entrustment": row["public_id"],
            "entrustment_seq": seq,
            "basis": str(Basis.DELEGATE if row["made_by"] == row["principal"] else Basis.LEGAL_REPRESENTATIVE),
            "items": list(row["items"]),
            "types": list(row["types"]),
            "valid_until": seconds(row["valid_until"]),
            "at": seconds(tx.now),
        },
    )


def _entrustment(row: Any) -> Entrustment:
    return Entrustment(
        public_id=row.public_id,
        principal=row.principal,
        made_by=row.made_by,
        delegate=row.delegate,
        items=tuple(row.items),
        types=tuple(row.types),
        valid_until=row.valid_until,
        state=EntrustmentState(row.state),
    )


def _citizen(view: View) -> UUID:
    if view.actor.subject_id is None:
        raise _unknown()
    return view.actor.subject_id


def _unknown() -> HubError:
    return NotFound(
        "entrust.unknown",
        "没有这项委托，或者它与您无关。",
        "There is no such entrustment, or it is not yours.",
    )


def _hash(code: str) -> bytes:
    return hashlib.sha256(code.encode("utf-8", "surrogatepass")).digest()

"""Pull: ask a department's agent for what is not held here, under a grant that stands; the walk "Pull" of DESIGN.

Orders are rows, so that any process may be asked and any may hold the agent's line. In order: `begin` (1. the look is
recorded before anything leaves), `claim` (2. the agent takes it, the grant still stands), `order_of` (3. signed,
with the consent's own evidence), the answer: `require_mine` and `require_grant` (4. the grant stands at this very
moment), then registered like any certificate, then `end` (5. once). Who waits too long ends it by `give_up`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from hub.access.model import Look, Outcome
from hub.access.record import record
from hub.actor import Actor
from hub.catalogue.items import ServiceItem, max_age
from hub.catalogue.planner import best_of
from hub.catalogue.sources import PullSource, may_try, note_pull
from hub.certificates.find import StatusWord
from hub.certificates.model import certificate_holders, certificates
from hub.consent.model import Grant, GrantState, grants
from hub.consent.use import by_public_ids
from hub.errors import Conflict, Gone, NotFound, Unprocessable
from hub.formats.pullorder import BASES
from hub.ids import bucket_of, public_token, uuid7
from hub.ledger.moving import require_moving
from hub.registry.types import CertificateType
from hub.store.tx import Tx, View
from hub.verification.model import PullEnd, PullOutcome, PullState, pulls

WAIT_SECONDS = 10
"""So long a verifier waits at most; an answer that comes later still serves the next who asks."""
LEASE_SECONDS = 6
"""An agent that took an order and is silent for so long has lost it: it may be taken again, with the same jti."""
LATE_SECONDS = 600
KEPT_DAYS = 30

_MISSING = frozenset({StatusWord.EXPIRED, StatusWord.OUTDATED})
"""What is held but does not fit any more for no other reason than time; revoked is revoked, and nothing is pulled."""

Key = tuple[str, str]
"""(public id of the grant, certificate type)."""


@dataclass(frozen=True, slots=True)
class Begun:
    """What `begin` came to: the pulls that wait now, by key, and those that ended before they began."""

    waiting: Mapping[Key, UUID]
    ended: Mapping[Key, PullEnd]


@dataclass(frozen=True, slots=True)
class Claimed:
    """An order that an agent takes: its row, and the grant that it is made under."""

    row: Any
    grant: Grant


async def begin(
    tx: Tx,
    asked: Sequence[Key],
    *,
    by: Actor,
    sources: Mapping[str, PullSource],
    items: Mapping[str, ServiceItem],
    types: Mapping[str, CertificateType],
) -> Begun:
    """Begin the pulls that these grants allow and that would help; each is first recorded as a look (1).

    A pull is made only when: the grant stands, is this verifier's, rests on somebody's agreement and has uses left;
    its holder holds nothing of the type that fits; a source answers pulls of the type and its breaker lets one
    through; and no more pulls were made under the grant than it has uses. The same question is asked once at a time.
    Raises Unavailable `ledger.stalled` as `verify` does.
    """
    await require_moving(tx)
    known = await by_public_ids(tx, (grant for grant, _ in asked))
    waiting: dict[Key, UUID] = {}
    ended: dict[Key, PullEnd] = {}
    fresh: list[tuple[Key, Grant, PullSource]] = []
    for key in sorted(set(asked)):
        grant, source = known.get(key[0]), sources.get(key[1])
        if grant is None or source is None or not _usable(tx, grant, by, key[1]):
            continue
        if not await _lacks(tx, grant, key[1], items, types):
            continue
        before = await tx.all(
            sa.select(pulls.c.id, pulls.c.state, pulls.c.deadline)
            .where(pulls.c.grant_public_id == key[0], pulls.c.type_code == key[1])
            .order_by(pulls.c.id)
        )
        going = [row.id for row in before if row.state != PullState.ENDED and row.deadline > tx.now]
        if going:
            waiting[key] = going[-1]
        elif len(before) >= grant.max_uses:
            ended[key] = PullEnd(PullOutcome.UNAVAILABLE, "pull.spent")
        elif not source.connected:
            ended[key] = PullEnd(PullOutcome.UNAVAILABLE, "pull.not_connected")
        elif not await may_try(tx, type_code=key[1], department=source.department):
            ended[key] = PullEnd(PullOutcome.UNAVAILABLE, "pull.resting")
        else:
            fresh.append((key, grant, source))
    looks = await record(tx, [_look(grant, key[1], by) for key, grant, _ in fresh])
    for (key, grant, source), look in zip(fresh, looks, strict=True):
        waiting[key] = uuid7()
        row = {
            "id": waiting[key], "public_id": public_token(), "department": source.department, "type_code": key[1],
            "verifier": by.department, "grant_public_id": key[0], "subject_id": grant.holder,
            "fields": grant.detail["fields"].get(key[1], []), "access": look.public_id, "state": PullState.WAITING,
            "asked_at": tx.now, "deadline": tx.now + timedelta(seconds=WAIT_SECONDS),
        }  # fmt: skip
        await tx.insert(pulls, row)
    return Begun(waiting, ended)


_LATE = timedelta(seconds=LATE_SECONDS)


def _usable(view: View, grant: Grant, by: Actor, type_code: str) -> bool:
    return (
        grant.department == by.department
        and grant.state is GrantState.STANDING
        and grant.valid_until > view.now
        and grant.uses < grant.max_uses
        and str(grant.basis) in BASES
        and grant.leaf_hash is not None
        and type_code in grant.detail["datatypes"]
        and not grant.detail.get("identifier")  # that names a certificate that is held already
    )


async def _lacks(
    view: View,
    grant: Grant,
    type_code: str,
    items: Mapping[str, ServiceItem],
    types: Mapping[str, CertificateType],
) -> bool:
    """Whether the holder holds nothing of this type that would do for the grant's item."""
    held = (await best_of(view, grant.holder)).get(type_code)
    if held is None:
        return True
    ages = [age for age in (types[type_code].max_age_days, max_age(items[grant.item_code], type_code)) if age]
    return held.word(view.now, min(ages, default=None)) in _MISSING


def _look(grant: Grant, type_code: str, by: Actor) -> Look:
    return Look(
        subject_id=grant.holder,
        department=by.department or "",
        officer_id=by.officer_id,
        item_code=grant.item_code,
        case_id=grant.case_id,
        purpose=grant.purpose,
        basis=str(grant.basis),
        outcome=Outcome.UNDECIDED,
        reason="pull.asked",
        type_code=type_code,
        grant_public_id=grant.public_id,
    )


async def claim(tx: Tx, *, types: Sequence[str], room: int) -> list[Claimed]:
    """Let the calling department's agent take up to `room` orders of these types, oldest first (2).

    What waits too long is left; what another agent took and lost is taken again. An order whose grant does not stand
    any more ends here, and nobody is asked.
    """
    table = pulls.c
    free = sa.or_(
        table.state == PullState.WAITING, sa.and_(table.state == PullState.TAKEN, table.taken_until <= tx.now)
    )
    rows = await tx.all(
        sa.select(pulls)
        .where(table.department == tx.actor.department, table.type_code.in_(types), free, table.deadline > tx.now)
        .order_by(table.id)
        .limit(room)
        .with_for_update(skip_locked=True)
    )
    known = await by_public_ids(tx, (row.grant_public_id for row in rows))
    claimed = []
    for row in rows:
        grant = known.get(row.grant_public_id)
        if grant is None or not _stands(tx, grant):
            await end(tx, row, PullEnd(PullOutcome.REFUSED, "grant.withdrawn"))
            continue
        until = tx.now + timedelta(seconds=LEASE_SECONDS)
        mine = pulls.update().where(table.id == row.id, table.state == row.state, table.state != PullState.ENDED)
        if await tx.run(mine.values(state=PullState.TAKEN, taken_until=until)):
            claimed.append(Claimed(row, grant))
    return claimed


async def release(tx: Tx, claimed: Sequence[Claimed]) -> None:
    """Give back what could not be handed over: the next who asks may have it."""
    ids = [one.row.id for one in claimed]
    mine = pulls.update().where(pulls.c.id.in_(ids), pulls.c.state == PullState.TAKEN)
    await tx.run(mine.values(state=PullState.WAITING, taken_until=None))


async def require_mine(tx: Tx, public_id: str) -> Any:
    """The pull that the calling department answers, its row locked; NotFound `pull.unknown` for another's too."""
    row = await tx.first(
        sa.select(pulls)
        .where(pulls.c.public_id == public_id, pulls.c.department == tx.actor.department)
        .with_for_update()
    )
    if row is None:
        raise NotFound(
            "pull.unknown", "没有这个取证请求，或者它不是发给本部门的。", "There is no such pull for this department."
        )
    return row


def is_over(view: View, row: Any, outcome: PullOutcome) -> bool:
    """Whether exactly this outcome was told before; False while the pull is open, or only the wait for it was over.

    Raises Conflict `pull.ended` when another one was, Gone `pull.too_late` ten minutes after the end of the wait.
    """
    if row.state == PullState.ENDED and row.reason != TIMED_OUT:
        if row.outcome != outcome:
            raise over()
        return True
    if row.deadline + _LATE < view.now:
        raise Gone("pull.too_late", "答复太晚，请求已作废。", "The answer comes too late; the pull is void.")
    return False


def over() -> Conflict:
    """The refusal of a second answer that differs from the first."""
    return Conflict("pull.ended", "这个取证请求已经有了结果。", "This pull has ended already.")


TIMED_OUT = "pull.timeout"


async def require_grant(tx: Tx, row: Any) -> None:
    """The grant stands at this moment, its row locked until the commit, or nothing is registered for it (4).

    Raises Gone `pull.withdrawn`.
    """
    found = (await by_public_ids(tx, [row.grant_public_id])).get(row.grant_public_id)
    standing = None
    if found is not None:
        standing = await tx.first(
            sa.select(grants.c.state)
            .where(
                grants.c.bucket == found.bucket,
                grants.c.id == found.id,
                grants.c.state == GrantState.STANDING,
                grants.c.valid_until > tx.now,
            )
            .with_for_update()
        )
    if standing is None:
        raise Gone(
            "pull.withdrawn",
            "本人已收回同意或同意已到期，这份证照不登记。",
            "The consent was withdrawn or has ended: this certificate is not registered.",
        )


async def require_about(tx: Tx, row: Any, certificate: str) -> None:
    """The certificate that answers a pull is of its department and type, and about its person.

    Raises Unprocessable `pull.other_certificate`.
    """
    link = certificate_holders.c
    found = await tx.first(
        sa.select(certificates.c.public_id)
        .join(
            certificate_holders,
            sa.and_(link.certificate_bucket == certificates.c.bucket, link.certificate_id == certificates.c.id),
        )
        .where(
            certificates.c.public_id == certificate,
            certificates.c.department == row.department,
            certificates.c.type_code == row.type_code,
            link.bucket == bucket_of(row.subject_id),
            link.subject_id == row.subject_id,
        )
    )
    if found is None:
        raise Unprocessable(
            "pull.other_certificate",
            "交来的证照不是所请求的人或类型的。",
            "The certificate is not of the person or type that was asked for.",
        )


async def end(tx: Tx, row: Any, ended: PullEnd, *, certificate: str | None = None) -> bool:
    """End a pull, once (5); False when it had ended. The source's breaker learns whether it answered."""
    again = pulls.c.reason == TIMED_OUT if ended.reason != TIMED_OUT else sa.false()
    done = await tx.run(
        pulls.update()
        .where(pulls.c.id == row.id, sa.or_(pulls.c.state != PullState.ENDED, again))
        .values(
            state=PullState.ENDED, ended_at=tx.now, outcome=ended.outcome, reason=ended.reason,
            certificate=certificate,
        )
    )  # fmt: skip
    if done and ended.reason not in _SAYS_NOTHING:
        answered = ended.outcome is not PullOutcome.UNAVAILABLE
        await note_pull(tx, type_code=row.type_code, department=row.department, answered=answered)
    return bool(done)


_SAYS_NOTHING = frozenset({"grant.withdrawn", "agent.busy", "pull.no_number"})
"""Ends that tell nothing of the source."""


async def ended_among(view: View, ids: Sequence[UUID]) -> dict[UUID, PullEnd]:
    """Those of many pulls that have ended, and how."""
    rows = await view.all(
        sa.select(pulls.c.id, pulls.c.outcome, pulls.c.reason).where(
            pulls.c.id.in_(ids), pulls.c.state == PullState.ENDED
        )
    )
    return {row.id: PullEnd(PullOutcome(row.outcome), row.reason or "") for row in rows}


async def give_up(tx: Tx, ids: Sequence[UUID]) -> dict[UUID, PullEnd]:
    """End those that nobody answered in time, and say how all of them ended."""
    rows = await tx.all(sa.select(pulls).where(pulls.c.id.in_(ids)).order_by(pulls.c.id).with_for_update())
    for row in rows:
        if row.state != PullState.ENDED:
            await end(tx, row, PullEnd(PullOutcome.UNAVAILABLE, TIMED_OUT))
    return await ended_among(tx, ids)


async def any_waiting(view: View, departments: Sequence[str]) -> set[str]:
    """Those of these departments for whose agents something waits."""
    table = pulls.c
    free = sa.or_(
        table.state == PullState.WAITING, sa.and_(table.state == PullState.TAKEN, table.taken_until <= view.now)
    )
    rows = await view.all(
        sa.select(table.department)
        .where(table.department.in_(departments), free, table.deadline > view.now)
        .distinct()
    )
    return {row.department for row in rows}


async def forget_old(tx: Tx) -> int:
    """Delete pulls that ended long ago; the looks that they were recorded as stay. Returns how many."""
    return await tx.run(pulls.delete().where(pulls.c.deadline < tx.now - timedelta(days=KEPT_DAYS)))


def _stands(view: View, grant: Grant) -> bool:
    return grant.state is GrantState.STANDING and grant.valid_until > view.now

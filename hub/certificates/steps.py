"""A certificate's step from one state to the next: which are allowed, what its list must say then, and its leaf."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

import sqlalchemy as sa

from hub.certificates.indices import Place
from hub.certificates.model import FOLLOWS, Certificate, CertificateState, StatusEvent, certificates
from hub.clock import seconds
from hub.errors import Conflict
from hub.formats import statuslist
from hub.ledger.append import commit_all, event_under
from hub.store.outbox import emit_all
from hub.store.statement import Statement
from hub.store.tx import Tx

SUPERSEDED = "superseded"
"""The reason of a supersession for which none is given."""
VALUES: Mapping[StatusEvent, int] = {
    StatusEvent.REVOKE: statuslist.INVALID,
    StatusEvent.SUSPEND: statuslist.SUSPENDED,
    StatusEvent.REINSTATE: statuslist.VALID,
    StatusEvent.SUPERSEDE: statuslist.INVALID,
}
"""What the department's list says of a certificate after each event."""
STATES: Mapping[StatusEvent, CertificateState] = {event: found for (_, event), found in FOLLOWS.items()}
"""The state that each event leads to, wherever it began."""


class Move(NamedTuple):
    """One step of one certificate; `successor` is the row of the certificate that takes its place."""

    certificate: Certificate
    after: CertificateState
    reason: str
    successor: UUID | None = None


def after(certificate: Certificate, event: StatusEvent) -> CertificateState:
    """The state that follows.

    Raises Conflict `status.step_not_allowed`, for a supersession `certificate.not_current`.
    """
    found = FOLLOWS.get((certificate.state, event))
    if found is not None:
        return found
    if event is StatusEvent.SUPERSEDE:
        raise Conflict(
            "certificate.not_current",
            f"被取代的证照当前状态为 {certificate.state}，不能再被取代。",
            f"The certificate to be superseded is {certificate.state} and cannot be superseded.",
        )
    raise Conflict(
        "status.step_not_allowed",
        f"证照当前状态为 {certificate.state}，不能执行 {event}。",
        f"A certificate that is {certificate.state} cannot take the event {event}.",
        next_zh="已撤销或已被取代的证照不能恢复，请签发新的证照。",
        next_en="A revoked or superseded certificate cannot come back: register a new one.",
    )


def entry(certificate: Certificate) -> Place:
    """The list and index of a certificate. Raises Conflict `status.no_index`."""
    if certificate.status_uri is None or certificate.status_idx is None:
        raise Conflict(
            "status.no_index",
            "该证照没有状态位，只能等待到期或以新证照取代。",
            "This certificate has no status index; it can only expire or be superseded.",
        )
    return certificate.status_uri, certificate.status_idx


def _move(_: str) -> sa.Executable:
    table = certificates.c
    said = {name: sa.bindparam(f"new_{name}", type_=table[name].type) for name in _MOVED}
    mine = [table[name] == sa.bindparam(f"old_{name}", type_=table[name].type) for name in ("bucket", "id", "state")]
    return certificates.update().where(*mine).values(**said).returning(table.id)


_MOVED = ("state", "state_since", "state_reason", "superseded_by")
MOVE = Statement(_move, unique=("old_bucket", "old_id"))


async def take(tx: Tx, moves: Sequence[Move]) -> None:
    """Record the hub's view of certificates, each with a leaf and a notice of its own.

    Raises Conflict `status.changed_meanwhile` when somebody else was faster with any of them.
    """
    won = await tx.each(
        MOVE,
        [
            {
                "old_bucket": move.certificate.ref.bucket,
                "old_id": move.certificate.ref.id,
                "old_state": move.certificate.state,
                "new_state": move.after,
                "new_state_since": tx.now,
                "new_state_reason": move.reason,
                "new_superseded_by": move.successor,
            }
            for move in moves
        ],
    )
    if len(won) < len(moves):
        raise Conflict(
            "status.changed_meanwhile",
            "该证照的状态刚刚被改变。",
            "The status of this certificate has just been changed by another request.",
            next_zh="请重新读取状态后再试。",
            next_en="Read its state again and retry.",
        )
    events = [
        event_under(
            tx,
            kind=f"certificate.{move.after}",
            subject_id=None,
            key=None,
            body={
                "event": f"certificate.{move.after}",
                "department": move.certificate.department,
                "certificate": move.certificate.public_id,
                "reason": move.reason,
                "at": seconds(tx.now),
            },
        )
        for move in moves
    ]
    await commit_all(tx, events)
    await emit_all(
        tx,
        kind="certificate.changed",
        facts=[{"certificate": move.certificate.public_id, "state": move.after} for move in moves],
    )

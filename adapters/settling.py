"""What the hub said of one promise, into the state: it stands there now, or it was refused for good."""

from collections import Counter
from dataclasses import replace

from adapters import quarantine
from adapters.answers import Registered
from adapters.desk import Desk
from adapters.findings import Finding
from adapters.state import Waiting
from hub.errors import Forbidden, HubError, Internal, TooMany, Unauthenticated, Unavailable

STOPS = (Unavailable, TooMany, Internal, Unauthenticated, Forbidden)
"""Refusals that say nothing about a promise: everything stays, and the next sync goes on from there."""
_SIGN_AGAIN = frozenset(
    {
        "certificate.iat_out_of_range",
        "certificate.jti_used",
        "key.not_standing",
        "key.unknown",
        "status.index_taken",
    }
)
"""Refusals that say nothing about the row: the next pass signs it anew."""


def registered(desk: Desk, one: Waiting, made: Registered, counts: Counter[str]) -> None:
    """The hub holds this certificate, now or since before: the entry says so and the promise is gone."""
    taken, stands = _as_held(one, made) if made.replayed else (one, True)
    desk.state.acked(taken, made.certificate_id, stands=stands)
    quarantine.clear(desk.state, one.dataset, one.ref)
    counts["superseded" if one.kind == "supersede" else "registered"] += 1


def refused(desk: Desk, one: Waiting, answer: HubError, counts: Counter[str]) -> None:
    """The hub will never take this promise: it is dropped, and its row is quarantined under what the hub said."""
    desk.state.withdraw(one)
    again = answer.code in _SIGN_AGAIN
    if again:
        desk.state.want_whole(one.dataset)
    quarantine.put(
        desk.state,
        one.dataset,
        one.ref,
        one.key,
        [Finding("refused_by_hub", detail=answer.code)],
        pass_id=one.pass_id,
        rules="",
        now=desk.stamp(),
        claims_hash="" if again else one.claims_hash,
    )
    counts["quarantined"] += 1


def _as_held(one: Waiting, answer: Registered) -> tuple[Waiting, bool]:
    """What the hub holds for this generation: not always these bytes, when our state came back from a backup."""
    if answer.entry is not None and answer.entry != (one.uri, one.idx):
        one = replace(one, uri=answer.entry[0], idx=answer.entry[1])
    return one, answer.state in ("current", "suspended")

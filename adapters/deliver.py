"""From the outbox to the hub: in order, byte for byte, until each promise is acked or refused for good.

A promise is dropped only after the hub answered. What the hub answers decides:
1. registered, or registered before: the entry says so; 2. another version of a status list: lists are signed again
on top of it; 3. the certificate to be superseded does not stand any more: registered without; 4. refused for what it
says: quarantine; 5. the hub is away, or does not let us in: everything stays and the error is raised.
"""

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import groupby

from adapters import quarantine
from adapters.answers import Registered, Registration
from adapters.desk import Desk
from adapters.findings import Finding
from adapters.state import Waiting
from hub.errors import (
    Conflict,
    Forbidden,
    HubError,
    Internal,
    NotFound,
    TooMany,
    Unauthenticated,
    Unavailable,
)

BATCH = 200
"""Promises in one call when status lists go with them: each list builds on the one before."""
CHUNK = 500
IN_FLIGHT = 4
"""First registrations build on nothing: so many, in so many calls at once."""
_STOPS = (Unavailable, TooMany, Internal, Unauthenticated, Forbidden)
_ALREADY = frozenset({"status.step_not_allowed", "certificate.not_current"})
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


def deliver(desk: Desk) -> Counter[str]:
    """Empty the outbox. Counts `registered`, `superseded`, `revoked`, `quarantined`. Raises the stopping HubError."""
    counts: Counter[str] = Counter()
    stuck = 0
    while batch := desk.state.waiting(CHUNK * IN_FLIGHT):
        if any(one.old_id is not None for one in batch):
            batch = batch[:BATCH]
        desk.book.forget_unsent()
        fits = True
        for revoking, group in groupby(_with_lists(desk, batch), key=lambda one: one.kind == "revoke"):
            fits = (_revoke if revoking else _register)(desk, list(group), counts)
            if not fits:  # a list moved: what was signed on top of it is signed again
                desk.state.drop_list_tokens()
                desk.book.adopt()
                break
        acked = {one.id for one in batch} - {one.id for one in desk.state.waiting(len(batch))}
        stuck = 0 if acked else stuck + 1
        if stuck > 3:
            raise Conflict(
                "agent.stuck",
                "状态列表反复冲突，可能有另一个代理在同时运行。",
                "Status lists keep conflicting: another agent of this department may be running.",
                next_zh="请停掉另一个代理后再同步。",
                next_en="Stop the other agent and sync again.",
            )
    return counts


def _with_lists(desk: Desk, batch: Sequence[Waiting]) -> list[Waiting]:
    """Give every promise that ends a certificate its list token, each on top of the one before, and keep them."""
    found: list[Waiting] = []
    with desk.state.transaction():
        for one in batch:
            if one.old_uri is None or one.old_idx is None:
                found.append(one)
                continue
            if one.list_token is not None:
                desk.book.sent(one.list_token)
                found.append(one)
                continue
            token = desk.book.revoking(one.old_uri, one.old_idx)
            desk.state.keep_list_token(one.id, token)
            found.append(one.with_list(token))
    return found


def _register(desk: Desk, group: list[Waiting], counts: Counter[str]) -> bool:
    """Registrations, several calls at once where nothing builds on another. False when lists must be signed again."""
    chunks = [group[place : place + CHUNK] for place in range(0, len(group), CHUNK)]
    if len(chunks) == 1:
        answers = [ask(desk, chunks[0])]
    else:
        with ThreadPoolExecutor(IN_FLIGHT) as pool:
            answers = list(pool.map(lambda chunk: ask(desk, chunk), chunks))
    stops: list[HubError] = []
    fits = True
    for chunk, answered in zip(chunks, answers, strict=True):
        fits = settle(desk, chunk, answered, counts, stops) and fits
    if stops:
        raise stops[0]
    return fits


Answers = list[Registered | HubError] | HubError
"""What the hub says to each of a chunk, or why it said nothing at all."""


def ask(desk: Desk, chunk: Sequence[Waiting]) -> Answers:
    """One call to the hub. Touches no state, so that it may run beside everything else."""
    items = [
        Registration(
            one.sd_jwt, one.dataset, one.ref, one.generation, one.claims_hash, one.old_id, one.list_token
        )
        for one in chunk
    ]
    try:
        return list(desk.client.register_batch(items))
    except HubError as fault:
        return fault


def settle(
    desk: Desk, chunk: Sequence[Waiting], answers: Answers, counts: Counter[str], stops: list[HubError]
) -> bool:
    """What the hub said of a chunk, into the state. False when lists must be signed again.

    Errors that stop the sending go to `stops`: what was taken in one chunk is not lost with another.
    """
    if isinstance(answers, HubError):
        stops.append(answers)
        return True
    fits = True
    plain: list[tuple[Waiting, str]] = []
    with desk.state.transaction():
        for one, answer in zip(chunk, answers, strict=True):
            if isinstance(answer, _STOPS):
                desk.state.failed(one.id, answer.code)
                stops.append(answer)
            elif isinstance(answer, Registered) and not answer.replayed and one.old_id is None:
                plain.append((one, answer.certificate_id))
            else:
                fits = _settle(desk, one, answer, counts) and fits
        desk.state.acked_first(plain)
        for dataset, group in groupby(plain, key=lambda pair: pair[0].dataset):
            quarantine.clear_all(desk.state, dataset, [one.ref for one, _ in group])
    counts["registered"] += len(plain)
    return fits


def _settle(desk: Desk, one: Waiting, answer: Registered | HubError, counts: Counter[str]) -> bool:
    """One answer that will not change. False when lists must be signed again."""
    if isinstance(answer, Registered):
        taken, stands = _as_held(one, answer) if answer.replayed else (one, True)
        desk.state.acked(taken, answer.certificate_id, stands=stands)
        quarantine.clear(desk.state, one.dataset, one.ref)
        if one.list_token is not None:
            desk.book.acked(one.list_token)
        counts["superseded" if one.kind == "supersede" else "registered"] += 1
        return True
    if answer.code == "status.list_conflict":
        return False
    if one.kind == "supersede" and (answer.code in _ALREADY or isinstance(answer, NotFound)):
        desk.state.stand_alone(one)
        return False
    _refused(desk, one, answer, counts)
    return one.list_token is None


def _as_held(one: Waiting, answer: Registered) -> tuple[Waiting, bool]:
    """What the hub holds for this generation: not always these bytes, when our state came back from a backup."""
    if answer.entry is not None and answer.entry != (one.uri, one.idx):
        one = replace(one, uri=answer.entry[0], idx=answer.entry[1])
    return one, answer.state in ("current", "suspended")


def _revoke(desk: Desk, group: list[Waiting], counts: Counter[str]) -> bool:
    """Revocations, one call each. False when lists must be signed again."""
    for one in group:
        if one.old_id is None or one.list_token is None:
            desk.state.withdraw(one)
            continue
        try:
            desk.client.change_status(one.old_id, "revoke", one.reason, one.list_token)
        except HubError as fault:
            if fault.code == "status.list_conflict":
                return False
            if fault.code in _ALREADY or isinstance(fault, NotFound):  # ended by other means
                desk.state.acked(one, one.old_id)
                return False
            desk.state.failed(one.id, fault.code)
            raise
        with desk.state.transaction():
            desk.state.acked(one, one.old_id)
            desk.book.acked(one.list_token)
        counts["revoked"] += 1
    return True


def _refused(desk: Desk, one: Waiting, answer: HubError, counts: Counter[str]) -> None:
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

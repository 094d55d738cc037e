"""From the outbox to the hub, byte for byte, until each promise is acked or refused for good.

A promise is dropped only after the hub answered. What the hub answers decides:
1. registered, or registered before: the entry says so; 2. another version of a status list: lists are signed again
on top of it; 3. the certificate to be superseded does not stand any more: registered without; 4. refused for what it
says: quarantine; 5. the hub is away, or does not let us in: everything stays and the error is raised.
First registrations build on nothing and go out several calls at once; what ends a certificate goes step by step
(`adapters/ending.py`).
"""

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby

from adapters import ending, quarantine, settling
from adapters.answers import Registered, Registration
from adapters.desk import Desk
from adapters.settling import STOPS
from adapters.state import Waiting
from hub.errors import Conflict, HubError

CHUNK = 500
IN_FLIGHT = 4
"""First registrations build on nothing: so many, in so many calls at once."""
TRIES = 3


def deliver(desk: Desk) -> Counter[str]:
    """Empty the outbox. Counts `registered`, `superseded`, `revoked`, `quarantined`. Raises the stopping HubError."""
    counts: Counter[str] = Counter()
    stuck = 0
    while desk.state.waiting(1):
        if first := desk.state.waiting(CHUNK * IN_FLIGHT, kind="register"):
            _register(desk, first, counts)
            continue
        fault = ending.end(desk, counts)
        stuck = 0 if fault is None else stuck + 1
        if fault is not None and stuck > TRIES:
            raise fault if fault.code != "status.list_conflict" else _stuck()
    return counts


def _stuck() -> Conflict:
    return Conflict(
        "agent.stuck",
        "状态列表反复冲突，可能有另一个代理在同时运行。",
        "Status lists keep conflicting: another agent of this department may be running.",
        next_zh="请停掉另一个代理后再同步。",
        next_en="Stop the other agent and sync again.",
    )


def _register(desk: Desk, group: list[Waiting], counts: Counter[str]) -> None:
    """Registrations, several calls at once. Raises the HubError that stops the sending, when the others are settled."""
    chunks = [group[place : place + CHUNK] for place in range(0, len(group), CHUNK)]
    if len(chunks) == 1:
        answers = [ask(desk, chunks[0])]
    else:
        with ThreadPoolExecutor(IN_FLIGHT) as pool:
            answers = list(pool.map(lambda chunk: ask(desk, chunk), chunks))
    stops: list[HubError] = []
    for chunk, answered in zip(chunks, answers, strict=True):
        settle(desk, chunk, answered, counts, stops)
    if stops:
        raise stops[0]


Answers = list[Registered | HubError] | HubError
"""What the hub says to each of a chunk, or why it said nothing at all."""


def ask(desk: Desk, chunk: Sequence[Waiting]) -> Answers:
    """One call to the hub. Touches no state, so that it may run beside everything else."""
    items = [
        Registration(one.sd_jwt, one.dataset, one.ref, one.generation, one.claims_hash) for one in chunk
    ]
    try:
        return list(desk.client.register_batch(items))
    except HubError as fault:
        return fault


def settle(
    desk: Desk, chunk: Sequence[Waiting], answers: Answers, counts: Counter[str], stops: list[HubError]
) -> None:
    """What the hub said of a chunk, into the state.

    Errors that stop the sending go to `stops`: what was taken in one chunk is not lost with another.
    """
    if isinstance(answers, HubError):
        stops.append(answers)
        return
    plain: list[tuple[Waiting, str]] = []
    with desk.state.transaction():
        for one, answer in zip(chunk, answers, strict=True):
            if isinstance(answer, STOPS):
                desk.state.failed([one.id], answer.code)
                stops.append(answer)
            elif isinstance(answer, HubError):
                settling.refused(desk, one, answer, counts)
            elif answer.replayed:
                settling.registered(desk, one, answer, counts)
            else:
                plain.append((one, answer.certificate_id))
        desk.state.acked_first(plain)
        for dataset, group in groupby(plain, key=lambda pair: pair[0].dataset):
            quarantine.clear_all(desk.state, dataset, [one.ref for one, _ in group])
    counts["registered"] += len(plain)

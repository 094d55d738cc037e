"""Promises that end certificates: many at once, with one new version of each status list that they stand in.

A step is kept before it is sent (its lists, and which promises it settles), so that after a kill the same bytes go out
again; the hub does all of it or nothing, and answers a step that it has done before as the first time.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence

from adapters import settling
from adapters.answers import Ending, Registration, refusals
from adapters.desk import Desk
from adapters.settling import STOPS
from adapters.state import Waiting
from hub.errors import HubError, NotFound

MOST = 500
MOST_BYTES = 4 * 1024 * 1024
"""Of new certificates in one step: the hub takes 8 MiB with the lists."""
MOST_LISTS = 48
_ALREADY = frozenset({"status.step_not_allowed", "certificate.not_current", "changes.repeated"})


def end(desk: Desk, counts: Counter[str]) -> HubError | None:
    """One step: the one that was under way, else the next. None when something was settled, else why nothing was.

    Raises the HubError that stops the sending; the step then stays as it is. Every other refusal takes the lists
    back, and the next step signs new ones on top of what the hub holds.
    """
    lists, parts = desk.state.step() or _next(desk)
    if not parts:
        return None
    try:
        answers = desk.client.change_many(lists, [_asked(one) for one in parts])
    except STOPS as fault:
        desk.state.failed([one.id for one in parts], fault.code)
        raise
    except HubError as fault:
        return _not_done(desk, parts, fault, counts)
    with desk.state.transaction():
        for one, made in zip(parts, answers, strict=True):
            if made is not None:
                settling.registered(desk, one, made, counts)
            elif one.old_id is not None:
                desk.state.acked(one, one.old_id)
                counts["revoked"] += 1
        for token in lists:
            desk.book.acked(token)
        desk.state.drop_step()
    return None


def _next(desk: Desk) -> tuple[list[str], list[Waiting]]:
    """The next promises, those of one list together, and the lists that end them; kept before anything is sent."""
    desk.book.forget_unsent()
    entries: dict[str, list[int]] = defaultdict(list)
    parts: list[Waiting] = []
    size = 0
    for one in desk.state.waiting_to_end(MOST):
        if one.old_id is None or one.old_uri is None or one.old_idx is None:
            desk.state.withdraw(one)
            continue
        more = one.old_uri not in entries and len(entries) == MOST_LISTS
        if parts and (more or size + len(one.sd_jwt) > MOST_BYTES):
            break
        entries[one.old_uri].append(one.old_idx)
        parts.append(one)
        size += len(one.sd_jwt)
    lists = [desk.book.ending(uri, indices) for uri, indices in entries.items()]
    desk.state.keep_step(lists, [one.id for one in parts])
    return lists, parts


def _asked(one: Waiting) -> Ending:
    new = None
    if one.kind == "supersede":
        new = Registration(one.sd_jwt, one.dataset, one.ref, one.generation, one.claims_hash)
    return Ending(str(one.old_id), one.reason, new)


def _not_done(desk: Desk, parts: Sequence[Waiting], fault: HubError, counts: Counter[str]) -> HubError | None:
    """The hub did nothing of it. What it names is settled alone, so that the others go without it next time."""
    if fault.code != "changes.refused":  # a list moved, or a key: what was signed on top of it is signed again
        desk.state.drop_step()
        desk.book.adopt()
        return fault
    stops: list[HubError] = []
    with desk.state.transaction():
        for place, refusal in refusals(fault, len(parts)):
            one = parts[place]
            if isinstance(refusal, STOPS):
                desk.state.failed([one.id], refusal.code)
                stops.append(refusal)
            elif refusal.code not in _ALREADY and not isinstance(refusal, NotFound):
                settling.refused(desk, one, refusal, counts)
            elif one.kind == "supersede":
                desk.state.stand_alone(one)
            else:  # ended by other means
                desk.state.acked(one, str(one.old_id))
        desk.state.drop_step()
    if stops:
        raise stops[0]
    return None


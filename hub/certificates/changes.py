"""Many certificates end, or change, in one step: one new version of each status list for all of them.

All of it or nothing: a list is one signed statement about all its entries, so it is true only when every change that
it shows came with it, and no other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from hub.certificates import status, steps
from hub.certificates.content import foreign_type
from hub.certificates.find import by_public_ids, unknown_certificate
from hub.certificates.model import Certificate, CertificateState, StatusEvent
from hub.certificates.register import Handed, Registered, register_all, replays, same, together
from hub.certificates.steps import Move
from hub.errors import Conflict, HubError, Unavailable, Unprocessable
from hub.registry import departments
from hub.store.tx import Tx, lost_a_race


class Change(NamedTuple):
    """What happens to one certificate, and why; with SUPERSEDE the new one as handed in and looked at."""

    certificate: str
    event: StatusEvent
    reason: str
    new: Handed | HubError | None = None


@dataclass(frozen=True, slots=True)
class Changed:
    """How one certificate stands now, and what took its place. `replayed`: it was so before this call."""

    certificate: str
    event: StatusEvent
    state: CertificateState
    new: Registered | None
    replayed: bool


class _Plan(NamedTuple):
    """What is to be done for a change, or was (`done`). `replay` was registered before for the same source row."""

    old: Certificate
    after: CertificateState
    done: bool
    replay: Any = None


async def change_all(tx: Tx, *, lists: Sequence[str], changes: Sequence[Change]) -> list[Changed]:
    """Take in these new versions of lists with exactly these changes, or nothing; what became of each, in order.

    1. The lists are held, so that nobody moves them meanwhile. 2. Each change is looked at: the certificate is the
    caller's, named once, and may take the step. A row that was registered before is done; so is every step when the
    hub has these very lists already: the answer was lost, and is given again. 3. Each list differs from the one before
    in the entries of what is to be done, not one more and not one fewer. 4. What is new is registered. 5. Each
    certificate that changed gets its leaf and its notice.
    Raises Unprocessable `changes.refused` with `refused` (place from 1, kind, code and texts of each), `changes.*`,
    `status.unannounced_change`; Conflict `status.list_conflict`; Unavailable, when only the moment was wrong.
    """
    department = tx.actor.department
    if department is None:
        raise foreign_type()
    await departments.require_active(tx, slug=department)
    tokens, stored = await status.hold(tx, lists)  # 1
    plans = await _plans(tx, department, changes, stored=stored)  # 2
    entries = _entries(changes, plans, tokens)
    if not stored or any(not plan.done for plan in plans):
        for uri, token in sorted(tokens.items()):
            await status.accept_list(tx, token=token, changes=entries.get(uri, {}))  # 3
    made = await _register(tx, changes, plans)  # 4
    moves = [
        Move(plan.old, plan.after, change.reason, _successor(change, plan))
        for change, plan in zip(changes, plans, strict=True)
        if not plan.done
    ]
    await steps.take(tx, moves)  # 5
    return [
        Changed(change.certificate, change.event, plan.after, made.get(place), replayed=plan.done)
        for place, (change, plan) in enumerate(zip(changes, plans, strict=True))
    ]


async def _plans(tx: Tx, department: str, changes: Sequence[Change], *, stored: bool) -> list[_Plan]:
    found = await by_public_ids(tx, [change.certificate for change in changes])
    sources = [source for change in changes if (source := _source(change)) is not None]
    known = await replays(tx, department, sources)
    plans: list[_Plan] = []
    refused: dict[int, HubError] = {place: _repeated() for place in _repeats(changes)}
    for place, change in enumerate(changes):
        source = _source(change)
        replay = None if source is None else known.get(source[:3])
        try:
            if place not in refused:
                plans.append(_plan(department, change, found.get(change.certificate), replay, stored=stored))
        except HubError as refusal:
            refused[place] = refusal
    if refused:
        raise _refused(refused)
    return plans


def _plan(department: str, change: Change, old: Certificate | None, replay: Any, *, stored: bool) -> _Plan:
    if old is None or old.department != department:
        raise unknown_certificate()
    if change.event is not StatusEvent.SUPERSEDE:
        steps.entry(old)
        over = stored and old.state is steps.STATES[change.event]
        return _Plan(old, old.state, True) if over else _Plan(old, steps.after(old, change.event), False)
    if isinstance(change.new, HubError):
        raise change.new
    if change.new is None:
        raise _repeated()
    application, examined = change.new
    if replay is not None and application.source is not None:
        if isinstance(answer := same(replay, application.source), HubError):
            raise answer
        if replay.id == old.ref.id:
            raise _repeated()
        if old.state not in (CertificateState.CURRENT, CertificateState.SUSPENDED):
            return _Plan(old, old.state, True, replay)
        return _Plan(old, steps.after(old, change.event), False, replay)
    if isinstance(examined, HubError):
        raise examined
    if examined.type_code != old.type_code:
        raise foreign_type()
    return _Plan(old, steps.after(old, change.event), False)


def _entries(
    changes: Sequence[Change], plans: Sequence[_Plan], tokens: Mapping[str, str]
) -> dict[str, dict[int, int]]:
    """What each list must say that it did not say before, by list and index."""
    entries: dict[str, dict[int, int]] = {}
    for change, plan in zip(changes, plans, strict=True):
        uri, idx = plan.old.status_uri, plan.old.status_idx
        if plan.done or uri is None or idx is None:
            continue
        if uri not in tokens:
            raise Unprocessable(
                "changes.list_missing",
                "缺少某份证照所在状态列表的新版本。",
                "The new version of a status list that one of these certificates stands in is missing.",
                next_zh="请为每个涉及的状态列表各签一个新版本，随同一请求提交。",
                next_en="Sign one new version of each list concerned and send them with this request.",
                uri=uri,
            )
        entries.setdefault(uri, {})[idx] = steps.VALUES[change.event]
    return entries


async def _register(tx: Tx, changes: Sequence[Change], plans: Sequence[_Plan]) -> dict[int, Registered]:
    """The new certificates by the place of their change, those that were registered before too."""
    made: dict[int, Registered] = {}
    fresh: list[tuple[int, Handed, UUID]] = []
    for place, (change, plan) in enumerate(zip(changes, plans, strict=True)):
        if isinstance(change.new, tuple):
            source = change.new[0].source
            if plan.replay is None:
                fresh.append((place, change.new, plan.old.ref.id))
            elif source is not None and isinstance(answer := same(plan.replay, source), Registered):
                made[place] = answer
    if not fresh:
        return made
    replaced = {at: old for at, (_, _, old) in enumerate(fresh)}
    answers = await register_all(tx, [handed for _, handed, _ in fresh], replaced=replaced)
    refused: dict[int, HubError] = {}
    for (place, _, _), answer in zip(fresh, answers, strict=True):
        if isinstance(answer, HubError):
            refused[place] = answer
        elif answer.replayed:  # somebody else was faster with this row: the whole is looked at again
            raise lost_a_race()
        else:
            made[place] = answer
    if refused:
        raise _refused(refused)
    return made


def _source(change: Change) -> Any:
    return change.new[0].source if isinstance(change.new, tuple) else None


def _successor(change: Change, plan: _Plan) -> UUID | None:
    if plan.replay is not None:
        found: UUID = plan.replay.id
        return found
    examined = change.new[1] if isinstance(change.new, tuple) else None
    return None if examined is None or isinstance(examined, HubError) else examined.id


def _repeats(changes: Sequence[Change]) -> list[int]:
    """The places at which a certificate, a row, a jti or an index comes a second time."""
    first: dict[str, int] = {}
    twice = [place for place, one in enumerate(changes) if first.setdefault(one.certificate, place) != place]
    news = [(place, one.new) for place, one in enumerate(changes) if isinstance(one.new, tuple)]
    while (fit := together([handed for _, handed in news])) < len(news):
        twice.append(news.pop(fit)[0])
    return twice


def _repeated() -> Conflict:
    return Conflict(
        "changes.repeated",
        "同一证照、来源行、编号或状态位在一次请求中出现了两次，或证照要取代它自己。",
        "A certificate, source row, jti or index comes twice in this request, or a certificate is to replace itself.",
        next_zh="请去掉重复的一项后重新提交。",
        next_en="Leave the repeated one out and send the rest again.",
    )


def _refused(refused: Mapping[int, HubError]) -> HubError:
    """What is told of changes that cannot be; when one of them could be in another moment, that instead."""
    for refusal in refused.values():
        if isinstance(refusal, Unavailable):
            return refusal
    told = [
        {
            "change": place + 1,
            "kind": refusal.kind,
            "code": refusal.code,
            "zh": refusal.zh,
            "en": refusal.en,
            "next": {"zh": refusal.next_zh, "en": refusal.next_en},
        }
        for place, refusal in sorted(refused.items())
    ]
    return Unprocessable(
        "changes.refused",
        f"有 {len(told)} 项变更不成立，整批都未生效。",
        f"{len(told)} of these changes cannot be; nothing of the request was done.",
        next_zh="请去掉 refused 所列各项，重新签状态列表（只含其余各项）后再提交。",
        next_en="Leave out what `refused` names, sign the lists anew with the others alone, and send those again.",
        refused=told,
    )

"""One pull order from the hub answered: the consent checked, one row looked up, signed on the spot.

In this order, and nothing is looked up before the first four hold: 1. the order is this hub's, for us, alive; 2. the
citizen's consent holds by its own evidence; 3. the order was not answered before, and the consent not used up; 4. we
look up this type, and ask no more of the consent than it is. Then: 5. the row; 6. one promise in the state file, with
the same key, generation and hash as a sync would make, so that no sync registers it twice; 7. the answer.
"""

import hashlib
import json
import re
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

from adapters import lookup, quarantine
from adapters.answers import Registered, Registration
from adapters.certtypes import CertificateType
from adapters.consent import Judge, PullLog
from adapters.deliver import deliver
from adapters.desk import Desk
from adapters.findings import Finding
from adapters.guard import busy
from adapters.judge import Judged
from adapters.mapping import Mapped, rules_of
from adapters.model import Dataset
from adapters.reading import MAX_TOKEN
from adapters.sign import issuer_url, ref_of, sign_certificate
from adapters.state import Entry, Waiting
from hub.errors import Conflict, Forbidden, Gone, HubError, Malformed, NotFound, Unavailable, Unprocessable
from hub.formats.pullorder import Order

_NO_WORD = re.compile(r"[^a-z0-9._]")
_LISTS = threading.Lock()
"""Lists are opened one after the other: each version builds on the one before."""
FEW = 16
"""Indices that are kept at hand, so that most look-ups need not ask for one."""
TRIES = 3
PULLED = 0
"""The pass of what was pulled: no pass saw it."""
_FINAL = (Conflict, Gone, Unprocessable, Forbidden, NotFound, Malformed)
_NOT_THERE = frozenset({"certificate.not_current", "certificate.unknown", "certificate.type_not_yours"})
"""What was to be replaced does not stand: the new one is registered by itself."""
_OVER = frozenset({"pull.ended", "pull.too_late", "pull.unknown"})
"""The hub does not wait for this answer any more: it was told before, or too late."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What became of one order; `reason` is a stable word. Nothing of it is about a person."""

    jti: str
    outcome: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class _Ready:
    """What is ready to be told: the id of a certificate that stands, or a promise that is not acked yet."""

    certificate_id: str | None = None
    waiting: Waiting | None = None
    outcome: str = "registered"
    reason: str = ""


def answer(
    desk: Desk,
    datasets: tuple[Dataset, ...],
    judge: Judge,
    guarded: Callable[[Dataset], AbstractContextManager[None]],
    token: str,
) -> Answered:
    """Answer one order.

    Raises the HubError for which a token is no order of ours, to which there is nothing to say; or with which the hub
    could not be told: then the order may come again.
    """
    order = judge.read(token)  # 1
    log = PullLog(desk.state)
    try:
        consent = judge.consent(desk.state, order)  # 2
        log.enter(order, consent, desk.stamp())  # 3
        dataset = _dataset(datasets, order.type_code, consent.assurance)  # 4
    except Forbidden as refused:
        if refused.code == "pull.replayed":
            return Answered(order.jti, "", refused.code)
        return _told(desk, log, Answered(order.jti, "refused", refused.code))
    try:
        ready = _look(desk, dataset, order, guarded)  # 5, 6
    except Unavailable as fault:
        return _told(desk, log, Answered(order.jti, "unavailable", fault.code))
    if ready.outcome != "registered":
        return _told(desk, log, Answered(order.jti, ready.outcome, ready.reason))
    return _hand_in(desk, dataset, log, order, ready)  # 7


def _dataset(datasets: tuple[Dataset, ...], type_code: str, assurance: str) -> Dataset:
    found = next((one for one in datasets if one.type == type_code and one.lookup is not None), None)
    if found is None or found.lookup is None:
        raise Forbidden("pull.no_lookup", "本代理不查询这类证照。", "This agent does not look this type up.")
    if found.lookup.passkey and assurance != "passkey":
        raise Forbidden(
            "pull.passkey_needed", "这类证照只认通行密钥确认的授权。", "This type takes passkey consents only."
        )
    return found


def _look(
    desk: Desk,
    dataset: Dataset,
    order: Order,
    guarded: Callable[[Dataset], AbstractContextManager[None]],
) -> _Ready:
    """The row, and what of it is ready to be told."""
    kind = desk.certificate_type(dataset.type, fresh=False)
    with guarded(dataset):
        found = lookup.find(
            desk.state, dataset, kind, order.subject, scratch=desk.me.state.parent, clock=desk.clock
        )
    one = found.one
    if found.outcome == "unusable" and one is not None and one.key is not None:
        _quarantine(desk, dataset, kind, one, found.findings)
    if found.outcome != "found" or one is None or one.mapped is None or one.key is None:
        return _Ready(outcome=found.outcome, reason=found.reason)
    today = desk.today.isoformat()
    mapped = one.mapped
    if (mapped.valid_until and mapped.valid_until < today) or (mapped.valid_from and mapped.valid_from > today):
        return _Ready(outcome="not_current")
    if dataset.lookup is not None and dataset.lookup.only:
        return _Ready(waiting=_of_today(desk, dataset, kind, one.key, mapped))
    return _promise(desk, dataset, kind, one.key, mapped, one.digest)


def _quarantine(
    desk: Desk, dataset: Dataset, kind: CertificateType, one: Judged, findings: tuple[Finding, ...]
) -> None:
    """A row that cannot be signed waits for a person, as if a sync had met it."""
    if one.key is None:
        return
    ref = ref_of(desk.secret, dataset.id, one.key)
    rules = f"{rules_of(dataset)}:{kind.vct}"
    written = json.dumps(one.key, ensure_ascii=False)
    quarantine.put(
        desk.state, dataset.id, ref, written, findings, pass_id=PULLED, rules=rules, now=desk.stamp()
    )


def _promise(
    desk: Desk, dataset: Dataset, kind: CertificateType, key: tuple[str, ...], mapped: Mapped, digest: str
) -> _Ready:
    """6. What stands already, what is promised already, or a new promise: index, signature, outbox in one commit."""
    for _ in range(TRIES):
        with _LISTS:
            try:
                desk.book.ensure(FEW)
            except Conflict as fault:  # a sync opened the same list at this moment
                raise busy() from fault
            ready = _promised(desk, dataset, kind, key, mapped, digest)
        if ready is not None:
            return ready
    raise busy()


def _promised(
    desk: Desk, dataset: Dataset, kind: CertificateType, key: tuple[str, ...], mapped: Mapped, digest: str
) -> _Ready | None:
    """The one commit; None when a sync took the last index meanwhile."""
    ref = ref_of(desk.secret, dataset.id, key)
    with desk.state.transaction():
        entry, waiting = desk.state.entry(dataset.id, ref), desk.state.promised(dataset.id, ref)
        if waiting is not None:
            same = waiting.kind != "revoke" and waiting.claims_hash == digest
            return _Ready(waiting=waiting) if same else _Ready(outcome="unavailable", reason="agent.busy")
        current = entry is not None and entry.state == "current"
        if entry is not None and entry.claims_hash == digest:
            if current and not (kind.living and mapped.as_of and mapped.as_of > (entry.as_of or "")):
                return _Ready(certificate_id=entry.certificate_id)
            if entry.state == "revoked":  # a person decided; the row says nothing new
                return _Ready(outcome="not_current", reason="agent.revoked")
        generation = entry.generation + 1 if entry else 1
        indices = desk.state.take_indices(1)
        if not indices:
            return None
        status = indices[0]
        token = _signed(desk, kind, mapped, generation, status)
        old = entry if current else None
        waiting = Waiting(
            id=0, kind="supersede" if old else "register", dataset=dataset.id, ref=ref,
            key=json.dumps(key, ensure_ascii=False), generation=generation, claims_hash=digest, sd_jwt=token,
            uri=status[0], idx=status[1], as_of=mapped.as_of, signed_on=desk.today.isoformat(), pass_id=PULLED,
            notes=json.dumps([[note.code, note.where, note.detail] for note in mapped.notes]),
            old_id=old.certificate_id if old else None, old_uri=old.uri if old else None,
            old_idx=old.idx if old else None, reason="", list_token=None,
        )  # fmt: skip
        desk.state.promise(waiting)
        return _Ready(waiting=desk.state.promised(dataset.id, ref))


def _of_today(
    desk: Desk, dataset: Dataset, kind: CertificateType, key: tuple[str, ...], mapped: Mapped
) -> Waiting:
    """What is never synced is signed until tonight, without a place in a status list, and replaces the one before."""
    ref, today = ref_of(desk.secret, dataset.id, key), desk.today.isoformat()
    entry: Entry | None = desk.state.entry(dataset.id, ref)
    short = replace(mapped, valid_until=today)
    generation = entry.generation + 1 if entry else 1
    token = _signed(desk, kind, short, generation, None)
    said = hashlib.sha256(f"{short.digest(kind.vct)}:{mapped.as_of}:{generation}:{token[-32:]}".encode())
    old = entry.certificate_id if entry is not None and entry.state == "current" else None
    return Waiting(
        id=0, kind="register", dataset=dataset.id, ref=ref, key=json.dumps(key, ensure_ascii=False),
        generation=generation, claims_hash=said.hexdigest(), sd_jwt=token, uri="", idx=0, as_of=mapped.as_of,
        signed_on=today, pass_id=PULLED, notes="[]", old_id=old, old_uri=None, old_idx=None, reason="",
        list_token="-" if old else None,
    )  # fmt: skip


def _signed(
    desk: Desk, kind: CertificateType, mapped: Mapped, generation: int, status: tuple[str, int] | None
) -> str:
    try:
        token = sign_certificate(
            mapped, kind, issuer=issuer_url(desk.me.hub, desk.me.department), generation=generation, status=status,
            now=desk.now, signer=desk.signer(),
        )  # fmt: skip
    except Unprocessable as fault:
        raise Unavailable("agent.cannot_sign", fault.zh, fault.en) from fault
    if len(token) > MAX_TOKEN:
        raise Unavailable("agent.too_large", "这一行太大，签不出证照。", "This row is too large to be signed.")
    return token


def _hand_in(desk: Desk, dataset: Dataset, log: PullLog, order: Order, ready: _Ready) -> Answered:
    """7. Hand the certificate in with the answer; what the hub says decides what becomes of the promise."""
    waiting = ready.waiting
    if waiting is not None and waiting.kind != "register":
        ready = _delivered(desk, waiting)
        if ready.outcome != "registered":
            return _told(desk, log, Answered(order.jti, ready.outcome, ready.reason))
        waiting = ready.waiting
    if waiting is None:
        return _told(desk, log, Answered(order.jti, "registered"), certificate_id=ready.certificate_id)
    registration = Registration(
        waiting.sd_jwt, waiting.dataset, waiting.ref, waiting.generation, waiting.claims_hash, waiting.old_id,
        waiting.list_token,
    )  # fmt: skip
    try:
        made = desk.client.answer_pull(order.jti, "registered", certificate=registration)
    except _FINAL as refused:
        return _refused(desk, dataset, log, order, waiting, refused)
    if made is not None:
        _acked(desk, waiting, made)
    log.ended(order.jti, "registered", "")
    return Answered(order.jti, "registered")


def _refused(
    desk: Desk, dataset: Dataset, log: PullLog, order: Order, waiting: Waiting, refused: HubError
) -> Answered:
    """The hub takes this certificate not, or not any more. What it says decides what becomes of the promise."""
    if refused.code in _OVER:  # the promise stays: the next sync delivers it
        log.ended(order.jti, "registered", refused.code)
        return Answered(order.jti, "registered", refused.code)
    if waiting.old_id is not None and refused.code in _NOT_THERE:
        return _hand_in(desk, dataset, log, order, _Ready(waiting=replace(waiting, old_id=None, list_token=None)))
    if waiting.id:
        desk.state.withdraw(waiting)
    if refused.code == "pull.withdrawn":  # the citizen took it back meanwhile: nothing is registered for it
        desk.state.want_whole(waiting.dataset)
        log.ended(order.jti, "refused", refused.code)
        return Answered(order.jti, "refused", refused.code)
    if refused.code == "certificate.generation_reused":  # our state came from a backup: the next one is higher
        _count_on(desk, waiting)
        return _told(desk, log, Answered(order.jti, "unavailable", "agent.try_again"))
    quarantine.put(
        desk.state, waiting.dataset, waiting.ref, waiting.key, [Finding("refused_by_hub", detail=refused.code)],
        pass_id=PULLED, rules="", now=desk.stamp(), claims_hash=waiting.claims_hash,
    )  # fmt: skip
    return _told(desk, log, Answered(order.jti, "unusable", refused.code))


def _delivered(desk: Desk, waiting: Waiting) -> _Ready:
    """A changed row's promise ends the certificate before it, with a signed list: that goes the way of a sync.

    A sync that is at work holds that way; then the answer is "ask again", not the old certificate.
    """
    try:
        with desk.state.alone():
            deliver(desk)
    except Conflict as fault:
        raise_busy = fault.code == "agent.busy"
        return _Ready(outcome="unavailable", reason="agent.busy" if raise_busy else fault.code)
    entry = desk.state.entry(waiting.dataset, waiting.ref)
    if entry is None or entry.state != "current" or entry.claims_hash != waiting.claims_hash:
        return _Ready(outcome="unavailable", reason="agent.not_registered")
    return _Ready(certificate_id=entry.certificate_id)


def _acked(desk: Desk, waiting: Waiting, made: Registered) -> None:
    """The entry says what the hub holds: not always these bytes, when it was registered before."""
    if made.replayed and made.entry is not None:
        waiting = replace(waiting, uri=made.entry[0], idx=made.entry[1])
    stands = not made.replayed or made.state in ("current", "suspended")
    desk.state.acked(waiting, made.certificate_id, stands=stands)
    quarantine.clear(desk.state, waiting.dataset, waiting.ref)


def _count_on(desk: Desk, waiting: Waiting) -> None:
    """The hub knows this generation with other claims: the next one is higher."""
    entry = Entry(
        waiting.dataset, waiting.ref, waiting.key, "", waiting.generation, "", "", 0, None, waiting.signed_on,
        "vanished", PULLED, 0, "[]",
    )  # fmt: skip
    marks = ", ".join("?" * 14)
    values: tuple[Any, ...] = tuple(getattr(entry, name) for name in Entry.__dataclass_fields__)
    desk.state.execute(f"insert or replace into entry values ({marks})", values)  # noqa: S608


def _told(desk: Desk, log: PullLog, said: Answered, *, certificate_id: str | None = None) -> Answered:
    """Tell the hub how it ended. That the hub does not wait for it any more is no fault."""
    reason = _NO_WORD.sub("_", said.reason.lower())[:64]
    try:
        desk.client.answer_pull(said.jti, said.outcome, reason=reason, certificate_id=certificate_id)
    except _FINAL as fault:
        log.ended(said.jti, said.outcome, fault.code)
        return Answered(said.jti, said.outcome, fault.code)
    log.ended(said.jti, said.outcome, said.reason)
    return said

"""One pass over one dataset: read, compare with the state, sign what is new or changed, and judge what is gone.

A row's promise (index, signature, outbox) is one local commit; the entry moves only after the hub's ack. A pass that is
killed leaves the outbox, which is delivered first by the next one; a pass never has to be resumed in the middle,
because rows that are settled cost one comparison.
"""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime
from itertools import chain, islice
from typing import Any

from adapters import breaker, drift, quarantine, watermark
from adapters.certtypes import CertificateType
from adapters.changes import Change, Changes
from adapters.deliver import deliver
from adapters.desk import Desk
from adapters.findings import Finding
from adapters.judge import Judged, judged
from adapters.mapping import Mapped, rules_of
from adapters.mending import corrected, corrections
from adapters.model import Dataset
from adapters.outgoing import Outgoing
from adapters.sign import issuer_url, ref_of, sign_certificate
from adapters.source import Source
from adapters.sources import open_source
from adapters.state import Entry, Waiting
from adapters.survey import survey
from adapters.watermark import Watermark
from adapters.workers import Workers, workers_of
from hub.errors import Unprocessable
from keys.signer import Signer

FLUSH = 1000
"""Decisions that become promises in one commit."""
TOGETHER = 500
"""Rows whose entries are asked for together."""
SEEN = 2000
"""Rows whose presence is written down together."""
MAX_TOKEN = 256 * 1024
SHARE_AFTER = 200
"""Rows read before the share of quarantined ones may stop a dataset in the middle."""


@dataclass(frozen=True, slots=True)
class _Job:
    """A decision that is not yet a promise."""

    change: Change
    entry: Entry | None

    @property
    def ref(self) -> str:
        """Whose row it is about."""
        return self.change.ref


class Pass:
    """One pass over one dataset. Used inside `state.alone()`."""

    def __init__(self, desk: Desk, dataset: Dataset) -> None:
        self.desk = desk
        self.dataset = dataset
        self.kind: CertificateType = desk.certificate_type(dataset.type)
        self.rules = f"{rules_of(dataset)}:{self.kind.vct}"
        self.today: date = desk.today
        self.counts: Counter[str] = Counter()
        self.told: list[tuple[str, str]] = []
        self.jobs: list[_Job] = []
        self.seen: dict[str, None] = {}
        self.keyless = 0
        self.pass_id = 0
        self.bad = quarantine.refs(desk.state, dataset.id)
        self._outgoing = Outgoing(desk)
        self._changes = Changes(desk.me.state.parent)
        self._workers: Workers | None = None

    def run(self, *, whole: bool = False) -> None:
        """Read, deliver, and after a whole pass let the circuit breaker decide what absence means.

        `whole` reads everything also where a cursor would let a poll do. Raises SourceFault.
        """
        desk, dataset = self.desk, self.dataset
        with closing(self._changes):
            before = desk.state.get(f"rules:{dataset.id}")
            if breaker.mapping_changed(desk, dataset, self.rules, lambda: survey(desk, dataset).changed):
                self.counts["held"] += desk.state.count_current(dataset.id)
                return
            remapped = before is not None and before != self.rules  # and judged a line above
            whole = whole or watermark.due_whole(desk.state, dataset, self.rules, desk.now)
            since = None if whole else watermark.since(desk.state, dataset)
            mark = Watermark(dataset.cursor, desk.now) if dataset.cursor else None
            read_to_end = self._take_in(since, mark)
            trusted = read_to_end and (remapped or not self._held_back())
            if trusted:
                self._supersede()
            if whole:
                self._judge_absence(complete=trusted and not self.keyless)
            else:
                desk.state.end_pass(self.pass_id, complete=False, rows=self.counts["read"], now=desk.stamp())
            if trusted and mark is not None:  # everything of this pass is acked
                mark.keep(desk.state, dataset.id)

    def take_in(self) -> None:
        """Sign and deliver what the source holds, without judging how much of it changed or is not there."""
        with closing(self._changes):
            self._take_in(None, None, known=False)
            self._supersede()

    def _take_in(self, since: Any, mark: Watermark | None, *, known: bool = True) -> bool:
        """Read it all. True when it was really all, and not so bad that the dataset was stopped.

        `known`: the keys of a whole pass should be those that the state knows.
        """
        self.pass_id = self.desk.state.start_pass(self.dataset.id, self.rules, self.desk.stamp())
        source = open_source(self.dataset, self.desk.me.state.parent, since=since)
        try:
            found = drift.enter(self.desk.state, self.dataset, source, self.desk.stamp())
            self.told += [("new_column", name) for name in found.new]
            self.told += [("column_gone", name) for name in found.gone]
            stopped = self._read(source, whole=since is None, mark=mark, known=known)
            self._flush()
            self.counts += self._outgoing.drain()
        finally:
            self.counts += self._outgoing.close()
            source.close()
            if self._workers is not None:
                self._workers.close()
        complete = source.complete if self._workers is None else self._workers.complete
        return complete and not stopped

    def _read(self, source: Source, *, whole: bool, mark: Watermark | None, known: bool) -> bool:
        """Every row to a decision. True when the dataset was stopped: too many bad rows, or another table."""
        rows = self._judged(source, whole)
        first = list(islice(rows, breaker.FIRST))
        if whole and known and self._strangers(first):
            return True
        total = source.count() if self.desk.progress else None
        every = chain(first, rows)
        while batch := list(islice(every, TOGETHER)):
            for one, ref, entry in self._with_entries(batch):
                self.counts["read"] += one.rows
                if self.desk.progress and self.counts["read"] % 100 == 0:
                    self.desk.progress(self.dataset.id, self.counts["read"], total)
                if mark is not None and one.cursor is not None:
                    mark.see(one.cursor)
                if one.key is None:
                    self.keyless += 1
                    self._quarantine(quarantine.UNKEYED, "", one.findings)
                else:
                    self._decide(one.key, ref, one, entry)
                if self._spoiled():
                    return True
            if len(self.jobs) >= FLUSH or len(self.seen) >= SEEN:
                self._flush()
        return False

    def _with_entries(self, batch: list[Judged]) -> Iterator[tuple[Judged, str, Entry | None]]:
        """Each with its ref and what the state knows of it, asked for together. Nothing is flushed in between."""
        refs = [
            ref_of(self.desk.secret, self.dataset.id, one.key) if one.key is not None else quarantine.UNKEYED
            for one in batch
        ]
        if self._outgoing.holds(
            refs
        ):  # a second row of a key that is being registered: then its entry is there
            self.counts += self._outgoing.drain()
        known = self.desk.state.entries_of(self.dataset.id, refs)
        for one, ref in zip(batch, refs, strict=True):
            yield one, ref, known.get(ref)

    def _spoiled(self) -> bool:
        """Whether so many rows are bad that the dataset stops here, on hold."""
        bad = self.counts["quarantined"]
        if not bad or not breaker.too_many_bad(self.dataset, self.counts["read"], bad, SHARE_AFTER):
            return False
        breaker.hold_for_share(
            self.desk, self.dataset, pass_id=self.pass_id, rows=self.counts["read"], bad=bad
        )
        return True

    def _judged(self, source: Source, whole: bool) -> Iterator[Judged]:
        """What the rows say: mapped here, or by several processes side by side."""
        kept, scratch = corrections(self.desk.state, self.dataset), self.desk.me.state.parent
        if whole:
            self._workers = workers_of(
                self.dataset, scratch, self.kind.vct, today=self.today, corrections=kept, source=source
            )
        if self._workers is not None:
            return self._workers.rows()
        rows = corrected(source.rows(), self.dataset, kept)
        return judged(rows, self.dataset, self.kind.vct, today=self.today)

    def _strangers(self, first: list[Judged]) -> bool:
        refs = [ref_of(self.desk.secret, self.dataset.id, one.key) for one in first if one.key is not None]
        known = len(self.desk.state.entries_of(self.dataset.id, list(dict.fromkeys(refs))))
        return breaker.strangers(
            self.desk, self.dataset, pass_id=self.pass_id, known=known, looked_at=len(refs)
        )

    def _decide(self, key: tuple[str, ...], ref: str, one: Judged, entry: Entry | None) -> None:
        written = json.dumps(key, ensure_ascii=False)
        repeated = ref in self.seen or (entry is not None and entry.seen_pass == self.pass_id)
        self.seen[ref] = None
        if repeated:
            self.jobs = [job for job in self.jobs if job.ref != ref]
            self._changes.drop(ref)
            self._quarantine(ref, written, (Finding("duplicate_key"),))
            return
        findings = one.findings
        if one.mapped is not None and (entry is None or entry.claims_hash != one.digest):
            findings = self.kind.check(one.mapped)
        if one.mapped is None or findings:
            self._quarantine(ref, written, findings)
            return
        for note in one.mapped.notes:
            self.counts[f"note:{note.code}"] += 1
        job = self._job(ref, written, one.mapped, one.digest, entry)
        if job is None:
            if ref in self.bad and not quarantine.refused(self.desk.state, self.dataset.id, ref, one.digest):
                quarantine.clear(self.desk.state, self.dataset.id, ref)
        elif entry is not None and entry.state == "current" and entry.claims_hash != one.digest:
            self._changes.add(job.change)
        else:
            self.jobs.append(job)

    def _job(self, ref: str, key: str, mapped: Mapped, digest: str, entry: Entry | None) -> _Job | None:
        """What this row asks for; None when nothing (and the count says why)."""
        same = entry is not None and entry.claims_hash == digest
        current = entry is not None and entry.state == "current"
        if current and same and not self._is_old(entry, mapped):
            self.counts["unchanged"] += 1
            return None
        today = self.today.isoformat()
        if (mapped.valid_until and mapped.valid_until < today) or (
            mapped.valid_from and mapped.valid_from > today
        ):
            if current and not same:
                return _Job(Change(ref, key, digest, None, "ended"), entry)
            self.counts["skipped"] += 1
            return None
        if (
            entry is not None and entry.state == "revoked" and same
        ):  # a person decided; the row says nothing new
            self.counts["skipped"] += 1
            return None
        if ref in self.bad and quarantine.refused(self.desk.state, self.dataset.id, ref, digest):
            quarantine.touch(self.desk.state, self.dataset.id, ref, self.pass_id)
            self.counts["quarantined"] += 1
            return None
        return _Job(Change(ref, key, digest, mapped), entry)

    def _is_old(self, entry: Entry | None, mapped: Mapped) -> bool:
        """Whether a living certificate is half way to its greatest age and the source knows a later day."""
        if (
            entry is None
            or not self.kind.living
            or not entry.as_of
            or not mapped.as_of
            or not self.kind.max_age_days
        ):
            return False
        age = (self.today - date.fromisoformat(entry.as_of)).days
        return mapped.as_of > entry.as_of and age >= max(1, self.kind.max_age_days // 2)

    def _held_back(self) -> bool:
        """Whether so many rows changed that a person has to look first."""
        changed = len(self._changes)
        held = breaker.mass_change(self.desk, self.dataset, pass_id=self.pass_id, changed=changed)
        self.counts["held"] += changed if held else 0
        return held

    def _supersede(self) -> None:
        """What changed, in batches of `FLUSH`, each delivered before the next is signed."""
        waiting = self._changes.take()
        while batch := list(islice(waiting, FLUSH)):
            known = self.desk.state.entries_of(self.dataset.id, [one.ref for one in batch])
            self.jobs = [_Job(one, known.get(one.ref)) for one in batch]
            self._flush()

    def _judge_absence(self, *, complete: bool) -> None:
        desk, dataset = self.desk, self.dataset
        vanished = breaker.vanished(
            desk, dataset, pass_id=self.pass_id, complete=complete, rows=self.counts["read"],
            bad=self.counts["quarantined"],
        )  # fmt: skip
        desk.state.promise(*(ending(desk, entry, "vanished", self.pass_id) for entry in vanished.revoke))
        self.counts += deliver(desk)
        self.counts["held"] += vanished.held
        desk.state.end_pass(
            self.pass_id, complete=vanished.complete, rows=self.counts["read"], now=desk.stamp()
        )
        if vanished.complete:
            desk.state.want_whole(dataset.id, False)

    def _quarantine(self, ref: str, key: str, findings: tuple[Finding, ...]) -> None:
        self.counts["quarantined"] += 1
        quarantine.put(
            self.desk.state, self.dataset.id, ref, key, findings, pass_id=self.pass_id, rules=self.rules,
            now=self.desk.stamp(),
        )  # fmt: skip

    def _flush(self) -> None:
        """All decisions so far become promises in one commit, and are delivered."""
        while not self._promise_all():  # a pull took an index in between
            pass
        self.jobs.clear()
        self.seen.clear()
        self.counts += self._outgoing.send()

    def _promise_all(self) -> bool:
        """The one commit of a flush; False, with nothing done, when there are fewer free indices than a moment ago."""
        signing = sum(job.change.mapped is not None for job in self.jobs)
        if signing:
            self.desk.book.ensure(signing)
        signer, now = self.desk.signer(), self.desk.now
        with self.desk.state.transaction():
            indices = self.desk.state.take_indices(signing)
            if len(indices) < signing:
                self.desk.state.keep_free(indices)
                return False
            free = iter(indices)
            promised = [self._promised(job, free, signer, now) for job in self.jobs]
            self.desk.state.promise(*(one for one in promised if one is not None))
            self.desk.state.seen(self.dataset.id, self.seen, self.pass_id)
        return True

    def _promised(
        self, job: _Job, free: Iterator[tuple[str, int]], signer: Signer, now: datetime
    ) -> Waiting | None:
        """What is to be sent for a decision; None when it cannot be signed."""
        change, entry = job.change, job.entry
        if self.dataset.lookup is not None:  # a pull may have been faster with this very row
            entry = self.desk.state.entry(self.dataset.id, change.ref)
            current = entry is not None and entry.state == "current" and entry.claims_hash == change.digest
            fresher = change.mapped is not None and current and not self._is_old(entry, change.mapped)
            if fresher or self.desk.state.promised(self.dataset.id, change.ref) is not None:
                return None
        if change.mapped is None:
            return ending(self.desk, entry, change.reason, self.pass_id) if entry is not None else None
        generation = entry.generation + 1 if entry else 1
        status = next(free)
        try:
            token = sign_certificate(
                change.mapped, self.kind, issuer=issuer_url(self.desk.me.hub, self.desk.me.department),
                generation=generation, status=status, now=now, signer=signer,
            )  # fmt: skip
        except Unprocessable:
            token = ""
        if not token or len(token) > MAX_TOKEN:  # one huge row must not block everybody's batch
            self._quarantine(change.ref, change.key, (Finding("too_large"),))
            return None
        old = entry if entry is not None and entry.state == "current" else None
        return Waiting(
            id=0, kind="supersede" if old else "register", dataset=self.dataset.id, ref=change.ref, key=change.key,
            generation=generation, claims_hash=change.digest, sd_jwt=token, uri=status[0], idx=status[1],
            as_of=change.mapped.as_of, signed_on=self.today.isoformat(), pass_id=self.pass_id,
            notes=json.dumps([[note.code, note.where, note.detail] for note in change.mapped.notes]),
            old_id=old.certificate_id if old else None, old_uri=old.uri if old else None,
            old_idx=old.idx if old else None, reason="", list_token=None,
        )  # fmt: skip


def ending(desk: Desk, entry: Entry, reason: str, pass_id: int) -> Waiting:
    """The promise to revoke one certificate."""
    return Waiting(
        id=0, kind="revoke", dataset=entry.dataset, ref=entry.ref, key=entry.key, generation=entry.generation,
        claims_hash=entry.claims_hash, sd_jwt="", uri=entry.uri, idx=entry.idx, as_of=entry.as_of,
        signed_on=desk.today.isoformat(), pass_id=pass_id, notes="", old_id=entry.certificate_id,
        old_uri=entry.uri, old_idx=entry.idx, reason=reason, list_token=None,
    )  # fmt: skip

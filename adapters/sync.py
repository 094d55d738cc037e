"""One pass over a dataset: read, map, check, compare with the state, sign what is new, and tell the hub.

A row's promise (index, signature, outbox) is one local commit; the entry moves only after the hub's ack. A pass that is
killed leaves the outbox, which is delivered first by the next one; a pass never has to be resumed in the middle,
because rows that are settled cost one comparison.
"""

import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date

from adapters import breaker, quarantine
from adapters.certtypes import CertificateType
from adapters.deliver import BATCH, deliver
from adapters.desk import Desk
from adapters.findings import Finding
from adapters.mapping import Mapped, key_of, map_row, rules_of
from adapters.model import Dataset
from adapters.sign import issuer_url, ref_of, sign_certificate
from adapters.source import Row, Source, SourceFault, Unreadable
from adapters.sources import open_source
from adapters.state import Entry, Waiting
from hub.errors import Malformed, NotFound, Unprocessable

SEEN = 2000
"""Rows whose presence is written down together."""
MAX_TOKEN = 256 * 1024
SHARE_AFTER = 200
"""Rows read before the share of quarantined ones may stop a dataset in the middle."""


@dataclass(frozen=True, slots=True)
class SyncReport:
    """What one sync did, in rows. `held`: gone from the source but still standing. `skipped`: outside their validity.

    `notes` counts what mappings changed on the way; `faults` are datasets that could not be read: (id, code, text).
    """

    read: int
    registered: int
    unchanged: int
    superseded: int
    revoked: int
    quarantined: int
    held: int
    seconds: float
    skipped: int = 0
    notes: tuple[tuple[str, int], ...] = ()
    faults: tuple[tuple[str, str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class _Job:
    """A decision that is not yet a promise."""

    ref: str
    key: str
    mapped: Mapped | None
    digest: str
    entry: Entry | None
    reason: str = ""


def sync(desk: Desk, datasets: Iterable[Dataset]) -> SyncReport:
    """Bring the hub up to date with every dataset.

    A dataset whose source cannot be read is reported and does not stop the others; the hub being away stops
    everything and raises its HubError, and the next sync goes on from there.
    """
    started = time.monotonic()
    faults: list[tuple[str, str, str]] = []
    with desk.state.alone():
        counts = deliver(desk)
        desk.book.refresh()
        for dataset in datasets:
            try:
                one = Pass(desk, dataset)
            except (SourceFault, NotFound, Malformed) as fault:  # its type is not ours, or not there
                faults.append((dataset.id, fault.code, f"{fault.zh} {fault.en}"))
                continue
            try:
                one.run()
            except SourceFault as fault:
                faults.append((dataset.id, fault.code, f"{fault.zh} {fault.en}"))
            counts += one.counts
    report = _report(counts, time.monotonic() - started, faults)
    desk.state.put("last_sync", json.dumps({"at": desk.stamp(), "report": [*counts.items()]}))
    return report


def revoke(desk: Desk, entry: Entry, reason: str) -> None:
    """Revoke one certificate now, by a person's decision; its row is not signed again unless it changes."""
    with desk.state.alone():
        deliver(desk)
        desk.state.promise(_ending(desk, entry, reason, entry.seen_pass))
        deliver(desk)


class Pass:
    """One pass over one dataset. Used inside `state.alone()`."""

    def __init__(self, desk: Desk, dataset: Dataset) -> None:
        self.desk = desk
        self.dataset = dataset
        self.kind: CertificateType = desk.certificate_type(dataset.type)
        self.rules = f"{rules_of(dataset)}:{self.kind.vct}"
        self.today: date = desk.today
        self.counts: Counter[str] = Counter()
        self.jobs: list[_Job] = []
        self.seen: dict[str, None] = {}
        self.keyless = 0
        self.pass_id = 0
        self.bad = quarantine.refs(desk.state, dataset.id)

    def run(self) -> None:
        """Read to the end, deliver, and let the circuit breaker decide what absence means."""
        desk, dataset = self.desk, self.dataset
        if breaker.mapping_changed(desk, dataset, self.rules, self._would_change):
            self.counts["held"] += desk.state.count_current(dataset.id)
            return
        complete = self.take_in()
        vanished = breaker.vanished(
            desk, dataset, pass_id=self.pass_id, complete=complete, rows=self.counts["read"],
            bad=self.counts["quarantined"],
        )  # fmt: skip
        for entry in vanished.revoke:
            desk.state.promise(_ending(desk, entry, "vanished", self.pass_id))
        self._delivered()
        self.counts["held"] += vanished.held
        desk.state.end_pass(
            self.pass_id, complete=vanished.complete, rows=self.counts["read"], now=desk.stamp()
        )

    def take_in(self) -> bool:
        """Sign and deliver what the source holds, without judging what it does not hold. True when it was all read."""
        self.pass_id = self.desk.state.start_pass(self.dataset.id, self.rules, self.desk.stamp())
        source = open_source(self.dataset, self.desk.me.state.parent)
        try:
            stopped = self._read(source)
        finally:
            source.close()
        self._flush()
        return source.complete and not self.keyless and not stopped

    def _read(self, source: Source) -> bool:
        """Every row to a decision. True when too many were bad and the dataset was stopped."""
        for key, rows in _by_key(source.rows(), self.dataset):
            self.counts["read"] += len(rows)
            if key is None:
                self.keyless += len(rows)
                for row in rows:
                    code = row.code if isinstance(row, Unreadable) else "missing_key"
                    self._quarantine(quarantine.UNKEYED, "", (Finding(code),))
            else:
                self._decide(key, rows)
            if len(self.jobs) >= BATCH or len(self.seen) >= SEEN:
                self._flush()
            if breaker.too_many_bad(
                self.dataset, self.counts["read"], self.counts["quarantined"], SHARE_AFTER
            ):
                return True
        return False

    def _decide(self, key: tuple[str, ...], rows: list[Row | Unreadable]) -> None:
        ref = ref_of(self.desk.secret, self.dataset.id, key)
        written = json.dumps(key, ensure_ascii=False)
        entry = self.desk.state.entry(self.dataset.id, ref)
        repeated = ref in self.seen or (entry is not None and entry.seen_pass == self.pass_id)
        self.seen[ref] = None
        if len(rows) > 1 or repeated:
            self.jobs = [job for job in self.jobs if job.ref != ref]
            self._quarantine(ref, written, (Finding("duplicate_key"),))
            return
        [row] = rows
        judged = self._judge(row)
        if not isinstance(judged, Mapped):
            self._quarantine(ref, written, judged)
            return
        self.counts.update(f"note:{note.code}" for note in judged.notes)
        job = self._job(ref, written, judged, entry)
        if job is not None:
            self.jobs.append(job)
        elif ref in self.bad and not quarantine.refused(
            self.desk.state, self.dataset.id, ref, judged.digest(self.kind.vct)
        ):
            quarantine.clear(self.desk.state, self.dataset.id, ref)

    def _judge(self, row: Row | Unreadable) -> Mapped | tuple[Finding, ...]:
        if isinstance(row, Unreadable):
            return (Finding(row.code),)
        mapped = map_row(row, self.dataset, today=self.today)
        if not isinstance(mapped, Mapped):
            return mapped
        return self.kind.check(mapped) or mapped

    def _job(self, ref: str, key: str, mapped: Mapped, entry: Entry | None) -> _Job | None:
        """What this row asks for; None when nothing (and the count says why)."""
        digest = mapped.digest(self.kind.vct)
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
                return _Job(ref, key, None, digest, entry, "ended")
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
        return _Job(ref, key, mapped, digest, entry)

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

    def _quarantine(self, ref: str, key: str, findings: tuple[Finding, ...]) -> None:
        self.counts["quarantined"] += 1
        quarantine.put(
            self.desk.state, self.dataset.id, ref, key, findings, pass_id=self.pass_id, rules=self.rules,
            now=self.desk.stamp(),
        )  # fmt: skip

    def _flush(self) -> None:
        """All decisions so far become promises in one commit, and are delivered."""
        signing = sum(job.mapped is not None for job in self.jobs)
        if signing:
            self.desk.book.ensure(signing)
        with self.desk.state.transaction():
            for job in self.jobs:
                self._promise(job)
            self.desk.state.seen(self.dataset.id, self.seen, self.pass_id)
        self.jobs.clear()
        self.seen.clear()
        self._delivered()

    def _promise(self, job: _Job) -> None:
        if job.mapped is None:
            if job.entry is not None:
                self.desk.state.promise(_ending(self.desk, job.entry, job.reason, self.pass_id))
            return
        entry, generation = job.entry, job.entry.generation + 1 if job.entry else 1
        status = self.desk.book.take()
        try:
            token = sign_certificate(
                job.mapped, self.kind, issuer=issuer_url(self.desk.me.hub, self.desk.me.department),
                generation=generation, status=status, now=self.desk.now, signer=self.desk.signer(),
            )  # fmt: skip
        except Unprocessable:
            token = ""
        if not token or len(token) > MAX_TOKEN:  # one huge row must not block everybody's batch
            self._quarantine(job.ref, job.key, (Finding("too_large"),))
            return
        old = entry if entry is not None and entry.state == "current" else None
        self.desk.state.promise(
            Waiting(
                id=0, kind="supersede" if old else "register", dataset=self.dataset.id, ref=job.ref, key=job.key,
                generation=generation, claims_hash=job.digest, sd_jwt=token, uri=status[0], idx=status[1],
                as_of=job.mapped.as_of, signed_on=self.today.isoformat(), pass_id=self.pass_id,
                notes=json.dumps([[note.code, note.where, note.detail] for note in job.mapped.notes]),
                old_id=old.certificate_id if old else None, old_uri=old.uri if old else None,
                old_idx=old.idx if old else None, reason="", list_token=None,
            )
        )  # fmt: skip

    def _delivered(self) -> None:
        self.counts += deliver(self.desk)

    def _would_change(self) -> tuple[int, int]:
        """(certificates that would be superseded, rows read) under the mapping as it is now. Writes nothing."""
        source, rows, changed = open_source(self.dataset, self.desk.me.state.parent), 0, 0
        try:
            for row in source.rows():
                rows += 1
                key = None if isinstance(row, Unreadable) else key_of(row, self.dataset)
                judged = self._judge(row)
                if key is None or not isinstance(judged, Mapped):
                    continue
                entry = self.desk.state.entry(self.dataset.id, ref_of(self.desk.secret, self.dataset.id, key))
                if entry is not None and entry.state == "current":
                    changed += entry.claims_hash != judged.digest(self.kind.vct)
        finally:
            source.close()
        return changed, rows


def _ending(desk: Desk, entry: Entry, reason: str, pass_id: int) -> Waiting:
    return Waiting(
        id=0, kind="revoke", dataset=entry.dataset, ref=entry.ref, key=entry.key, generation=entry.generation,
        claims_hash=entry.claims_hash, sd_jwt="", uri=entry.uri, idx=entry.idx, as_of=entry.as_of,
        signed_on=desk.today.isoformat(), pass_id=pass_id, notes="", old_id=entry.certificate_id,
        old_uri=entry.uri, old_idx=entry.idx, reason=reason, list_token=None,
    )  # fmt: skip


def _by_key(
    rows: Iterable[Row | Unreadable], dataset: Dataset
) -> Iterator[tuple[tuple[str, ...] | None, list[Row | Unreadable]]]:
    """Rows of one key together (sources give equal keys in a row); rows without a key under None."""
    last: tuple[str, ...] | None = None
    group: list[Row | Unreadable] = []
    for row in rows:
        cells = (
            row if not isinstance(row, Unreadable) else dict(zip(dataset.key, row.key or (), strict=False))
        )
        key = key_of(cells, dataset)
        if group and (key != last or key is None):
            yield last, group
            group = []
        last = key
        group.append(row)
    if group:
        yield last, group


def _report(counts: Counter[str], took: float, faults: list[tuple[str, str, str]]) -> SyncReport:
    return SyncReport(
        read=counts["read"],
        registered=counts["registered"],
        unchanged=counts["unchanged"],
        superseded=counts["superseded"],
        revoked=counts["revoked"],
        quarantined=counts["quarantined"],
        held=counts["held"],
        seconds=round(took, 3),
        skipped=counts["skipped"],
        notes=tuple(sorted((key[5:], count) for key, count in counts.items() if key.startswith("note:"))),
        faults=tuple(faults),
    )

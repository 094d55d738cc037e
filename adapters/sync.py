"""A sync of every dataset, one pass after the other (`adapters.reading`), and what it came to."""

import json
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from adapters.deliver import deliver
from adapters.desk import Desk
from adapters.model import Coverage, Dataset
from adapters.reading import Pass, ending
from adapters.source import SourceFault
from adapters.state import Entry
from hub.errors import Forbidden, HubError, Malformed, NotFound, Unprocessable

PATIENCE = 15.0
"""A pull that replaces a certificate holds the state for a moment."""


@dataclass(frozen=True, slots=True)
class SyncReport:
    """What one sync did, in rows. `held`: gone from the source but still standing. `skipped`: outside their validity.

    `notes` counts what mappings changed on the way; `faults` are datasets that could not be read: (id, code, text);
    `told` is what an operator should know about the source: (dataset, code, detail).
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
    told: tuple[tuple[str, str, str], ...] = ()


def sync(desk: Desk, datasets: Iterable[Dataset], *, whole: bool = False) -> SyncReport:
    """Bring the hub up to date with every dataset. `whole` reads everything, also where a cursor would let a poll do.

    A dataset whose source cannot be read is reported and does not stop the others; the hub being away stops
    everything and raises its HubError, and the next sync goes on from there.
    """
    started = time.monotonic()
    faults: list[tuple[str, str, str]] = []
    told: list[tuple[str, str, str]] = []
    wanted = list(datasets)
    with desk.state.alone(patience=PATIENCE if any(one.lookup for one in wanted) else 0):
        counts = deliver(desk)
        desk.book.forget_unsent()  # a pull may have signed a list since our last time
        desk.book.refresh()
        for dataset in wanted:
            if dataset.lookup is not None and dataset.lookup.only:  # it is asked row by row (`adapters.pulls`)
                continue
            try:
                one = Pass(desk, dataset)
            except (SourceFault, NotFound, Malformed) as fault:  # its type is not ours, or not there
                faults.append(_told(dataset, fault))
                continue
            try:
                one.run(whole=whole)
            except SourceFault as fault:
                faults.append(_told(dataset, fault))
            counts += one.counts
            if dataset.coverage is not None:
                told += _declare(desk, dataset, dataset.coverage)
            told += [(dataset.id, code, detail) for code, detail in one.told]
    report = _report(counts, time.monotonic() - started, faults, told)
    desk.state.put("last_sync", json.dumps({"at": desk.stamp(), "report": [*counts.items()]}))
    return report


def _told(dataset: Dataset, fault: HubError) -> tuple[str, str, str]:
    """What is wrong and what to do, for a report."""
    parts = (fault.zh, fault.next_zh, fault.en, fault.next_en)
    return dataset.id, fault.code, " ".join(part for part in parts if part)


def _declare(desk: Desk, dataset: Dataset, coverage: Coverage) -> list[tuple[str, str, str]]:
    """Say what the source covers, when it was not said so before: the hub then knows a gap from "no record".

    A hub that does not want to hear it is told of and stops nothing.
    """
    said = json.dumps([str(coverage.covers_from), coverage.gaps_zh, coverage.gaps_en], ensure_ascii=False)
    if desk.state.get(f"coverage:{dataset.type}") != said:
        try:
            desk.client.declare_source(dataset.type, coverage)
        except (Forbidden, NotFound, Unprocessable) as fault:
            return [(dataset.id, "coverage_refused", fault.code)]
        desk.state.put(f"coverage:{dataset.type}", said)
    return []


def revoke(desk: Desk, entry: Entry, reason: str) -> None:
    """Revoke one certificate now, by a person's decision; its row is not signed again unless it changes."""
    with desk.state.alone():
        deliver(desk)
        desk.state.promise(ending(desk, entry, reason, entry.seen_pass))
        deliver(desk)


def _report(
    counts: Counter[str],
    took: float,
    faults: list[tuple[str, str, str]],
    told: list[tuple[str, str, str]],
) -> SyncReport:
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
        told=tuple(told),
    )

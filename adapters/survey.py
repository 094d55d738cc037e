"""A pass that only looks: what a sync would do, in counts. Nothing is signed, written or sent."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice

from adapters import breaker, drift
from adapters.desk import Desk
from adapters.drift import Drift
from adapters.judge import judged
from adapters.mending import corrected, corrections
from adapters.model import Dataset
from adapters.sign import ref_of
from adapters.sources import open_source

TOGETHER = 500
"""Rows whose entries are asked for together."""


@dataclass(frozen=True, slots=True)
class Survey:
    """What a whole sync of one dataset would do, in rows.

    `would_hold` are the reasons for which it would wait for a named officer. `gone` takes two whole passes.
    """

    dataset: str
    read: int
    new: int
    changed: int
    unchanged: int
    quarantined: int
    gone: int
    complete: bool
    would_hold: tuple[str, ...]
    drift: Drift


def survey(desk: Desk, dataset: Dataset) -> Survey:
    """Read everything once. Raises SourceFault."""
    kind, state = desk.certificate_type(dataset.type, fresh=False), desk.state
    counts: Counter[str] = Counter()
    source = open_source(dataset, desk.me.state.parent)
    try:
        different = drift.look(state, dataset, source)
        groups = judged(
            corrected(source.rows(), dataset, corrections(state, dataset)),
            dataset,
            kind.vct,
            today=desk.today,
        )
        first = list(islice(groups, breaker.FIRST))
        known = standing = 0
        total = source.count() if desk.progress else None
        every, place = chain(first, groups), 0
        while batch := list(islice(every, TOGETHER)):
            refs = [ref_of(desk.secret, dataset.id, one.key) if one.key is not None else "" for one in batch]
            entries = state.entries_of(dataset.id, refs)
            for one, ref in zip(batch, refs, strict=True):
                place += 1
                counts["read"] += one.rows
                if desk.progress and counts["read"] % 100 == 0:
                    desk.progress(dataset.id, counts["read"], total)
                if one.key is None:
                    counts["quarantined"] += 1
                    continue
                entry = entries.get(ref)
                known += entry is not None and place <= len(first)
                current = entry is not None and entry.state == "current"
                standing += current
                same = current and entry is not None and entry.claims_hash == one.digest
                if one.mapped is None or (not same and kind.check(one.mapped)):
                    counts["quarantined"] += 1
                elif entry is None or not current:
                    counts["new"] += 1
                else:
                    counts["unchanged" if same else "changed"] += 1
    finally:
        source.close()
    few = min(len(first), state.count_entries(dataset.id))
    looks_strange = few >= breaker.SMALL and known * 10 < few
    gone = max(0, state.count_current(dataset.id) - standing)
    return Survey(
        dataset.id, counts["read"], counts["new"], counts["changed"], counts["unchanged"],
        counts["quarantined"], gone, source.complete,
        tuple(_holds(desk, dataset, counts, gone, looks_strange, different)), different,
    )  # fmt: skip


def _holds(
    desk: Desk, dataset: Dataset, counts: Counter[str], gone: int, looks_strange: bool, different: Drift
) -> Iterator[str]:
    standing, last = desk.state.count_current(dataset.id), desk.state.last_complete(dataset.id)
    if different.retyped:
        yield drift.COLUMN_RETYPED
    if looks_strange:
        yield breaker.STRANGERS
    if breaker.too_many_bad(dataset, counts["read"], counts["quarantined"]):
        yield breaker.QUARANTINE_SHARE
    if last is not None and counts["read"] * 100 < dataset.reconcile.min_rows_percent * last[0]:
        yield breaker.FEW_ROWS
    if counts["changed"] > breaker.most_changed(dataset, standing):
        yield breaker.MASS_CHANGE
    if gone > breaker.most_gone(dataset, standing):
        yield breaker.MASS_REVOCATION

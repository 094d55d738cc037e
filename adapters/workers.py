"""Several processes read one table, each its own range of keys: mapping a row costs far more than reading it does.

They read, map and hash; the one process that owns the state compares, signs and sends. Each range is read in a
snapshot of its own. A row whose key moves from one range to another meanwhile may be missed once: absence is judged by
two complete passes running, as always.
"""

import multiprocessing
import queue
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from itertools import islice, pairwise
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from adapters.judge import Judged, judged
from adapters.mending import Corrections, corrected
from adapters.model import Dataset, SqlSource
from adapters.source import SourceFault
from adapters.sources import open_source
from adapters.sources.sql import SqlRows

BATCH = 500
AHEAD = 8
"""Batches that may wait for the one who compares: memory stays small however fast the workers are."""


@dataclass(frozen=True, slots=True)
class _Range:
    """What one worker is told: from `low` on, and below `high`; None is open."""

    dataset: Dataset
    scratch: Path
    vct: str
    today: date
    corrections: Corrections
    low: Any
    high: Any


class Workers:
    """One pass of several workers. `complete` after the end: every range was read to its end."""

    def __init__(
        self,
        dataset: Dataset,
        scratch: Path,
        vct: str,
        *,
        today: date,
        corrections: Corrections,
        bounds: list[Any],
    ) -> None:
        self.complete = False
        context = multiprocessing.get_context("spawn")
        self._answers: Any = context.Queue(AHEAD)
        edges = [None, *bounds, None]
        self._processes: list[BaseProcess] = [
            context.Process(
                target=_work,
                args=(_Range(dataset, scratch, vct, today, corrections, low, high), self._answers),
                daemon=True,  # ends with us
            )
            for low, high in pairwise(edges)
        ]

    def rows(self) -> Iterator[Judged]:
        """Every source key once, ranges side by side. Raises SourceFault when one of them breaks off."""
        for process in self._processes:
            process.start()
        running, whole = len(self._processes), True
        while running:
            try:
                kind, said = self._answers.get(timeout=2)
            except queue.Empty:
                if sum(process.is_alive() for process in self._processes) < running and self._answers.empty():
                    raise _died() from None
                continue
            if kind == "rows":
                yield from said
            elif kind == "end":
                running, whole = running - 1, whole and said
            else:
                raise SourceFault(*said)
        self.complete = whole

    def close(self) -> None:
        """End whoever still works."""
        for process in self._processes:
            if process.pid is not None:
                process.terminate()
                process.join()
        self._answers.close()


def workers_of(
    dataset: Dataset, scratch: Path, vct: str, *, today: date, corrections: Corrections, source: Any
) -> Workers | None:
    """Workers for a whole pass over this dataset; None where one process is enough or all there is."""
    declared = dataset.source
    if not isinstance(declared, SqlSource) or declared.workers < 2 or not isinstance(source, SqlRows):
        return None
    bounds = source.bounds(declared.workers)
    return (
        Workers(dataset, scratch, vct, today=today, corrections=corrections, bounds=bounds)
        if bounds
        else None
    )


def _work(told: _Range, answers: Any) -> None:
    """In a process of its own."""
    try:
        source = open_source(told.dataset, told.scratch, between=(told.low, told.high))
        try:
            rows = judged(
                corrected(source.rows(), told.dataset, told.corrections),
                told.dataset,
                told.vct,
                today=told.today,
            )
            while batch := list(islice(rows, BATCH)):
                answers.put(("rows", batch))
            answers.put(("end", source.complete))
        finally:
            source.close()
    except SourceFault as fault:
        answers.put(("fault", (fault.code, fault.zh, fault.en)))


def _died() -> SourceFault:
    return SourceFault(
        "source.worker", "一个读取进程中途退出。", "A reading process ended before its range did.",
        next_zh="可能是内存不足；稍后会自动重试，也可减少 workers。", next_en="Memory may be short: try fewer workers.",
    )  # fmt: skip

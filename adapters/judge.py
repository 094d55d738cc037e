"""Rows of a source to decisions about their content: mapped and checked, or why not. Knows no state and no hub."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any

from adapters.certtypes import CertificateType
from adapters.findings import Finding
from adapters.mapping import Mapped, key_of, map_row
from adapters.model import Dataset
from adapters.source import Row, Unreadable


@dataclass(frozen=True, slots=True)
class Judged:
    """All rows of one source key. `findings` say why nothing can be signed; else `mapped` and its `digest` stand.

    `key` None: rows without a usable key, which nobody can tell apart. `cursor` is the row's own cursor value.
    """

    key: tuple[str, ...] | None
    rows: int
    findings: tuple[Finding, ...] = ()
    mapped: Mapped | None = None
    digest: str = ""
    cursor: Any = None


def judged(
    rows: Iterable[Row | Unreadable], dataset: Dataset, kind: CertificateType, *, today: date
) -> Iterator[Judged]:
    """One answer for each source key, in the order of the rows."""
    cursor = dataset.cursor.column if dataset.cursor is not None else None
    for key, group in by_key(rows, dataset):
        newest = [
            row[cursor] for row in group if cursor and not isinstance(row, Unreadable) and row.get(cursor)
        ]
        seen = newest[-1] if newest else None
        if key is None:
            for row in group:
                code = row.code if isinstance(row, Unreadable) else "missing_key"
                yield Judged(None, 1, (Finding(code),), cursor=seen)
        elif len(group) > 1:
            yield Judged(key, len(group), (Finding("duplicate_key"),), cursor=seen)
        else:
            found = judge(group[0], dataset, kind, today=today)
            if isinstance(found, Mapped):
                yield Judged(key, 1, mapped=found, digest=found.digest(kind.vct), cursor=seen)
            else:
                yield Judged(key, 1, found, cursor=seen)


def judge(
    row: Row | Unreadable, dataset: Dataset, kind: CertificateType, *, today: date
) -> Mapped | tuple[Finding, ...]:
    """What one row would say as a certificate, or every reason why it cannot be one."""
    if isinstance(row, Unreadable):
        return (Finding(row.code),)
    mapped = map_row(row, dataset, today=today)
    if not isinstance(mapped, Mapped):
        return mapped
    return kind.check(mapped) or mapped


def by_key(
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

"""Rows of a source to decisions about their content: mapped, or why not. Knows no state and no hub.

Whether the content fits its certificate type is asked separately (`CertificateType.check`, ten times dearer than the
mapping): content that was certified before need not be asked again.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from adapters.findings import Finding
from adapters.mapping import Mapped, Mapper
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


def judged(rows: Iterable[Row | Unreadable], dataset: Dataset, vct: str, *, today: date) -> Iterator[Judged]:
    """One answer for each source key, in the order of the rows."""
    cursor = dataset.cursor.column if dataset.cursor is not None else None
    mapper = Mapper(dataset, today=today)
    for key, group in by_key(rows, dataset, mapper):
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
            found = _mapped(group[0], mapper)
            if isinstance(found, Mapped):
                yield Judged(key, 1, mapped=found, digest=found.digest(vct), cursor=seen)
            else:
                yield Judged(key, 1, found, cursor=seen)


def _mapped(row: Row | Unreadable, mapper: Mapper) -> Mapped | tuple[Finding, ...]:
    if isinstance(row, Unreadable):
        return (Finding(row.code),)
    mapped = mapper.map(row)
    return mapped if isinstance(mapped, Mapped) else tuple(_with_pattern(finding, row) for finding in mapped)


def _with_pattern(finding: Finding, row: Row) -> Finding:
    """A fault with the pattern of its cell: enough to see what is wrong, nothing to recognise anybody by."""
    if finding.detail or not finding.column:
        return finding
    return replace(finding, detail=pattern(row.get(finding.column)))


def pattern(cell: Any) -> str:
    """A value's redacted form: 9 for digits, A for letters, 汉 for Chinese, everything else as it stands."""
    if cell is None or isinstance(cell, bytes | bytearray | memoryview):
        return ""
    return "".join(_class(char) for char in str(cell)[:40])


def _class(char: str) -> str:
    if char.isascii():
        return "9" if char.isdigit() else "A" if char.isalpha() else char
    if 0xDC80 <= ord(char) <= 0xDCFF:
        return "."  # a byte that could not be decoded
    return "汉" if char.isalpha() else char if not char.isdigit() else "9"


def by_key(
    rows: Iterable[Row | Unreadable], dataset: Dataset, mapper: Mapper
) -> Iterator[tuple[tuple[str, ...] | None, list[Row | Unreadable]]]:
    """Rows of one key together (sources give equal keys in a row); rows without a key under None."""
    last: tuple[str, ...] | None = None
    group: list[Row | Unreadable] = []
    for row in rows:
        cells = (
            row if not isinstance(row, Unreadable) else dict(zip(dataset.key, row.key or (), strict=False))
        )
        key = mapper.key(cells)
        if group and (key != last or key is None):
            yield last, group
            group = []
        last = key
        group.append(row)
    if group:
        yield last, group

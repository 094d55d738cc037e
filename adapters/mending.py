"""Quarantined rows as a workbook that staff open in Excel, mend, and hand back.

The workbook holds the rows as the source has them, so it is personal data: mode 0600, and it stays in the department.
What comes back is kept as corrections beside the state, never written into the source (we may only read it). A
correction counts as long as the source's own cell is what it was when somebody mended it: a repair at the source wins.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from adapters import charset, quarantine
from adapters.desk import Desk
from adapters.mapping import columns_of, key_of, raw_columns_of
from adapters.model import Dataset
from adapters.source import Row, Unreadable
from adapters.sources import open_source
from adapters.state import State
from hub.errors import Malformed

Corrections = Mapping[str, list[tuple[str, str, str]]]
HEAD = ("数据集 dataset", "主键 key", "原因 reason", "规则 rules", "校验 check")
"""The columns before the row's own; staff change none of these."""
READ_FAILS = "（读不出 unreadable）"


@dataclass(frozen=True, slots=True)
class Mended:
    """What became of a workbook: cells taken, rows without a change, and rows that the source has changed since."""

    cells: int
    rows: int
    unchanged: int
    outdated: tuple[str, ...]


def export(desk: Desk, dataset: Dataset, path: Path) -> int:
    """Write the quarantined rows of a dataset to an Excel workbook. Gives how many. Raises SourceFault, Malformed."""
    import openpyxl  # the extra "excel"; only this and `feed` need it

    reasons: dict[str, list[quarantine.Quarantined]] = {}
    for one in quarantine.listed(desk.state, dataset.id, limit=100_000):
        if one.key:
            reasons.setdefault(one.key, []).append(one)
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet(dataset.id)
    names = _columns(dataset)
    sheet.append([*HEAD, *names])
    rows = 0
    for key, row in _rows(desk, dataset, reasons):
        cells = {name: _shown(dataset, name, row.get(name)) for name in names}
        why = "；".join(f"{one.finding.column or one.finding.where} {one.finding.zh}" for one in reasons[key])
        sheet.append(
            [
                _text_cell(sheet, value)
                for value in (
                    dataset.id,
                    key,
                    why,
                    reasons[key][0].rules[:12],
                    _print(cells),
                    *cells.values(),
                )
            ]
        )
        rows += 1
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600))
    book.save(path)
    return rows


def feed(desk: Desk, dataset: Dataset, path: Path, *, officer: str) -> Mended:
    """Take in a workbook that came back; the next pass uses it. Raises SourceFault, Malformed `agent.workbook`."""
    lines = _lines(path, dataset)
    cells = unchanged = rows = 0
    outdated: list[str] = []
    names = _columns(dataset)
    found = dict(_rows(desk, dataset, lines))
    with desk.state.transaction():
        for key, line in lines.items():
            row = found.get(key)
            before = {} if row is None else {name: _shown(dataset, name, row.get(name)) for name in names}
            if row is None or _print(before) != line.get(HEAD[4]):
                outdated.append(key)
                continue
            changes = {name: line[name] for name in names if name in line and line[name] != before[name]}
            changes = {name: said for name, said in changes.items() if before[name] != READ_FAILS or said}
            unchanged += not changes
            rows += bool(changes)
            for name, said in changes.items():
                _keep(desk.state, dataset, key, name, _was(row.get(name)), said, officer, desk.stamp())
                cells += 1
        if cells:
            quarantine.retry(desk.state, dataset.id, officer=officer)
            desk.state.want_whole(dataset.id)
    return Mended(cells, rows, unchanged, tuple(outdated))


def corrections(state: State, dataset: Dataset) -> Corrections:
    """What was mended: source key -> (column, print of the cell as it was, what it should say)."""
    kept: dict[str, list[tuple[str, str, str]]] = {}
    for key, name, was, value in state.execute(
        "select key, source_column, was, value from mended where dataset = ?", (dataset.id,)
    ):
        kept.setdefault(str(key), []).append((str(name), str(was), str(value)))
    return kept


def corrected(
    rows: Iterable[Row | Unreadable], dataset: Dataset, kept: Corrections
) -> Iterator[Row | Unreadable]:
    """The rows with corrections in place of the cells that were mended and have not changed since."""
    if not kept:
        yield from rows
        return
    for row in rows:
        key_parts = None if isinstance(row, Unreadable) else key_of(row, dataset)
        found = kept.get(json.dumps(key_parts, ensure_ascii=False)) if key_parts else None
        if found and not isinstance(row, Unreadable):
            changes = {name: value or None for name, was, value in found if _was(row.get(name)) == was}
            yield {**row, **changes}
        else:
            yield row


def _columns(dataset: Dataset) -> tuple[str, ...]:
    return tuple(name for name in columns_of(dataset) if name not in dataset.key)


def _rows(desk: Desk, dataset: Dataset, wanted: Mapping[str, Any]) -> Iterator[tuple[str, Row]]:
    source = open_source(dataset, desk.me.state.parent)
    try:
        for row in source.rows():
            key = None if isinstance(row, Unreadable) else key_of(row, dataset)
            written = json.dumps(key, ensure_ascii=False) if key else ""
            if written in wanted and not isinstance(row, Unreadable):
                yield written, row
    finally:
        source.close()


def _lines(path: Path, dataset: Dataset) -> dict[str, dict[str, str]]:
    """The workbook's rows of this dataset by key, every cell as text."""
    import openpyxl

    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
        table = book[book.sheetnames[0]].iter_rows(values_only=True)
        head = [str(cell or "").strip() for cell in next(table, ())]
        if tuple(head[: len(HEAD)]) != HEAD:
            raise ValueError("head")
        found = {}
        for cells in table:
            line = {name: _typed(cell) for name, cell in zip(head, cells, strict=False)}
            if line.get(HEAD[0]) == dataset.id:
                found[line[HEAD[1]]] = line
        book.close()
    except Exception as fault:  # a workbook from anywhere: zip, XML and cell faults of many kinds
        raise Malformed(
            "agent.workbook",
            "这不是由 quarantine --export 写出的工作簿。",
            "This is no workbook that quarantine --export wrote.",
            next_zh="请重新导出，只改数据列，再交回。",
            next_en="Export again, change data cells only, and hand it back.",
        ) from fault
    return found


def _typed(cell: Any) -> str:
    """A cell as text, also when Excel turned what was typed into a number or a date."""
    if cell is None:
        return ""
    if isinstance(cell, datetime):
        return cell.date().isoformat()
    if isinstance(cell, date):
        return cell.isoformat()
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell).strip()


def _text_cell(sheet: Any, value: str) -> Any:
    """A cell that Excel treats as text: 18-digit numbers stay whole, and nothing is a formula."""
    from openpyxl.cell import WriteOnlyCell

    cell = WriteOnlyCell(sheet, value=charset.strip(value))
    cell.data_type = "s"
    cell.number_format = "@"
    return cell


def _shown(dataset: Dataset, name: str, cell: Any) -> str:
    """A source cell as a person reads it."""
    if cell is None:
        return ""
    if isinstance(cell, bytes | bytearray | memoryview):
        text = charset.decode_mixed(bytes(cell), "gb18030" if name in raw_columns_of(dataset) else None)
        return READ_FAILS if text is None else charset.strip(text)
    if isinstance(cell, str):
        if charset.has_undecoded(cell):
            return READ_FAILS
        if name in raw_columns_of(dataset):
            cell = charset.recover(cell, "gb18030") or READ_FAILS
        return charset.strip(cell)
    if isinstance(cell, datetime):
        return cell.isoformat(sep=" ")
    if isinstance(cell, date):
        return cell.isoformat()
    if isinstance(cell, Decimal):
        return f"{cell:f}"
    return str(cell)


def _print(cells: Mapping[str, str]) -> str:
    """What tells whether the source's row is still the one that was exported."""
    return hashlib.sha256(json.dumps(cells, ensure_ascii=False).encode()).hexdigest()[:16]


def _was(cell: Any) -> str:
    raw = bytes(cell) if isinstance(cell, bytes | bytearray | memoryview) else repr(cell).encode()
    return hashlib.sha256(raw).hexdigest()


def _keep(
    state: State, dataset: Dataset, key: str, name: str, was: str, value: str, officer: str, now: str
) -> None:
    state.execute(
        "insert or replace into mended values (?, ?, ?, ?, ?, ?, ?)",
        (dataset.id, key, name, was, value, officer, now),
    )

"""Sheets of Excel workbooks (.xlsx, .xlsm, .xls, .ods). A workbook that was cut off cannot be opened at all.

Excel keeps every number as a float: an identity number that was typed as a number has lost its last digits in the
department, so numbers beyond 15 digits are never taken for text (`mapping` quarantines such a cell).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from adapters.model import FileSource
from adapters.source import SourceFault
from adapters.sources.files import stat_of, unreadable
from adapters.sources.staged import StagedRows
from adapters.sources.staging import Staging

_EXACT = 10**15
"""Whole numbers below this are exact in a float."""


class ExcelRows(StagedRows):
    """One sheet: the first, or the one named. Rows above `header_row` are titles and passed over."""

    def __init__(self, source: FileSource, key: tuple[str, ...], scratch: Path) -> None:
        super().__init__(key, scratch)
        self._source = source
        self._before = stat_of(source.path)
        self._sheet = _sheet(source)
        self._lines = self._sheet.iter_rows()
        header: tuple[Any, ...] = source.columns or ()
        if source.columns is None:
            for _ in range(source.header_row):
                header = tuple(next(self._lines, ()))
        names = [str(cell).strip() for cell in header]
        while names and not names[-1]:
            names.pop()
        self.columns = tuple(names)
        if not names or "" in names or len(set(names)) != len(names):
            raise SourceFault(
                "source.header",
                f"{source.path.name} 的表头为空、有空列名或重名。",
                "The header line is empty, has an empty name, or repeats one.",
                next_zh="表头不在第一行时写 header_row；没有表头写 columns。",
                next_en="Write header_row: when titles stand above it, or columns: when there is none.",
            )

    def _fill(self, staging: Staging) -> tuple[int, bool]:
        misshapen = 0
        for cells in self._cells():
            if self._source.end is not None and str(cells[0]).strip() == self._source.end:
                return misshapen, stat_of(self._source.path) == self._before
            if any(cell not in ("", None) for cell in cells[len(self.columns) :]):
                misshapen += 1
                continue
            padded = [*cells, *[None] * (len(self.columns) - len(cells))]
            staging.add({name: _plain(cell) for name, cell in zip(self.columns, padded, strict=False)})
        return misshapen, self._source.end is None and stat_of(self._source.path) == self._before

    def _cells(self) -> Iterator[list[Any]]:
        for cells in self._lines:
            if any(cell not in ("", None) for cell in cells):
                yield cells


def _plain(cell: Any) -> Any:
    """Whole floats are whole numbers; empty text is nothing."""
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < _EXACT:
        return str(int(cell))
    return None if cell == "" else cell


def _sheet(source: FileSource) -> Any:
    try:
        from python_calamine import CalamineError, CalamineWorkbook
    except ImportError as fault:
        raise SourceFault(
            "source.driver",
            "没有安装读取 Excel 的部件。",
            "The part that reads Excel is not installed.",
            next_zh='请执行 pip install "yimen[excel]"。',
            next_en='Run pip install "yimen[excel]".',
        ) from fault
    try:
        book = CalamineWorkbook.from_path(str(source.path))
        names = book.sheet_names
        name = source.sheet or (names[0] if names else "")
        if name not in names:
            raise SourceFault(
                "source.sheet",
                f"{source.path.name} 里没有工作表 “{name}”。",
                f'{source.path.name} has no sheet "{name}".',
                next_zh=f"有：{'、'.join(names)}。",
                next_en=f"There are: {', '.join(names)}.",
            )
        return book.get_sheet_by_name(name)
    except (CalamineError, OSError) as fault:
        raise unreadable(source.path) from fault

"""Rows of snapshot files (CSV, DBF), staged into key order. A file without its end is an incomplete read."""

import csv
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from adapters.model import FileSource
from adapters.source import Row, SourceFault, Unreadable
from adapters.sources.dbf import Table
from adapters.sources.staging import Staging


class CsvRows:
    """See `adapters.source.Source`. Bytes that cannot be decoded spoil their own row only."""

    def __init__(self, source: FileSource, key: tuple[str, ...], scratch: Path) -> None:
        self.complete = False
        self._source = source
        self._key = key
        self._scratch = scratch
        self._staging: Staging | None = None
        self._before = stat_of(source.path)
        with self._open() as stream:
            try:
                header = source.columns or tuple(next(csv.reader(stream, delimiter=source.delimiter), ()))
            except (csv.Error, UnicodeError) as fault:
                raise unreadable(source.path) from fault
        self.columns = tuple(name.strip() for name in header)
        self.kinds: dict[str, str] = {}  # everything is text
        if not self.columns or len(set(self.columns)) != len(self.columns) or "" in self.columns:
            raise SourceFault(
                "source.header",
                f"{source.path.name} 的表头为空、有空列名或重名。",
                "The header line is empty, has an empty name, or repeats one.",
                next_zh="没有表头的文件请在配置里写 columns。",
                next_en="For a file without a header line write columns: in the configuration.",
            )

    def close(self) -> None:
        """Remove the scratch file."""
        if self._staging is not None:
            self._staging.close()
            self._staging = None

    def count(self) -> int | None:
        """Known only from an end line, after reading."""
        return None

    def rows(self) -> Iterator[Row | Unreadable]:
        """All rows: misshapen ones first, then those without a key, then by key."""
        self.close()
        self._staging = Staging(self._scratch, self._key)
        misshapen, ended = self._stage(self._staging)
        for _ in range(misshapen):
            yield Unreadable(None, "row_shape")
        yield from self._staging.ordered()
        self.complete = ended and misshapen == 0 and stat_of(self._source.path) == self._before

    def _stage(self, staging: Staging) -> tuple[int, bool]:
        misshapen, ended = 0, False
        try:
            with self._open() as stream:
                lines = csv.reader(stream, delimiter=self._source.delimiter, strict=True)
                if self._source.columns is None:
                    next(lines, None)
                for cells in lines:
                    if not cells:
                        continue
                    if self._source.end is not None and cells[0].strip() == self._source.end:
                        return misshapen, _counted(cells, staging.rows + misshapen) and next(
                            lines, None
                        ) is None
                    if len(cells) == len(self.columns):
                        staging.add(dict(zip(self.columns, cells, strict=True)))
                    else:
                        misshapen += 1
        except (csv.Error, UnicodeError, OSError) as fault:
            raise unreadable(self._source.path) from fault
        if self._source.end is None:
            ended = ends_with_newline(self._source.path)
        return misshapen, ended

    def _open(self) -> Any:
        try:
            # surrogateescape keeps undecodable bytes recognisable; the mapping quarantines the cell that has one.
            return self._source.path.open(
                encoding=self._source.encoding, errors="surrogateescape", newline=""
            )
        except OSError as fault:
            raise unreadable(self._source.path) from fault


class DbfRows:
    """See `adapters.source.Source`. Numbers come as exact decimals, dates as the eight digits that stand there."""

    def __init__(self, source: FileSource, key: tuple[str, ...], scratch: Path) -> None:
        self.complete = False
        self._before = stat_of(source.path)
        self._path = source.path
        self._table = Table(source.path, source.encoding)
        self._key = key
        self._scratch = scratch
        self._staging: Staging | None = None
        self.columns = self._table.columns
        self.kinds = self._table.kinds

    def close(self) -> None:
        """Remove the scratch file."""
        if self._staging is not None:
            self._staging.close()
            self._staging = None

    def count(self) -> int | None:
        """The header's record count, deleted records included."""
        return self._table.records

    def rows(self) -> Iterator[Row | Unreadable]:
        """All records that are not marked deleted, by key."""
        self.close()
        self._staging = Staging(self._scratch, self._key)
        for record in self._table.read():
            self._staging.add(record)
        yield from self._staging.ordered()
        self.complete = self._table.whole and stat_of(self._path) == self._before


def _counted(cells: list[str], rows: int) -> bool:
    """Whether an end line's count, when it has one, agrees."""
    said = cells[1].strip() if len(cells) > 1 else ""
    return not said or said == str(rows)


def ends_with_newline(path: Path) -> bool:
    """Whether the last line was written to its end."""
    with path.open("rb") as stream:
        stream.seek(0, os.SEEK_END)
        if stream.tell() < 2:
            return False
        stream.seek(-2, os.SEEK_END)
        return b"\n" in stream.read(2)  # UTF-16 ends in two bytes


def stat_of(path: Path) -> tuple[int, int, int]:
    """What must not change while a file is read. Raises SourceFault `source.file`."""
    try:
        found = path.stat()
    except OSError as fault:
        raise unreadable(path) from fault
    return found.st_size, found.st_mtime_ns, found.st_ino


def unreadable(path: Path) -> SourceFault:
    """The refusal of a file; the caller raises it."""
    return SourceFault(
        "source.file",
        f"文件 {path.name} 读不了或中途损坏。",
        f"The file {path.name} cannot be read or is damaged.",
        next_zh="请确认文件完整、编码正确。",
        next_en="Check that the file is whole and the encoding is right.",
    )

"""dBASE tables (III, IV, FoxPro) read exactly: no floats for N fields, no guessing of the code page.

The header's code page mark is often missing or wrong (0 would mean ASCII, 0x4D is cp936, which lacks 䶮), so the
declared encoding decides.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from adapters.source import SourceFault

_LIVE, _DELETED = 0x20, 0x2A
_KNOWN = frozenset("CNFDLIYBT")
_JULIAN_YEAR_ONE = 1721425


@dataclass(frozen=True, slots=True)
class _Column:
    name: str
    kind: str
    start: int
    length: int


class Table:
    """A DBF file's shape. Memo and picture columns are not offered: what reads them must say so itself."""

    def __init__(self, path: Path, encoding: str) -> None:
        self.records: int
        self._path = path
        self._encoding = encoding
        self.whole = False
        try:
            with path.open("rb") as stream:
                head = stream.read(32)
                self.records, self._header, self._record = struct.unpack_from("<IHH", head, 4)
                if self._header < 33 or self._record < 2:
                    raise _not_dbf(path)
                described = stream.read(self._header - 32)
        except (OSError, struct.error) as fault:
            raise _not_dbf(path) from fault
        self._columns = _columns(described, encoding, self._record, path)
        self.columns = tuple(column.name for column in self._columns)
        self.kinds = {column.name: column.kind for column in self._columns}

    def read(self) -> Iterator[dict[str, Any]]:
        """The records that are not deleted, in file order; `whole` afterwards tells whether all were there."""
        self.whole = False
        seen = 0
        with self._path.open("rb") as stream:
            stream.seek(self._header)
            while seen < self.records:
                record = stream.read(self._record)
                if len(record) < self._record or record[0] not in (_LIVE, _DELETED):
                    return
                seen += 1
                if record[0] == _LIVE:
                    yield {column.name: self._cell(column, record) for column in self._columns}
        self.whole = True

    def _cell(self, column: _Column, record: bytes) -> Any:
        raw = record[column.start : column.start + column.length]
        match column.kind:
            case "C":
                return raw.decode(self._encoding, "surrogateescape").rstrip(" \x00")
            case "N" | "F":
                return _number(raw)
            case "L":
                return {"T": True, "Y": True, "F": False, "N": False}.get(raw[:1].decode("latin-1").upper())
            case "D":
                return raw.decode("latin-1").strip(" \x00") or None
            case _:
                return _binary(column.kind, raw)


def _number(raw: bytes) -> Decimal | str | None:
    text = raw.decode("latin-1").strip(" \x00")
    try:
        return Decimal(text) if text else None
    except InvalidOperation:
        return text  # "*****": the value did not fit its column; the mapping names it


def _binary(kind: str, raw: bytes) -> Any:
    """FoxPro's binary fields: 32-bit integer, currency in 1/10000, double, Julian day and milliseconds."""
    match kind:
        case "I":
            return Decimal(struct.unpack("<i", raw)[0])
        case "Y":
            return Decimal(struct.unpack("<q", raw)[0]).scaleb(-4)
        case "B":
            return float(struct.unpack("<d", raw)[0])
        case _:
            day = struct.unpack("<ii", raw)[0]
            try:
                return (date.min + timedelta(days=day - _JULIAN_YEAR_ONE - 1)).isoformat() if day else None
            except OverflowError:
                return str(day)


def _columns(described: bytes, encoding: str, record: int, path: Path) -> tuple[_Column, ...]:
    found: list[_Column] = []
    start = 1
    for offset in range(0, len(described) - 31, 32):
        entry = described[offset : offset + 32]
        if entry[0] == 0x0D:
            break
        try:
            name = entry[:11].split(b"\0")[0].decode(encoding).strip()
        except UnicodeDecodeError as fault:
            raise _not_dbf(path) from fault
        kind, length = chr(entry[11]), entry[16]
        wanted = {"I": 4, "Y": 8, "B": 8, "T": 8}.get(kind, length)
        if kind in _KNOWN and name and length == wanted:
            found.append(_Column(name, kind, start, length))
        start += length
    names = [column.name for column in found]
    if start != record or not found or len(set(names)) != len(names):
        raise _not_dbf(path)
    return tuple(found)


def _not_dbf(path: Path) -> SourceFault:
    return SourceFault(
        "source.dbf",
        f"{path.name} 不是能读的 DBF 文件。",
        f"{path.name} is not a readable DBF file.",
        next_zh="请确认文件没有损坏，编码写对。",
        next_en="Check that the file is whole and the encoding is right.",
    )

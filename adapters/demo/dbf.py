"""Writes dBASE III tables as departments' old programs left them: fixed widths, GB18030 text, a code page byte."""

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path

CP936 = 0x4D
NO_CODE_PAGE = 0x00


@dataclass(frozen=True, slots=True)
class Column:
    """A column: kind C (text, width in bytes), N (number, with decimals) or D (date)."""

    name: str
    kind: str
    width: int
    decimals: int = 0


def write(
    path: Path,
    columns: Sequence[Column],
    rows: Iterable[Sequence[object]],
    *,
    written: date,
    code_page: int = CP936,
) -> None:
    """Write a table. Raises `ValueError` when a value does not fit its column: nothing is cut off."""
    records = [b"\x20" + b"".join(_cell(c, v) for c, v in zip(columns, row, strict=True)) for row in rows]
    header = 32 + 32 * len(columns) + 1
    width = 1 + sum(c.width for c in columns)
    head = struct.pack(
        "<BBBBIHH17xB2x",
        0x03,
        written.year - 1900,
        written.month,
        written.day,
        len(records),
        header,
        width,
        code_page,
    )
    described = b"".join(
        struct.pack("<11sc4xBB14x", c.name.encode("ascii"), c.kind.encode("ascii"), c.width, c.decimals)
        for c in columns
    )
    path.write_bytes(head + described + b"\x0d" + b"".join(records) + b"\x1a")


def _cell(column: Column, value: object) -> bytes:
    match column.kind:
        case "C":
            raw = ("" if value is None else str(value)).encode("gb18030").ljust(column.width)
        case "N":
            text = "" if value is None else f"{Decimal(str(value)):.{column.decimals}f}"
            raw = text.encode("ascii").rjust(column.width)
        case "D":
            raw = (f"{value:%Y%m%d}" if isinstance(value, date) else "").encode("ascii").ljust(column.width)
        case _:
            raise ValueError(f"unknown column kind {column.kind}")
    if len(raw) != column.width:
        raise ValueError(f"{column.name}: {len(raw)} bytes do not fit {column.width}")
    return raw

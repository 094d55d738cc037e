"""A snapshot file brought into key order on disk: memory stays small however large the file is."""

import base64
import json
import sqlite3
import tempfile
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

BATCH = 1000


class Staging:
    """Rows in, rows out in key order. The scratch file is removed on `close`; it holds personal data (mode 0600)."""

    def __init__(self, folder: Path, key: tuple[str, ...]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = tempfile.TemporaryDirectory(prefix="yimen-pass-", dir=folder)  # mkdtemp: mode 0700
        self._db = sqlite3.connect(Path(self._folder.name) / "rows.db", isolation_level=None)
        self._db.executescript(
            "pragma journal_mode=off; pragma synchronous=off; create table row(key text, place integer, cells text)"
        )
        self._key = key
        self._waiting: list[tuple[str | None, int, str]] = []
        self.rows = 0

    def add(self, row: dict[str, Any]) -> None:
        """Keep one row."""
        parts = [row.get(name) for name in self._key]
        key = (
            None
            if any(part is None or part == "" for part in parts)
            else json.dumps([str(part) for part in parts])
        )
        self._waiting.append((key, self.rows, json.dumps({name: _plain(cell) for name, cell in row.items()})))
        self.rows += 1
        if len(self._waiting) >= BATCH:
            self._flush()

    def ordered(self) -> Iterator[dict[str, Any]]:
        """Every row, those without a key first, then by key; equal keys stand together."""
        self._flush()
        for (cells,) in self._db.execute("select cells from row order by key, place"):
            yield {name: _restored(cell) for name, cell in json.loads(cells).items()}

    def close(self) -> None:
        """Remove the scratch file."""
        self._db.close()
        self._folder.cleanup()

    def _flush(self) -> None:
        self._db.execute("begin")
        self._db.executemany("insert into row values (?, ?, ?)", self._waiting)
        self._db.execute("commit")
        self._waiting.clear()


def _plain(cell: Any) -> Any:
    if cell is None or isinstance(cell, str | bool):
        return cell
    if isinstance(cell, bytes):
        return ["b", base64.b64encode(cell).decode()]
    if isinstance(cell, float):
        return ["f", cell.hex()]
    if isinstance(cell, datetime):
        return ["t", cell.isoformat()]
    if isinstance(cell, date):
        return ["e", cell.isoformat()]
    if isinstance(cell, list):
        return ["l", [_plain(part) for part in cell]]
    if isinstance(cell, dict):
        return ["m", {name: _plain(part) for name, part in cell.items()}]
    return ["d", str(cell)] if isinstance(cell, Decimal | int) else str(cell)


def _restored(cell: Any) -> Any:
    if not isinstance(cell, list):
        return cell
    kind, said = cell
    match kind:
        case "b":
            return base64.b64decode(said)
        case "f":
            return float.fromhex(said)
        case "t":
            return datetime.fromisoformat(said)
        case "e":
            return date.fromisoformat(said)
        case "l":
            return [_restored(part) for part in said]
        case "m":
            return {name: _restored(part) for name, part in said.items()}
        case _:
            return Decimal(said)

"""What sources share that hand over rows in an order of their own: staged on disk, given back in key order."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from adapters.source import Row, Unreadable
from adapters.sources.staging import Staging


class StagedRows(ABC):
    """See `adapters.source.Source`. Who makes one sets `columns` and writes `_fill`."""

    def __init__(self, key: tuple[str, ...], scratch: Path) -> None:
        self.complete = False
        self.columns: tuple[str, ...] = ()
        self.kinds: dict[str, str] = {}
        self._key = key
        self._scratch = scratch
        self._staging: Staging | None = None

    def close(self) -> None:
        """Remove the scratch file."""
        if self._staging is not None:
            self._staging.close()
            self._staging = None

    def count(self) -> int | None:
        """Not known before reading, unless the source says so."""
        return None

    def rows(self) -> Iterator[Row | Unreadable]:
        """All rows: misshapen ones first, then those without a key, then by key."""
        StagedRows.close(self)
        self._staging = Staging(self._scratch, self._key)
        misshapen, whole = self._fill(self._staging)
        for _ in range(misshapen):
            yield Unreadable(None, "row_shape")
        yield from self._staging.ordered()
        self.complete = whole and misshapen == 0

    @abstractmethod
    def _fill(self, staging: Staging) -> tuple[int, bool]:
        """Stage every row. Gives how many had another shape, and whether the end was seen."""

    def _shaped(self, cells: dict[str, Any]) -> dict[str, Any]:
        """The row with every known column: one that a row leaves out is empty there."""
        return {name: cells.get(name) for name in self.columns} | cells

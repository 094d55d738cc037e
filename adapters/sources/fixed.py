"""Files of fixed-width lines, as mainframes left them. Widths are bytes: a Chinese character takes two or four."""

from pathlib import Path

from adapters.model import FileSource
from adapters.sources.files import ends_with_newline, stat_of, unreadable
from adapters.sources.staged import StagedRows
from adapters.sources.staging import Staging


class FixedRows(StagedRows):
    """Every line has the declared length; the last field may take the rest of it. Trailing spaces are no content."""

    def __init__(self, source: FileSource, key: tuple[str, ...], scratch: Path) -> None:
        super().__init__(key, scratch)
        self._source = source
        self._before = stat_of(source.path)
        self.columns = tuple(name for name, _ in source.fields if name)

    def _fill(self, staging: Staging) -> tuple[int, bool]:
        misshapen, end = 0, self._source.end.encode() if self._source.end else None
        try:
            with self._source.path.open("rb") as stream:
                for raw in stream:
                    line = raw.rstrip(b"\r\n")
                    if not line.strip(b" \x1a"):  # empty, or the end mark of DOS
                        continue
                    if end is not None and line.startswith(end):
                        said = line[len(end) :].strip().decode("ascii", "replace")
                        counted = not said or (said.isdigit() and int(said) == staging.rows + misshapen)
                        return misshapen, counted and not stream.read().strip(b"\x1a \r\n") and self._same()
                    cells = self._cut(line)
                    if cells is None:
                        misshapen += 1
                    else:
                        staging.add(dict(cells))
        except OSError as fault:
            raise unreadable(self._source.path) from fault
        return misshapen, end is None and ends_with_newline(self._source.path) and self._same()

    def _cut(self, line: bytes) -> dict[str, str] | None:
        """The cells of one line, None when it has another length. What cannot be decoded spoils its cell only."""
        found: dict[str, str] = {}
        place = 0
        for name, width in self._source.fields:
            stop = len(line) if width is None else place + width
            if stop > len(line) or place > len(line):
                return None
            if name:
                found[name] = line[place:stop].decode(self._source.encoding, "surrogateescape").rstrip(" ")
            place = stop
        return found if place == len(line) else None

    def _same(self) -> bool:
        return stat_of(self._source.path) == self._before

"""What every source promises: rows in key order, how many there should be, and whether the read was complete."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from hub.errors import Unavailable

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A row that is there but cannot be read. Without a key nobody can say whose row it is."""

    key: tuple[Any, ...] | None
    code: str


class Source(Protocol):
    """One pass over one dataset. A source is used once and then closed."""

    @property
    def complete(self) -> bool:
        """After `rows` ended: every row was read, none twice, and the end was seen. False before that."""
        ...

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns, as the mapping spells them."""
        ...

    @property
    def kinds(self) -> Mapping[str, str]:
        """Column -> its declared type, for those columns that have one: what `drift` compares."""
        ...

    def count(self) -> int | None:
        """How many rows the source says there are, or None when it cannot say."""
        ...

    def rows(self) -> Iterator[Row | Unreadable]:
        """Every row; equal keys stand together. Raises `SourceFault` when the read breaks off."""
        ...

    def close(self) -> None:
        """Let go of connections and scratch files."""
        ...


class SourceFault(Unavailable):
    """The data could not be moved (connection, file, permission); says nothing about what the rows hold."""

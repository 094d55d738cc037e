"""What one process remembers between transactions: each room keeps its own, and says itself when it is out of date."""

import gc
from collections import OrderedDict
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")
T = TypeVar("T")


class Memory:
    """One place of each kind in a process; made at its first use."""

    def __init__(self) -> None:
        self._kept: dict[type, object] = {}

    def of(self, kind: type[T]) -> T:
        """The process's one `kind`."""
        found = self._kept.get(kind)
        if not isinstance(found, kind):
            found = self._kept[kind] = kind()
        return found


class Newest(Generic[K, V]):
    """A bounded map: the least recently used entry goes first."""

    def __init__(self, at_most: int) -> None:
        self._at_most = at_most
        self._kept: OrderedDict[K, V] = OrderedDict()

    def get(self, key: K) -> V | None:
        """What is kept under `key`."""
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
        return found

    def keep(self, key: K, value: V) -> None:
        """Keep `value`, and forget what was used longest ago when there are too many."""
        self._kept[key] = value
        if len(self._kept) > self._at_most:
            self._kept.popitem(last=False)

    def forget(self, key: K) -> None:
        """Keep nothing under `key`."""
        self._kept.pop(key, None)


def rarely_collect() -> None:
    """Python looks through all living objects for cycles when enough new ones were made; with what a hub remembers
    that takes a tenth of a second, in which nobody is answered. What stands at the start is never looked at again.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)

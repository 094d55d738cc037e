"""The catalogue in memory: every item that can be named, read when somebody asks for it.

1,817 lines are split at start (milliseconds); the document of an item is made, and its materials looked up, on first
use. Versions that officers published meanwhile stand above what came with the hub (`hub.catalogue.current`).
"""

import csv
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from importlib.resources import files
from typing import Any, NamedTuple

from hub.catalogue.items import CLASSES, ServiceItem, load_items, parse
from hub.catalogue.materials import register
from hub.catalogue.table import COLUMNS, document
from hub.registry.datafiles import in_locale


class Listed(NamedTuple):
    """What lists and searches need of an item, without reading the whole of it."""

    code: str
    zh: str
    en: str
    level: str
    subject: str
    item_class: str
    department: str
    version: int
    complete: bool

    def label(self, locale: str = "zh-CN") -> str:
        """The item's name."""
        return in_locale({"zh-CN": self.zh, "en": self.en}, locale)


class Catalogue(Mapping[str, ServiceItem]):
    """Every service item by code; behaves as a mapping, and lists items without reading them."""

    def __init__(self, whole: Mapping[str, ServiceItem], lines: Mapping[str, Mapping[str, str]]) -> None:
        """`whole` are items that came as documents, `lines` those of the table, by code."""
        self._items = dict(whole)
        self._lines = lines
        self._codes = dict.fromkeys([*whole, *lines])
        self.read: object = None
        """What was published when `hub.catalogue.current` last looked."""

    def __getitem__(self, code: str) -> ServiceItem:
        if code not in self._items:
            self._items[code] = parse(document(self._lines[code], register()))
        return self._items[code]

    def __iter__(self) -> Iterator[str]:
        return iter(self._codes)

    def __len__(self) -> int:
        return len(self._codes)

    def __contains__(self, code: object) -> bool:
        return code in self._codes

    def adopt(self, items: Iterable[ServiceItem]) -> None:
        """Let these versions stand from now on."""
        for item in items:
            self._items[item.code] = item
            self._codes[item.code] = None
        self.__dict__.pop("listed", None)

    @cached_property
    def listed(self) -> tuple[Listed, ...]:
        """Every item in short, in the order of the classes."""
        return tuple(self._short(code) for code in self._codes)

    def _short(self, code: str) -> Listed:
        if code in self._items:
            return short(self._items[code])
        row = self._lines[code]
        return Listed(
            code, row["zh"], row["en"], row["level"], row["subject"], row["class"], row["department"],
            int(row["version"]), bool(row["materials"]),
        )  # fmt: skip


def short(item: ServiceItem) -> Listed:
    """One item in short."""
    names = item.display
    return Listed(
        item.code, names["zh-CN"], names["en"], item.level, item.subject, item.item_class, item.department,
        item.version, item.complete,
    )  # fmt: skip


def listed(items: Mapping[str, ServiceItem]) -> tuple[Listed, ...]:
    """Every item of `items` in short."""
    return items.listed if isinstance(items, Catalogue) else tuple(short(item) for item in items.values())


def load_catalogue() -> Catalogue:
    """What came with the hub: six items as documents, the others as lines of `data/register/<class>.csv`."""
    lines: dict[str, Mapping[str, str]] = {}
    for name in CLASSES:
        for row in shipped_rows(name):
            lines[row["code"]] = row
    return Catalogue(load_items(), lines)


def shipped_rows(item_class: str) -> list[dict[str, Any]]:
    """The lines of one shipped file; only `yimen catalogue lint` and the tests check each of them."""
    text = (
        files("hub.catalogue").joinpath("data", "register", f"{item_class}.csv").read_text(encoding="utf-8")
    )
    first, *rows = csv.reader(text.splitlines())
    if first != list(COLUMNS):
        raise ValueError(f"{item_class}.csv has other columns than the table")
    return [dict(zip(first, row, strict=True)) for row in rows]

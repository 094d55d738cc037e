"""Data files that come with the hub (types, items, schemes): one JSON file for each code, read once at start."""

import json
from collections.abc import Callable, Mapping
from importlib.resources.abc import Traversable
from types import MappingProxyType
from typing import Any, Protocol, TypeVar

from jsonschema.exceptions import SchemaError

from hub.errors import Malformed


class Coded(Protocol):
    """What a file describes; the file is named after its code."""

    @property
    def code(self) -> str:
        """The code, which is also the file's name without `.json`."""


Read = TypeVar("Read", bound=Coded)


def load_folder(
    root: Traversable, parse: Callable[[dict[str, Any]], Read], invalid: Callable[[str, Exception], Malformed]
) -> dict[str, Read]:
    """Read every JSON file of `root`, by code, in the order of their names.

    Raises what `invalid` makes of a file's name and fault when `parse` cannot make sense of the file, or when it
    is not named after its code.
    """
    found: dict[str, Read] = {}
    for entry in sorted(root.iterdir(), key=lambda e: e.name):
        if entry.name.endswith(".json"):
            try:
                loaded = parse(json.loads(entry.read_text(encoding="utf-8")))
                if entry.name != f"{loaded.code}.json":
                    raise ValueError("file name and code differ")
            except (KeyError, TypeError, ValueError, ArithmeticError, AttributeError, SchemaError) as error:
                raise invalid(entry.name, error) from error
            found[loaded.code] = loaded
    return found


def display(entries: list[dict[str, str]]) -> Mapping[str, str]:
    """Names by locale; raises `ValueError` when Chinese or English is missing."""
    names = {e["locale"]: e["name"] for e in entries}
    if not names.get("zh-CN") or not names.get("en"):
        raise ValueError("a name is missing in Chinese or English")
    return MappingProxyType(names)


def in_locale(names: Mapping[str, str], locale: str) -> str:
    """The name in `locale`, in English for any other kind of English, in Chinese otherwise."""
    return names.get(locale) or names["en" if locale.startswith("en") else "zh-CN"]

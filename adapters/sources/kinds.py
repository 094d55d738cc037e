"""The types of result columns, in a few words that mean the same for every database: what drift is told by."""

from collections.abc import Mapping, Sequence
from typing import Any

_POSTGRESQL = {
    16: "boolean", 17: "bytes", 20: "integer", 21: "integer", 23: "integer", 26: "integer", 700: "float",
    701: "float", 1700: "decimal", 18: "text", 19: "text", 25: "text", 1042: "text", 1043: "text", 1082: "date",
    1114: "time", 1184: "instant",
}  # fmt: skip
"""Object ids of pg_type, fixed for ever."""
_MYSQL = {
    0: "decimal", 246: "decimal", 1: "integer", 2: "integer", 3: "integer", 8: "integer", 9: "integer",
    13: "integer", 16: "bits", 4: "float", 5: "float", 7: "instant", 17: "instant", 10: "date", 14: "date",
    12: "time", 18: "time", 15: "text", 249: "text", 250: "text", 251: "text", 252: "text", 253: "text",
    254: "text",
}  # fmt: skip
"""Column types of the client/server protocol. Text and bytes share a number there."""
_KNOWN: Mapping[str, Mapping[Any, str]] = {"postgresql": _POSTGRESQL, "mysql": _MYSQL, "mariadb": _MYSQL}


def kinds_of(dialect: str, description: Sequence[Sequence[Any]] | None) -> dict[str, str]:
    """Column -> type, from a DB-API description. Left out where the driver declares none (SQLite)."""
    known = _KNOWN.get(dialect, {})
    found: dict[str, str] = {}
    for entry in description or ():
        code = entry[1]
        if code is not None:
            found[str(entry[0])] = known.get(code) or str(getattr(code, "name", code))
    return found

"""RFC 8785 JSON Canonicalization Scheme, for the values that Yimen hashes: one value, one spelling."""

from collections.abc import Mapping
from json.encoder import encode_basestring
from typing import Any

import orjson

from hub.errors import Malformed

MAX_INTEGER = 2**53 - 1
"""The largest integer that every JSON reader keeps exactly (RFC 8785 section 3.2.2.3, RFC 7493)."""
MAX_DEPTH = 64


def canonical(value: Any) -> bytes:
    """The RFC 8785 bytes of `value`: UTF-8, no spaces, object keys in UTF-16 code unit order.

    Takes None, bool, str, int within +-(2^53 - 1), list, tuple and mappings with string keys. Floats are
    refused rather than rounded: money and scores travel as decimal strings here.

    Raises Malformed `jcs.number`, `jcs.integer_range`, `jcs.surrogate`, `jcs.key`, `jcs.type`, `jcs.depth`.
    """
    if _simple(value, 0):
        try:
            return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
        except TypeError:  # half a surrogate pair: told in our words below
            pass
    out: list[str] = []
    _write(value, out, 0)
    return "".join(out).encode("utf-8")


def _simple(value: Any, depth: int) -> bool:
    """Whether orjson writes the bytes of RFC 8785: plain types, and ASCII keys, whose order is the same in UTF-16."""
    kind = type(value)
    if kind is str or value is None or kind is bool:
        return True
    if kind is int:
        return bool(-MAX_INTEGER <= value <= MAX_INTEGER)
    if depth >= MAX_DEPTH:
        return False
    if kind is dict:
        for key, item in value.items():
            if type(key) is not str or not key.isascii():
                return False
            if type(item) is not str and not _simple(item, depth + 1):
                return False
        return True
    if kind is not list and kind is not tuple:
        return False
    for item in value:  # noqa: SIM110 - this is asked for every event: a generator costs three times as much
        if type(item) is not str and not _simple(item, depth + 1):
            return False
    return True


def _write(value: Any, out: list[str], depth: int) -> None:
    if depth > MAX_DEPTH:
        raise Malformed("jcs.depth", "嵌套层数过多。", f"Nested deeper than {MAX_DEPTH} levels.")
    if value is None:
        out.append("null")
    elif isinstance(value, bool):
        out.append("true" if value else "false")
    elif isinstance(value, str):
        out.append(_string(value))
    elif isinstance(value, int):
        out.append(_integer(value))
    elif isinstance(value, float):
        raise Malformed(
            "jcs.number", "不接受小数，请用字符串。", "Floats are not accepted: write decimals as strings."
        )
    elif isinstance(value, Mapping):
        _object(value, out, depth)
    elif isinstance(value, list | tuple):
        _array(value, out, depth)
    else:
        raise Malformed("jcs.type", "不是 JSON 值。", f"Not a JSON value: {type(value).__name__}.")


def _integer(value: int) -> str:
    if not -MAX_INTEGER <= value <= MAX_INTEGER:
        raise Malformed("jcs.integer_range", "整数超出范围。", "Integer beyond 2^53 - 1.")
    return int.__repr__(value)


def _string(value: str) -> str:
    # json escapes exactly what RFC 8785 section 3.2.2.2 asks for once ensure_ascii is off: \b \t \n \f \r,
    # \" \\ and the other controls as \u00xx in lower case; U+007F and above stay as they are.
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise Malformed("jcs.surrogate", "文字含有无效的代理字符。", "Text holds a lone surrogate.") from None
    return encode_basestring(value)


def _object(value: Mapping[Any, Any], out: list[str], depth: int) -> None:
    for key in value:
        if not isinstance(key, str):
            raise Malformed("jcs.key", "键必须是文字。", "Object keys must be strings.")
    # Written before sorting so that a lone surrogate is told as such and not as an encoding error.
    members = [(_string(key), key) for key in value]
    members.sort(key=lambda member: member[1].encode("utf-16-be"))
    out.append("{")
    for position, (written, key) in enumerate(members):
        out.append("," if position else "")
        out.append(written)
        out.append(":")
        _write(value[key], out, depth + 1)
    out.append("}")


def _array(value: list[Any] | tuple[Any, ...], out: list[str], depth: int) -> None:
    out.append("[")
    for position, item in enumerate(value):
        out.append("," if position else "")
        _write(item, out, depth + 1)
    out.append("]")

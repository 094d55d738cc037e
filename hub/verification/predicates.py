"""Yes/no questions about one claim, answered instead of showing its value. Pure."""

from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from hub.catalogue.items import ClaimPath
from hub.verification.model import PredicateAnswer


def answer(claims: Mapping[str, Any], path: ClaimPath, op: str, value: Any) -> PredicateAnswer:
    """Answer `claim op value` (eq, in, ge, le); a claim that is not there answers no, never an error.

    Numbers written as decimal strings compare as numbers; dates as YYYY-MM-DD compare as text, which is the
    same order.
    """
    found: Any = claims
    for step in path:
        if isinstance(found, Mapping) and isinstance(step, str):
            found = found.get(step)
        elif isinstance(found, list) and isinstance(step, int) and step < len(found):
            found = found[step]
        else:
            found = None
            break
    return PredicateAnswer(path=path, op=op, value=value, answer=_holds(found, op, value))


def _holds(found: Any, op: str, value: Any) -> bool:
    if found is None:
        return False
    if op == "in":
        return isinstance(value, list) and any(_same(found, one) for one in value)
    if op == "eq":
        return _same(found, value)
    compare: dict[str, Callable[[Any, Any], bool]] = {"ge": lambda a, b: a >= b, "le": lambda a, b: a <= b}
    left, right = _number(found), _number(value)
    if left is not None and right is not None:
        return compare[op](left, right)
    if isinstance(found, str) and isinstance(value, str) and left is None and right is None:
        return compare[op](found, value)
    return False


def _same(found: Any, value: Any) -> bool:
    return type(found) is type(value) and bool(found == value)


def _number(value: Any) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    try:
        number = Decimal(value)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None

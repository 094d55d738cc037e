"""`authorization_details` of type `certificate_verification` (RFC 9396): what a verifier asks and a grant gives.

The schema is closed: an unknown type, an unknown or missing member, a wrong JSON type or a value out of range refuses
the whole.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Self, TypeVar

import orjson

from hub.errors import Malformed, Unprocessable
from hub.formats.jws import MAX_SAFE_INT

TYPE = "certificate_verification"
BASES = frozenset({"holder", "delegate", "guardian", "legal_representative", "office_power"})
OPERATORS = frozenset({"eq", "in", "ge", "le"})
MAX_DETAILS = 8
MAX_TYPES = 16
MAX_FIELDS = 128
MAX_PREDICATES = 32
MAX_USES = 10_000

ClaimPath = tuple[str | int | None, ...]
_T = TypeVar("_T")

_CODE = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_REQUIRED = frozenset(
    {"type", "item_code", "case_id", "purpose", "basis", "datatypes", "fields", "valid_until", "max_uses"}
)
_OPTIONAL = frozenset({"predicates", "identifier"})


def _refuse(member: str) -> Malformed:
    return Malformed(
        "authorization_details.invalid",
        "授权请求的内容不符合格式",
        "authorization_details do not follow the schema",
        next_zh="请对照文档检查该字段。",
        next_en="Check this member against the documentation.",
        member=member,
    )


@dataclass(frozen=True, slots=True)
class AskedPredicate:
    """One yes/no question about a claim of a certificate of `type`: `claim op value`."""

    type: str
    path: ClaimPath
    op: str
    value: Any

    def to_json(self) -> dict[str, Any]:
        """The JSON object of this question."""
        return {"type": self.type, "path": list(self.path), "op": self.op, "value": self.value}


@dataclass(frozen=True, slots=True)
class Detail:
    """What one grant covers (DESIGN section 3, rule 8).

    `fields` maps a certificate type to claim paths; a type of `datatypes` without fields may be verified but not read.
    `valid_until` is in seconds. `identifier`, if any, names the only certificate that may be looked at.
    """

    item_code: str
    case_id: str
    purpose: str
    basis: str
    datatypes: tuple[str, ...]
    fields: Mapping[str, tuple[ClaimPath, ...]]
    valid_until: int
    max_uses: int
    predicates: tuple[AskedPredicate, ...] = ()
    identifier: str | None = None

    @classmethod
    def from_json(cls, raw: Any) -> Self:
        """The detail in one JSON object of `authorization_details`; `Malformed` "authorization_details.invalid"."""
        if not isinstance(raw, dict):
            raise _refuse("authorization_details")
        for member in sorted(_REQUIRED - raw.keys()):
            raise _refuse(member)
        if raw["type"] != TYPE:
            raise _refuse("type")
        if raw.keys() - _REQUIRED - _OPTIONAL:
            raise _refuse("unknown")
        datatypes = _list_of(raw["datatypes"], "datatypes", _code, MAX_TYPES)
        if not datatypes:
            raise _refuse("datatypes")
        if not isinstance(raw["basis"], str) or raw["basis"] not in BASES:
            raise _refuse("basis")
        predicates: tuple[AskedPredicate, ...] = ()
        if "predicates" in raw:
            predicates = _list_of(raw["predicates"], "predicates", _predicate, MAX_PREDICATES)
            if any(one.type not in datatypes for one in predicates):
                raise _refuse("predicates")
        return cls(
            item_code=_code(raw["item_code"], "item_code"),
            case_id=_code(raw["case_id"], "case_id"),
            purpose=_code(raw["purpose"], "purpose"),
            basis=raw["basis"],
            datatypes=datatypes,
            fields=_fields(raw["fields"], datatypes),
            valid_until=_number(raw["valid_until"], "valid_until", MAX_SAFE_INT),
            max_uses=_number(raw["max_uses"], "max_uses", MAX_USES),
            predicates=predicates,
            identifier=_code(raw["identifier"], "identifier") if "identifier" in raw else None,
        )

    def to_json(self) -> dict[str, Any]:
        """The JSON object; `from_json` gives this detail again."""
        raw: dict[str, Any] = {
            "type": TYPE,
            "item_code": self.item_code,
            "case_id": self.case_id,
            "purpose": self.purpose,
            "basis": str(self.basis),
            "datatypes": list(self.datatypes),
            "fields": {code: [list(path) for path in paths] for code, paths in self.fields.items()},
            "valid_until": self.valid_until,
            "max_uses": self.max_uses,
        }
        if self.predicates:
            raw["predicates"] = [one.to_json() for one in self.predicates]
        if self.identifier is not None:
            raw["identifier"] = self.identifier
        return raw

    def narrowed(self, fields: Mapping[str, Iterable[ClaimPath]]) -> Self:
        """This detail with only `fields` left; a type of which nothing is left is not covered any more.

        A type that asked for no fields stays, one with predicates too. Raises `Unprocessable` when `fields` are not
        among those asked, or when nothing at all would be covered.
        """
        left = {code: tuple(paths) for code, paths in fields.items()}
        left = {code: paths for code, paths in left.items() if paths}
        asks_otherwise = {one.type for one in self.predicates}
        datatypes = tuple(
            code
            for code in self.datatypes
            if code in left or code in asks_otherwise or not self.fields.get(code)
        )
        result = replace(self, datatypes=datatypes, fields=MappingProxyType(left))
        if not datatypes or not narrower_or_equal(self, result):
            raise Unprocessable(
                "authorization_details.not_narrower",
                "授权范围只能小于或等于请求范围",
                "what is granted must be a part of what was asked",
            )
        return result


def parse_details(raw: Any) -> tuple[Detail, ...]:
    """The details of an `authorization_details` array (1 to 8); `Malformed` "authorization_details.invalid"."""
    if not isinstance(raw, list) or not 1 <= len(raw) <= MAX_DETAILS:
        raise _refuse("authorization_details")
    return tuple(Detail.from_json(one) for one in raw)


def narrower_or_equal(asked: Detail, granted: Detail) -> bool:
    """Whether everything that `granted` allows was asked for in `asked`.

    Item, case, purpose and basis are the same; types, fields and predicates are subsets; end and uses are not beyond; a
    certificate that was named stays the only one. A path is covered by itself, or by one that has None (every
    element) where it has an index; never by its parent, which is another claim.
    """
    return (
        (asked.item_code, asked.case_id, asked.purpose, asked.basis)
        == (granted.item_code, granted.case_id, granted.purpose, granted.basis)
        and set(granted.datatypes) <= set(asked.datatypes)
        and all(code in granted.datatypes for code, paths in granted.fields.items() if paths)
        and all(
            any(_covers(wide, path) for wide in asked.fields.get(code, ()))
            for code, paths in granted.fields.items()
            for path in paths
        )
        and all(any(_same(one, other) for other in asked.predicates) for one in granted.predicates)
        and granted.valid_until <= asked.valid_until
        and granted.max_uses <= asked.max_uses
        and asked.identifier in (None, granted.identifier)
    )


def _covers(wide: ClaimPath, path: ClaimPath) -> bool:
    return len(wide) == len(path) and all(
        (have == want and type(have) is type(want)) or (have is None and isinstance(want, int))
        for have, want in zip(wide, path, strict=True)
    )


def _same(one: AskedPredicate, other: AskedPredicate) -> bool:
    # repr, because True == 1 in Python and not in JSON
    return (one.type, one.path, one.op, repr(one.value)) == (
        other.type,
        other.path,
        other.op,
        repr(other.value),
    )


def _list_of(raw: Any, member: str, read: Callable[[Any, str], _T], most: int) -> tuple[_T, ...]:
    if not isinstance(raw, list) or len(raw) > most:
        raise _refuse(member)
    values = tuple(read(one, member) for one in raw)
    if len({repr(value) for value in values}) != len(values):  # repeats are refused
        raise _refuse(member)
    return values


def _code(raw: Any, member: str) -> str:
    if not isinstance(raw, str) or not _CODE.fullmatch(raw):
        raise _refuse(member)
    return raw


def _number(raw: Any, member: str, most: int) -> int:
    if type(raw) is not int or not 1 <= raw <= most:
        raise _refuse(member)
    return raw


def _path(raw: Any, member: str) -> ClaimPath:
    """A claim path: begins with a name, then names, indices and None (OpenID4VP section 7)."""
    if not isinstance(raw, list) or not 1 <= len(raw) <= 8 or not isinstance(raw[0], str):
        raise _refuse(member)
    for step in raw:
        name = isinstance(step, str) and 0 < len(step) <= 128
        index = type(step) is int and 0 <= step <= MAX_SAFE_INT
        if not (step is None or name or index):
            raise _refuse(member)
    return tuple(raw)


def _fields(raw: Any, datatypes: tuple[str, ...]) -> Mapping[str, tuple[ClaimPath, ...]]:
    if not isinstance(raw, dict) or not raw.keys() <= set(datatypes):
        raise _refuse("fields")
    try:
        return _known_fields(orjson.dumps(raw))
    except TypeError as fault:  # an integer of more than 64 bits, half a surrogate pair
        raise _refuse("fields") from fault


@lru_cache(maxsize=1024)
def _known_fields(spelled: bytes) -> Mapping[str, tuple[ClaimPath, ...]]:
    """An item asks for the same fields again and again: they are read once. Nobody can change what is given."""
    raw = orjson.loads(spelled)
    return MappingProxyType(
        {code: _list_of(paths, "fields", _path, MAX_FIELDS) for code, paths in raw.items()}
    )


def _predicate(raw: Any, member: str) -> AskedPredicate:
    if not isinstance(raw, dict) or raw.keys() != {"type", "path", "op", "value"}:
        raise _refuse(member)
    op, value = raw["op"], raw["value"]
    if not isinstance(op, str) or op not in OPERATORS or isinstance(value, list) != (op == "in"):
        raise _refuse(member)
    values = value if isinstance(value, list) else [value]
    if not 1 <= len(values) <= 64 or not all(_scalar(one) for one in values):
        raise _refuse(member)
    return AskedPredicate(_code(raw["type"], member), _path(raw["path"], member), op, value)


def _scalar(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) <= 128
    return isinstance(value, bool) or (isinstance(value, int) and abs(value) <= MAX_SAFE_INT)

"""A row to what will be signed, or to the named reasons why it cannot be. Pure; never an exception."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import date
from typing import Any

from adapters.columns import Column
from adapters.findings import Finding
from adapters.model import Dataset, Field, HolderRule
from adapters.values import Claim
from hub.formats.identifiers import CREDIT_TYPE, RESIDENT_TYPE
from hub.formats.jcs import canonical

Row = Mapping[str, Any]
_KIND_BY_ID_TYPE = {RESIDENT_TYPE: "resident_id", CREDIT_TYPE: "credit_code"}


@dataclass(frozen=True, slots=True)
class Mapped:
    """What one row says, in the words of its type. Dates are YYYY-MM-DD; `notes` name what was changed."""

    holders: tuple[Mapping[str, str], ...]
    claims: Mapping[str, Claim]
    valid_from: str | None
    valid_until: str | None
    as_of: str | None
    notes: tuple[Finding, ...] = ()

    def digest(self, vct: str) -> str:
        """SHA-256 hex of the canonical content: equal exactly when the certificate would say the same.

        `as_of` is left out, or every certificate would change daily; `sync` refreshes living types by age.
        """
        content = {
            "vct": vct, "holders": [dict(holder) for holder in self.holders], "claims": dict(self.claims),
            "valid_from": self.valid_from, "valid_until": self.valid_until,
        }  # fmt: skip
        return hashlib.sha256(canonical(content)).hexdigest()


def map_row(row: Row, dataset: Dataset, *, today: date) -> Mapped | tuple[Finding, ...]:
    """Map one row; see `Mapper`, which is for many."""
    return Mapper(dataset, today=today).map(row)


class Mapper:
    """The mapping of one dataset, its columns made ready once. `today` is the civil day in Shanghai."""

    def __init__(self, dataset: Dataset, *, today: date) -> None:
        def column(rule: Field, where: str) -> Column:
            return Column(rule, where, today)

        def day(rule: Field | None, where: str) -> Column | None:
            return column(rule, where) if rule is not None else None

        self._holders = [_Holder(rule, today) for rule in dataset.holders]
        self._claims = [(name, column(rule, name)) for name, rule in dataset.claims.items()]
        self._valid_from = day(dataset.valid_from, "valid.from")
        self._valid_until = day(dataset.valid_until, "valid.until")
        self._as_of = day(dataset.as_of, "as_of")
        self._key = [column(Field(column=name), "key") for name in dataset.key]

    def map(self, row: Row) -> Mapped | tuple[Finding, ...]:
        """What one row says, or all its faults at once."""
        faults: list[Finding] = []
        notes: list[Finding] = []
        holders = tuple(
            holder for one in self._holders if (holder := one.read(row, faults, notes)) is not None
        )
        claims = {
            name: value
            for name, column in self._claims
            if (value := column.read(row, faults, notes)) is not None
        }
        valid_from = _day(self._valid_from, row, faults, notes)
        valid_until = _day(self._valid_until, row, faults, notes)
        as_of = _day(self._as_of, row, faults, notes)
        if valid_from and valid_until and valid_until < valid_from:
            faults.append(Finding("validity", "valid"))
        if faults:
            return tuple(dict.fromkeys(faults))
        return Mapped(holders, claims, valid_from, valid_until, as_of, tuple(dict.fromkeys(notes)))

    def key(self, row: Row) -> tuple[str, ...] | None:
        """The source key as text, or None when a part is empty. 5, "5 " and Decimal(5) are one key."""
        parts: list[str] = []
        for column in self._key:
            value = column.read(row, [], [])
            if not isinstance(value, str) or not value:
                return None
            parts.append(value)
        return tuple(parts)


class _Holder:
    """One holder: the number is read by the rules of its type."""

    def __init__(self, rule: HolderRule, today: date) -> None:
        where = f"holders.{rule.role}"
        self._role = rule.role
        self._when = Column(Field(column=rule.when), where, today) if rule.when is not None else None
        self._id_type = Column(rule.id_type, f"{where}.id_type", today)
        self._name = Column(rule.name, f"{where}.name", today).stricter("name")
        plain = Column(rule.id_no, f"{where}.id_no", today)
        self._plain = plain
        self._by_type = {code: plain.stricter(kind) for code, kind in _KIND_BY_ID_TYPE.items()}

    def read(self, row: Row, faults: list[Finding], notes: list[Finding]) -> Mapping[str, str] | None:
        if self._when is not None:
            wrong: list[Finding] = []
            if self._when.read(row, wrong, []) is None and (not wrong or wrong[0].code == "missing_column"):
                return None  # where something stands that cannot be read, the fields below say what is wrong
        id_type = self._id_type.read(row, faults, notes)
        name = self._name.read(row, faults, notes)
        id_no = self._by_type.get(str(id_type), self._plain).read(row, faults, notes)
        found = {"role": self._role}
        for member, value in (("name", name), ("id_type", id_type), ("id_no", id_no)):
            if value is not None:
                found[member] = str(value)
        return found


def key_of(row: Row, dataset: Dataset) -> tuple[str, ...] | None:
    """The source key of one row; see `Mapper.key`."""
    return Mapper(dataset, today=date.min).key(row)


def rules_of(dataset: Dataset) -> str:
    """SHA-256 hex of the mapping itself (its rule version): changes when a row could map differently."""
    described = {
        "type": dataset.type, "key": list(dataset.key), "holders": _described(dataset.holders),
        "claims": _described(dataset.claims), "valid_from": _described(dataset.valid_from),
        "valid_until": _described(dataset.valid_until),
    }  # fmt: skip
    return hashlib.sha256(canonical(described)).hexdigest()


def _described(value: Any) -> Any:
    if isinstance(value, Field | HolderRule):
        return {item.name: _described(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, Mapping):
        return {key: _described(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_described(item) for item in value]
    return value


def columns_of(dataset: Dataset) -> tuple[str, ...]:
    """Every column the mapping reads, each once, the key first."""
    holder_fields = [field for rule in dataset.holders for field in (rule.name, rule.id_type, rule.id_no)]
    dates = [field for field in (dataset.valid_from, dataset.valid_until, dataset.as_of) if field]
    named = [field.column for field in [*holder_fields, *dataset.claims.values(), *dates] if field.column]
    others = [rule.when for rule in dataset.holders if rule.when]
    if dataset.cursor is not None:
        others.append(dataset.cursor.column)
    if dataset.lookup is not None:
        others += [column for way in dataset.lookup.by for column, _ in way]
    return tuple(dict.fromkeys([*dataset.key, *named, *others]))


def raw_columns_of(dataset: Dataset) -> frozenset[str]:
    """Columns declared `bytes_as`: the source should hand over their bytes where it can."""
    holder_fields = [field for rule in dataset.holders for field in (rule.name, rule.id_type, rule.id_no)]
    every = [*holder_fields, *dataset.claims.values()]
    return frozenset(field.column for field in every if field.column and field.bytes_as)


def _day(column: Column | None, row: Row, faults: list[Finding], notes: list[Finding]) -> str | None:
    found = column.read(row, faults, notes) if column is not None else None
    return found if isinstance(found, str) else None

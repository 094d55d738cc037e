"""A row to what will be signed, or to the named reasons why it cannot be. Pure; never an exception."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import date
from typing import Any

from adapters import values
from adapters.findings import Finding
from adapters.model import Dataset, Field, HolderRule
from adapters.values import Claim, Fault, Reading
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
    """Map one row. All its faults are told at once. `today` is the civil day in Shanghai."""
    faults: list[Finding] = []
    notes: list[Finding] = []
    holders = [
        holder for rule in dataset.holders if (holder := _holder(row, rule, today, faults, notes)) is not None
    ]
    claims: dict[str, Claim] = {}
    for name, field in dataset.claims.items():
        value = _value(row, field, name, today, faults, notes)
        if value is not None:
            claims[name] = value
    valid_from = _day(row, dataset.valid_from, "valid.from", today, faults, notes)
    valid_until = _day(row, dataset.valid_until, "valid.until", today, faults, notes)
    as_of = _day(row, dataset.as_of, "as_of", today, faults, notes)
    if valid_from and valid_until and valid_until < valid_from:
        faults.append(Finding("validity", "valid"))
    if faults:
        return tuple(dict.fromkeys(faults))
    return Mapped(tuple(holders), claims, valid_from, valid_until, as_of, tuple(dict.fromkeys(notes)))


def key_of(row: Row, dataset: Dataset) -> tuple[str, ...] | None:
    """The source key as text, or None when a part is empty. 5, "5 " and Decimal(5) are one key."""
    parts: list[str] = []
    for column in dataset.key:
        try:
            value = values.convert(
                row.get(column), Field(column=column), Reading(date.min, "key", column, [])
            )
        except Fault:
            return None
        if not isinstance(value, str) or not value:
            return None
        parts.append(value)
    return tuple(parts)


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
    return tuple(dict.fromkeys([*dataset.key, *named, *others]))


def raw_columns_of(dataset: Dataset) -> frozenset[str]:
    """Columns declared `bytes_as`: the source should hand over their bytes where it can."""
    holder_fields = [field for rule in dataset.holders for field in (rule.name, rule.id_type, rule.id_no)]
    every = [*holder_fields, *dataset.claims.values()]
    return frozenset(field.column for field in every if field.column and field.bytes_as)


def _holder(
    row: Row, rule: HolderRule, today: date, faults: list[Finding], notes: list[Finding]
) -> Mapping[str, str] | None:
    where = f"holders.{rule.role}"
    if rule.when is not None:
        try:
            if (
                values.convert(
                    row.get(rule.when), Field(column=rule.when), Reading(today, where, rule.when, [])
                )
                is None
            ):
                return None
        except Fault:
            pass  # something stands there; the fields below say what is wrong with it
    id_type = _value(row, rule.id_type, f"{where}.id_type", today, faults, notes)
    kind = _KIND_BY_ID_TYPE.get(str(id_type))
    found = {
        "role": rule.role,
        "name": _value(row, rule.name, f"{where}.name", today, faults, notes, kind="name"),
        "id_type": id_type,
        "id_no": _value(row, rule.id_no, f"{where}.id_no", today, faults, notes, kind=kind),
    }
    return {key: str(value) for key, value in found.items() if value is not None}


def _value(
    row: Row,
    field: Field,
    where: str,
    today: date,
    faults: list[Finding],
    notes: list[Finding],
    *,
    kind: str | None = None,
) -> Claim:
    """One value; a fault is recorded and gives None. `kind` makes a plain text field stricter."""
    column = field.column or ""
    if field.column is not None and field.column not in row:
        faults.append(Finding("missing_column", where, column))
        return None
    if kind is not None and field.kind == "text":
        field = _stricter(field, kind)
    try:
        found = values.convert(row.get(column), field, Reading(today, where, column, notes))
        if (
            found is None
            and field.required
            and not values.is_no_end(row.get(column), field, Reading(today, where, column, []))
        ):
            raise Fault("missing_value")
    except Fault as fault:
        faults.append(Finding(fault.code, where, column, fault.detail))
        return None
    return found


def _stricter(field: Field, kind: str) -> Field:
    members = {item.name: getattr(field, item.name) for item in fields(field)}
    return Field(**{**members, "kind": kind})


def _day(
    row: Row, field: Field | None, where: str, today: date, faults: list[Finding], notes: list[Finding]
) -> str | None:
    found = _value(row, field, where, today, faults, notes) if field is not None else None
    return found if isinstance(found, str) else None

"""A declared field made ready for many rows: what `values.convert` says of a cell, in a fraction of its time.

Two short ways lead past it: an answer that was given before (codes, dates, a school's name come again and again), and
text that is plainly text. Whatever is not plain goes the long way; a test holds the ways together.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

from adapters import values
from adapters.findings import Finding
from adapters.model import Field
from adapters.values import MAX_TEXT, Claim, Fault, Reading
from hub.errors import Malformed
from hub.formats.identifiers import resident_id

REMEMBERED = 512
"""Answers that one column keeps: enough for codes and dates, little where every row says something else."""
_ALIKE = frozenset({str, int, bool, date, bytes, type(None)})
"""Types whose equal values are answered alike; a tuple of type and value keeps 1, True and 1.0 apart."""
_PLAIN = frozenset({"text", "name", "resident_id"})


@dataclass(slots=True)
class Column:
    """One field at one place (`where`) of a mapping. `today` is the civil day in Shanghai."""

    rule: Field
    where: str
    today: date
    _known: dict[tuple[type, Any], tuple[Claim, tuple[Finding, ...]]] = field(default_factory=dict)
    _plain: bool = False
    _name: str = ""

    def __post_init__(self) -> None:
        rule = self.rule
        self._name = rule.column or ""
        self._plain = (
            rule.column is not None and rule.kind in _PLAIN and rule.codes is None and not rule.bytes_as
        )

    def stricter(self, kind: Any) -> "Column":
        """The same, read as another kind where the rule only says text."""
        if self.rule.kind != "text":
            return self
        return Column(replace(self.rule, kind=kind), self.where, self.today)

    def read(self, row: Mapping[str, Any], faults: list[Finding], notes: list[Finding]) -> Claim:
        """The row's value; a fault is added to `faults` and gives None, what was changed to `notes`."""
        name = self._name
        try:
            cell = row[name] if name else None
        except KeyError:
            faults.append(Finding("missing_column", self.where, name))
            return None
        asked = (cell.__class__, cell) if cell.__class__ in _ALIKE else None
        if asked is not None:
            known = self._known.get(asked)
            if known is not None:
                if known[1]:
                    notes.extend(known[1])
                return known[0]
            if self._plain and cell.__class__ is str:
                text = self._short(cell)
                if text is not None:
                    return self._keep(asked, text, ())
        return self._long(cell, asked, faults, notes)

    def _short(self, cell: str) -> str | None:
        """Plain text as it will be signed; None where only the long way knows.

        Printable text holds no control, private-use, invisible or undecoded character; its only outer space is " ".
        """
        rule = self.rule
        text = cell.strip(" ") if rule.trim else cell
        if (
            not text.isprintable()
            or not 0 < len(text) <= MAX_TEXT
            or text in rule.null_values
            or "\ufffd" in text
        ):
            return None
        if rule.no_end or (rule.kind == "name" and ("?" in text or "？" in text)):
            return None
        if rule.kind == "resident_id":
            try:
                return text if resident_id(text, today=self.today).value == text else None
            except Malformed:
                return None
        return text

    def _long(
        self, cell: Any, asked: tuple[type, Any] | None, faults: list[Finding], notes: list[Finding]
    ) -> Claim:
        changed: list[Finding] = []
        reading = Reading(self.today, self.where, self._name, changed)
        try:
            found = values.convert(cell, self.rule, reading)
            if (
                found is None
                and self.rule.required
                and not values.is_no_end(cell, self.rule, Reading(self.today, self.where, self._name, []))
            ):
                raise Fault("missing_value")
        except Fault as fault:
            notes.extend(changed)
            faults.append(Finding(fault.code, self.where, self._name, fault.detail))
            return None
        notes.extend(changed)
        if asked is None or self.rule.kind == "list":  # a list belongs to one row alone
            return found
        return self._keep(asked, found, tuple(changed))

    def _keep(self, asked: tuple[type, Any], found: Claim, notes: tuple[Finding, ...]) -> Claim:
        if len(self._known) < REMEMBERED:
            self._known[asked] = (found, notes)
        return found

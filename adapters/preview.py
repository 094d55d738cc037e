"""What the next sync would say, with everything personal masked: for the person who sets up a mapping."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from adapters.certtypes import CertificateType
from adapters.desk import Desk
from adapters.findings import Finding
from adapters.mapping import Mapped, key_of, map_row
from adapters.model import Dataset
from adapters.source import Unreadable
from adapters.sources import open_source
from hub.formats.masking import mask_id_no, mask_name, mask_number


@dataclass(frozen=True, slots=True)
class PreviewRow:
    """One row as it would be signed, masked; `findings` are the reasons why it would not be.

    `shown` are (name, value) in the words of the type, as the citizen will read them.
    """

    dataset: str
    key: str
    holders: tuple[Mapping[str, str], ...]
    claims: Mapping[str, Any]
    valid_from: str | None
    valid_until: str | None
    as_of: str | None
    findings: tuple[Finding, ...]
    notes: tuple[Finding, ...]
    shown: tuple[tuple[str, str], ...] = ()


def preview(desk: Desk, dataset: Dataset, rows: int, scratch: Path) -> list[PreviewRow]:
    """The first `rows` rows of a dataset. Writes nothing to the state and sends nothing to the hub."""
    kind = desk.certificate_type(dataset.type, fresh=False)
    source = open_source(dataset, scratch)
    try:
        return [_row(desk, dataset, kind, row) for row in islice(source.rows(), rows)]
    finally:
        source.close()


def _row(
    desk: Desk, dataset: Dataset, kind: CertificateType, row: Mapping[str, Any] | Unreadable
) -> PreviewRow:
    if isinstance(row, Unreadable):
        return PreviewRow(dataset.id, "", (), {}, None, None, None, (Finding(row.code),), ())
    key = key_of(row, dataset)
    shown = mask_number(" ".join(key)) if key else ""
    mapped = map_row(row, dataset, today=desk.today)
    if not isinstance(mapped, Mapped):
        return PreviewRow(dataset.id, shown, (), {}, None, None, None, mapped, ())
    findings = kind.check(mapped) + (() if key else (Finding("missing_key"),))
    return PreviewRow(
        dataset.id,
        shown,
        tuple(_holder(holder) for holder in mapped.holders),
        {name: _masked(kind, (name,), value) for name, value in mapped.claims.items()},
        mapped.valid_from,
        mapped.valid_until,
        mapped.as_of,
        findings,
        mapped.notes,
        tuple(
            (kind.names.get((name,)) or name, _words(kind, (name,), value))
            for name, value in mapped.claims.items()
        ),
    )


def _holder(holder: Mapping[str, str]) -> Mapping[str, str]:
    return {
        **holder,
        "name": mask_name(holder.get("name", "")),
        "id_no": mask_id_no(holder.get("id_no", "")),
    }


def _words(kind: CertificateType, path: tuple[str | None, ...], value: Any) -> str:
    if isinstance(value, Mapping):
        return " ".join(
            f"{kind.names.get((*path, name)) or name} {_words(kind, (*path, name), inner)}"
            for name, inner in value.items()
        )
    if isinstance(value, list):
        return "；".join(
            _words(kind, (*path, None) if isinstance(inner, Mapping) else path, inner) for inner in value
        )
    return kind.in_words(path, str(value).lower() if isinstance(value, bool) else str(value))


def _masked(kind: CertificateType, path: tuple[str | None, ...], value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _masked(kind, (*path, name), inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [
            _masked(kind, (*path, None) if isinstance(inner, Mapping) else path, inner) for inner in value
        ]
    return kind.mask(path, str(value).lower() if isinstance(value, bool) else str(value))

"""A request as the citizen reads it: whose certificates, which claims, why, what stays unseen; what was ticked."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from hub.catalogue.items import ClaimPath, ServiceItem, predicates
from hub.consent.model import Basis, RequestState
from hub.errors import Unprocessable
from hub.formats.authorization import Detail
from hub.formats.details import AskedPredicate
from hub.registry.types import CertificateType


@dataclass(frozen=True, slots=True)
class FieldAsk:
    """One claim that is asked for; optional ones start unticked."""

    path: ClaimPath
    required: bool


@dataclass(frozen=True, slots=True)
class TypeAsk:
    """What is asked of one certificate type, why, and what of it will not be shown.

    `reasons`: each material that needs claims of it, with those claims; a claim may serve several.
    """

    type_code: str
    reasons: tuple[tuple[str, tuple[ClaimPath, ...]], ...]
    fields: tuple[FieldAsk, ...]
    not_shown: tuple[ClaimPath, ...]


@dataclass(frozen=True, slots=True)
class Part:
    """One detail of a request: whose certificates, on which basis, and what of them.

    `questions`: what is only answered with yes or no, in the words of the item, each with its certificate type.
    """

    holder: UUID
    basis: Basis
    detail: Detail
    types: tuple[TypeAsk, ...]
    questions: tuple[tuple[str, Mapping[str, str]], ...] = ()


@dataclass(frozen=True, slots=True)
class ConsentRequest:
    """A request as the citizen sees it; `id` is its row, never shown."""

    id: UUID
    public_id: str
    department: str
    item: ServiceItem
    case_id: str
    binding_message: str
    parts: tuple[Part, ...]
    state: RequestState
    created_at: datetime
    expires_at: datetime


def request_of(
    row: sa.Row[tuple[object, ...]], items: Mapping[str, ServiceItem], types: Mapping[str, CertificateType]
) -> ConsentRequest:
    """The request of a row of `consent_requests`."""
    item = items[str(row.item_code)]
    return ConsentRequest(
        id=row.id,
        public_id=str(row.public_id),
        department=str(row.department),
        item=item,
        case_id=str(row.case_id),
        binding_message=str(row.binding_message),
        parts=parts_of(
            [(Detail.from_json(raw), UUID(holder)) for raw, holder in zip(row.details, row.holders, strict=True)],
            item,
            types,
        ),
        state=RequestState(row.state),
        created_at=row.created_at,
        expires_at=row.expires_at,
    )


def parts_of(
    details: Sequence[tuple[Detail, UUID]], item: ServiceItem, types: Mapping[str, CertificateType]
) -> tuple[Part, ...]:
    """The parts of what is asked: each detail with its holder, told in the words of item and types."""
    return tuple(
        Part(
            holder,
            Basis(detail.basis),
            detail,
            tuple(_ask(item, types[code], detail.fields.get(code, ())) for code in detail.datatypes),
            tuple((asked.type, _question(item, asked)) for asked in detail.predicates),
        )
        for detail, holder in details
    )


def _ask(item: ServiceItem, kind: CertificateType, asked: Iterable[ClaimPath]) -> TypeAsk:
    """A claim is required when a required material names it; the rest of the type is what is not shown."""
    paths = tuple(asked)
    required: set[ClaimPath] = set()
    reasons: list[tuple[str, tuple[ClaimPath, ...]]] = []
    for candidate in item.materials:
        for evidence in candidate.satisfied_by:
            if evidence.type == kind.code:
                serves = tuple(path for path in paths if path in evidence.fields)
                if serves:
                    reasons.append((candidate.code, serves))
                if candidate.required:
                    required |= set(evidence.fields)
    return TypeAsk(
        kind.code,
        tuple(reasons),
        tuple(FieldAsk(path, path in required) for path in paths),
        tuple(sorted(kind.paths() - set(paths), key=repr)),
    )


def _question(item: ServiceItem, asked: AskedPredicate) -> Mapping[str, str]:
    """A yes/no question as the item words it: requests are capped to those that it has."""
    wanted = (asked.path, asked.op, repr(asked.value))
    return next(
        one.display for one in predicates(item, asked.type) if (one.path, one.op, repr(one.value)) == wanted
    )


def narrow(part: Part, ticked: Mapping[str, Iterable[ClaimPath]] | None) -> Detail | None:
    """The detail as granted; None when all that was asked is optional and nothing of it is ticked."""
    fields: dict[str, tuple[ClaimPath, ...]] = {}
    for ask in part.types:
        asked = {field.path for field in ask.fields}
        required = {field.path for field in ask.fields if field.required}
        wanted = required if ticked is None else set(map(tuple, ticked.get(ask.type_code, ())))
        if not wanted <= asked:
            raise Unprocessable(
                "consent.wider_than_asked",
                "授权的内容不能多于请求的内容。",
                "A grant can never be wider than what was asked.",
            )
        if not required <= wanted:
            raise Unprocessable(
                "consent.required_missing",
                "有办理该事项必需的内容没有勾选；如不同意提供，请选择“不同意”。",
                "Something that this item requires is not ticked; choose refuse if you do not agree.",
                next_zh="不同意也能办：可以携带原件到窗口办理。",
                next_en="You may also refuse and bring the originals to the counter.",
            )
        if wanted:
            fields[ask.type_code] = tuple(field.path for field in ask.fields if field.path in wanted)
    if not fields and not part.detail.predicates and any(ask.fields for ask in part.types):
        return None
    return part.detail.narrowed(fields)


def narrowed(
    parts: Sequence[Part], chosen: Sequence[Mapping[str, Iterable[ClaimPath]]] | None
) -> list[tuple[Part, Detail]]:
    """What would be granted: each part with its detail cut to what was ticked, without those of which nothing is left.

    `chosen` holds, per part, the ticked fields by type; None ticks the required ones only.
    """
    found = [(part, narrow(part, ticked_of(chosen, position))) for position, part in enumerate(parts)]
    return [(part, detail) for part, detail in found if detail is not None]


def ticked_of(
    chosen: Sequence[Mapping[str, Iterable[ClaimPath]]] | None, position: int
) -> Mapping[str, Iterable[ClaimPath]] | None:
    """What was ticked of one part; a part that nobody spoke of is one of which nothing was."""
    return None if chosen is None else chosen[position] if position < len(chosen) else {}

"""Find certificates: by public id, by holder; open the body through the holder's own key."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from hub.certificates import status
from hub.certificates.model import (
    Certificate,
    CertificateRef,
    CertificateState,
    certificate_holders,
    certificate_jtis,
    certificates,
)
from hub.certificates.status import Standing
from hub.clock import civil_day
from hub.errors import NotFound
from hub.formats import packed, sdjwt
from hub.ids import bucket_of
from hub.registry.types import CertificateType
from hub.store.model import public_ids
from hub.store.rows import rows_of
from hub.store.seal import erased, unseal
from hub.store.tx import View

EXPIRING_DAYS = 30


class StatusWord(StrEnum):
    """The one word a person sees for a certificate; always with a colour and a mark, never colour alone."""

    VALID = "valid"
    EXPIRING = "expiring"
    EXPIRED = "expired"
    SUSPENDED = "suspended"
    REVOKED = "revoked"
    SUPERSEDED = "superseded"
    OUTDATED = "outdated"
    UNKNOWN = "unknown"


STATUS_WORDS: dict[StatusWord, tuple[str, str]] = {
    StatusWord.VALID: ("有效", "Valid"),
    StatusWord.EXPIRING: ("即将到期", "Expiring soon"),
    StatusWord.EXPIRED: ("已过期", "Expired"),
    StatusWord.SUSPENDED: ("已暂停", "Suspended"),
    StatusWord.REVOKED: ("已撤销", "Revoked"),
    StatusWord.SUPERSEDED: ("已被新证照取代", "Superseded"),
    StatusWord.OUTDATED: ("数据待更新", "Data needs an update"),
    StatusWord.UNKNOWN: ("状态暂时无法核对", "Status cannot be checked now"),
}


@dataclass(frozen=True, slots=True)
class Held:
    """A certificate as one of its holders holds it: which place in `holders[]`, and in which role."""

    certificate: Certificate
    subject_id: UUID
    position: int
    role: str


@dataclass(frozen=True, slots=True)
class WalletCard:
    """One card in the wallet: the holder's own claims in clear, for the holder's eyes."""

    held: Held
    kind: CertificateType
    word: StatusWord
    claims: Mapping[str, Any]
    token: str


def from_row(row: Any) -> Certificate:
    """The certificate of a row that selects all columns of the table."""
    return Certificate(
        ref=CertificateRef(row.bucket, row.id),
        public_id=row.public_id,
        department=row.department,
        type_code=row.type_code,
        jti=row.jti,
        kid=row.kid,
        signing_input_hash=row.signing_input_hash,
        iat=row.iat,
        valid_from=row.valid_from,
        valid_until=row.valid_until,
        as_of=row.as_of,
        status_uri=row.status_uri,
        status_idx=row.status_idx,
        state=CertificateState(row.state),
        version=row.version,
        registered_at=row.registered_at,
        state_since=row.state_since,
        leaf_hash=row.leaf_hash,
    )


async def by_public_id(view: View, public_id: str) -> Certificate:
    """The certificate with this public id; NotFound `certificate.unknown` otherwise."""
    place = public_ids.c
    row = await view.first(
        sa.select(certificates)
        .join(public_ids, sa.and_(certificates.c.bucket == place.bucket, certificates.c.id == place.row_id))
        .where(place.token == public_id, place.kind == "certificate")
    )
    if row is None:
        raise unknown_certificate()
    return from_row(row)


async def by_public_ids(view: View, wanted: Collection[str]) -> dict[str, Certificate]:
    """As `by_public_id`, of many in a few statements; an id that names no certificate is left out."""
    place, table = public_ids.c, certificates.c
    query = sa.select(place.bucket, place.row_id).where(place.kind == "certificate")
    places = {(row.bucket, row.row_id) for row in await rows_of(view, query, place.token, set(wanted))}
    rows = await rows_of(view, sa.select(certificates), sa.tuple_(table.bucket, table.id), places)
    return {row.public_id: from_row(row) for row in rows}


async def by_jti(view: View, *, department: str, jti: str) -> Certificate | None:
    """The certificate that a department registered under this `jti`, or None."""
    place = certificate_jtis.c
    row = await view.first(
        sa.select(certificates)
        .join(
            certificate_jtis,
            sa.and_(certificates.c.bucket == place.bucket, certificates.c.id == place.certificate_id),
        )
        .where(place.department == department, place.jti == jti)
    )
    return from_row(row) if row is not None else None


async def holders_of(view: View, certificate: Certificate) -> list[Held]:
    """Everyone whom a certificate names, in the order of `holders[]`."""
    link = certificate_holders.c
    rows = await view.all(
        sa.select(link.subject_id, link.position, link.role)
        .where(
            link.certificate_bucket == certificate.ref.bucket,
            link.certificate_id == certificate.ref.id,
        )
        .order_by(link.position)
    )
    return [Held(certificate, row.subject_id, row.position, row.role) for row in rows]


async def subjects_of(view: View, places: Collection[tuple[int, UUID]]) -> set[tuple[tuple[int, UUID], UUID]]:
    """(Where a certificate's row is, who holds it) of all holders of these certificates."""
    link = certificate_holders.c
    query = sa.select(link.certificate_bucket, link.certificate_id, link.subject_id)
    rows = await rows_of(view, query, sa.tuple_(link.certificate_bucket, link.certificate_id), places)
    return {((row.certificate_bucket, row.certificate_id), row.subject_id) for row in rows}


async def of_holder(
    view: View, *, subject_id: UUID, type_code: str | None = None, past: bool = False
) -> list[Held]:
    """The holder's certificates, newest first; without `past` only those that are current or suspended."""
    link, table = certificate_holders.c, certificates.c
    query = (
        sa.select(link.subject_id, link.position, link.role, certificates)
        .join(certificates, sa.and_(table.bucket == link.certificate_bucket, table.id == link.certificate_id))
        .where(link.bucket == bucket_of(subject_id), link.subject_id == subject_id)
        .order_by(table.id.desc())
    )
    if type_code is not None:
        query = query.where(link.type_code == type_code)
    if not past:
        query = query.where(table.state.in_([CertificateState.CURRENT, CertificateState.SUSPENDED]))
    return [Held(from_row(row), row.subject_id, row.position, row.role) for row in await view.all(query)]


async def open_body(view: View, held: Held) -> str:
    """The SD-JWT exactly as the department signed it, opened with this holder's key."""
    reference = held.certificate.ref
    sealed = await view.value(
        sa.select(certificates.c.sealed_body).where(
            certificates.c.bucket == reference.bucket, certificates.c.id == reference.id
        )
    )
    return packed.unpack(unseal(await open_key(view, held), sealed, bound_to=reference.id.bytes))


async def open_key(view: View, held: Held) -> bytes:
    """The certificate's own key, unwrapped with this holder's key; Gone once the holder was erased."""
    reference = held.certificate.ref
    link = certificate_holders.c
    row = await view.first(
        sa.select(link.wrapped_key).where(
            link.bucket == bucket_of(held.subject_id),
            link.subject_id == held.subject_id,
            link.certificate_id == reference.id,
            link.position == held.position,
        )
    )
    if row is None:
        raise unknown_certificate()
    return await _unwrap(view, held, row.wrapped_key)


async def _unwrap(view: View, held: Held, wrapped: bytes | None) -> bytes:
    if wrapped is None:
        raise erased()
    return await view.vault.open_for(
        view, held.subject_id, wrapped, bound_to=held.certificate.ref.id.bytes + held.subject_id.bytes
    )


async def word_for(view: View, certificate: Certificate, kind: CertificateType) -> StatusWord:
    """The status word now: hub state, the department's signed list, the end of validity and the data's age."""
    final = {
        CertificateState.REVOKED: StatusWord.REVOKED,
        CertificateState.SUPERSEDED: StatusWord.SUPERSEDED,
        CertificateState.SUSPENDED: StatusWord.SUSPENDED,
    }.get(certificate.state)
    if final is not None:
        return final
    if certificate.status_uri is not None and certificate.status_idx is not None:
        standing, _ = await status.standing(view, uri=certificate.status_uri, idx=certificate.status_idx)
        word = {
            Standing.INVALID: StatusWord.REVOKED,
            Standing.SUSPENDED: StatusWord.SUSPENDED,
            Standing.STALE: StatusWord.UNKNOWN,
            Standing.MISSING: StatusWord.UNKNOWN,
        }.get(standing)
        if word is not None:
            return word
    if certificate.valid_until is not None:
        if certificate.valid_until <= view.now:
            return StatusWord.EXPIRED
        if certificate.valid_until <= view.now + timedelta(days=EXPIRING_DAYS):
            return StatusWord.EXPIRING
    age = civil_day(view.now) - certificate.as_of if certificate.as_of is not None else timedelta()
    if kind.max_age_days is not None and age > timedelta(days=kind.max_age_days):
        return StatusWord.OUTDATED
    return StatusWord.VALID


async def wallet(
    view: View, *, subject_id: UUID, types: Mapping[str, CertificateType], past: bool = True
) -> Sequence[WalletCard]:
    """All cards of one person, newest first; revoked ones stay visible, cards never vanish."""
    cards = []
    for held in await of_holder(view, subject_id=subject_id, past=past):
        kind = types[held.certificate.type_code]
        token = await open_body(view, held)
        cards.append(
            WalletCard(
                held=held,
                kind=kind,
                word=await word_for(view, held.certificate, kind),
                claims=own_claims(token, held.position),
                token=token,
            )
        )
    return cards


def own_claims(token: str, position: int) -> dict[str, Any]:
    """The claims of a stored certificate as one holder may see them: other holders keep only their role."""
    claims = sdjwt.claims(token)
    holders = claims.get("holders", [])
    claims["holders"] = [
        holder if index == position else {"role": holder.get("role", "")}
        for index, holder in enumerate(holders)
    ]
    return claims


def unknown_certificate() -> NotFound:
    """The same answer for an id that does not exist and for one that is not the caller's."""
    return NotFound(
        "certificate.unknown",
        "没有这份证照，或者您无权查看。",
        "There is no such certificate, or it is not yours to see.",
        next_zh="请核对证照编号；如认为有误，请联系发证部门。",
        next_en="Check the certificate id; if you think this is wrong, ask the issuing department.",
    )

"""Certificates opened for judging: everything a verification needs of many holders, in a handful of statements."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from hub.certificates.find import Held, from_row
from hub.certificates.model import CertificateState, certificate_holders, certificates, status_lists
from hub.certificates.status import HEAD, Standing, standing_in
from hub.errors import Gone
from hub.ids import bucket_of
from hub.ledger.places import indices_of
from hub.store.seal import erased, unseal
from hub.store.statement import Statement
from hub.store.tx import View


@dataclass(frozen=True, slots=True)
class Wanted:
    """A holder's certificates of one type, or the one with this public id."""

    subject_id: UUID
    type_code: str
    certificate: str | None = None


@dataclass(frozen=True, slots=True)
class Opened:
    """A certificate with what judging it needs: the signed bytes as they rest (`formats.packed`), what the newest list
    says of it if it is in one, and its leaf's index if it has one."""

    held: Held
    rested: bytes
    listed: Standing | None
    leaf_index: int | None


def _of_holder() -> sa.Select[Any]:
    link = certificate_holders.c
    return (
        sa.select(
            sa.bindparam("ordinal", type_=sa.Integer).label("ordinal"),
            link.subject_id,
            link.position,
            link.role,
            link.wrapped_key,
            *certificates.c,
            *HEAD,
        )
        .join(
            certificates,
            sa.and_(certificates.c.bucket == link.certificate_bucket, certificates.c.id == link.certificate_id),
        )
        .outerjoin(status_lists, status_lists.c.uri == certificates.c.status_uri)
        .where(
            link.bucket == sa.bindparam("holder_bucket"),
            link.subject_id == sa.bindparam("subject"),
            link.type_code == sa.bindparam("type"),
        )
        .order_by(certificates.c.id.desc())
    )


def _standing(_: str) -> sa.Executable:
    state = certificates.c.state
    standing = sa.or_(state == CertificateState.CURRENT.value, state == CertificateState.SUSPENDED.value)
    return _of_holder().where(standing)


STANDING = Statement(_standing)
NEWEST = Statement(lambda _: _of_holder().limit(1))
NAMED = Statement(lambda _: _of_holder().where(certificates.c.public_id == sa.bindparam("certificate")))


async def opened_of_holders(view: View, wanted: Sequence[Wanted]) -> list[list[Opened] | Gone]:
    """For each: what stands for the holder now, newest first; when nothing stands, the newest that once did, so that
    an answer can say "revoked" and not "no record". Gone `subject.erased` in the place of an erased person.
    """
    asked = [
        {
            "ordinal": place,
            "holder_bucket": bucket_of(one.subject_id),
            "subject": one.subject_id,
            "type": one.type_code,
            "certificate": one.certificate,
        }
        for place, one in enumerate(wanted)
    ]
    rows = await view.each(STANDING, [one for one in asked if one["certificate"] is None])
    rows += await view.each(NAMED, [one for one in asked if one["certificate"] is not None])
    found = {row.ordinal for row in rows}
    rows += await view.each(
        NEWEST, [one for one in asked if one["certificate"] is None and one["ordinal"] not in found]
    )
    keys = await view.vault.person_keys(view, {row.subject_id for row in rows})
    places = await indices_of(view, [row.leaf_hash for row in rows])
    opened: list[list[Opened] | Gone] = [[] for _ in wanted]
    for row in rows:
        mine = opened[row.ordinal]
        key = keys.get(row.subject_id)
        if key is None or row.wrapped_key is None:
            opened[row.ordinal] = erased()
        elif not isinstance(mine, Gone):
            held = Held(from_row(row), row.subject_id, row.position, row.role)
            mine.append(Opened(held, _open(key, row), await _listed(view, row), places.get(row.leaf_hash)))
    return opened


async def _listed(view: View, row: Any) -> Standing | None:
    if row.status_uri is None or row.status_idx is None:
        return None
    return (await standing_in(view, row, row.status_idx))[0]


def _open(person: bytes, row: Any) -> bytes:
    key = unseal(person, row.wrapped_key, bound_to=row.id.bytes + row.subject_id.bytes)
    return unseal(key, row.sealed_body, bound_to=row.id.bytes)

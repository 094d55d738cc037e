"""Publishes certificate types: every version is kept for ever, and who may issue it is public history."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from hub.clock import seconds
from hub.errors import Conflict
from hub.formats.jcs import canonical
from hub.ledger.append import append
from hub.registry.model import certificate_types, departments, type_issuers
from hub.registry.types import CertificateType
from hub.store.tx import Tx, View


@dataclass(frozen=True, slots=True)
class Published:
    """How many versions and issuing rights were new, and which issuers are not registered departments yet."""

    types: int
    issuers: int
    waiting: frozenset[str]


async def publish_types(tx: Tx, types: Iterable[CertificateType]) -> Published:
    """Store each new (code, version) and each new or ended issuing right, with a leaf each. Repeating is harmless.

    A department named in a type but not registered yet gets its right when this runs after it was added. Raises
    Conflict `type.changed` when a published version's file was altered: then the version must be raised.
    """
    known = {row.slug for row in await tx.all(sa.select(departments.c.slug))}
    new_types = new_issuers = 0
    waiting: set[str] = set()
    for one in types:
        new_types += await _publish(tx, one)
        new_issuers += await _set_issuers(tx, one, one.issuers & known)
        waiting |= one.issuers - known
    return Published(new_types, new_issuers, frozenset(waiting))


async def may_issue(view: View, *, code: str, department: str, moment: datetime) -> bool:
    """Whether the department was allowed to issue this type at `moment`."""
    row = await view.first(
        sa.select(type_issuers.c.since).where(
            type_issuers.c.code == code,
            type_issuers.c.department == department,
            type_issuers.c.since <= moment,
            sa.or_(type_issuers.c.until.is_(None), type_issuers.c.until > moment),
        )
    )
    return row is not None


async def _publish(tx: Tx, one: CertificateType) -> bool:
    digest = hashlib.sha256(canonical(one.document)).digest()
    fresh = await tx.insert_new(
        certificate_types,
        {
            "code": one.code,
            "version": one.version,
            "vct": one.vct,
            "document": dict(one.document),
            "sha256": digest,
            "loaded_at": tx.now,
        },
    )
    if fresh:
        await _record(tx, "type.published", one.code, version=one.version, vct=one.vct, sha256=digest.hex())
        return True
    held = await tx.value(
        sa.select(certificate_types.c.sha256).where(
            certificate_types.c.code == one.code, certificate_types.c.version == one.version
        )
    )
    if held != digest:
        raise Conflict(
            "type.changed",
            f"证照类型 {one.code} 第 {one.version} 版已发布，内容不能再改。",
            f"Version {one.version} of the certificate type {one.code} is published and cannot be changed.",
            next_zh="请提高版本号后再发布。",
            next_en="Raise the version and publish again.",
        )
    return False


async def _set_issuers(tx: Tx, one: CertificateType, issuers: frozenset[str]) -> int:
    rows = await tx.all(sa.select(type_issuers).where(type_issuers.c.code == one.code))
    standing = {row.department for row in rows if row.until is None}
    ended = {row.department for row in rows if row.until is not None}
    for department in sorted(issuers - standing):
        if department in ended:
            await tx.run(_right(one.code, department).values(since=tx.now, until=None))
        else:
            row = {"code": one.code, "department": department, "since": tx.now}
            await tx.insert_new(type_issuers, row)
        await _record(tx, "type.issuer_added", one.code, department=department)
    for department in sorted(standing - one.issuers):
        await tx.run(_right(one.code, department).values(until=tx.now))
        await _record(tx, "type.issuer_ended", one.code, department=department)
    return len(issuers - standing)


def _right(code: str, department: str) -> sa.Update:
    return type_issuers.update().where(type_issuers.c.code == code, type_issuers.c.department == department)


async def _record(tx: Tx, kind: str, code: str, **facts: str | int) -> None:
    await append(tx, kind=kind, event={"v": 1, "event": kind, "type": code, "at": seconds(tx.now), **facts})

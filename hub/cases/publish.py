"""Publish points schemes: every version that scores anybody is kept for ever, and is a public leaf."""

import hashlib
from collections.abc import Iterable

import sqlalchemy as sa

from hub.cases.model import points_schemes
from hub.cases.scheme import Scheme, parse_scheme
from hub.clock import seconds
from hub.errors import Conflict, NotFound
from hub.formats import jcs
from hub.ledger.append import append
from hub.registry.locks import one_at_a_time
from hub.store.tx import Tx, View


async def publish_schemes(tx: Tx, schemes: Iterable[Scheme]) -> list[str]:
    """Publish those that are not yet; returns their codes."""
    return [scheme.code for scheme in schemes if await publish_scheme(tx, scheme)]


async def publish_scheme(tx: Tx, scheme: Scheme) -> bool:
    """Keep this version unless it is kept already; True when it is new. Nobody is scored by an unpublished text.

    A published version can never change: Conflict `scheme.version_changed` for other content under its number.
    """
    digest = hashlib.sha256(jcs.canonical(scheme.document)).digest()
    if await _known(tx, scheme, digest):
        return False
    await one_at_a_time(tx, f"points-scheme:{scheme.code}".encode())
    if await _known(tx, scheme, digest):
        return False
    leaf = await append(
        tx,
        kind="points_scheme",
        event={
            "v": 1,
            "event": "points_scheme.published",
            "scheme": scheme.code,
            "version": scheme.version,
            "sha256": digest.hex(),
            "at": seconds(tx.now),
        },
    )
    await tx.insert(
        points_schemes,
        {
            "code": scheme.code,
            "version": scheme.version,
            "item_code": scheme.item,
            "valid_from": scheme.valid_from,
            "document": dict(scheme.document),
            "sha256": digest,
            "published_at": tx.now,
            "leaf_hash": leaf.leaf_hash,
        },
    )
    return True


async def scheme_at(view: View, *, code: str, version: int) -> Scheme:
    """A published version, current or old. NotFound `scheme.unknown`."""
    table = points_schemes.c
    raw = await view.value(sa.select(table.document).where(table.code == code, table.version == version))
    if raw is None:
        raise NotFound("scheme.unknown", "没有公布过这个版本的积分方案。", "No such version was published.")
    return parse_scheme(raw)


async def versions_of(view: View, *, code: str) -> list[int]:
    """The published versions of a scheme, oldest first."""
    table = points_schemes.c
    rows = await view.all(sa.select(table.version).where(table.code == code).order_by(table.version))
    return [row.version for row in rows]


async def _known(tx: Tx, scheme: Scheme, digest: bytes) -> bool:
    table = points_schemes.c
    known = await tx.value(
        sa.select(table.sha256).where(table.code == scheme.code, table.version == scheme.version)
    )
    if known is not None and known != digest:
        raise Conflict(
            "scheme.version_changed",
            f"积分方案 {scheme.code} 第 {scheme.version} 版已公布，内容不能改变。",
            f"Version {scheme.version} of scheme {scheme.code} is published and cannot change.",
            next_zh="请提高版本号后再加载。",
            next_en="Raise the version in the scheme's file and load it again.",
        )
    return known is not None

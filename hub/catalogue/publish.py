"""Publish service items: every version is kept for ever, and each publication is a public leaf."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from hub.catalogue.items import ServiceItem
from hub.catalogue.model import service_items
from hub.clock import seconds
from hub.errors import Conflict
from hub.formats import jcs
from hub.ledger.append import LeafRef, append_all
from hub.store.tx import Tx, View

_AT_ONCE = 500


async def publish_items(tx: Tx, items: Iterable[ServiceItem]) -> list[str]:
    """Store versions that are new and append a leaf for each; returns their codes. Four statements for 500 items.

    A published version can never change: other content under the same code and version is a Conflict, and nothing
    of the call is kept.
    """
    known = await published_hashes(tx)
    new: list[tuple[ServiceItem, bytes]] = []
    for item in items:
        digest = digest_of(item.document)
        held = known.get((item.code, item.version))
        if held is None:
            new.append((item, digest))
        elif held != digest:
            raise _changed(item)
    for start in range(0, len(new), _AT_ONCE):
        await _publish(tx, new[start : start + _AT_ONCE])
    return [item.code for item, _ in new]


async def published_hashes(view: View) -> dict[tuple[str, int], bytes]:
    """The hash of every version that was ever published, by (code, version)."""
    table = service_items.c
    rows = await view.all(sa.select(table.code, table.version, table.sha256))
    return {(row.code, row.version): row.sha256 for row in rows}


def digest_of(document: Mapping[str, Any]) -> bytes:
    """The hash by which the ledger names an item's document: SHA-256 over its canonical JSON (RFC 8785)."""
    return hashlib.sha256(jcs.canonical(dict(document))).digest()


async def _publish(tx: Tx, new: Sequence[tuple[ServiceItem, bytes]]) -> None:
    leaves = await append_all(
        tx,
        kind="catalogue",
        events=[
            {
                "v": 1,
                "event": "catalogue.published",
                "item": item.code,
                "version": item.version,
                "sha256": digest.hex(),
                "at": seconds(tx.now),
            }
            for item, digest in new
        ],
    )
    codes = [item.code for item, _ in new]
    await tx.run(service_items.update().where(service_items.c.code.in_(codes)).values(current=False))
    await tx.insert(service_items, [_row(tx, *one, leaf) for one, leaf in zip(new, leaves, strict=True)])


def _row(tx: Tx, item: ServiceItem, digest: bytes, leaf: LeafRef) -> dict[str, Any]:
    return {
        "code": item.code,
        "version": item.version,
        "department": item.department,
        "document": dict(item.document),
        "sha256": digest,
        "current": True,
        "published_at": tx.now,
        "leaf_hash": leaf.leaf_hash,
    }


def _changed(item: ServiceItem) -> Conflict:
    return Conflict(
        "item.version_changed",
        f"事项 {item.code} 第 {item.version} 版已公布，内容不能改变。",
        f"Version {item.version} of item {item.code} is published and cannot change.",
        next_zh="请提高版本号后再加载。",
        next_en="Raise the version in the item's file and load it again.",
    )

"""Publish service items: every version is kept for ever, and each publication is a public leaf."""

import hashlib
from collections.abc import Iterable

import sqlalchemy as sa

from hub.catalogue.items import ServiceItem
from hub.catalogue.model import service_items
from hub.clock import seconds
from hub.errors import Conflict
from hub.formats import jcs
from hub.ledger.append import append
from hub.store.tx import Tx


async def publish_items(tx: Tx, items: Iterable[ServiceItem]) -> list[str]:
    """Store versions that are new and append a leaf for each; returns their codes.

    A published version can never change: other content under the same code and version is a Conflict.
    """
    new = []
    for item in items:
        digest = hashlib.sha256(jcs.canonical(item.document)).digest()
        table = service_items.c
        known = await tx.value(
            sa.select(table.sha256).where(table.code == item.code, table.version == item.version)
        )
        if known == digest:
            continue
        if known is not None:
            raise Conflict(
                "item.version_changed",
                f"事项 {item.code} 第 {item.version} 版已公布，内容不能改变。",
                f"Version {item.version} of item {item.code} is published and cannot change.",
                next_zh="请提高版本号后再加载。",
                next_en="Raise the version in the item's file and load it again.",
            )
        leaf = await append(
            tx,
            kind="catalogue",
            event={
                "v": 1,
                "event": "catalogue.published",
                "item": item.code,
                "version": item.version,
                "sha256": digest.hex(),
                "at": seconds(tx.now),
            },
        )
        await tx.run(service_items.update().where(table.code == item.code).values(current=False))
        await tx.insert(
            service_items,
            {
                "code": item.code,
                "version": item.version,
                "department": item.department,
                "document": dict(item.document),
                "sha256": digest,
                "current": True,
                "published_at": tx.now,
                "leaf_hash": leaf.leaf_hash,
            },
        )
        new.append(item.code)
    return new

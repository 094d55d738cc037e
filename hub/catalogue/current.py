"""Keeps the catalogue in memory as it is published: newer versions stand from their first day on."""

import sqlalchemy as sa

from hub.catalogue.catalogue import Catalogue
from hub.catalogue.items import ServiceItem, parse
from hub.catalogue.model import service_items
from hub.clock import civil_day
from hub.store.tx import View


async def refresh(view: View, catalogue: Catalogue) -> int:
    """Adopt, for each item, the newest published version whose first day has come; returns how many changed.

    Versions that came with the hub are left alone: publication has checked that they are the same.
    """
    table = service_items.c
    today = civil_day(view.now)
    seen = (int(await view.value(sa.select(sa.func.count()).select_from(service_items))), today)
    if catalogue.read == seen:  # rows are only ever added, so nothing was published since
        return 0
    catalogue.read = seen
    versions = {one.code: one.version for one in catalogue.listed}
    rows = await view.all(sa.select(table.code, table.version))
    asked = {(r.code, r.version) for r in rows if versions.get(r.code) != r.version}
    best: dict[str, ServiceItem] = {}
    for code in sorted({code for code, _ in asked}):
        for row in await view.all(
            sa.select(table.document).where(table.code == code).order_by(table.version)
        ):
            item = parse(row.document)
            if item.valid_from <= today:
                best[code] = item
    changed = [item for item in best.values() if versions.get(item.code) != item.version]
    if changed:
        catalogue.adopt(changed)
    return len(changed)

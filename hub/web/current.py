"""What a running hub does by the clock: reads new catalogue versions, publishes boards, archives, watches waivers."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from hub.actor import SYSTEM
from hub.cases import archive
from hub.cases.archivefile import write
from hub.cases.close import close_ripe
from hub.cases.collect import Means, collect, files_of
from hub.cases.open import Case
from hub.cases.procedure import procedure_of
from hub.cases.summary import summary_of
from hub.catalogue.catalogue import Catalogue
from hub.catalogue.current import refresh
from hub.catalogue.waivers import silent, standing, suspend_silent
from hub.clock import civil_day
from hub.errors import Gone, HubError
from hub.ledger.head import log_key
from hub.ledger.sequence import pause
from hub.ledger.tileset import TileReader
from hub.oversight.board import publish_due
from hub.web.deps import Hub
from hub.web.pages.words import claim_value

EVERY_SECONDS = 5.0
BOARD_SECONDS = 600.0
ARCHIVE_SECONDS = 20.0
WAIVER_SECONDS = 60.0

log = structlog.get_logger()


async def rounds(
    stop: asyncio.Event, work: Callable[[], Awaitable[object]], *, every: float, trouble: str
) -> None:
    """Do `work` every so many seconds until told to stop, waiting first; what fails is logged and tried again."""
    while True:
        await pause(stop, every)
        if stop.is_set():
            return
        try:
            await work()
        except HubError as fault:
            log.warning(trouble, code=fault.code)


async def keep_current(hub: Hub, stop: asyncio.Event, *, every: float = EVERY_SECONDS) -> None:
    """Read published versions at once, then every few seconds until told to stop; a database away is tried again."""
    while not stop.is_set() and isinstance(hub.items, Catalogue):
        try:
            async with hub.view(SYSTEM) as view:
                await refresh(view, hub.items)
        except HubError as trouble:
            log.warning("catalogue.not_read", code=trouble.code)
        await pause(stop, every)


async def keep_board(hub: Hub, stop: asyncio.Event, *, every: float = BOARD_SECONDS) -> None:
    """Publish last month's board once it is over; any number of hubs may try, one does."""

    async def work() -> None:
        async with hub.tx(SYSTEM) as tx:
            await publish_due(tx)

    await rounds(stop, work, every=every, trouble="board.not_published")


async def keep_waivers(hub: Hub, stop: asyncio.Event, *, every: float = WAIVER_SECONDS) -> None:
    """Suspend waivers whose source fell silent; officers bring them back. Any number of hubs may look."""

    async def work() -> None:
        async with hub.view(SYSTEM) as view:
            fallen = silent(await standing(view))
        if fallen:
            async with hub.tx(SYSTEM) as tx:
                for material in await suspend_silent(tx):
                    log.warning("waiver.suspended", material=material)

    await rounds(stop, work, every=every, trouble="waiver.not_looked_at")


async def keep_archives(hub: Hub, stop: asyncio.Event, *, every: float = ARCHIVE_SECONDS) -> None:
    """Close what is over, make the packages that are missing, destroy those whose time has ended; until told to stop.

    What is to be done stands in the database, so a hub that dies loses nothing; any number of hubs may do it.
    """
    await rounds(stop, lambda: archive_round(hub), every=every, trouble="archive.not_made")


async def archive_round(hub: Hub) -> int:
    """One round of `keep_archives`; returns how many packages were made. A case that fails stops no other."""
    means = means_of(hub)
    async with hub.tx(SYSTEM) as tx:
        await close_ripe(tx)
    async with hub.view(SYSTEM) as view:
        waiting = await archive.due(view)
        over = await archive.destroy_due(view)
    made = 0
    for case in waiting:
        try:
            made += await archive_one(hub, means, case)
        except HubError as trouble:  # most often ledger.not_yet: its last leaf waits for its place
            log.info("archive.later", code=trouble.code)
    for case, kept in over:
        async with hub.tx(SYSTEM) as tx:
            await archive.destroy(tx, hub.blobs, case=case, archive=kept)
    return made


def means_of(hub: Hub) -> Means:
    """What making packages needs of this hub."""
    return Means(
        blobs=hub.blobs,
        items=hub.items,
        types=hub.types,
        reader=TileReader(hub.blobs),
        log_key=log_key(hub.settings.origin, hub.signer("ledger")),
        issuer=hub.settings.public_url,
        signer=hub.signer("receipt"),
        say=lambda kind, path, value: claim_value(kind, path, value, "zh-CN"),
    )


async def archive_one(hub: Hub, means: Means, case: Case) -> bool:
    """Make and keep the package of one closed case; False when another process did, or nothing is left to keep."""
    procedure = procedure_of(hub.items[case.item_code])
    try:
        async with hub.view(SYSTEM) as view:
            found = await collect(view, means, case=case, procedure=procedure)
    except Gone:
        async with hub.tx(SYSTEM) as tx:
            await archive.give_up(tx, case=case)
        return False
    closed = case.closed_at or hub.clock()
    keep_until = archive.years_after(civil_day(closed), procedure.retention_years)
    files = files_of(found, await summary_of(found, means))
    facts = {
        "case": case.public_id,
        "outcome": case.outcome,
        "origin": hub.settings.origin,
        "keep_until": keep_until.isoformat(),
    }
    package = await asyncio.to_thread(write, files, facts, at=closed)
    async with hub.tx(SYSTEM) as tx:
        kept = await archive.keep(tx, hub.blobs, case=case, package=package, keep_until=keep_until)
    if kept is not None:
        await archive.sweep(hub.blobs, case=case, kept=kept.blob)
    return kept is not None

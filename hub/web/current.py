"""What a running hub does by the clock: it reads new catalogue versions, and publishes last month's board."""

import asyncio

import structlog

from hub.actor import SYSTEM
from hub.catalogue.catalogue import Catalogue
from hub.catalogue.current import refresh
from hub.errors import HubError
from hub.oversight.board import publish_due
from hub.web.deps import Hub

EVERY_SECONDS = 5.0
BOARD_SECONDS = 600.0

log = structlog.get_logger()


async def keep_current(hub: Hub, stop: asyncio.Event, *, every: float = EVERY_SECONDS) -> None:
    """Read published versions at once, then every few seconds until told to stop; a database away is tried again."""
    while not stop.is_set() and isinstance(hub.items, Catalogue):
        try:
            async with hub.view(SYSTEM) as view:
                await refresh(view, hub.items)
        except HubError as trouble:
            log.warning("catalogue.not_read", code=trouble.code)
        try:
            async with asyncio.timeout(every):
                await stop.wait()
        except TimeoutError:
            pass


async def keep_board(hub: Hub, stop: asyncio.Event, *, every: float = BOARD_SECONDS) -> None:
    """Publish last month's board once it is over; any number of hubs may try, one does."""
    while not stop.is_set():
        try:
            async with asyncio.timeout(every):
                await stop.wait()
        except TimeoutError:
            pass
        else:
            return
        try:
            async with hub.tx(SYSTEM) as tx:
                await publish_due(tx)
        except HubError as trouble:
            log.warning("board.not_published", code=trouble.code)

"""Lets a running hub know within seconds what officers published through any other process: the catalogue in force."""

import asyncio

import structlog

from hub.actor import SYSTEM
from hub.catalogue.catalogue import Catalogue
from hub.catalogue.current import refresh
from hub.errors import HubError
from hub.web.deps import Hub

EVERY_SECONDS = 5.0

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

"""Throws away what has no more use: proofs that could not be replayed any longer, kept answers whose time is over."""

import asyncio

import structlog

from hub.actor import SYSTEM
from hub.consent import guard, passkeys, usecode
from hub.errors import HubError
from hub.notices import contacts
from hub.store import replay
from hub.verification import pull
from hub.web import idempotency
from hub.web.deps import Hub

EVERY_SECONDS = 15.0

log = structlog.get_logger()


async def tidy(hub: Hub) -> int:
    """Delete expired rows once; returns how many. Safe beside any number of others who do the same."""
    async with hub.tx(SYSTEM) as tx:
        gone = await replay.forget_expired(tx) + await idempotency.forget_expired(tx)
        gone += await guard.forget_ended(tx) + await usecode.forget_old(tx)
        gone += await passkeys.forget_expired(tx) + await pull.forget_old(tx)
        return gone + await contacts.forget_codes(tx)


async def keep_tidy(hub: Hub, stop: asyncio.Event, *, every: float = EVERY_SECONDS) -> None:
    """Tidy until told to stop. A database that is away is tried again: nothing depends on this being in time."""
    while not stop.is_set():
        try:
            async with asyncio.timeout(every):
                await stop.wait()
        except TimeoutError:
            pass
        else:
            return
        try:
            await tidy(hub)
        except HubError as trouble:
            log.warning("tidy.failed", code=trouble.code)

"""Throws away what has no more use: spent proofs, answers, tries, sessions; and counts what was seen."""

import asyncio

from hub.actor import SYSTEM
from hub.consent import guard, passkeys, redirect, usecode
from hub.notices import contacts, deliver
from hub.oversight.watch import watch
from hub.registry import attempts, sessions
from hub.store import replay
from hub.verification import pull
from hub.web import idempotency
from hub.web.current import rounds
from hub.web.deps import Hub
from hub.web.pages import again

EVERY_SECONDS = 15.0

FORGET = (
    replay.forget_expired, idempotency.forget_expired, passkeys.forget_expired, redirect.forget_old,
    attempts.forget_expired, sessions.forget_ended, again.forget_expired, guard.forget_ended, usecode.forget_old,
    pull.forget_old, contacts.forget_codes, deliver.forget_ended,
)  # fmt: skip


async def tidy(hub: Hub) -> int:
    """Delete expired rows once; returns how many. Safe beside any number of others who do the same."""
    async with hub.tx(SYSTEM) as tx:
        return sum([await one(tx) for one in FORGET])


async def keep_tidy(hub: Hub, stop: asyncio.Event, *, every: float = EVERY_SECONDS) -> None:
    """Tidy until told to stop. A database that is away is tried again: nothing depends on this being in time."""

    async def work() -> None:
        await tidy(hub)
        async with hub.tx(SYSTEM) as tx:
            await watch(tx)

    await rounds(stop, work, every=every, trouble="tidy.failed")

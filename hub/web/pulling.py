"""Before a verification: what is not held here is pulled from its department, outside any transaction.

Costs nothing while no source answers pulls of the types asked: which do is remembered for a second in each process.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from uuid import UUID

from hub.actor import SYSTEM, Actor, ActorKind
from hub.cases.gather import to_pull
from hub.cases.open import readable
from hub.cases.party import on_behalf
from hub.cases.scope import Scope, in_scope
from hub.catalogue.sources import PullSource, pull_sources
from hub.errors import Unavailable
from hub.store.tx import Tx
from hub.verification import pull
from hub.verification.model import Pulled, PullEnd, PullOutcome
from hub.web.deps import Hub
from hub.web.metrics import pulled as counted
from hub.web.pullwatch import watch_of

REMEMBERED_SECONDS = 1.0
MOST = 64
"""Pulls for one call; whoever asks for more gets the rest when asking again."""


class _Sources:
    """Which types' sources answer pulls, as this process read it last."""

    def __init__(self) -> None:
        self.until = 0.0
        self.found: Mapping[str, PullSource] = {}
        self.reading = asyncio.Lock()


async def pull_first(
    hub: Hub, *, by: Actor, asked: Iterable[pull.Key], unless: Callable[[Tx], Awaitable[bool]] | None = None
) -> Pulled:
    """Pull what these grants allow and their holders lack, and wait for it; how each pull ended, by grant and type.

    `unless` is asked first, in the same transaction: whoever will be refused anyway pulls nothing. 1. Each is recorded
    as a look and committed before anything leaves. 2. The wait holds no transaction and ends after ten seconds: what
    nobody answered by then is unavailable, which says nothing about a record.
    """
    sources = await _sources(hub)
    wanted = [key for key in asked if key[1] in sources][:MOST]
    if not wanted:
        return {}
    began = time.monotonic()
    try:
        async with hub.tx(SYSTEM) as tx:  # 1
            if unless is not None and await unless(tx):
                return {}
            begun = await pull.begin(tx, wanted, by=by, sources=sources, items=hub.items, types=hub.types)
    except Unavailable:  # a lost race, a database that is away: what is held may still be verified
        return {key: PullEnd(PullOutcome.UNAVAILABLE, "pull.failed") for key in wanted}
    found: dict[pull.Key, PullEnd] = dict(begun.ended)
    if begun.waiting:
        ids = list(begun.waiting.values())
        await watch_of(hub).ends(hub, ids, seconds=pull.WAIT_SECONDS)  # 2
        ends = await _ends(hub, ids)
        found |= {key: ends[one] for key, one in begun.waiting.items()}
    for (_, code), how in found.items():
        counted(sources[code].department, how.outcome, time.monotonic() - began)
    return found


async def pull_for_case(hub: Hub, actor: Actor, public_id: str) -> Pulled:
    """Pull what a case of the actor's lacks, before everything that was granted for it is gathered.

    Raises what `readable` and `gather` raise for a case that is not theirs.
    """
    if not await _sources(hub):
        return {}
    async with hub.view(actor) as view:
        scope: Scope | None = None
        if actor.kind is ActorKind.OFFICER:  # of its department, or of the hall that has it
            case, scope = await in_scope(view, public_id)
        else:
            view = await on_behalf(view, public_id=public_id)
            case = await readable(view, public_id)
        by, keys = await to_pull(view, case=case, scope=scope)
    return await pull_first(hub, by=by, asked=keys)


async def pulled_types(hub: Hub) -> frozenset[str]:
    """The types that some source could be asked for just now."""
    return frozenset(await _sources(hub))


async def _ends(hub: Hub, ids: list[UUID]) -> Mapping[UUID, PullEnd]:
    async with hub.view(SYSTEM) as view:
        ends = await pull.ended_among(view, ids)
    if len(ends) == len(set(ids)):
        return ends
    async with hub.tx(SYSTEM) as tx:
        return await pull.give_up(tx, ids)


async def _sources(hub: Hub) -> Mapping[str, PullSource]:
    kept = hub.db.memory.of(_Sources)
    if time.monotonic() >= kept.until:
        async with kept.reading:  # of all who come meanwhile one reads
            if time.monotonic() >= kept.until:
                async with hub.view(SYSTEM) as view:
                    kept.found = await pull_sources(view)
                kept.until = time.monotonic() + REMEMBERED_SECONDS
    return kept.found

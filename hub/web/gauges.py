"""Numbers that are read, not counted: the ledger's lag, ages of status lists, pools, disk. Sampled every few seconds.

Only a process that has a metrics port samples. What cannot be read now keeps its last value, and
`yimen_sampled_timestamp_seconds` stands still: an alert of its own.
"""

import asyncio
import shutil
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import structlog
from prometheus_client import Gauge
from sqlalchemy.pool import QueuePool

from hub.actor import SYSTEM
from hub.catalogue.sources import pull_sources
from hub.certificates.model import status_lists
from hub.consent.model import alarms
from hub.errors import HubError
from hub.ledger.head import lag, read_head
from hub.ledger.sequence import pause
from hub.notices.standing import standing
from hub.store.tx import View
from hub.web.deps import Hub
from hub.web.health import Health
from hub.web.metrics import REGISTRY, agent_seen

EVERY_SECONDS = 5.0

log = structlog.get_logger()


def _gauge(name: str, told: str, *labels: str) -> Gauge:
    return Gauge(f"yimen_{name}", told, labels, registry=REGISTRY)


READY = _gauge("ready", "1 while this process takes requests, as /readyz says.")
PART_UP = _gauge("part_up", "1 while this part of the hub is well: database, tables, keys, blobs.", "part")
PENDING = _gauge("ledger_pending_leaves", "Leaves that wait for their index.")
LAG = _gauge("ledger_lag_seconds", "How long the oldest waiting leaf has waited (alarm at 10 s, stop at 4 h).")
SIZE = _gauge("ledger_size_leaves", "Leaves under the newest signed checkpoint.")
UNPUBLISHED = _gauge("ledger_unpublished_leaves", "Leaves that are signed, but whose checkpoint is not out yet.")
LIST_SIGNED = _gauge(
    "status_list_signed_timestamp_seconds", "When the oldest of a department's status lists was signed.", "department"
)
LIST_ENDS = _gauge(
    "status_list_expires_timestamp_seconds", "When the first of a department's status lists ends.", "department"
)
PULL_CONNECTED = _gauge("pull_connected", "1 while the agent waits for pull orders of a type.", "department", "type")
PULL_RESTS = _gauge(
    "pull_breaker_open", "1 while a source is left alone after pulls that came to nothing.", "department", "type"
)
POOL_USED = _gauge("database_connections_in_use", "Connections of this process's pools that are in use.")
POOL_MOST = _gauge("database_connections_most", "Connections that this process's pools may open.")
UNTOLD = _gauge("notices_untold", "Happenings and leaves that no notice was written for yet.")
LATE = _gauge("notices_late_seconds", "How long the oldest message that is due has waited.")
DEAD = _gauge("notices_dead_day", "Messages that were given up within the last day.", "channel")
FREE = _gauge("data_free_bytes", "Space that is left where the data folder is.")
ALARMS = _gauge(
    "misuse_alarms", "Alarms of the guard against misuse and of office power in the last 24 hours, by kind.", "kind"
)
SAMPLED = _gauge("sampled_timestamp_seconds", "When these numbers were last read.")


async def keep_sampling(hub: Hub, health: Health, stop: asyncio.Event, *, every: float = EVERY_SECONDS) -> None:
    """Sample until told to stop; trouble is told once for each change, and never ends it."""
    trouble = ""
    while not stop.is_set():
        try:
            await sample(hub, health)
            trouble = ""
        except (HubError, OSError) as fault:
            code = fault.code if isinstance(fault, HubError) else type(fault).__name__
            if code != trouble:
                log.warning("metrics.not_sampled", code=code)
            trouble = code
        await pause(stop, every)


async def sample(hub: Hub, health: Health) -> None:
    """Read everything once. Raises HubError when the database is away; readiness is told before that."""
    look = await health.look()
    READY.set(look.stop is None)
    for part, code in look.parts.items():
        PART_UP.labels(part).set(not code)
    _pools(hub)
    await asyncio.to_thread(_disk, hub.settings.data_dir)
    async with hub.view(SYSTEM) as view:
        waiting, head = await lag(view), await read_head(view)
        await _lists(view)
        for source in (await pull_sources(view)).values():
            PULL_CONNECTED.labels(source.department, source.type_code).set(source.connected)
            PULL_RESTS.labels(source.department, source.type_code).set(source.resting)
        told = await standing(view)
        await _alarms(view)
    UNTOLD.set(told.untold)
    LATE.set(told.late.total_seconds())
    for channel, dead in told.dead.items():
        DEAD.labels(channel).set(dead)
    PENDING.set(waiting.pending)
    LAG.set(waiting.oldest.total_seconds())
    SIZE.set(head.size)
    UNPUBLISHED.set(head.size - head.published_size)
    SAMPLED.set(time.time())


async def _lists(view: View) -> None:
    """Status lists that a department has signed at least once."""
    column = status_lists.c
    rows = await view.all(
        sa.select(
            column.department,
            sa.func.min(column.exp).label("ends"),
            sa.func.min(column.iat).label("oldest"),
            sa.func.max(column.iat).label("newest"),
        )
        .where(column.seq > 0)
        .group_by(column.department)
    )
    for row in rows:
        LIST_ENDS.labels(row.department).set(row.ends.timestamp())
        LIST_SIGNED.labels(row.department).set(row.oldest.timestamp())
        agent_seen(row.department, row.newest.timestamp())


async def _alarms(view: View) -> None:
    rows = await view.all(
        sa.select(alarms.c.kind, sa.func.count().label("number"))
        .where(alarms.c.at > view.now - timedelta(hours=24))
        .group_by(alarms.c.kind)
    )
    ALARMS.clear()
    for row in rows:
        ALARMS.labels(row.kind).set(row.number)


def _pools(hub: Hub) -> None:
    pools: list[Any] = [engine.pool for engine in {hub.db.writer, hub.db.reader}]
    queues = [pool for pool in pools if isinstance(pool, QueuePool)]
    POOL_USED.set(sum(pool.checkedout() for pool in queues))
    POOL_MOST.set(sum(pool.size() for pool in queues))


def _disk(folder: Path) -> None:
    FREE.set(shutil.disk_usage(folder).free)


def metrics_table() -> str:
    """The table of our own metrics for docs/operations.md, in Markdown; a test keeps the two together."""
    endings = {"counter": "_total", "info": "_info"}
    rows = ["| metric | what it is |", "|---|---|"]
    for family in sorted(REGISTRY.collect(), key=lambda family: family.name):
        if family.name.startswith("yimen_"):
            name = family.name + endings.get(family.type, "")
            rows.append(f"| `{name}` | {family.type}: {family.documentation} |")
    return "\n".join(rows) + "\n"

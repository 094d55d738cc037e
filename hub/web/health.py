"""Whether this process should be given requests: its database, tables, keys, blob store; and whether it is leaving."""

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from hub.actor import PUBLIC
from hub.errors import HubError, Unavailable
from hub.ledger.head import log_key, read_head
from hub.ledger.prove import proven_checkpoint
from hub.ledger.tileset import TileReader
from hub.store.tx import View
from keys.errors import KeyFault

if TYPE_CHECKING:
    from hub.web.deps import Hub

PATIENCE = 2.0
"""Seconds that a store may take to answer before it counts as away: proxies ask every few seconds."""

OWN_PURPOSES = ("token", "receipt", "ledger")


@dataclass(frozen=True, slots=True)
class Look:
    """What was found: part -> code of what is wrong with it, "" when it is well. `stop` takes no requests."""

    parts: dict[str, str]
    stop: HubError | None

    @property
    def degraded(self) -> list[str]:
        """Parts that are away although requests can be taken."""
        return [name for name, code in self.parts.items() if code]


class Health:
    """Readiness of one process. `revision`: what the tables must be at; None where tests made them without one.

    A blob store that is away stops a process only until it was seen once: that finds wrong settings before anybody
    is served. Later every process would be out of the proxy at the same moment, although verification, consent and
    registration need no blob; then readiness says `degraded` (docs/decisions/0020-a-blob-store-away.md).
    """

    def __init__(self, hub: "Hub", *, revision: str | None = None) -> None:
        self._hub = hub
        self._revision = revision
        self._tiles = TileReader(hub.blobs)
        self._blobs_seen = False
        self.leaving = asyncio.Event()

    @property
    def draining(self) -> bool:
        """Whether this process was told to end: what is in flight is finished, nothing new should come."""
        return self.leaving.is_set()

    def drain(self) -> None:
        """Say no from now on, and give up the sequencer's office."""
        self.leaving.set()

    async def look(self) -> Look:
        """1. Not leaving. 2. Database and ledger answer. 3. The tables are the ones of this code. 4. The hub's own
        keys open. 5. The published checkpoint can be read from the blob store. Nothing is remembered but that the
        blob store was seen."""
        if self.draining:  # 1
            return Look({}, _leaving())
        (database, tables), blobs = await asyncio.gather(self._of_database(), self._of_blobs())
        keys = self._of_keys()
        parts = {"database": database, "tables": tables, "keys": keys, "blobs": blobs}
        self._blobs_seen = self._blobs_seen or blobs is None
        must = (database, tables, keys, None if self._blobs_seen else blobs)
        stop = next((fault for fault in must if fault is not None), None)
        return Look({name: fault.code if fault else "" for name, fault in parts.items()}, stop)

    async def _of_database(self) -> tuple[HubError | None, HubError | None]:
        """What is wrong with the database, and with its tables."""
        try:
            async with asyncio.timeout(PATIENCE), self._hub.view(PUBLIC) as view:
                tables = await self._of_tables(view)
                if tables is None:
                    await read_head(view)
        except TimeoutError:
            text = ("数据库没有应答。", "The database does not answer.")
            return Unavailable("store.unavailable", *text, **_DOCTOR), None
        except HubError as fault:
            return fault, None
        return None, tables

    async def _of_tables(self, view: View) -> HubError | None:
        if self._revision is None:
            return None
        held = None
        if await view.conn.run_sync(lambda sync: sa.inspect(sync).has_table("alembic_version")):
            query: sa.Select[Any] = sa.select(sa.column("version_num")).select_from(sa.table("alembic_version"))
            held = await view.value(query)
        if held == self._revision:
            return None
        return Unavailable(
            "hub.tables",
            f"表结构为 {held}，本程序需要 {self._revision}。",
            f"The tables are at {held}; this program needs {self._revision}.",
            next_zh="请运行 yimen migrate。",
            next_en="Run: yimen migrate",
        )

    def _of_keys(self) -> HubError | None:
        try:
            for purpose in OWN_PURPOSES:
                self._hub.signer(purpose)
        except KeyFault:
            return Unavailable("hub.not_ready", "平台密钥未就绪。", "The keys of the hub are not ready.", **_DOCTOR)
        return None

    async def _of_blobs(self) -> HubError | None:
        try:
            async with asyncio.timeout(PATIENCE):
                key = log_key(self._hub.settings.origin, self._hub.signer("ledger"))
                await proven_checkpoint(self._tiles, key)
        except KeyFault:
            return None  # told by `_of_keys`
        except TimeoutError:
            return Unavailable("blob.storage", "文件存储没有应答。", "File storage does not answer.", **_DOCTOR)
        except HubError as fault:
            if fault.kind != "not_found":
                return fault
            text = ("日志尚未发布到文件存储。", "No checkpoint is published in file storage yet.")
            return Unavailable("ledger.unpublished", *text, **_DOCTOR)
        return None


_DOCTOR = {"next_zh": "请运行 yimen doctor。", "next_en": "Run: yimen doctor"}


def _leaving() -> Unavailable:
    return Unavailable(
        "hub.draining",
        "本进程正在退出，请求由其他进程处理。",
        "This process is ending; the others take the requests.",
        next_zh="请立即重试。",
        next_en="Retry at once.",
    )

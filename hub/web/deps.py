"""What every door is given: the `Hub` (made once by the composition root) and who is asking.

`Hub` carries what a verb may need and nothing that can sign as a department. A door opens `hub.tx(actor)` inside
its handler, never in a dependency that commits after `yield` (DESIGN section 4).
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from starlette.requests import Request

from hub.actor import Actor
from hub.cases.scheme import Scheme
from hub.catalogue.items import ServiceItem
from hub.clock import Clock
from hub.consent.guard import WITHOUT_CASE, Stopped, admit, alarm_once
from hub.errors import HubError
from hub.ledger.tileset import TileReader
from hub.registry.types import CertificateType
from hub.store.tx import Database, Tx, View
from hub.web.workers import Batches

if TYPE_CHECKING:
    from hub.config import Settings
    from hub.store.blobs import Blobs
    from keys.files import Keyring
    from keys.signer import Signer


@dataclass(frozen=True)
class Hub:
    """One running hub: its settings, its stores, its own keys, and the data files it was started with.

    The keyring holds the hub's own keys only: `token` and `receipt` (ES256), `ledger` (Ed25519). No key of a
    department is ever in it (promise 1).
    """

    settings: "Settings"
    clock: Clock
    db: Database
    blobs: "Blobs"
    keyring: "Keyring"
    types: Mapping[str, CertificateType]
    items: Mapping[str, ServiceItem]
    schemes: Mapping[str, Scheme]
    batches: Batches = field(default_factory=Batches)

    @asynccontextmanager
    async def tx(self, actor: Actor, *, by_key: bool = False) -> AsyncIterator[Tx]:
        """A write transaction on behalf of `actor`; durable when the block has ended. `by_key`: see `Database.tx`.

        What the guard against misuse stopped is told to the auditors, and what was refused for want of a case is
        counted, in a transaction of its own, whichever door it was: the refusal undid the first one.
        """
        acting = actor
        try:
            async with self.db.tx(actor, by_key=by_key) as tx:
                try:
                    yield tx
                finally:
                    acting = tx.actor  # a door that authenticates inside has said who it is
        except Stopped as stopped:
            await self._alarm(stopped)
            raise
        except HubError as refused:
            if refused.code in WITHOUT_CASE:
                try:
                    async with self.db.tx(acting) as tx:
                        await admit(tx, "no_case")
                except Stopped as stopped:
                    await self._alarm(stopped)
            raise

    async def _alarm(self, stopped: Stopped) -> None:
        async with self.db.tx(stopped.actor) as tx:
            await alarm_once(tx, stopped.limit, stopped.place)

    @asynccontextmanager
    async def view(self, actor: Actor) -> AsyncIterator[View]:
        """A consistent read on behalf of `actor`."""
        async with self.db.view(actor) as view:
            yield view

    @property
    def production(self) -> bool:
        """Whether real people use this hub; everything else is a demonstration and says so on every page."""
        return bool(self.settings.production)

    def signer(self, purpose: str) -> "Signer":
        """The hub's own active key for `purpose`: token, receipt or ledger."""
        return self.keyring.active(purpose, self.clock())


def hub_of(request: Request) -> Hub:
    """The hub this application was built around (`app.state.hub`)."""
    hub: Hub = request.app.state.hub
    return hub


def tiles_of(request: Request) -> TileReader:
    """One reader for the application, so that full tiles stay in memory."""
    state = request.app.state
    if not hasattr(state, "tiles"):
        state.tiles = TileReader(hub_of(request).blobs)
    reader: TileReader = state.tiles
    return reader

"""A world with a ledger of its own: begun, sequenced, and checked from its start."""

from pathlib import Path
from typing import Any

from world import World

from hub.ledger.check import Report, check
from hub.ledger.create import create
from hub.ledger.head import log_key
from hub.ledger.sequence import Sequencer
from hub.store.blobs import FileBlobs
from keys.signer import generate

ORIGIN = "ledger.example/booked"


class Booked:
    """What is recorded in `world` goes into this ledger; `shelves` read bodies back for `check`."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world, self.blobs, self.signer = world, FileBlobs(folder), generate("EdDSA")

    async def begun(self) -> None:
        async with self.world.tx() as tx:
            await create(tx, blobs=self.blobs, origin=ORIGIN, signer=self.signer)

    async def sequenced(self) -> None:
        sequencer = Sequencer(self.world.db, self.blobs, origin=ORIGIN, signer=self.signer)
        await sequencer.take_office()
        await sequencer.step()

    async def check(self, **more: Any) -> Report:
        async with self.world.view() as view:
            return await check(view, self.blobs, key=log_key(ORIGIN, self.signer), **more)

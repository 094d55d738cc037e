"""uvicorn, taught to leave politely: at SIGTERM it first says no at /readyz, answers on for a while, then stops."""

import asyncio
import signal
import socket
from types import FrameType

import structlog
import uvicorn

from hub.store.memory import rarely_collect
from hub.web.health import Health

log = structlog.get_logger()


class Server(uvicorn.Server):
    """One serving process. SIGTERM: 1. readiness says no and the sequencer's office is given up; 2. for
    `drain_seconds` requests that still come are answered, each with `Connection: close`; 3. no connection is
    accepted any more, and what is in flight may finish within uvicorn's `timeout_graceful_shutdown`. SIGINT, and a
    second SIGTERM, go to 3 at once.
    """

    def __init__(self, config: uvicorn.Config, health: Health, *, drain_seconds: float) -> None:
        super().__init__(config)
        self._health = health
        self._drain_seconds = drain_seconds
        self._loop: asyncio.AbstractEventLoop | None = None

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until told to stop."""
        self._loop = asyncio.get_running_loop()
        rarely_collect()
        await super().serve(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Called in the main thread between two instructions of the loop: only hands over to it."""
        first = sig == signal.SIGTERM and not self._health.draining
        if self._loop is not None and self.started and first:
            self._loop.call_soon_threadsafe(self._drain, sig)
        else:
            super().handle_exit(sig, frame)

    def _drain(self, sig: int) -> None:
        self._health.drain()  # 1
        log.info("hub.draining", seconds=self._drain_seconds)
        asyncio.get_running_loop().call_later(self._drain_seconds, super().handle_exit, sig, None)  # 2, 3

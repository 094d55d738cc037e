"""Connects to PostgreSQL: host by host where there are several, none waited for long, silence noticed.

asyncpg has one patience for all hosts of a URL: a machine that vanished without a word, as in a power cut, would use
it up, and the standby that was promoted would never be asked.
"""

import os
import socket
from typing import Any

import asyncpg
from sqlalchemy.dialects.postgresql.asyncpg import dialect
from sqlalchemy.engine import make_url

HOST_SECONDS = 3.0
"""So long one host of several is waited for; one that is alone gets asyncpg's own patience, a minute."""
SILENT_SECONDS = 20
"""A server that acknowledges nothing for so long is gone: what waits for it is told so (Linux)."""

_NEXT = (OSError, asyncpg.InternalClientError, asyncpg.CannotConnectNowError)
"""Not reached, not in time, no server that takes writes, still starting: another host may do."""
_last: dict[tuple[Any, ...], int] = {}
"""Which of some hosts answered last: it is asked first."""


async def connect(*, host: Any = None, port: Any = None, **options: Any) -> asyncpg.Connection:
    """As `asyncpg.connect`; of several hosts the first that answers as `target_session_attrs` wants it.

    Raises ConnectionError when none of several does.
    """
    if not isinstance(host, list):
        return _noticing_silence(await asyncpg.connect(host=host, port=port, **options))
    places = tuple(zip(host, port, strict=True))
    first, fault = _last.get(places, 0), None
    for number in sorted(range(len(places)), key=lambda number: number != first):
        at, on = places[number]
        try:
            found = await asyncpg.connect(host=at, port=on, timeout=HOST_SECONDS, **options)
        except _NEXT as error:
            fault = error
        else:
            _last[places] = number
            return _noticing_silence(found)
    raise ConnectionError("no host of the database answers as wanted") from fault


async def connect_to(url: str) -> asyncpg.Connection:
    """A connection of one's own to the database at `url`, outside every pool."""
    spoken: Any = dialect
    _, options = spoken().create_connect_args(make_url(url))
    options.pop("prepared_statement_cache_size", None)
    return await connect(**options)


def _noticing_silence(connection: asyncpg.Connection) -> asyncpg.Connection:
    """Let the kernel end the connection when the other machine is gone: asyncpg has no word for it."""
    of_loop = connection._transport.get_extra_info("socket")
    if of_loop is not None and of_loop.family != socket.AF_UNIX and hasattr(socket, "TCP_USER_TIMEOUT"):
        with socket.socket(fileno=os.dup(of_loop.fileno())) as own:  # options belong to both; uvloop's has no setter
            own.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            own.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, SILENT_SECONDS // 2)
            own.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, SILENT_SECONDS // 4)
            own.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENT_SECONDS * 1000)
    return connection

"""Lets one transaction at a time pass, where no row exists yet that could be locked."""

import hashlib
from collections.abc import Collection

import sqlalchemy as sa

from hub.store.tx import Tx

FEW_NAMES = 16


async def one_at_a_time(tx: Tx, name: bytes) -> None:
    """Wait until no other transaction holds `name`; held until this one ends.

    SQLite needs nothing: its one writer holds the write lock since BEGIN IMMEDIATE. Statements after this call
    see what the earlier holder committed (PostgreSQL READ COMMITTED).
    """
    if tx.dialect == "postgresql":
        await tx.conn.execute(sa.select(sa.func.pg_advisory_xact_lock(_number(name))))


async def each_alone(tx: Tx, family: bytes, names: Collection[bytes]) -> None:
    """The same for many names of one family, in an order that is the same for all, so nobody waits in a circle.

    Few names are held one by one, beside a shared hold on the family. For many the family is held whole: a batch
    of a thousand people must not fill the server's table of locks.
    """
    if tx.dialect != "postgresql":
        return
    if len(names) > FEW_NAMES:
        await one_at_a_time(tx, family)
        return
    await tx.conn.execute(sa.select(sa.func.pg_advisory_xact_lock_shared(_number(family))))
    for name in sorted(names):
        await one_at_a_time(tx, name)


def _number(name: bytes) -> int:
    return int.from_bytes(hashlib.sha256(b"yimen:" + name).digest()[:8], "big", signed=True)

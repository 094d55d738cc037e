"""Lets one transaction at a time pass, where no row exists yet that could be locked."""

import hashlib

import sqlalchemy as sa

from hub.store.tx import Tx


async def one_at_a_time(tx: Tx, name: bytes) -> None:
    """Wait until no other transaction holds `name`; held until this one ends.

    SQLite needs nothing: its one writer holds the write lock since BEGIN IMMEDIATE. Statements after this call
    see what the earlier holder committed (PostgreSQL READ COMMITTED).
    """
    if tx.dialect == "postgresql":
        number = int.from_bytes(hashlib.sha256(b"yimen:" + name).digest()[:8], "big", signed=True)
        await tx.conn.execute(sa.select(sa.func.pg_advisory_xact_lock(number)))

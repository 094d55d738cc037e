"""PostgreSQL's log, received as it is written, so that a restore can go to any moment since a base backup."""

import os
from pathlib import Path

import sqlalchemy as sa

from hub.actor import SYSTEM
from hub.backup.folder import BackupFolder
from hub.backup.postgres import connection_of, may_replicate, program, run_program
from hub.store.tx import Database

SLOT = "yimen_backup"
"""The server keeps its log until this slot has it: a receiver that is away for long fills the server's disk."""


async def receive(db: Database, url: str, folder: BackupFolder, *, once: bool) -> Path:
    """Receive the log into the folder: for ever, or with `once` up to what is written now. Where it is.

    The slot is made at first use. Raises those of `may_replicate` and `run_program`.
    """
    major = await may_replicate(db)
    where, environment = connection_of(url)
    folder.wal.mkdir(parents=True, exist_ok=True, mode=0o700)
    command: list[str | Path] = [program("pg_receivewal", major), "-d", where, "-w", "-S", SLOT]
    await run_program([*command, "--create-slot", "--if-not-exists"], environment)
    command += ["-D", folder.wal, "--synchronous"]
    if once:
        async with db.view(SYSTEM) as view:
            end = str(await view.value(sa.text("SELECT pg_current_wal_flush_lsn()::text")))
            await view.value(sa.text("SELECT pg_current_xact_id()::text"))  # its commit writes past `end`
        command += ["--endpos", end, "--no-loop"]
    umask = os.umask(0o077)
    try:
        await run_program(command, environment)
    finally:
        os.umask(umask)
    return folder.wal

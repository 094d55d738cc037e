"""PostgreSQL: a base backup of a running server with the log it needs, and what to say when the role may not.

The work is done by PostgreSQL's own programs of the server's version: `pg_basebackup` here, `pg_receivewal` in
wal.py, a scratch server in scratch.py. A password goes to them in the environment, never in a command line.
"""

import asyncio
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import make_url

from hub.actor import SYSTEM
from hub.backup.create import Copied, CopyDatabase
from hub.backup.facts import look
from hub.backup.folder import stored, sync_file
from hub.backup.model import POSTGRESQL, no_room
from hub.errors import Forbidden, HubError, NotFound, Unavailable
from hub.store.tx import Database

BASE, WAL, PG_MANIFEST = "base.tar.gz", "pg_wal.tar.gz", "backup_manifest"


def program(name: str, major: int) -> Path:
    """One of PostgreSQL's programs, of the server's own version. Raises NotFound `backup.no_program`."""
    at = Path(f"/usr/lib/postgresql/{major}/bin/{name}")
    found = at if at.is_file() else shutil.which(name)
    if not found:
        package = f"postgresql-{major}" if name == "postgres" else f"postgresql-client-{major}"
        raise NotFound(
            "backup.no_program",
            f"本机没有 PostgreSQL {major} 的 {name}。",
            f"This machine lacks {name} of PostgreSQL {major}.",
            next_zh=f"请执行：apt-get install -y {package}",
            next_en=f"Run: apt-get install -y {package}",
        )
    return Path(found)


def connection_of(url: str) -> tuple[str, dict[str, str]]:
    """How libpq's programs reach the server of a SQLAlchemy URL: a connection string, and an environment."""
    parsed = make_url(url)
    query = {name: str(value) for name, value in parsed.query.items()}
    told = {"host": parsed.host, "port": parsed.port, "user": parsed.username, **query}
    text = " ".join(f"{name}='{_quoted(str(value))}'" for name, value in told.items() if value)
    environment = dict(os.environ)
    if parsed.password:
        environment["PGPASSWORD"] = str(parsed.password)
    return text, environment


def shown(url: str) -> str:
    """The URL without its password."""
    return make_url(url)._replace(password=None).render_as_string()


async def may_replicate(db: Database) -> int:
    """The server's major version, once everything that a base backup needs is allowed.

    Raises Forbidden `backup.may_not_replicate`, Unavailable `backup.server_settings`, `backup.tablespaces`: each
    with the exact command that helps.
    """
    async with db.view(SYSTEM) as view:
        version = int(str(await view.value(sa.text("SHOW server_version_num")))) // 10_000
        role = str(await view.value(sa.text("SELECT current_user")))
        may = await view.value(
            sa.text("SELECT rolreplication OR rolsuper FROM pg_roles WHERE rolname = current_user")
        )
        senders = int(str(await view.value(sa.text("SHOW max_wal_senders"))))
        level = str(await view.value(sa.text("SHOW wal_level")))
        others = await view.value(
            sa.text("SELECT count(*) FROM pg_tablespace WHERE spcname NOT IN ('pg_default', 'pg_global')")
        )
    if not may:
        command = f"""psql -d postgres -c 'ALTER ROLE "{role}" REPLICATION'"""
        raise Forbidden(
            "backup.may_not_replicate",
            f"数据库角色 {role} 没有复制权限，不能做基础备份。",
            f"The database role {role} may not replicate, so it cannot take a base backup.",
            next_zh=f"请数据库管理员执行：{command}",
            next_en=f"A superuser runs: {command}",
        )
    if senders < 2 or level == "minimal":
        command = (
            "psql -d postgres -c 'ALTER SYSTEM SET wal_level = replica' "
            "-c 'ALTER SYSTEM SET max_wal_senders = 10' && pg_ctlcluster VERSION main restart"
        )
        raise Unavailable(
            "backup.server_settings",
            f"服务器设置不允许基础备份（wal_level={level}，max_wal_senders={senders}）。",
            f"The server's settings allow no base backup (wal_level={level}, max_wal_senders={senders}).",
            next_zh=f"请数据库管理员执行：{command}",
            next_en=f"A superuser runs: {command}",
        )
    if others:
        raise Unavailable(
            "backup.tablespaces",
            "服务器有自定义表空间，这个命令不备份它们。",
            "The server has tablespaces of its own; this command does not back them up.",
            next_zh="请用 pg_basebackup 的 --tablespace-mapping 自行备份。",
            next_en="Use pg_basebackup with --tablespace-mapping yourself.",
        )
    return version


def copy_postgresql(db: Database, url: str) -> CopyDatabase:
    """Copies the server of `db` by a base backup; `url` is of the role that may replicate.

    The copy holds at least the ledger's head of the moment before; it names at most the blobs of the moment after.
    """

    async def copy(draft: Path) -> Copied:
        major = await may_replicate(db)
        async with db.view(SYSTEM) as view:
            before = await view.conn.run_sync(look)
            server = str(await view.value(sa.text("SHOW server_version")))
            segment = int(
                str(await view.value(sa.text("SELECT setting FROM pg_settings WHERE name = 'wal_segment_size'")))
            )
        base = draft / "postgresql"
        where, environment = connection_of(url)
        await run_program(
            [program("pg_basebackup", major), "-D", base, "-d", where, "-w", "-X", "stream", "-c", "fast",
             "-F", "tar", "-z", "-Z", "1", "--manifest-checksums=SHA256", "-l", "yimen"],
            environment,
        )  # fmt: skip
        async with db.view(SYSTEM) as view:
            after = await view.conn.run_sync(look)
        files = sorted(base.iterdir())
        for file in files:
            file.chmod(0o600)
            await asyncio.to_thread(sync_file, file)
        kept = [await asyncio.to_thread(stored, draft, file) for file in files]
        facts = replace(before, published_size=after.published_size, rows=after.rows, named=after.named)
        wal = _segments(json.loads((base / PG_MANIFEST).read_bytes()), segment)
        return Copied(POSTGRESQL, f"PostgreSQL {server}", shown(db.url), facts, kept, wal)

    return copy


async def run_program(command: Sequence[str | Path], environment: dict[str, str]) -> None:
    """Run one of PostgreSQL's programs to its end. Raises what its last words mean."""
    process = await asyncio.create_subprocess_exec(
        *command, env=environment, stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        _, said = await process.communicate()
    except BaseException:
        process.kill()
        await process.wait()
        raise
    if process.returncode:
        raise _meaning(said.decode(errors="replace"), Path(command[0]).name)


def _meaning(said: str, name: str) -> HubError:
    if "no pg_hba.conf entry for replication" in said:
        line = "host replication USER ADDRESS/32 scram-sha-256"
        command = f"echo '{line}' >> $(psql -Atc 'SHOW hba_file') && psql -c 'SELECT pg_reload_conf()'"
        return Forbidden(
            "backup.replication_refused",
            "服务器的 pg_hba.conf 不允许从这里做复制连接。",
            "The server's pg_hba.conf allows no replication connection from here.",
            next_zh=f"请数据库管理员执行（换成角色和本机地址）：{command}",
            next_en=f"A superuser runs, with the role and this machine's address: {command}",
        )
    if "No space left" in said or "could not write" in said:
        return no_room(Path())
    last = " ".join(said.strip().splitlines()[-2:])[:400]
    return Unavailable(
        "backup.program_failed",
        f"{name} 没有成功：{last}",
        f"{name} did not succeed: {last}",
        next_zh="请检查数据库是否可达：yimen doctor",
        next_en="Can the database be reached? yimen doctor",
    )


def _segments(told: dict[str, Any], segment: int) -> tuple[str, ...]:
    """The segments of the log that a base contains, by PostgreSQL's names."""
    per_id = (1 << 32) // segment
    return tuple(
        f"{part['Timeline']:08X}{number // per_id:08X}{number % per_id:08X}"
        for part in told["WAL-Ranges"]
        for number in range(_lsn(part["Start-LSN"]) // segment, (_lsn(part["End-LSN"]) - 1) // segment + 1)
    )


def _lsn(text: str) -> int:
    high, low = (int(part, 16) for part in text.split("/"))
    return high << 32 | low


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "\\'")

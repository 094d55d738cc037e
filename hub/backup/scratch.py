"""Bring the database of a backup up in a scratch folder, to be read and thrown away."""

import asyncio
import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from sqlalchemy.engine import URL, make_url

from hub.backup.create import DATABASE
from hub.backup.folder import BackupFolder
from hub.backup.model import SQLITE, Manifest, no_room
from hub.backup.postgres import BASE, WAL, program
from hub.errors import HubError, NotFound, Unavailable

COMES_UP_SECONDS = 3600.0
ACCOUNT = "postgres"
"""PostgreSQL's server refuses to run as root: as root it is this account."""


@asynccontextmanager
async def bring_up(folder: BackupFolder, manifest: Manifest, scratch: Path) -> AsyncIterator[str]:
    """The URL of the backup's database, up in `scratch` for the length of the block.

    Raises Unavailable `backup.no_server` where this machine has no PostgreSQL server of that version,
    `backup.does_not_come_up` when the server ends.
    """
    if manifest.database == SQLITE:
        copy = scratch / DATABASE
        wanted = next(one for one in manifest.files if one.path == DATABASE)
        await asyncio.to_thread(folder.copy_file, manifest, wanted, copy)
        yield f"sqlite:///{copy}"
        return
    async with _server(folder, manifest, scratch) as url:
        yield url


@asynccontextmanager
async def _server(folder: BackupFolder, manifest: Manifest, scratch: Path) -> AsyncIterator[str]:
    major = int(manifest.server.removeprefix("PostgreSQL ").partition(".")[0].partition(" ")[0])
    try:
        postgres = program("postgres", major)
    except NotFound as lacking:
        raise Unavailable(
            "backup.no_server", lacking.zh, lacking.en, next_zh=lacking.next_zh, next_en=lacking.next_en
        ) from lacking
    data = scratch / "data"
    await asyncio.to_thread(unpack, folder, manifest, data)
    (data / "postgresql.auto.conf").write_text(
        "restore_command = 'false'\nrecovery_target = 'immediate'\nrecovery_target_action = 'promote'\n"
    )
    (data / "recovery.signal").touch()
    settings, rules = scratch / "scratch.conf", scratch / "scratch_hba.conf"
    settings.write_text("# everything is on the command line\n")
    rules.write_text("local all all trust\n")  # the folder of the socket is ours alone
    give_to_server(scratch)
    options = ["listen_addresses=", f"unix_socket_directories={scratch}", f"config_file={settings}"]
    options += [f"hba_file={rules}", "archive_mode=off", "shared_preload_libraries=", "hot_standby=off"]
    options += ["fsync=off", "autovacuum=off", "max_connections=20", "logging_collector=off", "ssl=off"]
    log = scratch / "log"
    server = _start([postgres, "-D", data, *(part for option in options for part in ("-c", option))], log)
    try:
        await _until_ready(server, log)
        yield _url(manifest, scratch).render_as_string(hide_password=False)
    finally:
        server.send_signal(signal.SIGQUIT)
        await asyncio.to_thread(server.wait, 60)


def unpack(folder: BackupFolder, manifest: Manifest, data: Path) -> None:
    """The base backup, proved, as a data folder. Raises Internal `backup.broken`, Unavailable `backup.no_room`."""
    data.mkdir(mode=0o700)
    for name, inside in ((BASE, data), (WAL, data / "pg_wal")):
        wanted = next(one for one in manifest.files if Path(one.path).name == name)
        packed = data.with_name(f"{data.name}.{name}")
        folder.copy_file(manifest, wanted, packed)
        inside.mkdir(exist_ok=True, mode=0o700)
        command: list[str | Path] = ["tar", "-xz", "--no-same-owner", "-f", packed, "-C", inside]
        if subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True).returncode:  # noqa: S603 - tar
            raise no_room(data.parent)
        packed.unlink()


def give_to_server(folder: Path) -> None:
    """As root: the folder and all in it belong to PostgreSQL's account, which the server runs as."""
    if os.getuid() != 0:
        return
    try:
        account = pwd.getpwnam(ACCOUNT)
    except KeyError:
        return
    for path in (folder, *folder.rglob("*")):
        shutil.chown(path, account.pw_uid, account.pw_gid)


def _start(command: list[str | Path], log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as out:
        return subprocess.Popen(  # noqa: S603 - PostgreSQL's own server
            command, cwd="/", user=ACCOUNT if os.getuid() == 0 else None,
            stdin=subprocess.DEVNULL, stdout=out, stderr=out,
        )  # fmt: skip


async def _until_ready(server: subprocess.Popen[bytes], log: Path) -> None:
    ready = b"database system is ready to accept connections"
    async with asyncio.timeout(COMES_UP_SECONDS):
        while ready not in log.read_bytes():  # noqa: ASYNC240 - a few lines
            if server.poll() is not None:
                raise _does_not_come_up(log)
            await asyncio.sleep(0.05)


def _url(manifest: Manifest, scratch: Path) -> URL:
    """By the socket; role and database are those that were backed up."""
    source = make_url(manifest.source)
    return URL.create(
        "postgresql", username=source.username, database=source.database, query={"host": str(scratch)}
    )


def _does_not_come_up(log: Path) -> HubError:
    said = log.read_text(errors="replace").splitlines() or [""]
    told = [line for line in said if "FATAL" in line or "PANIC" in line]
    last = (told or said)[-1][-300:]
    return Unavailable(
        "backup.does_not_come_up",
        f"备份中的数据库起不来：{last}",
        f"The database of the backup does not come up: {last}",
        next_zh="请改用另一份备份，并查看磁盘。",
        next_en="Use another backup, and look at the disk.",
    )

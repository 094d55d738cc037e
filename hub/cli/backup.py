"""`yimen backup ...`: create, verify, list, wal. A copy is whole or not there, and is read again in full."""

import asyncio
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from hub.backup import keyring as key_files
from hub.backup import wal
from hub.backup.create import CopyDatabase, Created, Source, copy_sqlite, create
from hub.backup.folder import BackupFolder
from hub.backup.model import Manifest
from hub.backup.postgres import copy_postgresql
from hub.backup.scratch import bring_up
from hub.backup.sqlite import file_of
from hub.backup.verify import Verified, verify
from hub.cli.output import FAILED, PARTLY, Json, note, run, tell
from hub.clock import SHANGHAI, from_seconds, now
from hub.config import DEMO_PASSPHRASE, Settings
from hub.errors import Unprocessable
from hub.ledger.head import log_key
from hub.store.seal import Vault
from hub.store.tx import Database
from hub.web.deps import Hub
from keys.files import Keyring

app = typer.Typer(help="备份。 Backups.", no_args_is_help=True, rich_markup_mode=None)

To = Annotated[Path | None, typer.Option("--to", help="备份目录。 The backup folder; default YIMEN_BACKUP_DIR.")]
Which = Annotated[str, typer.Argument(help="备份编号，默认最新。 Id of the backup; the newest by default.")]


def folder_of(settings: Settings, given: Path | None) -> BackupFolder:
    """The backup folder; never inside the data folder.

    Raises Unprocessable `backup.no_folder`, `backup.same_folder`.
    """
    path = given or settings.backup_dir
    if path is None:
        raise Unprocessable(
            "backup.no_folder",
            "没有说明备份放在哪里。",
            "It is not said where backups go.",
            next_zh="加 --to 目录，或设置 YIMEN_BACKUP_DIR；请用另一块磁盘。",
            next_en="Give --to FOLDER or set YIMEN_BACKUP_DIR; use another disk.",
        )
    if path.resolve().is_relative_to(settings.data_dir.resolve()):
        raise Unprocessable(
            "backup.same_folder",
            "备份目录不能在数据目录里：数据目录丢失时备份也会丢失。",
            "The backup folder must not be inside the data folder: both would be lost together.",
            next_zh="请选数据目录以外的目录，最好是另一块磁盘。",
            next_en="Choose a folder elsewhere, best on another disk.",
        )
    return BackupFolder(path)


@app.command(name="create", help="做一份备份，平台可以继续运行。 Make a backup; the hub may go on working.")
def make(
    to: To = None,
    with_keys: Annotated[
        bool,
        typer.Option(
            "--with-keys", help="连同密封的密钥文件（仍由口令保护）。 With the key files, sealed as they are."
        ),
    ] = False,
    keep: Annotated[
        int | None, typer.Option(min=1, help="只保留最新的几份。 Keep this many; throw away older ones.")
    ] = None,
    json_out: Json = False,
) -> None:
    """Whole and durable on return, or nothing is left. Exit code 3 when blobs that the database names are missing."""
    settings = Settings()
    folder = folder_of(settings, to)

    async def work(hub: Hub) -> Created:
        return await create(_source(hub), folder, now=hub.clock(), with_keys=with_keys, keep=keep)

    made = run(work)
    manifest = made.manifest
    lines = [
        f"✓ 备份完成 the backup is whole: {manifest.id}",
        *_told(manifest),
        *(f"✗ 缺少 missing: {one}" for one in manifest.missing),
        *(f"· 已删除旧备份 thrown away: {one}" for one in made.thrown_away),
        *_keys_told(manifest),
        f"→ 请核对：yimen backup verify {manifest.id}",
        "→ Read it again in full with the command above.",
    ]
    tell({**_json(manifest), "thrown_away": made.thrown_away}, lines, as_json=json_out)
    if manifest.missing:
        raise typer.Exit(PARTLY)


@app.command(name="list", help="列出备份。 List backups.")
def list_all(to: To = None, json_out: Json = False) -> None:
    """The newest first; what makers that died have left is told apart and never restored."""
    folder = folder_of(Settings(), to)
    found = folder.readable()
    damaged = sorted(set(folder.ids()) - {one.id for one in found})
    lines = [
        f"{one.id}  {when(one)}  {one.database:10} {one.ledger.size:>9} leaves  {_size(one.total)}" for one in found
    ]
    lines += [f"{name}  清单已损坏，不可用 damaged: its manifest cannot be read" for name in damaged]
    lines += [f"{name}  未完成，不可用 unfinished: not a backup" for name in folder.unfinished()]
    told = {"backups": [_json(one) for one in found], "damaged": damaged, "unfinished": folder.unfinished()}
    tell(told, lines or ["没有备份。 There is no backup."], as_json=json_out)


@app.command(name="verify", help="重读备份并在临时位置核对。 Read a backup again in full, in a scratch place.")
def verify_one(
    backup: Which = "latest",
    to: To = None,
    scratch: Annotated[
        Path | None, typer.Option(help="临时目录所在的磁盘。 Where the scratch folder goes; it needs room.")
    ] = None,
    json_out: Json = False,
) -> None:
    """Exit code 0: all read and whole; 1: something is wrong; 3: not everything could be looked at here."""
    settings = Settings()
    folder = folder_of(settings, to)
    done = check_backup(settings, folder, folder.manifest(backup), scratch)
    lines = [f"✗ {one.code}: {one.what}" for one in done.problems]
    lines += [f"! {one}" for one in done.unread]
    lines += [
        f"{'✓ 备份完好 the backup is whole' if done.ok else '✗ 备份有问题 the backup is not whole'}: {done.id}",
        f"  {done.files} 个文件 files, {done.objects} 个文件内容 objects, {_size(done.bytes)}",
        f"  日志 ledger: {done.leaves} 条 leaves, {done.bodies} 份正文 bodies, root {done.root or '-'}",
    ]
    told = {**asdict(done), "ok": done.ok}
    tell(told, lines, as_json=json_out)
    if not done.ok or done.unread:
        raise typer.Exit(PARTLY if done.ok else FAILED)


@app.command(name="wal", help="接收 PostgreSQL 日志，以便恢复到任一时刻。 Receive PostgreSQL's log as it is written.")
def receive_wal(
    to: To = None,
    once: Annotated[
        bool, typer.Option("--once", help="收到现在为止就结束。 End when all that is written now is here.")
    ] = False,
    json_out: Json = False,
) -> None:
    """Runs until it is ended; keep it under systemd. Nothing to do on SQLite."""
    settings = Settings()
    if not settings.database_url.startswith("postgresql"):
        raise Unprocessable(
            "backup.not_postgresql", "只用于 PostgreSQL。", "This is for PostgreSQL.",
            next_zh="SQLite 请更频繁地运行 yimen backup create。",
            next_en="On SQLite run yimen backup create more often.",
        )  # fmt: skip
    folder = folder_of(settings, to)

    async def work(hub: Hub) -> Path:
        return await wal.receive(hub.db, settings.backup_database_url or hub.db.url, folder, once=once)

    if not once:
        note("正在接收，按 Ctrl-C 结束。", "Receiving; Ctrl-C ends it.")
    found = run(work)
    told = {"wal": str(found), "segments": len(list(found.glob("*")))}
    tell(told, [f"✓ {told['segments']} 段日志在 segments in {found}"], as_json=json_out)


def check_backup(settings: Settings, folder: BackupFolder, manifest: Manifest, scratch: Path | None) -> Verified:
    """Verify one backup in a scratch folder that is thrown away."""
    from hub.main import open_vault

    with (
        tempfile.TemporaryDirectory(prefix="yimen-verify-", dir=scratch) as place,  # a server's account owns it
        tempfile.TemporaryDirectory(prefix="yimen-keys-", dir=scratch) as keys,  # this one it cannot enter
    ):
        keys_dir = _keys_for(settings, folder, manifest, Path(keys))
        vault = open_vault(Keyring(keys_dir, settings.passphrase())) if keys_dir else Vault({}, "", {}, 0)

        def open_database(url: str) -> Database:
            return Database(url, clock=now, vault=vault, pool_size=2)

        return asyncio.run(
            verify(
                folder,
                manifest,
                scratch=Path(place),
                bring_up=bring_up,
                open_database=open_database,
                bodies=keys_dir is not None,
            )
        )


def _keys_for(settings: Settings, folder: BackupFolder, manifest: Manifest, place: Path) -> Path | None:
    """The keys that open this backup: its own, or those of this hub; None when some are nowhere."""
    if all(key.included for key in manifest.keys) and manifest.keys:
        key_files.put_back(manifest, folder, place)
        return place
    return None if key_files.missing(manifest, settings.keyring_dir) else settings.keyring_dir


def _source(hub: Hub) -> Source:
    settings = hub.settings
    return Source(
        copy_database=database_copier(hub),
        blobs=hub.blobs,
        keyring=hub.keyring,
        log_key=str(log_key(settings.origin, hub.signer("ledger"))),
        passphrase=_where_the_passphrase_is(settings),
    )


def database_copier(hub: Hub) -> CopyDatabase:
    """How the database of this hub is copied."""
    if hub.settings.database_url.startswith("sqlite"):
        return copy_sqlite(file_of(hub.settings.database_url))
    return copy_postgresql(hub.db, hub.settings.backup_database_url or hub.settings.database_url)


def _where_the_passphrase_is(settings: Settings) -> str:
    if settings.key_passphrase_file is not None:
        return f"YIMEN_KEY_PASSPHRASE_FILE={settings.key_passphrase_file}"
    if settings.passphrase() == DEMO_PASSPHRASE:
        return "演示口令 the demo's passphrase"
    return "YIMEN_KEY_PASSPHRASE"


def _told(manifest: Manifest) -> list[str]:
    ledger = manifest.ledger
    at_least = "" if manifest.database == "sqlite" else "至少 at least "
    return [
        f"  数据库 database: {manifest.server}, 表结构 revision {manifest.revision}, "
        f"{sum(manifest.rows.values())} 行 rows",
        f"  日志 ledger: {at_least}{ledger.size} 条 leaves, root {ledger.root[:16]}…",
        f"  文件 blobs: {len(manifest.blobs)}, 共 in all {_size(manifest.total)}",
    ]


def _keys_told(manifest: Manifest) -> list[str]:
    names = ", ".join(key.kid if key.purpose == "secret" else key.purpose for key in manifest.keys if key.kid)
    if all(key.included for key in manifest.keys):
        return [f"! 含密封的密钥（{names}）；口令不在其中：{manifest.passphrase}",
                "  The sealed keys are in it; their passphrase is not: keep it elsewhere."]  # fmt: skip
    return [f"! 不含密钥（{names}）：请另行保管密钥目录和口令（{manifest.passphrase}）",
            "  The keys are not in it: without the key folder and its passphrase nothing can be opened."]  # fmt: skip


def _json(manifest: Manifest) -> dict[str, Any]:
    told = asdict(manifest)
    return {**told, "blobs": len(manifest.blobs), "bytes": manifest.total}


def when(manifest: Manifest) -> str:
    """When a backup was made, as the clock in Shanghai showed it."""
    return f"{from_seconds(manifest.made_at).astimezone(SHANGHAI):%Y-%m-%d %H:%M:%S}"


def _size(count: int) -> str:
    return f"{count / 1_000_000:.1f} MB"





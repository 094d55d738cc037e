"""`yimen restore`: a backup put back where nothing is; the hub then only reads until somebody decides."""

import asyncio
import os
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from hub.backup.cluster import LATEST, cluster_place
from hub.backup.model import SQLITE, Manifest
from hub.backup.restore import Place, Restored, restore, sqlite_place
from hub.backup.sqlite import file_of
from hub.cli.backup import To, Which, folder_of, when
from hub.cli.output import Json, tell
from hub.clock import SHANGHAI, now
from hub.config import Settings
from hub.errors import Unprocessable


def add_to(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command(name="restore", help="恢复备份；不覆盖任何东西。 Put a backup back; overwrites nothing.")(
        put_back
    )


def put_back(
    backup: Which = "latest",
    folder: To = None,
    pgdata: Annotated[
        Path | None, typer.Option(help="PostgreSQL：要建立的数据目录。 PostgreSQL: the data folder to make.")
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(
            help="PostgreSQL：恢复到此时刻或 latest。 PostgreSQL: restore to this moment (ISO 8601), or latest."
        ),
    ] = None,
    no_keys: Annotated[
        bool, typer.Option("--no-keys", help="不动密钥目录。 Leave the key folder as it is.")
    ] = False,
    json_out: Json = False,
) -> None:
    """The stores are those of the settings. Afterwards somebody decides: yimen ledger resume."""
    from hub.main import open_blobs

    settings = Settings()
    source = folder_of(settings, folder)
    manifest = source.manifest(backup)
    place = _place(settings, manifest, pgdata, until)
    before = os.umask(0o077)
    try:
        done = asyncio.run(
            restore(
                source,
                manifest,
                blobs=open_blobs(settings),
                keys_dir=settings.keyring_dir,
                place=place,
                now=now(),
                with_keys=not no_keys,
            )
        )
    finally:
        os.umask(before)
    tell(_json(done), _lines(done), as_json=json_out)


def _place(settings: Settings, manifest: Manifest, pgdata: Path | None, until: str | None) -> Place:
    """Where the database of this backup goes. Raises Unprocessable `restore.other_database`, `restore.pgdata`."""
    if settings.database_url.startswith(SQLITE) != (manifest.database == SQLITE):
        raise Unprocessable(
            "restore.other_database",
            f"备份来自 {manifest.server}，设置的是另一种数据库。",
            f"The backup is of {manifest.server}; the settings name the other kind of database.",
            next_zh="请设置 YIMEN_DATABASE_URL；备份不能换数据库种类恢复。",
            next_en="Set YIMEN_DATABASE_URL; a backup cannot change the kind of database.",
        )
    if manifest.database == SQLITE and pgdata is None and until is None:
        return sqlite_place(file_of(settings.database_url))
    if manifest.database == SQLITE or pgdata is None:
        raise Unprocessable(
            "restore.pgdata",
            "--pgdata 与 --until 只用于 PostgreSQL，且 PostgreSQL 必须给出 --pgdata。",
            "--pgdata and --until are for PostgreSQL, which needs --pgdata.",
            next_zh="例如 --pgdata /var/lib/postgresql/15/restored",
            next_en="For example: --pgdata /var/lib/postgresql/15/restored",
        )
    return cluster_place(pgdata, to=_moment(until))


def _moment(until: str | None) -> datetime | str | None:
    if until is None or until == LATEST:
        return until
    found = datetime.fromisoformat(until)
    return found if found.tzinfo else found.replace(tzinfo=SHANGHAI)


def _json(done: Restored) -> dict[str, Any]:
    told = asdict(done)
    ledger = asdict(done.manifest.ledger)
    return {**told, "manifest": {"id": done.manifest.id, "ledger": ledger}, "lost": done.lost}


def _lines(done: Restored) -> list[str]:
    manifest = done.manifest
    lines = [
        f"✓ 已恢复 restored: {manifest.id}（{when(manifest)}）",
        f"  文件 blobs: 写入 written {done.blobs_written}, 原有 there already {done.blobs_there}; "
        f"密钥 keys written {done.keys_written}",
        f"  日志 ledger: {manifest.ledger.size} 条 leaves",
    ]
    if done.lost:
        zh, en = ("", "") if manifest.database == SQLITE else ("至多 ", "at most ")  # the log may bring more back
        lines += [
            f"✗ 文件存储里公布的检查点有 {done.live_size} 条：备份之后的{zh} {done.lost} 条记录不在备份里。",
            f"  The published checkpoint has {done.live_size} leaves: {en}{done.lost} were written after the backup "
            "and are not in it.",
        ]
    lines += [
        "! 平台现在只读，不签名：请先决定日志如何继续。",
        '  The hub only reads and signs nothing until you decide ("After a restore" in docs/operations.md):',
    ]
    if done.next:
        lines.append(f"  → {done.next}")
    return [*lines, "  → yimen doctor && yimen ledger check", "  → yimen ledger resume"]

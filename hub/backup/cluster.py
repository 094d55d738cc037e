"""Put a PostgreSQL base backup back as a data folder that recovers to a chosen moment when its server starts."""

import os
import shutil
from datetime import datetime
from itertools import pairwise
from pathlib import Path

from hub.backup.folder import BackupFolder
from hub.backup.model import Manifest
from hub.backup.restore import RESTORING, Place, database_there
from hub.backup.scratch import ACCOUNT, give_to_server, unpack
from hub.errors import NotFound

LATEST = "latest"
KEPT_WAL = "yimen_wal"
CONFIGURATION = {
    "postgresql.conf": "# written by yimen restore: put the settings of the lost server here\n",
    "pg_hba.conf": "local all all peer\nhost all all 127.0.0.1/32 scram-sha-256\n",
    "pg_ident.conf": "",
}


def cluster_place(data: Path, *, to: datetime | str | None) -> Place:
    """The place of a data folder: absent or empty. `to`: None for the moment of the backup, LATEST for the end of the
    log that was received since, or a moment between. The server is started by whoever runs it.
    """

    def refuse() -> None:
        if data.exists() and any(data.iterdir()):
            raise database_there(data)

    def put(folder: BackupFolder, manifest: Manifest) -> str:
        draft = data.with_name(data.name + RESTORING)
        if draft.exists():
            shutil.rmtree(draft)  # of a restore that died: nobody was told of it
        data.parent.mkdir(parents=True, exist_ok=True)
        unpack(folder, manifest, draft)
        archive = _copy_wal(folder, manifest, draft) if to is not None else 0
        _configure(draft, to, archive)
        give_to_server(draft)
        os.sync()
        refuse()
        os.rename(draft, data)
        return start_command(data, manifest)

    return Place(refuse, put)


def start_command(data: Path, manifest: Manifest) -> str:
    """How the server over this folder is started by hand."""
    major = manifest.server.removeprefix("PostgreSQL ").partition(".")[0]
    as_account = f"sudo -u {ACCOUNT} " if os.getuid() == 0 else ""
    return f"{as_account}/usr/lib/postgresql/{major}/bin/pg_ctl -D {data} -l {data}.log -w start"


def _copy_wal(folder: BackupFolder, manifest: Manifest, draft: Path) -> int:
    """What was received since the base, beside it: the server's account need not read the backup folder."""
    kept = draft / KEPT_WAL
    kept.mkdir(mode=0o700)
    last = manifest.wal[-1]
    found = [one for one in sorted(folder.wal.glob("*")) if len(one.stem) == len(last) and one.stem >= last]
    if not found or _holes([last, *(one.stem for one in found)]):
        raise NotFound(
            "restore.no_wal",
            "备份之后的预写日志没有或不连续，只能恢复到备份的时刻。",
            "The log since this backup was not received, or has a hole: it can only be restored to its own moment.",
            next_zh="去掉 --until；以后请一直运行 yimen backup wal。",
            next_en="Leave --until out; for next time keep running: yimen backup wal",
        )
    for one in found:
        shutil.copy2(one, kept / one.name)
    return len(found)


def _holes(names: list[str]) -> bool:
    """Whether a segment is missing between two that are there (16 MB segments: 256 for each id)."""
    numbers = [int(name[8:16], 16) * 256 + int(name[16:], 16) for name in names]
    return any(after - before > 1 for before, after in pairwise(numbers))


def _configure(draft: Path, to: datetime | str | None, archive: int) -> None:
    lines = ["", "# written by yimen restore; may be taken out once the server has come up"]
    if archive:
        lines.append(f"restore_command = 'cp {KEPT_WAL}/%f \"%p\" || cp {KEPT_WAL}/%f.partial \"%p\"'")
    else:
        lines.append("restore_command = 'false'")
    if to is None:
        lines.append("recovery_target = 'immediate'")
    elif isinstance(to, datetime):
        lines.append(f"recovery_target_time = '{to.isoformat()}'")
    lines += ["recovery_target_action = 'promote'", "recovery_target_timeline = 'current'", "hot_standby = off"]
    with (draft / "postgresql.auto.conf").open("a", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
    (draft / "recovery.signal").touch(mode=0o600)
    for name, text in CONFIGURATION.items():  # Debian keeps these in /etc, so that they are in no base backup
        if not (draft / name).exists():
            (draft / name).write_text(text)

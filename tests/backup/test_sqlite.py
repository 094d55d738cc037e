"""SQLite and files: a backup of a hub that works, read again in full, put back, and never half there."""

import asyncio
import json
import resource
import shutil
import signal
import sqlite3
import threading
import time
from pathlib import Path

from backup.town import Town, go_on
from parts import spoilt

from benchmarks.stage import Stage
from hub.backup.folder import BackupFolder
from hub.main import build


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_backup_is_made_verified_and_put_back(town: Town) -> None:
    """The whole story: back up, verify, lose everything, put back, decide, go on."""
    made = town.well("backup", "create", "--with-keys")
    assert made["missing"] == []
    assert {key["kid"] for key in made["keys"] if key["purpose"] == "secret"} == {"kek-1", "pepper-1", "pairwise"}
    done = town.well("backup", "verify")
    assert (done["leaves"], done["root"]) == (made["ledger"]["size"], made["ledger"]["root"])
    assert done["bodies"] > 5
    assert [one["id"] for one in town.well("backup", "list")["backups"]] == [made["id"]]
    faces = files_of(town.settings.data_dir / "blobs" / "faces")

    shutil.rmtree(town.settings.data_dir)
    restored = town.well("restore")
    assert files_of(town.settings.data_dir / "blobs" / "faces") == faces != {}
    assert restored["blobs_written"] >= len(faces)
    assert town.well("ledger", "check")["size"] == made["ledger"]["size"]
    assert {path.stat().st_mode & 0o077 for path in town.settings.data_dir.rglob("*")} == {0}

    town.refused("store.read_only", "department", "suspend", "dg-edu")
    assert "yimen ledger resume --help" in {one["do"] for one in town.yimen("doctor", "--json").json["lines"]}
    town.refused("ledger.unproved", "ledger", "resume")
    town.well("ledger", "resume", "--stopped")
    go_on(town, 1)
    assert town.well("ledger", "check")["size"] > made["ledger"]["size"]


def test_people_read_what_became_of_it(town: Town) -> None:
    told = town.yimen("backup", "create")
    assert "备份完成" in told.out
    assert "不含密钥" in told.out
    assert "演示口令" in told.out


def test_a_second_backup_copies_only_what_is_new(town: Town) -> None:
    town.well("backup", "create")
    objects = town.backups / "objects"
    before = {path: path.stat().st_mtime_ns for path in objects.glob("*/*")}
    go_on(town, 1)
    town.well("backup", "create")
    after = {path: path.stat().st_mtime_ns for path in objects.glob("*/*")}
    assert before.items() <= after.items()
    assert 0 < len(after) - len(before) < len(before)


def test_a_backup_while_others_write_holds_whole_transactions(town: Town) -> None:
    """The hub goes on registering, granting, looking and publishing while two backups are made."""
    working = threading.Event()

    def work() -> None:
        while not working.is_set():
            go_on(town, 1)

    busy = threading.Thread(target=work)
    busy.start()
    try:
        sizes = [town.well("backup", "create", "--with-keys")["ledger"]["size"] for _ in range(2)]
    finally:
        working.set()
        busy.join()
    assert town.well("backup", "verify")["leaves"] == sizes[-1]


def test_only_the_newest_are_kept(town: Town) -> None:
    first = town.well("backup", "create")["id"]
    orphan = BackupFolder(town.backups).keep_object(b"nobody names me", trusted=set())
    second = town.well("backup", "create", "--keep", "1")
    assert second["thrown_away"] == [first]
    assert [one["id"] for one in town.well("backup", "list")["backups"]] == [second["id"]]
    assert not BackupFolder(town.backups).object(orphan).exists()
    assert town.well("backup", "verify")["leaves"] > 0


# ── what is wrong is told ────────────────────────────────────────────────────────────────────────────────────────────


def test_every_damage_is_found_and_named(town: Town) -> None:
    made = town.well("backup", "create", "--with-keys")
    folder = BackupFolder(town.backups)
    manifest = folder.manifest()
    face = next(blob for blob in manifest.blobs if blob.key.startswith("faces/"))
    database = folder.backups / made["id"] / "database.sqlite"
    for path, code, at in ((folder.object(face.sha256), "object", 20), (database, "file", 50_000)):
        whole = path.read_bytes()
        path.write_bytes(spoilt(whole, at))
        done = town.yimen("backup", "verify", "--json")
        assert (done.code, done.json["problems"][0]["code"]) == (1, code)
        path.write_bytes(whole)
    folder.object(face.sha256).unlink()
    assert "faces/" in town.yimen("backup", "verify", "--json").json["problems"][0]["what"]
    listing = folder.backups / made["id"] / "manifest.json"
    listing.write_bytes(listing.read_bytes().replace(b'"size": ', b'"size": 1', 1))
    town.refused("backup.manifest_broken", "restore")
    assert town.well("backup", "list")["damaged"] == [made["id"]]
    newer = town.well("backup", "create", "--keep", "2")["id"]  # a damaged backup is in nobody's way
    assert [one["id"] for one in town.well("backup", "list")["backups"]] == [newer]


def test_a_ledger_that_was_changed_before_the_backup_is_found(town: Town) -> None:
    """Whole files are not enough: the leaves, bodies and blobs in them must belong together."""
    with sqlite3.connect(town.database) as database:
        row = database.execute("SELECT rowid FROM ledger_bodies LIMIT 1").fetchone()
        database.execute("DELETE FROM ledger_bodies WHERE rowid = ?", row)
        database.execute("UPDATE certificates SET face_sha256 = zeroblob(32) WHERE face_key IS NOT NULL")
    made = town.yimen("backup", "create", "--with-keys", "--json")
    assert made.code == 3
    assert all(one.endswith(": differs") for one in made.json["missing"])
    codes = {one["code"] for one in town.yimen("backup", "verify", "--json").json["problems"]}
    assert {"ledger.body.missing", "blob.absent", "blob.missing_then"} <= codes


def test_without_the_keys_it_says_what_was_not_read_and_restores_nothing(town: Town, tmp_path: Path) -> None:
    town.well("backup", "create")
    elsewhere = {"YIMEN_KEYS_DIR": str(tmp_path / "no-keys")}
    done = town.yimen("backup", "verify", "--json", **elsewhere)
    assert (done.code, done.json["ok"], done.json["bodies"]) == (3, True, 0)
    shutil.move(town.settings.data_dir, tmp_path / "away")
    refused = town.refused("restore.keys_missing", "restore")
    assert "kek-1.secret" in refused.err
    shutil.copytree(tmp_path / "away" / "keys", town.settings.data_dir / "keys")
    town.well("restore")
    assert town.well("ledger", "check")["bodies_read"] > 5


def test_a_restore_overwrites_nothing(town: Town) -> None:
    town.well("backup", "create", "--with-keys")
    before = files_of(town.settings.data_dir)
    town.refused("restore.database_there", "restore")
    town.refused("backup.unknown", "restore", "20200101T000000.000000Z")
    assert files_of(town.settings.data_dir) == before
    for left in town.settings.data_dir.glob("hub.db*"):
        left.unlink()
    face = next((town.settings.data_dir / "blobs" / "faces").rglob("*/*"))
    face.write_bytes(b"something else")
    town.refused("restore.blob_differs", "restore")
    assert face.read_bytes() == b"something else"
    assert not town.database.exists()


def test_a_backup_folder_has_a_place_of_its_own(town: Town) -> None:
    town.refused("backup.no_folder", "backup", "create", YIMEN_BACKUP_DIR="")
    town.refused("backup.same_folder", "backup", "create", "--to", str(town.settings.data_dir / "backups"))


# ── cut short ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_full_disk_leaves_no_half_backup(town: Town) -> None:
    """The process may write no file over 64 KB, as on a disk without room: refused, and nothing is left."""

    def starve() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (65_536, 65_536))

    process = town.start("backup", "create", "--json", preexec_fn=starve)
    out, _ = process.communicate(timeout=60)
    assert (process.returncode, json.loads(out)["error"]["code"]) == (5, "backup.no_room")
    assert town.well("backup", "list") == {"backups": [], "damaged": [], "unfinished": []}
    assert files_of(town.backups / "objects") == {}


def test_kill_9_while_a_backup_is_made_is_harmless(town: Town) -> None:
    whole = town.well("backup", "create", "--with-keys")
    process = town.start("backup", "create", "--with-keys")
    _until(lambda: any((town.backups / "backups").glob("*.part")) or process.poll() is not None)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    for one in town.well("backup", "list")["backups"]:  # it may have been quicker than the signal
        assert town.well("backup", "verify", one["id"])["leaves"] == whole["ledger"]["size"]
    town.well("backup", "create")
    assert town.well("backup", "list")["unfinished"] == []


def test_kill_9_while_it_is_put_back_is_harmless(town: Town) -> None:
    made = town.well("backup", "create", "--with-keys")
    shutil.rmtree(town.settings.data_dir)
    town.settings.data_dir.mkdir()
    process = town.start("restore", cwd=town.backups)
    hold = town.settings.data_dir / "blobs" / "restore" / "hold"
    _until(lambda: hold.exists() or process.poll() is not None)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert hold.exists()
    if not town.database.exists():
        town.well("restore")
    assert town.well("ledger", "check")["size"] == made["ledger"]["size"]
    town.refused("ledger.unproved", "ledger", "resume")


def test_two_makers_do_not_meet_in_one_folder(town: Town) -> None:
    with BackupFolder(town.backups).making():
        town.refused("backup.busy", "backup", "create")


def test_the_hub_neither_signs_nor_writes_while_held(town: Town) -> None:
    """What `yimen serve` runs: the sequencer refuses, every write is refused, reading goes on."""
    town.well("backup", "create", "--with-keys")
    shutil.rmtree(town.settings.data_dir)
    town.well("restore")
    made = Stage(build(town.settings))

    async def work() -> list[str]:
        from hub.actor import SYSTEM
        from hub.errors import HubError
        from hub.ledger.head import read_head
        from hub.ledger.hold import look_for_hold

        told = []
        assert await look_for_hold(made.db, made.hub.blobs)
        for attempt in (made.publish, lambda: made.department("dg-new")):
            try:
                await attempt()
            except HubError as refused:
                told.append(refused.code)
        async with made.db.view(SYSTEM) as view:
            assert (await read_head(view)).size > 0
        await made.close()
        return told

    assert asyncio.run(work()) == ["ledger.held", "store.read_only"]


def _until(there: "object", seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not there():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.002)

"""A restored older ledger signs no second tree: it goes on where nobody has seen more, or under a new name."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from backup.town import Town, go_on
from parts import free_port, listens, wait_until

from benchmarks import stage
from hub.formats.note import parse, parse_vkey, verify_checkpoint


@contextmanager
def witness(town: Town, folder: Path) -> Iterator[None]:
    """A witness of the town's ledger, asked by every hub of the town from here on."""
    log_key = town.well("ledger", "show")["log_key"]
    if not folder.exists():
        (folder.parent / "phrase").write_text("a passphrase of the audit office\n")
        phrase = ["--passphrase-file", str(folder.parent / "phrase")]
        made = town.well("witness", "init", str(folder), "--name", "audit.example/w", "--log", log_key, *phrase)
        (folder.parent / "key").write_text(made["witness_key"])
    port = free_port()
    command = ["witness", "serve", str(folder), "--passphrase-file", str(folder.parent / "phrase"), "--port", str(port)]
    process = town.start(*command)
    process.args = command
    try:
        wait_until(lambda: listens(port), process, folder / "log")
        key = (folder.parent / "key").read_text()
        town.environment["YIMEN_WITNESSES"] = f'["{key} http://127.0.0.1:{port}"]'
        yield
    finally:
        process.kill()
        process.communicate()


def lose(town: Town, *, blobs: bool) -> None:
    """The disaster: the database is gone, and with `blobs` the files and keys too."""
    if blobs:
        shutil.rmtree(town.settings.data_dir)
    for left in town.settings.data_dir.glob("hub.db*"):
        left.unlink()


def published(town: Town) -> bytes:
    return (town.settings.data_dir / "blobs" / "ledger" / "checkpoint").read_bytes()


def test_yesterdays_database_under_todays_files_goes_on_under_a_new_name(town: Town, tmp_path: Path) -> None:
    """The published checkpoint survived: it tells how much is lost, and the old name signs no second tree."""
    before = town.well("backup", "create", "--with-keys")["ledger"]
    go_on(town, 2)
    after = town.well("ledger", "show")
    kept = published(town)
    lose(town, blobs=False)
    told = town.well("restore")
    assert (told["live_size"], told["lost"]) == (after["size"], after["size"] - before["size"])

    refused = town.refused("ledger.newer_known", "ledger", "resume", "--stopped")
    assert f"{told['lost']} leaves are missing" in refused.err
    town.refused("ledger.same_name", "ledger", "succeed")

    town.environment["YIMEN_LEDGER_ORIGIN"] = "hub.example/ledger/2"
    made = town.well("ledger", "succeed")
    assert (made["size"], made["lost"], made["follows"]) == (before["size"], told["lost"], before["origin"])
    assert made["log_key"] != after["log_key"]
    town.settings = town.settings.model_copy(update={"ledger_origin": "hub.example/ledger/2"})
    go_on(town, 1)
    assert town.well("ledger", "check")["size"] > before["size"]
    out = verify_checkpoint(parse(published(town)), parse_vkey(made["log_key"])).checkpoint
    assert (out.origin, out.size > before["size"]) == ("hub.example/ledger/2", True)
    frozen = next((town.settings.data_dir / "blobs" / "frozen").rglob("checkpoint"))
    assert frozen.read_bytes() == kept, "what the old name published last is kept as it was"
    town.refused("ledger.not_held", "ledger", "resume")
    assert town.well("backup", "create", "--with-keys")["missing"] == []
    town.well("backup", "verify")


def test_todays_database_under_todays_files_goes_on_as_it_was(town: Town) -> None:
    """A move to another disk: the checkpoint that is out is no newer than the backup."""
    town.well("backup", "create", "--with-keys")
    lose(town, blobs=False)
    assert town.well("restore")["lost"] == 0
    told = town.well("ledger", "resume")
    assert [one["fits"] for one in told["known"]] == [True]
    go_on(town, 1)
    town.well("ledger", "check")


def test_what_the_restore_itself_put_there_proves_nothing(town: Town) -> None:
    """With files and database gone, the checkpoint beside the restored database is the backup's own."""
    town.well("backup", "create", "--with-keys")
    go_on(town, 1)
    kept = town.backups.parent / "kept-by-an-auditor"
    kept.write_bytes(published(town))
    lose(town, blobs=True)
    assert town.well("restore")["live_size"] is None
    town.refused("ledger.unproved", "ledger", "resume")
    town.refused("ledger.newer_known", "ledger", "resume", "--stopped", "--seen", str(kept))


def test_a_witness_knows_better_than_whoever_restored(town: Town, tmp_path: Path) -> None:
    """Both restored together: only somebody else can tell. Nothing is proved while the witness is silent."""
    folder = tmp_path / "witness" / "w"
    folder.parent.mkdir()
    with witness(town, folder):
        _serve_once(town)
        town.well("backup", "create", "--with-keys")
    lose(town, blobs=True)
    town.well("restore")
    town.refused("ledger.unproved", "ledger", "resume")
    with witness(town, folder):
        told = town.well("ledger", "resume")
        assert [one["source"] for one in told["known"]] == ["audit.example/w"]
        go_on(town, 1)
        _serve_once(town)
        lose(town, blobs=True)
        town.well("restore")
        town.refused("ledger.newer_known", "ledger", "resume", "--stopped")


def test_a_restored_hub_serves_pages_and_refuses_every_write(town: Town) -> None:
    """`yimen serve` over a held store: what is public is read, what would be written is told why not."""
    import httpx

    town.well("backup", "create", "--with-keys")
    lose(town, blobs=True)
    town.well("restore")
    size = town.well("ledger", "show")["size"]
    server = stage.start_hub(town.settings)
    with stage.served(server):
        base = f"http://127.0.0.1:{server.port}"
        checkpoint = httpx.get(f"{base}/checkpoint", headers={"host": "hub.example"}).text
        assert checkpoint.splitlines()[1] == str(size)
        login = httpx.post(f"{base}/oauth/token", headers={"host": "hub.example"}, data={"grant_type": "x"})
        assert login.status_code >= 400
        assert town.well("ledger", "show")["size"] == size
    assert "ledger.held" in server.log.read_text()


def _serve_once(town: Town) -> None:
    """A hub runs until its witness has cosigned what is published."""
    server = stage.start(
        [stage.sys.executable, "-m", "hub.cli", "serve", "--port", str(port := free_port())],
        port, town.settings.data_dir, town.told(),
    )  # fmt: skip
    with stage.served(server):
        wait_until(lambda: b"audit.example/w" in published(town), server.process, server.log)


@pytest.mark.parametrize("when", ["taken", "deleted"])
def test_succeeding_can_be_cut_short_and_done_again(town: Town, when: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """After each step of `yimen ledger succeed` the process dies; the command run again finishes the work."""
    from hub.ledger import resume as decisions

    before = town.well("backup", "create", "--with-keys")["ledger"]
    go_on(town, 1)
    lose(town, blobs=False)
    town.well("restore")
    town.environment["YIMEN_LEDGER_ORIGIN"] = "hub.example/ledger/2"
    town.settings = town.settings.model_copy(update={"ledger_origin": "hub.example/ledger/2"})
    steps = {"taken": "_take_over", "deleted": "release_hold"}
    whole = getattr(decisions, steps[when])

    async def dies(*given: object, **named: object) -> None:
        if when != "deleted":
            await whole(*given, **named)
        raise OSError(5, "the process dies here")

    with monkeypatch.context() as patched:
        patched.setattr(decisions, steps[when], dies)
        assert town.yimen("ledger", "succeed").code != 0
    town.refused("store.read_only", "department", "suspend", "dg-edu")
    assert town.well("ledger", "succeed")["size"] == before["size"]
    go_on(town, 1)
    assert town.well("ledger", "check")["size"] > before["size"]



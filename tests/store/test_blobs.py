"""Files and S3 keep the same promises: durable, whole or absent, and never other bytes than the recorded ones."""

import asyncio
import hashlib
import os
import socketserver
import stat
import threading
from pathlib import Path
from time import monotonic

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parts import S3

from hub.errors import Malformed, NotFound, TooLarge, Unavailable
from hub.store import blobs
from hub.store.blobs import Blobs, FileBlobs
from hub.store.s3 import S3Blobs, open_s3

BAD_KEYS = [
    "", "/", "/etc/passwd", "a/../b", "..", "a//b", "a/", ".drafts/x", "a/.b", "a\x00b", "a\\b", "证照.pdf", "a b",
    "a\nb", "a" * 513, "~root", "%2e%2e/a", "a/b\n",
]  # fmt: skip


def s3_client(s3: S3, deadline: float = 10.0):
    return open_s3(
        s3.endpoint, access_key=s3.access_key, secret_key=s3.secret_key, region=s3.region, secure=False,
        deadline=deadline,
    )  # fmt: skip


@pytest.fixture(params=["files", "s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Blobs:
    if request.param == "files":
        return FileBlobs(tmp_path / "blobs")
    s3: S3 = request.getfixturevalue("s3")
    return S3Blobs(s3_client(s3), s3.bucket, prefix="hub/one", region=s3.region)


async def test_what_was_put_is_what_one_gets(storage: Blobs):
    data = os.urandom(100_000)
    digest = await storage.put("faces/ab/abc.pdf", data)
    assert digest == hashlib.sha256(data).digest()
    assert await storage.get("faces/ab/abc.pdf", sha256=digest) == data
    assert await storage.exists("faces/ab/abc.pdf")
    await storage.put("faces/ab/abc.pdf", b"")
    assert await storage.get("faces/ab/abc.pdf") == b""


async def test_other_bytes_than_the_recorded_ones_are_refused(storage: Blobs):
    digest = await storage.put("a", b"what was registered")
    await storage.put("a", b"what somebody put there later")
    with pytest.raises(Unavailable) as refused:
        await storage.get("a", sha256=digest)
    assert refused.value.code == "blob.corrupt"


async def test_absence_is_said_and_deleting_twice_is_no_error(storage: Blobs):
    with pytest.raises(NotFound):
        await storage.get("nothing/here")
    assert not await storage.exists("nothing/here")
    await storage.put("a/b", b"1")
    await storage.delete("a/b")
    await storage.delete("a/b")
    assert not await storage.exists("a/b")


async def test_listing_by_prefix(storage: Blobs):
    keys = ["tile/0/000", "tile/0/001", "tile/1/000", "tiles-not", "a.b/c_d-e", "tile/0/x001/067"]
    for key in keys:
        await storage.put(key, key.encode())
    assert await storage.list_prefix("") == sorted(keys)
    assert await storage.list_prefix("tile/0/") == ["tile/0/000", "tile/0/001", "tile/0/x001/067"]
    assert await storage.list_prefix("tile/0/00") == ["tile/0/000", "tile/0/001"]
    assert await storage.list_prefix("tile") == sorted(key for key in keys if key.startswith("tile"))
    assert await storage.list_prefix("none/") == []


@pytest.mark.parametrize("key", BAD_KEYS)
async def test_keys_that_break_the_rules_are_refused_by_every_verb(tmp_path: Path, key: str):
    files = FileBlobs(tmp_path / "blobs")
    remote = S3Blobs(open_s3("127.0.0.1:9", access_key="a", secret_key="b", region="r", secure=False), "bucket")
    for storage in (files, remote):
        for call in (storage.put(key, b"x"), storage.get(key), storage.exists(key), storage.delete(key)):
            with pytest.raises(Malformed):
                await call
    assert [path.name for path in tmp_path.rglob("*")] == ["blobs", ".drafts"]


@given(st.text(max_size=40))
def test_no_key_leaves_the_folder(key: str):
    try:
        checked = blobs.checked(key)
    except Malformed:
        return
    base = Path("/srv/blobs")
    assert Path(os.path.normpath(base / checked)) == base / checked
    assert (base / checked).is_relative_to(base)
    assert not any(part.startswith(".") for part in checked.split("/"))


async def test_too_much_is_refused_before_it_is_written(storage: Blobs, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(blobs, "MAX_BYTES", 10)
    await storage.put("ten", b"0123456789")
    with pytest.raises(TooLarge):
        await storage.put("eleven", b"0123456789a")
    monkeypatch.setattr(blobs, "MAX_BYTES", 9)
    with pytest.raises(TooLarge):
        await storage.get("ten")


async def test_writers_of_one_key_never_mix(tmp_path: Path):
    storage = FileBlobs(tmp_path)
    bodies = [bytes([n]) * 200_000 for n in range(8)]
    await asyncio.gather(*(storage.put("same", body) for body in bodies))
    assert await storage.get("same") in bodies


async def test_files_are_for_this_account_only_and_drafts_do_not_stay(tmp_path: Path):
    storage = FileBlobs(tmp_path / "b")
    await storage.put("x/y", b"1")
    assert stat.S_IMODE((tmp_path / "b/x/y").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "b/x").stat().st_mode) == 0o700
    (tmp_path / "b/.drafts/left-by-a-crash").write_bytes(b"half")
    (tmp_path / "b/.drafts/of-a-writer-at-work").write_bytes(b"half")
    os.utime(tmp_path / "b/.drafts/left-by-a-crash", (0, 0))
    again = FileBlobs(tmp_path / "b")
    assert [path.name for path in (tmp_path / "b/.drafts").iterdir()] == ["of-a-writer-at-work"]
    assert await again.list_prefix("") == ["x/y"]


async def test_a_write_that_fails_leaves_the_old_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    storage = FileBlobs(tmp_path)
    await storage.put("a", b"old")

    def no_space(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(Unavailable):
        await storage.put("a", b"new")
    monkeypatch.undo()
    assert await storage.get("a") == b"old"
    assert list((tmp_path / ".drafts").iterdir()) == []


async def test_every_folder_on_the_way_is_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    synced: list[str] = []
    real = os.fsync

    def watch(handle: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{handle}"))
        real(handle)

    if not Path("/proc/self/fd").exists():
        pytest.skip("only Linux tells the path of a file handle")
    storage = FileBlobs(tmp_path)
    monkeypatch.setattr(os, "fsync", watch)
    await storage.put("new/deep/file", b"1")
    assert [str(tmp_path / "new/deep"), str(tmp_path / "new"), str(tmp_path)] == synced[1:]
    assert ".drafts" in synced[0]


async def test_a_key_under_a_file_is_absent_and_cannot_be_put(tmp_path: Path):
    storage = FileBlobs(tmp_path)
    await storage.put("a", b"file")
    with pytest.raises(NotFound):
        await storage.get("a/b")
    with pytest.raises(Unavailable):
        await storage.put("a/b", b"x")
    assert await storage.get("a") == b"file"
    assert not await storage.exists("a/b")


async def test_a_bucket_may_be_made_twice(s3: S3):
    storage = S3Blobs(s3_client(s3), s3.bucket, region=s3.region)
    await storage.prepare()
    await storage.prepare()


async def test_prefixes_keep_two_hubs_apart_in_one_bucket(s3: S3):
    one, two = (S3Blobs(s3_client(s3), s3.bucket, prefix=prefix, region=s3.region) for prefix in ("one", "two/"))
    await one.put("a", b"1")
    assert not await two.exists("a")
    assert await two.list_prefix("") == []
    assert await one.list_prefix("") == ["a"]


class _Broken(socketserver.BaseRequestHandler):
    """An S3 server that misbehaves in the way the test names."""

    manner = "hang"
    body = b"0123456789"
    halt = threading.Event()

    def handle(self) -> None:
        self.request.recv(65536)
        if self.manner == "hang":
            self.halt.wait(20)
        elif self.manner == "half":
            head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nETag: \"x\"\r\n\r\n"
            self.request.sendall(head + self.body)
        elif self.manner == "error":
            self.request.sendall(b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n")
        elif self.manner == "nonsense":
            self.request.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
        elif self.manner == "html":
            self.request.sendall(b"HTTP/1.1 403 No\r\nContent-Type: text/html\r\nContent-Length: 4\r\n\r\noops")


@pytest.mark.parametrize("manner", ["hang", "half", "error", "nonsense", "html"])
async def test_a_storage_server_that_misbehaves_is_unavailable_in_time(manner: str):
    halt = threading.Event()
    handler = type("Handler", (_Broken,), {"manner": manner, "halt": halt})
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        client = open_s3(
            f"127.0.0.1:{server.server_address[1]}", access_key="a", secret_key="b" * 8, region="r", secure=False,
            deadline=1.0,
        )  # fmt: skip
        storage = S3Blobs(client, "bucket", deadline=1.0)
        calls = [storage.get("a"), storage.put("a", b"x"), storage.list_prefix("")]
        if manner != "half":  # a HEAD that says 200 is an honest yes
            calls.append(storage.exists("a"))
        for call in calls:
            began = monotonic()
            with pytest.raises(Unavailable):
                await call
            assert monotonic() - began < 15, "only the deadline ends it: nothing else would, within a minute"
        storage.close()
        halt.set()
        server.shutdown()


async def test_nobody_listening_is_unavailable():
    storage = S3Blobs(open_s3("127.0.0.1:9", access_key="a", secret_key="b", region="r", secure=False), "bucket")
    with pytest.raises(Unavailable):
        await storage.get("a")

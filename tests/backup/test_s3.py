"""Blobs in an S3 server: copied once for each content, put back into an empty bucket, never over what is there."""

import io
import shutil

import pytest
from backup.town import Town, go_on
from minio import Minio
from parts import S3

from hub.config import Settings


@pytest.fixture
def on_s3(town: Town, s3: S3) -> Town:
    """The town with its blobs moved into a bucket, as docs/operations.md says: the tree with its names."""
    folder = town.settings.data_dir / "blobs"
    for path in folder.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            _client(s3).put_object(s3.bucket, path.relative_to(folder).as_posix(), io.BytesIO(data), len(data))
    shutil.rmtree(folder)
    told = {"endpoint": s3.endpoint, "bucket": s3.bucket, "access_key": s3.access_key, "secret_key": s3.secret_key}
    settings = {f"s3_{name}": value for name, value in (told | {"secure": False}).items()}
    known = {"public_url": town.settings.public_url, "data_dir": town.settings.data_dir}
    moved = town.at(Settings(**known, **settings))
    moved.environment |= {f"YIMEN_{name.upper()}": str(value) for name, value in settings.items()}
    return moved


def _client(s3: S3) -> Minio:
    return Minio(s3.endpoint, s3.access_key, s3.secret_key, secure=False, region=s3.region)


def _names(s3: S3) -> set[str]:
    return {str(one.object_name) for one in _client(s3).list_objects(s3.bucket, recursive=True)}


@pytest.mark.parametrize("gone", ["its objects", "the bucket itself"])
def test_a_bucket_is_copied_and_put_back(on_s3: Town, s3: S3, gone: str) -> None:
    made = on_s3.well("backup", "create", "--with-keys")
    assert (made["missing"], made["blobs"]) == ([], len(_names(s3)))
    assert on_s3.well("backup", "verify")["leaves"] == made["ledger"]["size"]
    before = _names(s3)
    for name in before:
        _client(s3).remove_object(s3.bucket, name)
    if gone == "the bucket itself":
        _client(s3).remove_bucket(s3.bucket)
    shutil.rmtree(on_s3.settings.data_dir)
    assert on_s3.well("restore")["blobs_written"] == len(before)
    assert _names(s3) == {*before, "restore/hold"}
    on_s3.well("ledger", "resume", "--stopped")
    go_on(on_s3, 1)
    assert on_s3.well("ledger", "check")["size"] > made["ledger"]["size"]


def test_a_bucket_that_survived_tells_what_the_database_has_lost(on_s3: Town, s3: S3) -> None:
    """The usual disaster of a city: the database is gone, the object store is not."""
    on_s3.well("backup", "create", "--with-keys")
    go_on(on_s3, 1)
    size = on_s3.well("ledger", "show")["size"]
    for left in on_s3.settings.data_dir.glob("hub.db*"):
        left.unlink()
    told = on_s3.well("restore")
    assert (told["live_size"], told["blobs_written"]) == (size, 0)
    on_s3.refused("ledger.newer_known", "ledger", "resume", "--stopped")


def test_an_object_store_that_is_away_leaves_no_half_backup(on_s3: Town) -> None:
    on_s3.refused("blob.storage", "backup", "create", YIMEN_S3_ENDPOINT="127.0.0.1:9")
    assert on_s3.well("backup", "list") == {"backups": [], "damaged": [], "unfinished": []}

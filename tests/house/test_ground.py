"""The fixtures that everything else stands on really give what they say."""

from urllib.parse import urlsplit

import pytest
import sqlalchemy as sa
from minio import Minio
from parts import S3, FixedClock, MariaDB
from sqlalchemy.ext.asyncio import create_async_engine


@pytest.mark.parametrize("round_", [1, 2])
async def test_a_database_is_fresh_for_every_test(database: str, round_: int):
    engine = create_async_engine(database)
    async with engine.begin() as connection:
        await connection.execute(sa.text("CREATE TABLE only_here (n integer PRIMARY KEY)"))  # fails if it is there
        await connection.execute(sa.text("INSERT INTO only_here VALUES (:n)"), {"n": round_})
    await engine.dispose()


async def test_an_empty_database_has_no_table(empty_database: str):
    engine = create_async_engine(empty_database)
    async with engine.connect() as connection:
        assert await connection.run_sync(lambda sync: sa.inspect(sync).get_table_names()) == []
    await engine.dispose()


def test_s3_keeps_bytes(s3: S3):
    client = Minio(s3.endpoint, s3.access_key, s3.secret_key, secure=False, region=s3.region)
    assert list(client.list_objects(s3.bucket)) == []
    assert urlsplit(f"http://{s3.endpoint}").hostname == "127.0.0.1" or s3.real


def test_mariadb_speaks_four_byte_characters(mariadb: MariaDB):
    pymysql = pytest.importorskip("pymysql")
    connection = pymysql.connect(
        host=mariadb.host, port=mariadb.port, user=mariadb.user, password=mariadb.password, charset="utf8mb4"
    )
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT %s", ("𬭎䶮",))
        assert cursor.fetchone() == ("𬭎䶮",)


def test_the_clock_stands_until_told(clock: FixedClock):
    before = clock()
    assert clock() == before
    clock.advance(days=1)
    assert (clock() - before).days == 1

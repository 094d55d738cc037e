"""SQLite's write-ahead log is copied into the database beside the transactions, so that no COMMIT waits for that."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from hub.store.engine import open_engines
from hub.store.sqlite import CHANGES, Writer


@asynccontextmanager
async def opened(file: Path) -> AsyncIterator[Writer]:
    engine, reader = open_engines(f"sqlite:///{file}")
    try:
        async with engine.connect() as connection:
            found = await connection.get_raw_connection()
            own = found.driver_connection
            assert isinstance(own, Writer)
            own.own.execute("create table things (name)")
            yield own
    finally:
        await engine.dispose()
        await reader.dispose()


async def written(writer: Writer, rows: int = CHANGES) -> None:
    await writer.begin()
    await writer.each("insert into things values (?)", [(n,) for n in range(rows)], returns=False)
    await writer.commit()
    if writer._copying is not None:
        await writer._copying


def in_the_file(file: Path) -> int:
    """How many rows stand in the database itself, whatever its log says."""
    try:
        with closing(sqlite3.connect(f"file:{file}?immutable=1", uri=True)) as alone:
            return int(alone.execute("select count(*) from things").fetchone()[0])
    except sqlite3.Error:  # the table itself is still in the log
        return 0


async def test_many_changes_are_copied_and_few_are_not(tmp_path: Path) -> None:
    file = tmp_path / "hub.db"
    async with opened(file) as writer:
        await written(writer, CHANGES - 1)
        assert in_the_file(file) == 0
        await written(writer, 1)
        assert in_the_file(file) == CHANGES


async def test_who_reads_keeps_what_they_see_and_the_rest_is_copied_later(tmp_path: Path) -> None:
    file = tmp_path / "hub.db"
    async with opened(file) as writer:
        await written(writer)
        assert in_the_file(file) == CHANGES
        with closing(sqlite3.connect(file, isolation_level=None)) as reader:
            reader.execute("begin")
            assert reader.execute("select count(*) from things").fetchone() == (CHANGES,)
            for _ in range(3):
                await written(writer)
            assert in_the_file(file) < 4 * CHANGES
            assert reader.execute("select count(*) from things").fetchone() == (CHANGES,)
            reader.execute("commit")
        await written(writer)
        assert in_the_file(file) == 5 * CHANGES


async def test_a_copy_that_fails_stops_nobody_and_is_made_the_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "hub.db"

    def full() -> sqlite3.Connection:
        raise sqlite3.OperationalError("disk I/O error")

    async with opened(file) as writer:
        with monkeypatch.context() as broken:
            broken.setattr(writer, "_open_another", full)
            await written(writer)
        assert in_the_file(file) == 0
        await written(writer)
        assert in_the_file(file) == 2 * CHANGES

"""SQLite: a consistent copy of a database that is in use (the backup API), and a look into a copy."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import make_url

from hub.backup.model import no_room
from hub.errors import NotFound


def file_of(url: str) -> Path:
    """The file of a SQLite URL."""
    return Path(make_url(url).database or "")


def copy(source: Path, to: Path) -> str:
    """Copy the database at `source` as it stands at one moment, while others write; SQLite's version.

    All pages in one step, under one read lock: in WAL mode writers go on, and the copy holds whole transactions
    only. Raises NotFound `backup.no_database`, Unavailable `backup.no_room`.
    """
    if not source.is_file():
        raise NotFound("backup.no_database", f"没有数据库文件：{source}", f"There is no database file: {source}")
    to.touch(mode=0o600)
    with (
        closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True, timeout=30)) as reading,
        closing(sqlite3.connect(to)) as writing,
    ):
        try:
            writing.execute("PRAGMA synchronous=FULL")
            reading.backup(writing, pages=-1)
        except sqlite3.OperationalError as fault:
            raise no_room(to.parent) from fault
    return f"SQLite {sqlite3.sqlite_version}"


@contextmanager
def looking(copy_of: Path) -> Iterator[sa.Connection]:
    """A connection that reads a copy that nobody writes, and leaves no file beside it."""
    engine = sa.create_engine(f"sqlite:///{copy_of.absolute().as_uri()}?mode=ro&immutable=1&uri=true")
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


def faults(copy_of: Path) -> list[str]:
    """What SQLite itself finds wrong with the pages of a copy; nothing when they are sound."""
    with looking(copy_of) as connection:
        try:
            found = [str(row[0]) for row in connection.exec_driver_sql("PRAGMA integrity_check(20)")]
        except sa.exc.DatabaseError as fault:
            return [str(fault.orig)]
    return [] if found == ["ok"] else found

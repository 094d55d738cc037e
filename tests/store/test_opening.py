"""A new SQLite file that several open in the same moment: a hub, its tools, a backup."""

import asyncio
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

from hub.store.engine import open_engines

OPENERS, ROUNDS = 4, 6


def test_all_who_open_a_new_file_together_get_in(tmp_path: Path) -> None:
    faults: list[str] = []
    together = threading.Barrier(OPENERS)

    async def open_both(file: Path) -> None:
        writer, reader = open_engines(f"sqlite:///{file}")

        async def look(engine) -> None:
            async with engine.connect() as connection:
                await connection.exec_driver_sql("select count(*) from things")

        try:
            await asyncio.gather(look(writer), look(reader))
        finally:
            await writer.dispose()
            await reader.dispose()

    def opener() -> None:
        for turn in range(ROUNDS):
            together.wait(20)
            try:
                asyncio.run(open_both(tmp_path / f"{turn}.db"))
            except Exception as fault:
                faults.append(str(fault))

    for turn in range(ROUNDS):
        with closing(sqlite3.connect(tmp_path / f"{turn}.db")) as made:
            made.execute("create table things (name)")  # as restored or copied by hand: not yet in WAL
    threads = [threading.Thread(target=opener) for _ in range(OPENERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not faults

"""Makes tests/vectors/upgrade/0.1.0/ again, with the code of that version, on SQLite and PostgreSQL.

    git worktree add /tmp/yimen-0.1.0 ec2c637
    .venv/bin/python tests/vectors/upgrade/make.py /tmp/yimen-0.1.0
    git worktree remove /tmp/yimen-0.1.0

Two zips: keys (sealed under the demo's passphrase), blobs, the database (`hub.db`, or `dump.sql` of pg_dump) and
`expected.json`: certificates, receipts, a proof of every leaf, and each person's looks, as they were then.
"""

import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[2]), str(HERE.parents[1])]

from parts import Postgres, postgres_server  # noqa: E402

LEFT_OUT = {".lock", "hub.db.sequencer", "hub.db.serving"}


def fill(old: Path, folder: Path, url: str = "") -> None:
    """Run fill.py under the old code."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("YIMEN_")}
    paths = [str(old), str(old / "tests")]
    subprocess.run(
        [sys.executable, HERE / "fill.py", folder, *([url] if url else [])],
        env=environment | {"PYTHONPATH": os.pathsep.join(paths)}, cwd=old, check=True,
    )  # fmt: skip


def dump(server: Postgres, to: Path) -> None:
    """The database as plain SQL, without owners."""
    command = [server.bin / "pg_dump", "--no-owner", "--no-privileges", "-h", "127.0.0.1", "-p", str(server.port)]
    done = subprocess.run(
        [*command, "-U", "hub", "hub"], env={**os.environ, "PGPASSWORD": server.password},
        check=True, capture_output=True,
    )  # fmt: skip
    to.write_bytes(done.stdout)


def pack(folder: Path, to: Path) -> None:
    """Everything of the folder that is data, into one zip."""
    with zipfile.ZipFile(to, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as packed:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path.name not in LEFT_OUT and path.suffix != ".log":
                packed.write(path, path.relative_to(folder))


def main() -> None:
    """Both databases."""
    old, to = Path(sys.argv[1]).resolve(), HERE / "0.1.0"
    to.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as made:
        fill(old, Path(made) / "sqlite")
        pack(Path(made) / "sqlite", to / "sqlite.zip")
        with postgres_server() as server:
            psql = [server.bin / "psql", "-h", "127.0.0.1", "-p", str(server.port), "-U", "hub", "-d", "postgres"]
            secret = {**os.environ, "PGPASSWORD": server.password}
            subprocess.run([*psql, "-c", "CREATE DATABASE hub"], env=secret, check=True, capture_output=True)
            fill(old, Path(made) / "postgresql", server.url("hub", "postgresql"))
            dump(server, Path(made) / "postgresql" / "dump.sql")
        pack(Path(made) / "postgresql", to / "postgresql.zip")


if __name__ == "__main__":
    main()

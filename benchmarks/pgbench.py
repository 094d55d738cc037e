"""pgbench with the two statements that nobody who answers durably can do without: one SELECT, one durable INSERT."""

import asyncio
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import asyncpg
from sqlalchemy.engine import make_url

from benchmarks import stage
from benchmarks.stage import Stage
from hub.access.model import rows as access_rows

ROWS = 100_000
TABLES = (
    """CREATE TABLE bench_certificates (bucket smallint, id uuid, public_id text, department text, type_code text,
       state text, version int, registered_at timestamptz, kid text, leaf_hash bytea, status_idx int, sealed bytea,
       PRIMARY KEY (bucket, id))""",
    f"""INSERT INTO bench_certificates SELECT n % 256, md5(n::text)::uuid, md5(n::text), 'dg-realestate', 'property',
        'current', 1, now(), md5((n % 7)::text), sha256(n::text::bytea), n, decode(repeat(md5(n::text), 66), 'hex')
        FROM generate_series(1, {ROWS}) AS n ORDER BY md5(n::text)""",
    "CREATE TABLE bench_accesses (LIKE accesses INCLUDING ALL)",
    "VACUUM ANALYZE",
)
"""Rows of about 1.2 KB under random keys; the Access rows are the hub's own, with its indexes, in a table beside."""


@dataclass(frozen=True, slots=True)
class Rival:
    """pgbench, ready to run."""

    command: list[str]
    environment: dict[str, str]

    def per_second(self, seconds: float, connections: int) -> float:
        """Transactions a second of one run."""
        for longer in (1, 5):  # on a very busy machine two seconds may pass before all have connected
            sized = ["-T", str(longer * max(1, round(seconds))), "-c", str(connections), "-j", "1"]
            done = subprocess.run([*self.command, *sized], env=self.environment, capture_output=True, text=True)
            if found := re.search(r"tps = ([0-9.]+)", done.stdout):
                return float(found[1])
        raise RuntimeError(f"pgbench: {done.stdout[-500:]} {done.stderr[-1000:]}")


def rival(made: Stage, folder: Path) -> Rival | None:
    """pgbench on the server of this stage, with tables of its own; None where it is not installed."""
    program = stage.postgres_bin()
    if program is None or not (program / "pgbench").exists():
        return None
    url = make_url(made.settings.database_url)
    asyncio.run(_prepare(url.set(drivername="postgresql").render_as_string(hide_password=False)))
    script = folder / "two-statements.sql"
    script.write_text(f"""\\set n random(1, {ROWS})
\\set b :n % 256
SELECT * FROM bench_certificates WHERE bucket = :b AND id = md5(:n::text)::uuid;
{_insert_access()};
""")
    command = [str(program / "pgbench"), "-n", "-M", "prepared", "-f", str(script), "-h", str(url.host)]
    command += ["-p", str(url.port), "-U", str(url.username), str(url.database)]
    return Rival(command, {**os.environ, "PGPASSWORD": str(url.password)})


async def _prepare(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for statement in TABLES:
            await connection.execute(statement)
    finally:
        await connection.close()


_TOKEN = "substr(sha256(random()::text::bytea), 1, 17)"


def _insert_access() -> str:
    """One Access row, as wide as the hub's."""
    given = {
        "bucket": ":b", "subject_id": "gen_random_uuid()", "subject_seq": "1", "at": "now()", "visible_at": "NULL",
        "profile": "1", "grant_seq": "1", "officer_id": "NULL", "public_id": "NULL", "previous_commit": "NULL",
        "case_id": _TOKEN, "certificate": _TOKEN, "grant_public_id": _TOKEN,
    }  # fmt: skip
    values = [given.get(column.name, "sha256(random()::text::bytea)") for column in access_rows.columns]
    names = ", ".join(f'"{column.name}"' for column in access_rows.columns)
    return f"INSERT INTO bench_accesses ({names}) VALUES ({', '.join(values)})"

"""pgbench in two forms: with the two statements that nobody who answers durably can do without, one SELECT and one
durable INSERT; and with all that the verify door itself sends for one caller, one transaction each.
"""

import asyncio
import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import asyncpg
from sqlalchemy.dialects.postgresql.asyncpg import dialect as postgres_dialect
from sqlalchemy.engine import make_url

from benchmarks import stage
from benchmarks.stage import Stage
from hub.access.model import rows as access_rows
from hub.access.record import ACCESS, LOCK, MOVE
from hub.cases.open import FACTS
from hub.certificates.opened import STANDING
from hub.consent.use import TAKE
from hub.ledger.append import LEAF
from hub.ledger.places import PLACE
from hub.store.driver import BY_KEY
from hub.store.seal import WRAPPED
from hub.store.statement import Statement
from hub.web.caller import SPEND

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
    script = f"""\\set n random(1, {ROWS})
\\set b :n % 256
SELECT * FROM bench_certificates WHERE bucket = :b AND id = md5(:n::text)::uuid;
{_insert_access()};
"""
    return _rival(made, folder / "two-statements.sql", TABLES, script)


def own(made: Stage, folder: Path, people: int) -> Rival | None:
    """pgbench with the door's own statements, of so many people who have granted; `made` has no hub that is served.

    Besides, it looks up whom it asks for. Each caller has a transaction of his own, as pgbench has no other; statements
    are planned as the door's are.
    """
    lines = [f"\\set n random(1, {people})", 'SELECT * FROM bench_asked WHERE n = :n \\gset', "BEGIN;"]
    lines += [_spelled(statement, given) + ending for statement, given, ending in _ASKED]
    return _rival(made, folder / "own-statements.sql", ASKED, "\n".join([*lines, "COMMIT;", ""]), *BY_KEY)


ASKED = (
    """CREATE TABLE bench_asked AS SELECT row_number() OVER () AS n, g.public_id AS "grant", g.department AS by,
       g.case_id AS asked_case, h.subject_id AS subject, h.bucket AS holder_bucket, h.type_code AS type,
       c.leaf_hash::text AS leaf
       FROM grants g JOIN certificate_holders h ON h.subject_id = g.holder AND h.bucket = g.bucket
       JOIN certificates c ON c.bucket = h.certificate_bucket AND c.id = h.certificate_id""",
    "ALTER TABLE bench_asked ADD PRIMARY KEY (n)",
    """INSERT INTO access_chains (bucket, subject_id, seq, commit) SELECT DISTINCT holder_bucket, subject, 0, sha256('')
       FROM bench_asked ON CONFLICT DO NOTHING""",
    "VACUUM ANALYZE",
)

_NEW = "sha256(random()::text::bytea)"
_TOKEN = "substr(sha256(random()::text::bytea), 1, 17)"
_CHAIN = {"in_bucket": ":holder_bucket", "of": ":subject", "to": ":next", "as": _NEW}
_ASKED: tuple[tuple[Statement, dict[str, str], str], ...] = (
    (SPEND, {"proof": _NEW, "token": _NEW, "until": "(now() + interval '90 s')"}, ";"),
    (FACTS, {"case": ":asked_case"}, ";"),
    (TAKE, {"grant": ":grant", "by": ":by", "now": "now()", "ordinal": "0"}, ";"),
    (STANDING, {"ordinal": "0", "holder_bucket": ":holder_bucket", "subject": ":subject", "type": ":type"}, ";"),
    (WRAPPED, {"subject": ":subject", "bucket_of": ":holder_bucket"}, ";"),
    (PLACE, {"leaf": ":leaf"}, ";"),
    (LOCK, _CHAIN, " \\gset chain_\n\\set next :chain_seq + 1"),
    (LEAF, {"kind": "'access'", "data": _NEW, "leaf_hash": _NEW, "created_at": "now()"}, ";"),
    (ACCESS, {
        "at": "now()", "visible_at": "NULL", "subject_seq": ":next", "profile": "1", "grant_seq": "1",
        "bucket": ":holder_bucket", "subject_id": ":subject", "commit": _NEW, "case_id": _TOKEN,
        "certificate": _TOKEN, "grant_public_id": _TOKEN, "officer_id": "NULL",
    }, ";"),
    (MOVE, _CHAIN, ";"),
)  # fmt: skip
"""What a verification of somebody who was not asked in the last minute sends, in order."""


def _spelled(statement: Statement, given: Mapping[str, str]) -> str:
    """One of the hub's statements with SQL in the place of its parameters, on one line."""
    form = statement.form(postgres_dialect())
    values = {
        f"${place}": given[name] if name in given else _literal(form.constants[name])
        for place, (name, _) in enumerate(form.parameters, 1)
    }
    return re.sub(r"\$\d+", lambda found: values[found[0]], " ".join(form.text.split()))


def _literal(value: object) -> str:
    return str(value) if isinstance(value, int) else f"'{value}'"


def _rival(made: Stage, file: Path, tables: Sequence[str], script: str, *options: str) -> Rival | None:
    program = stage.postgres_bin()
    if program is None or not (program / "pgbench").exists():
        return None
    url = make_url(made.settings.database_url)
    asyncio.run(_prepare(url.set(drivername="postgresql").render_as_string(hide_password=False), tables))
    file.write_text(script)
    command = [str(program / "pgbench"), "-n", "-M", "prepared", "-f", str(file), "-h", str(url.host)]
    command += ["-p", str(url.port), "-U", str(url.username), str(url.database)]
    given = {"PGPASSWORD": str(url.password), "PGOPTIONS": " ".join(f"-c {option}" for option in options)}
    return Rival(command, {**os.environ, **given})


async def _prepare(url: str, tables: Sequence[str]) -> None:
    connection = await asyncpg.connect(url)
    try:
        for statement in tables:
            await connection.execute(statement)
    finally:
        await connection.close()


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

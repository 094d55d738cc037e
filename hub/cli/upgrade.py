"""`yimen upgrade --check`: what `yimen migrate` would do to this database, how long, and whether it may be begun."""

import asyncio
import io
import re
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Annotated

import sqlalchemy as sa
import typer

from hub.actor import SYSTEM
from hub.backup import facts
from hub.backup.folder import BackupFolder
from hub.backup.model import SQLITE
from hub.backup.sqlite import file_of
from hub.cli.output import FAILED, Json, tell
from hub.cli.serve import migrations, newest
from hub.clock import now, seconds
from hub.config import Settings
from hub.errors import HubError, Unprocessable
from hub.store.seal import Vault
from hub.store.tx import Database

ROWS_A_SECOND = 20_000
"""Rows that a revision rewrites in a second, on the slow side of what `./run trial upgrade` measured."""
FRESH_SECONDS = 86_400
_TOUCHED = re.compile(
    r"(?:ALTER TABLE(?: ONLY)?|UPDATE|INDEX \w+ ON|FROM|DROP TABLE|LOCK TABLE)\s+\"?(\w+)", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Step:
    """One revision that is still to come, and which tables with rows its statements name."""

    revision: str
    title: str
    tables: dict[str, int]


@dataclass(frozen=True, slots=True)
class Plan:
    """What an upgrade would do. `red`: what must be seen to first, each with what to do."""

    held: str
    wanted: str
    steps: list[Step]
    rows: int
    seconds: int
    bytes_needed: int
    bytes_free: int | None
    backup: str | None
    backup_age: int | None
    red: list[str]


def add_to(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command(help="升级前检查，不作改动。 What an upgrade would do; changes nothing.")(upgrade)


def upgrade(
    check: Annotated[bool, typer.Option("--check", help="只检查。 Look only; needed.")] = False,
    json_out: Json = False,
) -> None:
    """Exit code 1 while something must be seen to first."""
    if not check:
        raise Unprocessable(
            "upgrade.check_first",
            "请先检查，再升级。",
            "Look first, then upgrade.",
            next_zh="yimen upgrade --check，然后 yimen migrate",
            next_en="yimen upgrade --check, then: yimen migrate",
        )
    plan = asyncio.run(_look(Settings()))
    tell({**asdict(plan), "ok": not plan.red}, list(_lines(plan)), as_json=json_out)
    if plan.red:
        raise typer.Exit(FAILED)


async def _look(settings: Settings) -> Plan:
    if settings.database_url.startswith(SQLITE) and not file_of(settings.database_url).is_file():
        raise Unprocessable(
            "upgrade.nothing_there", "还没有数据库。", "There is no database yet.",
            next_zh="首次安装：yimen init --help", next_en="On a first installation: yimen init --help",
        )  # fmt: skip
    db = Database(settings.database_url, clock=now, vault=Vault({}, "", {}, 0), pool_size=2)
    try:
        async with db.view(SYSTEM) as view:
            held = await view.conn.run_sync(facts.revision)
            rows = await view.conn.run_sync(facts.rows)
            sizes = await view.conn.run_sync(_sizes)
    finally:
        await db.close()
    return await asyncio.to_thread(_plan, settings, held, rows, sizes)


def _plan(settings: Settings, held: str, rows: dict[str, int], sizes: dict[str, int]) -> Plan:
    from alembic.util import CommandError  # only here: other commands do not wait for alembic

    wanted, red = newest(migrations(settings)), []
    try:
        steps = list(_steps(settings, held, rows))
    except CommandError:
        steps = []
        red.append(
            f"数据库的版本 {held} 比程序新：请换用更新的程序。 The database is newer than this code: use newer code."
        )
    touched = {name for step in steps for name in step.tables}
    sqlite = settings.database_url.startswith(SQLITE)
    needed = sum(sizes.values()) if sqlite and touched else sum(sizes.get(name, 0) for name in touched)
    free = shutil.disk_usage(file_of(settings.database_url).parent).free if sqlite else None
    if free is not None and steps and free < 2 * needed:
        where = file_of(settings.database_url).parent
        red.append(f"磁盘空间不够：df -h {where} Make room first: the disk has less than twice what is rewritten.")
    name, age = _backup(settings)
    if steps and (age is None or age > FRESH_SECONDS):
        red.append("没有一天以内的备份：yimen backup create && yimen backup verify  No backup of the last day.")
    count = sum(max((step.tables.get(name, 0) for step in steps), default=0) for name in touched)
    return Plan(held, wanted, steps, count, count // ROWS_A_SECOND + len(steps), 2 * needed, free, name, age, red)


def _steps(settings: Settings, held: str, rows: dict[str, int]) -> Iterator[Step]:
    """The revisions to come, the first one first. Raises CommandError when `held` is none of ours."""
    from alembic.script import ScriptDirectory

    config = migrations(settings)
    script = ScriptDirectory.from_config(config)
    if held:
        script.get_revision(held)  # raises for a revision that this code does not know
    coming = list(script.iterate_revisions("head", held or "base"))[::-1]
    before = held or "base"
    for one in coming:
        if one.revision == held:
            continue
        names = _named(settings, f"{before}:{one.revision}", rows)
        title = (one.doc or "").splitlines()[0] if one.doc else ""
        yield Step(one.revision, title, {name: rows[name] for name in sorted(names)})
        before = one.revision


def _named(settings: Settings, span: str, rows: dict[str, int]) -> set[str]:
    """The tables with rows that the statements of a revision name; all, when it only decides while running."""
    from alembic import command

    config = migrations(settings)
    config.output_buffer = io.StringIO()
    try:
        command.upgrade(config, span, sql=True)
    except Exception:
        return {name for name, count in rows.items() if count}
    statements = config.output_buffer.getvalue()
    return {name for name in _TOUCHED.findall(statements) if rows.get(name)}


def _sizes(connection: sa.Connection) -> dict[str, int]:
    """Bytes of each table with its indexes; of the whole file on SQLite."""
    if connection.dialect.name == "sqlite":
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        return {"": pages * connection.exec_driver_sql("PRAGMA page_size").scalar_one()}
    query = "SELECT relname, pg_total_relation_size(oid) FROM pg_class WHERE relkind = 'r'"
    return {row[0]: row[1] for row in connection.exec_driver_sql(query)}


def _backup(settings: Settings) -> tuple[str | None, int | None]:
    """The newest whole backup, and how old it is in seconds."""
    if settings.backup_dir is None:
        return None, None
    try:
        found = BackupFolder(settings.backup_dir).manifest()
    except HubError:
        return None, None
    return found.id, max(seconds(now()) - found.made_at, 0)


def _lines(plan: Plan) -> Iterator[str]:
    if not plan.steps and not plan.red:
        yield f"✓ 表结构已是最新：{plan.held} The tables are up to date: nothing to do."
        return
    yield f"表结构 revision: {plan.held or '-'} → {plan.wanted}"
    for step in plan.steps:
        touched = ", ".join(f"{name} ({count})" for name, count in step.tables.items())
        yield f"  {step.revision}  {step.title}: {touched or '只加新表 only new tables'}"
    yield f"  约 about {plan.seconds} s，改写 rewrites {plan.rows} 行 rows"
    free = "" if plan.bytes_free is None else f"，现有 free {_mb(plan.bytes_free)}"
    yield f"  磁盘 disk: 需要 needs {_mb(plan.bytes_needed)}{free}"
    if plan.backup and plan.backup_age is not None:
        yield f"  备份 backup: {plan.backup}（{plan.backup_age // 3600} 小时前 hours ago）"
    yield from (f"✗ {one}" for one in plan.red)
    if not plan.red:
        yield "✓ 可以升级：停止所有平台进程，然后运行 yimen migrate"
        yield "  You may upgrade: stop every process of the hub, then run the command above."


def _mb(count: int) -> str:
    return f"{count / 1_000_000:.1f} MB"

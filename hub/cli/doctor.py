"""`yimen doctor`: looks at what a hub needs; every line that is not green carries the command to run."""

import asyncio
import getpass
import os
import secrets
import shutil
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from shlex import quote
from typing import Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import sqlalchemy as sa
import typer
from sqlalchemy.engine import make_url

from hub.actor import SYSTEM
from hub.backup.folder import BackupFolder
from hub.catalogue.sources import pull_sources
from hub.certificates.model import status_lists
from hub.cli.idp import look_at
from hub.cli.output import FAILED, Json, opened, tell
from hub.cli.serve import migrations, newest
from hub.config import DEMO_PASSPHRASE, Settings
from hub.errors import HubError, NotFound
from hub.ledger.head import lag, read_head
from hub.notices.standing import standing
from hub.notices.ways import offered
from hub.registry import officers, providers
from hub.registry.model import Role, certificate_types
from hub.registry.providers import Provider
from hub.store.tx import View
from hub.web.deps import Hub
from keys.errors import KeyFault

LEAST_FREE = 1 << 30
MOST_LAG = timedelta(seconds=10)
MOST_LATE = timedelta(minutes=15)
MOST_SKEW = timedelta(seconds=30)
LISTS_ALARM = timedelta(hours=48)
DURABLE = ("fsync", "synchronous_commit", "full_page_writes")
BACKUP_ALARM = timedelta(hours=26)
ENVIRONMENT = "/etc/yimen/hub.env"
"""Where the units in docs/operations/systemd read settings."""
_MARKS = {"ok": "✓", "warn": "!", "fail": "✗"}


@dataclass(frozen=True, slots=True)
class Line:
    """One look: what was looked at, how it is, and the command to run when it is not well."""

    name: str
    state: Literal["ok", "warn", "fail"]
    zh: str
    en: str
    do: str = ""


def add_to(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command(help="体检：每个问题都附一条命令。 Look at everything; each problem carries a command.")(
        doctor
    )


def doctor(json_out: Json = False) -> None:
    """Exit code 1 when anything fails; warnings alone are 0."""
    settings = Settings()
    lines = asyncio.run(_look(settings))
    told = {"ok": all(one.state != "fail" for one in lines), "lines": [asdict(one) for one in lines]}
    shown = [
        f"{_MARKS[one.state]} {one.zh} {one.en}" + (f"\n    → {one.do}" if one.do else "") for one in lines
    ]
    tell(told, shown, as_json=json_out)
    if not told["ok"]:
        raise typer.Exit(FAILED)


async def _look(settings: Settings) -> list[Line]:
    found = [*_machine(settings), *_settings(settings)]
    known: list[Provider] = []
    try:
        async with opened(settings) as hub:
            found += [line async for line in _keys(hub)]
            try:
                found += [line async for line in _database(hub)]
                async with hub.view(SYSTEM) as view:
                    known = await providers.all_providers(view)
            except HubError as error:
                found.append(Line("database", "fail", error.zh, error.en, _reach_database(settings)))
            found.append(await _blobs(hub))
            found += await _sign_in(hub, known)
    except KeyFault as fault:
        found.append(Line("keys", "fail", fault.zh, fault.en, _for_key(fault, settings)))
    except HubError as error:
        found.append(Line("store", "fail", error.zh, error.en, _reach_blobs(settings)))
    except OSError as error:
        where = error.filename or settings.data_dir
        found.append(
            Line("files", "fail", f"文件无法使用：{where}", str(error.strerror), f"ls -ld {quote(str(where))}")
        )
    return found


# ---------------------------------------------------------------- this machine


def _machine(settings: Settings) -> Iterator[Line]:
    yield Line("python", "ok", f"Python {sys.version.split()[0]}", "")
    try:
        ZoneInfo("Asia/Shanghai")
    except ZoneInfoNotFoundError:
        yield Line("zone", "fail", "缺少时区数据", "no time zone data", "apt-get install -y tzdata")
    folder = settings.data_dir.absolute()
    shown = quote(str(folder))
    if not folder.is_dir():
        yield Line("data", "fail", f"数据目录不存在：{folder}", "no data folder", f"mkdir -m 700 -p {shown}")
    elif os.statvfs(folder).f_flag & os.ST_RDONLY:
        do = f"mount -o remount,rw {quote(str(_mount_of(folder)))}"
        yield Line("data", "fail", f"数据目录只读：{folder}", "the data folder is read-only", do)
    elif not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        do = f"chown -R {getpass.getuser()} {shown}"
        yield Line("data", "fail", f"数据目录无权读写：{folder}", "the data folder is not ours to write", do)
    elif shutil.disk_usage(folder).free < LEAST_FREE:
        yield Line("data", "warn", "磁盘剩余不足 1 GB", "less than 1 GB free", f"df -h {shown}")
    else:
        yield Line("data", "ok", f"数据目录 {settings.data_dir}", "data folder")


def _mount_of(folder: Path) -> Path:
    return next(place for place in (folder, *folder.parents) if place.is_mount())


def _settings(settings: Settings) -> Iterator[Line]:
    if settings.passphrase() == DEMO_PASSPHRASE:
        do = "openssl rand -base64 24 > passphrase && chmod 600 passphrase  # YIMEN_KEY_PASSPHRASE_FILE=passphrase"
        yield Line("passphrase", "warn", "使用演示口令", "the demo's passphrase is in use", do)
    if settings.production or settings.backup_dir is not None:
        yield _backups(settings)
    if not offered(settings):
        do = "yimen config show  # YIMEN_SMTP_HOST, YIMEN_SMS_GATEWAY_FILE"
        yield Line("notices", "warn", "没有短信和邮件，通知只在网页上", "no mail, no texts: only the wallet", do)
    if not settings.production:
        return
    if not settings.drain_seconds:
        do = f"echo YIMEN_DRAIN_SECONDS=6 >> {ENVIRONMENT}"
        yield Line("drain", "warn", "重启时不等待代理", "a restart does not wait for the proxy to notice", do)
    if not settings.metrics_port:
        do = f"echo YIMEN_METRICS_PORT=9464 >> {ENVIRONMENT}"
        yield Line("metrics", "warn", "没有指标，告警无从谈起", "no metrics, so no alerts", do)


def _backups(settings: Settings) -> Line:
    if settings.backup_dir is None:
        do = f"echo YIMEN_BACKUP_DIR=/var/backups/yimen >> {ENVIRONMENT}"
        return Line("backup", "warn", "没有指定备份目录", "no folder for backups is named", do)
    kept = BackupFolder(settings.backup_dir)
    newest = next(iter(kept.ids()), None)
    age = timedelta.max if newest is None else timedelta(seconds=time.time() - (kept.backups / newest).stat().st_mtime)
    if age > BACKUP_ALARM:
        return Line("backup", "warn", "一天以来没有备份", "no backup was made for a day", "yimen backup create")
    return Line("backup", "ok", f"备份 {newest}", "newest backup")


def _for_key(fault: KeyFault, settings: Settings) -> str:
    folder = quote(str(settings.keyring_dir))
    if fault.code.endswith("mode") or "readable" in fault.code:
        return f"chmod 700 {folder} && chmod 600 {folder}/*"
    if settings.key_passphrase_file is not None:
        return f"ls -l {quote(str(settings.key_passphrase_file))} {folder}"
    return f"ls -l {folder}  # YIMEN_KEY_PASSPHRASE_FILE"


async def _keys(hub: Hub) -> AsyncIterator[Line]:
    for purpose in ("token", "receipt", "ledger"):
        try:
            signer = hub.signer(purpose)
            yield Line(f"key.{purpose}", "ok", f"平台密钥 {purpose}", f"{signer.alg} {signer.kid[:12]}…")
        except KeyFault as fault:
            absent = fault.code == "keyring.no_active"
            do = "yimen init --help" if absent else _for_key(fault, hub.settings)
            yield Line(f"key.{purpose}", "fail", f"{purpose}：{fault.zh}", fault.en, do)


# ---------------------------------------------------------------- the database


def _reach_database(settings: Settings) -> str:
    url = make_url(settings.database_url)
    if url.get_backend_name() == "postgresql":
        return f"pg_isready -h {quote(url.host or 'localhost')} -p {url.port or 5432} -d {quote(url.database or '')}"
    return f"ls -l {quote(url.database or '')}"


async def _database(hub: Hub) -> AsyncIterator[Line]:
    wanted = newest(migrations(hub.settings))
    async with hub.view(SYSTEM) as view:
        tables = await view.conn.run_sync(lambda sync: sa.inspect(sync).get_table_names())
        held = None
        if "alembic_version" in tables:
            held = await view.value(
                sa.select(sa.column("version_num")).select_from(sa.table("alembic_version"))
            )
        if held != wanted:
            zh = f"表结构 {held}，需要 {wanted}"
            yield Line("tables", "fail", zh, "tables are not up to date", "yimen migrate")
            return
        yield Line("tables", "ok", f"表结构 {held}（{view.dialect}）", "tables are up to date")
        lines = [await _clock(view, hub)]
        if view.dialect == "postgresql":
            lines += await _server(view, hub)
        lines += [*await _people(view), *await _ledger(view), *await _lists(view), *await _pulls(view)]
        lines += await _notices(view)
        for line in lines:
            yield line
    if hub.db.read_only:
        zh, en = "刚从备份恢复，等待决定日志如何继续", "restored: somebody must decide how the ledger goes on"
        yield Line("hold", "fail", zh, en, "yimen ledger resume --help")


async def _clock(view: View, hub: Hub) -> Line:
    if view.dialect != "postgresql":
        return Line("clock", "ok", "时钟（与数据库同机）", "clock, the database is on this machine")
    theirs = await view.value(sa.select(sa.func.clock_timestamp()))
    if abs(theirs - hub.clock()) > MOST_SKEW:
        do = "timedatectl set-ntp true"
        return Line("clock", "fail", "本机与数据库时钟相差过大", "clocks differ by over 30 s", do)
    return Line("clock", "ok", "时钟一致", "clocks agree")


async def _server(view: View, hub: Hub) -> list[Line]:
    """What the PostgreSQL server promises: durable commits, and connections enough for this process."""

    async def says(name: str) -> str:
        return str(await view.value(sa.text(f"SHOW {name}")))

    found = []
    for name in DURABLE:
        if await says(name) in ("off", "local"):
            do = f'psql -c "ALTER SYSTEM SET {name} = on" -c "SELECT pg_reload_conf()"'
            zh = f"数据库 {name} 已关闭，回执作不了数"
            found.append(Line(f"postgresql.{name}", "fail", zh, "commits can be lost after they were answered", do))
    free = int(await says("max_connections")) - int(await says("superuser_reserved_connections"))
    need = hub.settings.database_pool + 1
    if free < need:
        do = f'psql -c "ALTER SYSTEM SET max_connections = {need + 20}"  # then restart the server'
        zh = f"数据库只允许 {free} 个连接，一个进程要 {need} 个"
        found.append(Line("postgresql.connections", "fail", zh, "too few connections for one process", do))
    if not found:
        found.append(Line("postgresql", "ok", f"提交可靠，连接 {need}/{free}", "durable commits, connections enough"))
    return found


async def _people(view: View) -> list[Line]:
    found = []
    administrators = [
        one for one in await officers.all_officers(view) if one.active and Role.ADMINISTRATOR in one.roles
    ]
    if not administrators:
        found.append(Line("administrator", "fail", "没有管理员", "no administrator", "yimen init --help"))
    elif len(administrators) == 1:
        do = "yimen officer import FILE.csv"
        found.append(
            Line("administrator", "warn", "只有一名管理员，登记码需要两人", "enrolment codes take two", do)
        )
    else:
        found.append(Line("administrator", "ok", f"{len(administrators)} 名管理员", "administrators"))
    types = await view.value(sa.select(sa.func.count()).select_from(certificate_types))
    found.append(Line("types", "ok" if types else "fail", f"已发布 {types} 类证照", "published types",
                      "" if types else "yimen init --help"))  # fmt: skip
    return found


async def _ledger(view: View) -> list[Line]:
    try:
        head = await read_head(view)
    except HubError as error:
        do = "yimen init --help" if error.code == "ledger.absent" else "yimen ledger check"
        return [Line("ledger", "fail", error.zh, error.en, do)]
    waiting = await lag(view)
    if waiting.oldest > MOST_LAG:
        zh = f"日志积压 {waiting.pending} 条，最久 {int(waiting.oldest.total_seconds())} 秒"
        return [Line("ledger", "warn", zh, "leaves wait for the sequencer: is a hub running?", "yimen serve")]
    return [Line("ledger", "ok", f"日志 {head.size} 条", f"leaves, {waiting.pending} pending")]


async def _lists(view: View) -> list[Line]:
    """Departments whose status lists end soon: only their own agent can sign new ones."""
    column = status_lists.c
    ends: sa.Select[Any] = (
        sa.select(column.department, sa.func.min(column.exp).label("ends"))
        .where(column.seq > 0)
        .group_by(column.department)
        .order_by(column.department)
    )
    found = []
    for row in await view.all(ends):
        hours = int((row.ends - view.now).total_seconds() // 3600)
        if row.ends - view.now < LISTS_ALARM:
            zh = f"{row.department} 的状态列表" + ("已过期" if hours < 0 else f" {hours} 小时后到期")
            en = "status list ended or ends soon; run this at the department"
            found.append(Line(f"list.{row.department}", "warn", zh, en, "yimen-agent sync"))
    return found


async def _notices(view: View) -> list[Line]:
    """Messages that wait for long, or were given up."""
    told = await standing(view)
    found = []
    if told.late > MOST_LATE:
        zh, en = f"通知积压 {int(told.late.total_seconds()) // 60} 分钟", "messages wait; is a hub running?"
        found.append(Line("notices.late", "warn", zh, en, "yimen notices show"))
    if dead := sum(told.dead.values()):
        zh, en = f"一天内有 {dead} 条通知发不出去", "messages were given up within a day"
        found.append(Line("notices.dead", "warn", zh, en, "yimen notices show"))
    return found


async def _pulls(view: View) -> list[Line]:
    """Sources that answered pulls within the week: at the line, away, or resting after pulls that came to nothing."""
    found, well = [], 0
    for source in (await pull_sources(view)).values():
        name = f"pull.{source.department}.{source.type_code}"
        if not source.connected:
            zh, en = "的代理不在线，不能当场取证", "the agent is not at the line"
            found.append(Line(name, "warn", f"{source.department} {zh}", en, "yimen-agent serve"))
        elif source.resting:
            zh, en = "连续答不上，暂停当场取证", "pulls came to nothing and rest; run this at the department"
            found.append(Line(name, "warn", f"{source.department} 的 {source.type_code} {zh}", en, "yimen-agent check"))
        else:
            well += 1
    return [*found, Line("pulls", "ok", f"{well} 类证照可当场取", "types answer pulls now")] if found or well else []


# ---------------------------------------------------------------- signing in


async def _sign_in(hub: Hub, known: list[Provider]) -> list[Line]:
    """Each active identity provider, as `yimen idp check` sees it; and whether citizens have one at all."""
    found = []
    for one in known:
        wrong = [(zh, en) for _, good, zh, en in await look_at(hub, one) if not good] if one.active else []
        if wrong:
            do = f"yimen idp check {one.code}"
            found.append(Line(f"idp.{one.code}", "warn", f"{one.code}：{wrong[0][0]}", wrong[0][1], do))
        elif one.active:
            found.append(Line(f"idp.{one.code}", "ok", f"身份提供方 {one.code}", "identity provider"))
    if hub.production and not any(one.active and one.department is None for one in known):
        do = "yimen idp add --help"
        found.append(Line("idp", "warn", "市民还没有登录的地方", "no identity provider for citizens", do))
    return found


# ---------------------------------------------------------------- files


def _reach_blobs(settings: Settings) -> str:
    if settings.s3_endpoint:
        return f"curl -sSI {'https' if settings.s3_secure else 'http'}://{settings.s3_endpoint}/{settings.s3_bucket}"
    return f"ls -ld {quote(str(settings.blobs_dir.absolute()))}"


async def _blobs(hub: Hub) -> Line:
    do = _reach_blobs(hub.settings)
    key, data = f"doctor/{secrets.token_hex(16)}", b"yimen doctor"
    try:
        digest = await hub.blobs.put(key, data)
        same = await hub.blobs.get(key, sha256=digest) == data
        await hub.blobs.delete(key)
    except (HubError, OSError) as error:
        text = error.zh if isinstance(error, HubError) else str(error.strerror)
        return Line("blobs", "fail", f"文件存储不可用：{text}", "the blob store does not work", do)
    try:
        await hub.blobs.get(key)
    except NotFound:
        return Line("blobs", "ok" if same else "fail", "文件存储可写可读可删", "the blob store works")
    return Line("blobs", "warn", "文件存储删除后仍可读", "the blob store keeps what was deleted", do)

"""`yimen doctor`: looks at what a hub needs; every line that is not green carries a command."""

import asyncio
import secrets
import shutil
import sys
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import sqlalchemy as sa
import typer

from hub.actor import SYSTEM
from hub.cli.output import FAILED, Json, opened, tell
from hub.cli.serve import migrations, newest
from hub.config import DEMO_PASSPHRASE, Settings
from hub.errors import HubError, NotFound
from hub.ledger.head import lag, read_head
from hub.registry import officers
from hub.registry.model import Role, certificate_types
from hub.store.tx import View
from hub.web.deps import Hub
from keys.errors import KeyFault

LEAST_FREE = 1 << 30
MOST_LAG = timedelta(seconds=10)
MOST_SKEW = timedelta(seconds=30)
_MARKS = {"ok": "✓", "warn": "!", "fail": "✗"}


@dataclass(frozen=True, slots=True)
class Line:
    """One look: what was looked at, how it is, and what to do when it is not well."""

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
    found = list(_machine(settings))
    try:
        async with opened(settings) as hub:
            found += [line async for line in _keys(hub)]
            found += [line async for line in _stores(hub)]
    except KeyFault as fault:
        found.append(Line("keys", "fail", fault.zh, fault.en, "yimen config show"))
    except HubError as error:
        found.append(Line("store", "fail", error.zh, error.en, "yimen config show"))
    return found


def _machine(settings: Settings) -> list[Line]:
    found = [Line("python", "ok", f"Python {sys.version.split()[0]}", "")]
    try:
        ZoneInfo("Asia/Shanghai")
    except ZoneInfoNotFoundError:
        found.append(Line("zone", "fail", "缺少时区数据", "no time zone data", "apt-get install -y tzdata"))
    folder = settings.data_dir
    if not folder.is_dir():
        found.append(
            Line("data", "fail", f"数据目录不存在：{folder}", "no data folder", f"mkdir -m 700 -p {folder}")
        )
    elif shutil.disk_usage(folder).free < LEAST_FREE:
        found.append(Line("data", "warn", "磁盘剩余不足 1 GB", "less than 1 GB free", f"df -h {folder}"))
    else:
        found.append(Line("data", "ok", f"数据目录 {folder}", "data folder"))
    if settings.passphrase() == DEMO_PASSPHRASE:
        do = "openssl rand -base64 24 > passphrase && chmod 600 passphrase  # YIMEN_KEY_PASSPHRASE_FILE=passphrase"
        found.append(Line("passphrase", "warn", "使用演示口令", "the demo's passphrase is in use", do))
    return found


async def _keys(hub: Hub) -> AsyncIterator[Line]:
    for purpose in ("token", "receipt", "ledger"):
        try:
            signer = hub.signer(purpose)
            yield Line(f"key.{purpose}", "ok", f"平台密钥 {purpose}", f"{signer.alg} {signer.kid[:12]}…")
        except KeyFault as fault:
            yield Line(f"key.{purpose}", "fail", f"{purpose}：{fault.zh}", fault.en, "yimen init --help")


async def _stores(hub: Hub) -> AsyncIterator[Line]:
    wanted = newest(migrations(hub.settings))
    async with hub.view(SYSTEM) as view:
        tables = await view.conn.run_sync(lambda sync: sa.inspect(sync).get_table_names())
        held = None
        if "alembic_version" in tables:
            held = await view.value(
                sa.select(sa.column("version_num")).select_from(sa.table("alembic_version"))
            )
        if held != wanted:
            yield Line(
                "tables",
                "fail",
                f"表结构 {held}，需要 {wanted}",
                "tables are not up to date",
                "yimen migrate",
            )
            return
        yield Line("tables", "ok", f"表结构 {held}（{view.dialect}）", "tables are up to date")
        for line in [await _clock(view, hub), *await _content(view)]:
            yield line
    yield await _blobs(hub)


async def _clock(view: View, hub: Hub) -> Line:
    if view.dialect != "postgresql":
        return Line("clock", "ok", "时钟（与数据库同机）", "clock, the database is on this machine")
    theirs = await view.value(sa.select(sa.func.clock_timestamp()))
    if abs(theirs - hub.clock()) > MOST_SKEW:
        return Line(
            "clock", "fail", "本机与数据库时钟相差过大", "clocks differ by over 30 s", "timedatectl status"
        )
    return Line("clock", "ok", "时钟一致", "clocks agree")


async def _content(view: View) -> list[Line]:
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
    try:
        head = await read_head(view)
    except HubError as error:
        return [*found, Line("ledger", "fail", error.zh, error.en, "yimen init --help")]
    waiting = await lag(view)
    if waiting.oldest > MOST_LAG:
        zh = f"日志积压 {waiting.pending} 条，最久 {int(waiting.oldest.total_seconds())} 秒"
        found.append(
            Line("ledger", "warn", zh, "leaves wait for the sequencer: is a hub running?", "yimen serve")
        )
    else:
        found.append(Line("ledger", "ok", f"日志 {head.size} 条", f"leaves, {waiting.pending} pending"))
    return found


async def _blobs(hub: Hub) -> Line:
    key, data = f"doctor/{secrets.token_hex(16)}", b"yimen doctor"
    try:
        digest = await hub.blobs.put(key, data)
        same = await hub.blobs.get(key, sha256=digest) == data
        await hub.blobs.delete(key)
    except (HubError, OSError) as error:
        text = error.zh if isinstance(error, HubError) else str(error.strerror)
        return Line(
            "blobs", "fail", f"文件存储不可用：{text}", "the blob store does not work", "yimen config show"
        )
    try:
        await hub.blobs.get(key)
    except NotFound:
        return Line("blobs", "ok" if same else "fail", "文件存储可写可读可删", "the blob store works")
    return Line(
        "blobs", "warn", "文件存储删除后仍可读", "the blob store keeps what was deleted", "yimen config show"
    )

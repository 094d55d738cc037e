"""`yimen serve`, `yimen migrate`, `yimen demo`: start a hub, bring its tables up to date, play the story."""

import fcntl
import os
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hub.cli.logs import configure
from hub.cli.output import Json, note, tell
from hub.config import Settings
from hub.errors import Conflict

if TYPE_CHECKING:
    from alembic.config import Config

ROOT = Path(__file__).resolve().parents[2]


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command(help="启动平台。 Start a hub; it sequences its own ledger.")(serve)
    app.command(help="建表或升级表结构。 Make or upgrade the tables.")(migrate)
    app.command(
        help="运行演示：积分入学全过程。 Play the school-place story on this machine.",
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []},
    )(demo)


def serve(
    host: Annotated[str | None, typer.Option(help="监听地址。 Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="监听端口。 Port to listen on.")] = None,
    processes: Annotated[
        int | None, typer.Option(help="进程数（PostgreSQL）。 Processes at this address (PostgreSQL).")
    ] = None,
) -> None:
    """Run the hub until it is told to stop. Any number of processes may run on one PostgreSQL, one on SQLite."""
    from hub.cli.processes import Processes, listening

    named: dict[str, Any] = {"host": host, "port": port, "processes": processes}
    settings = Settings(**{name: value for name, value in named.items() if value is not None})
    _only_one(settings)
    note(
        f"一门在 {settings.public_url} 启动（监听 {settings.host}:{settings.port}）",
        f"Yimen starts at {settings.public_url}",
    )
    if settings.processes == 1:
        _serve(settings)
        return
    import hub.main  # noqa: F401 - read once, before there are several

    code = Processes(
        settings.processes,
        lambda number, sock: _serve(_one_of(settings, number), [sock]),
        listening(settings.host, settings.port),
    ).run()
    raise typer.Exit(code)


def _one_of(settings: Settings, number: int) -> Settings:
    """What one of several processes of this machine goes by: a port of metrics of its own, its share of the cores."""
    own: dict[str, int] = {}
    if settings.metrics_port:
        own["metrics_port"] = settings.metrics_port + number
    if not settings.batch_workers:
        own["batch_workers"] = max(1, (os.cpu_count() or 1) // settings.processes)
    return settings.model_copy(update=own)


def _serve(settings: Settings, sockets: list[socket.socket] | None = None) -> None:
    """One process: at the address of the settings, or where several listen together."""
    import uvicorn

    from hub.cli.server import Server
    from hub.main import app, build
    from hub.web.metrics import BUILD, listen

    configure(settings.log_level)
    hub = build(settings)
    wanted = newest(migrations(settings))
    application = app(hub, revision=wanted)
    BUILD.info({"version": application.version, "revision": wanted})
    end = listen(settings.metrics_host, settings.metrics_port) if settings.metrics_port else None
    config = uvicorn.Config(
        application,
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        proxy_headers=True,
        forwarded_allow_ips=settings.trusted_proxies,
        server_header=False,
        date_header=True,
        timeout_graceful_shutdown=settings.shutdown_seconds,
    )
    signal.signal(signal.SIGTERM, _leave)
    try:
        Server(config, application.state.health, drain_seconds=settings.drain_seconds).run(sockets)
    finally:
        if end is not None:
            end()


def _leave(_number: int, _frame: object) -> None:
    """When uvicorn has ended it sends itself the signal again: end as programs do, and tidy up on the way."""
    raise SystemExit(0)


def _only_one(settings: Settings) -> None:
    """Two hubs on one SQLite file would have two writers and two caches: the second is refused before it reads.

    flock, not lockf: closing any descriptor of the file would drop that one silently. Held until the process ends.
    """
    if not settings.database_url.startswith("sqlite:///"):
        return
    if settings.processes > 1:
        raise Conflict(
            "hub.one_process",
            "SQLite 数据库只能由一个平台进程服务。",
            "A SQLite database is served by one process only.",
            next_zh="请去掉 --processes，或改用 PostgreSQL（YIMEN_DATABASE_URL）。",
            next_en="Leave out --processes, or use PostgreSQL (YIMEN_DATABASE_URL).",
        )
    path = Path(settings.database_url.removeprefix("sqlite:///") + ".serving")
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Conflict(
            "hub.already_serving",
            "这个 SQLite 数据库已有一个平台进程在服务。",
            "Another process already serves this SQLite database.",
            next_zh="请先停止它；要多个进程，请使用 PostgreSQL（YIMEN_DATABASE_URL）。",
            next_en="Stop it first; for several processes use PostgreSQL (YIMEN_DATABASE_URL).",
        ) from None


def migrate(json_out: Json = False) -> None:
    """Bring the database of the settings to the newest revision. Safe to repeat and to run from several machines."""
    revision = upgrade(Settings())
    tell({"revision": revision}, [f"表结构已是最新：{revision} The tables are up to date."], as_json=json_out)


def upgrade(settings: Settings) -> str:
    """Run all migrations that are still missing; returns the newest revision."""
    if settings.database_url.startswith("sqlite"):
        settings.data_dir.mkdir(parents=True, exist_ok=True)
    from alembic import command  # here and below: a start that migrates nothing should not wait for it

    found = migrations(settings)
    command.upgrade(found, "head")
    return newest(found)


def migrations(settings: Settings) -> "Config":
    """Alembic's configuration for this hub's database, in a checkout and when installed."""
    from alembic.config import Config

    installed = ROOT / "hub" / "migrations"
    made = Config()
    made.set_main_option("script_location", str(installed if installed.is_dir() else ROOT / "alembic"))
    made.attributes["url"] = settings.database_url
    return made


def newest(found: "Config") -> str:
    """The revision that the code of this hub was written for."""
    from alembic.script import ScriptDirectory

    return ScriptDirectory.from_config(found).get_current_head() or ""


def demo(context: typer.Context) -> None:
    """Become the demo. The hub imports nothing of the adapters: this only starts another program."""
    command_line = [sys.executable, "-m", "adapters.demo", *context.args]
    if not os.environ.get("PYTHONPATH") and (ROOT / "adapters").is_dir():
        os.environ["PYTHONPATH"] = str(ROOT)
    os.execv(sys.executable, command_line)  # noqa: S606 - our own interpreter, our own module

"""What the commands of `yimen-agent` share: opening the agent, answers for people or as JSON, errors, exit codes.

Exit codes: 0 done; 1 refused or failed; 2 wrong usage; 3 done, but something waits for a named person; 75 the hub or a
source is away, and the same command may be tried again later.
"""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from adapters.agent import Agent
from adapters.source import SourceFault
from adapters.sources.faults import TEMPORARY
from hub.errors import HubError, TooMany, Unavailable
from keys.errors import KeyFault

PASSPHRASE = "YIMEN_AGENT_PASSPHRASE"
CONFIG = Path("agent.yaml")
WAITS, AWAY = 3, 75
console = Console()
ConfigPath = Annotated[Path, typer.Option("--config", "-c", help="配置文件 configuration file")]
DatasetId = Annotated[str | None, typer.Option("--dataset", "-d", help="只限一个数据集 one dataset only")]
AsJson = Annotated[bool, typer.Option("--json", help="输出 JSON as JSON")]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="只说会做什么 say what would be done, and do nothing")
]
Officer = Annotated[str, typer.Option("--officer", help="经办人姓名 who decides")]


@contextmanager
def opened(path: Path, *, as_json: bool = False) -> Iterator[Agent]:
    """The loaded agent; an expected error becomes a few lines (or one JSON object) and an exit code, no traceback."""
    try:
        secret = os.environ.get(PASSPHRASE) or typer.prompt("密钥口令 Passphrase", hide_input=True, err=True)
        with Agent.load(path, passphrase=secret) as found:
            yield found
    except HubError as fault:
        located = hasattr(fault, "line")
        stop(
            str(fault) if located else f"{fault.zh}\n{fault.en}",
            "" if located else f"{fault.next_zh}\n{fault.next_en}".strip(),
            fault.code,
            as_json=as_json,
            status=AWAY if _passes(fault) else 1,
        )
    except KeyFault as fault:
        stop(f"{fault.zh}\n{fault.en}", "", fault.code, as_json=as_json)


def _passes(fault: HubError) -> bool:
    """Whether the same may work later: the hub or the source is away. A wrong address does not mend itself."""
    if isinstance(fault, SourceFault):
        return fault.code in TEMPORARY
    return isinstance(fault, Unavailable | TooMany)


def stop(text: str, following: str, code: str, *, as_json: bool = False, status: int = 1) -> NoReturn:
    """Say what is wrong and what to do next, and end."""
    if as_json:
        say_json({"error": {"code": code, "text": text, "next": following}})
        raise typer.Exit(status)
    error = Console(stderr=True)
    for part, style in ((f"✗ {text}", "red"), (following, None), (f"({code})", "dim")):
        if part:
            error.print(part, style=style, markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(status)


def say(text: str, style: str = "") -> None:
    """One line for a person, as it is: the terminal wraps it, a file keeps it whole."""
    console.print(text, style=style or None, markup=False, highlight=False, soft_wrap=True)


def say_json(value: Any) -> None:
    """One JSON object for a program."""
    typer.echo(json.dumps(value, ensure_ascii=False, default=str, indent=1))


def named(officer: str, *, as_json: bool = False) -> str:
    """The officer's name; decisions without one are refused."""
    if not officer.strip():
        stop("请写明经办人。\nSay who decides.", "--officer 姓名", "agent.no_officer", as_json=as_json)
    return officer.strip()


class _Rate(TextColumn):
    """Rows a second."""

    def __init__(self) -> None:
        super().__init__("")

    def render(self, task: Any) -> Text:
        """As the column shows it."""
        return Text("" if not task.speed else f"{task.speed:,.0f} 行/秒 rows/s")


@contextmanager
def progress(agent: Agent, *, quiet: bool = False) -> Iterator[None]:
    """A bar for each dataset that is read, with rate and time left, on a terminal's error stream."""
    if quiet or not sys.stderr.isatty():
        yield
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as shown:
        tasks: dict[str, Any] = {}

        def read(dataset: str, rows: int, total: int | None) -> None:
            if dataset not in tasks:
                tasks[dataset] = shown.add_task(dataset, total=total)
            shown.update(tasks[dataset], completed=rows, total=total)

        agent.desk.progress = read
        yield

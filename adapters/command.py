"""`yimen-agent`: the agent for a shell. Texts are Chinese first, English second; nothing personal is printed."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from adapters import quarantine as quarantining
from adapters.agent import Agent
from hub.errors import HubError, TooMany, Unavailable
from keys.errors import KeyFault

PASSPHRASE = "YIMEN_AGENT_PASSPHRASE"
CODE = "YIMEN_ENROLMENT_CODE"
app = typer.Typer(
    help="部门代理：读自己的库，签自己的证照，交给枢纽。 A department's agent.",
    no_args_is_help=True,
    add_completion=False,
)
console = Console()
ConfigPath = Annotated[Path, typer.Option("--config", "-c", help="配置文件 configuration file")]
CONFIG = Path("agent.yaml")


@contextmanager
def _agent(path: Path) -> Iterator[Agent]:
    """The loaded agent; an expected error becomes a few lines and exit code 1, never a traceback."""
    try:
        secret = os.environ.get(PASSPHRASE) or typer.prompt("密钥口令 Passphrase", hide_input=True)
        with Agent.load(path, passphrase=secret) as found:
            yield found
    except HubError as fault:
        located = str(fault) if hasattr(fault, "line") else f"{fault.zh}\n{fault.en}"
        _stop(
            located, "" if hasattr(fault, "line") else f"{fault.next_zh}\n{fault.next_en}".strip(), fault.code
        )
    except KeyFault as fault:
        _stop(f"{fault.zh}\n{fault.en}", "", fault.code)


def _stop(text: str, following: str, code: str) -> None:
    error = Console(stderr=True)
    error.print(f"✗ {text}", style="red", markup=False, highlight=False)
    if following:
        error.print(following, markup=False, highlight=False)
    error.print(f"({code})", style="dim", markup=False, highlight=False)
    raise typer.Exit(1)


@app.command()
def init(config: ConfigPath = CONFIG) -> None:
    """生成密钥和状态库；没有配置时先写一份样例。 Make keys and state; write a sample configuration if there is none."""
    if not config.exists():
        config.write_text(
            files("adapters").joinpath("sample.yaml").read_text(encoding="utf-8"), encoding="utf-8"
        )
        console.print(
            f"✓ 已写样例 {config}，改好后再运行 init。 A sample was written: edit it, then init again."
        )
        return
    with _agent(config) as agent:
        for kid in agent.init():
            console.print(f"✓ {kid}", highlight=False)
        console.print("私钥只在本机 keys 目录。 Private keys stay in the keys folder of this machine.")


@app.command(context_settings={"ignore_unknown_options": True})  # a code may begin with a hyphen
def enrol(
    code: Annotated[str, typer.Argument(envvar=CODE, help="登记码 one-time code")] = "",
    config: ConfigPath = CONFIG,
) -> None:
    """用一次性登记码向枢纽登记公钥。 Register the public keys with a one-time code."""
    with _agent(config) as agent:
        said = code or typer.prompt("登记码 Code", hide_input=True)
        for kid in agent.enrol(said.strip()):
            console.print(f"✓ {kid}", highlight=False)


@app.command()
def rotate(
    purpose: Annotated[str, typer.Argument(help="certificate | status | client")], config: ConfigPath = CONFIG
) -> None:
    """轮换一种用途的密钥，旧密钥为新密钥担保。 Replace the key of one purpose."""
    with _agent(config) as agent:
        console.print(f"✓ {agent.rotate(purpose)}", highlight=False)


@app.command()
def check(config: ConfigPath = CONFIG) -> None:
    """检查密钥、枢纽、证照类型和数据源。 Look at everything a sync needs."""
    with _agent(config) as agent:
        found = agent.check()
        for one in found:
            mark, style = ("✓", "green") if one.ok else ("✗", "red")
            console.print(f"{mark} {one.name}", style=style, highlight=False)
            console.print(f"   {one.zh} {one.en}", markup=False, highlight=False)
        if not all(one.ok for one in found):
            raise typer.Exit(1)


@app.command()
def preview(
    rows: Annotated[int, typer.Option("--rows", "-n", min=1, max=100)] = 5,
    dataset: Annotated[str | None, typer.Option("--dataset", "-d")] = None,
    config: ConfigPath = CONFIG,
) -> None:
    """看前几行会签成什么（已脱敏）。 What the first rows would say, masked."""
    with _agent(config) as agent:
        for row in agent.preview(rows, dataset=dataset):
            console.print(f"[{row.dataset}] {row.key}", style="bold", markup=False)
            for holder in row.holders:
                console.print(
                    f"   {holder['role']}: {holder['name']} {holder['id_no']}", markup=False, highlight=False
                )
            for name, value in row.claims.items():
                console.print(f"   {name}: {value}", markup=False, highlight=False)
            for finding in row.findings:
                console.print(
                    f"   ✗ {finding.zh} {finding.en} ({finding.code} {finding.where})",
                    style="red",
                    markup=False,
                )
            for note in row.notes:
                console.print(
                    f"   · {note.zh} {note.en} ({note.code} {note.where})", style="dim", markup=False
                )


@app.command()
def sync(
    dataset: Annotated[str | None, typer.Option("--dataset", "-d")] = None, config: ConfigPath = CONFIG
) -> None:
    """读一遍数据源，把变化签好交给枢纽。 Read the source once and bring the hub up to date."""
    with _agent(config) as agent:
        report = agent.sync(dataset=dataset)
        table = Table(
            "读取 read",
            "新签 new",
            "未变 same",
            "换发 superseded",
            "撤销 revoked",
            "隔离 quarantined",
            "待定 held",
            "略过 skipped",
        )
        counts = (
            report.read, report.registered, report.unchanged, report.superseded, report.revoked,
            report.quarantined, report.held, report.skipped,
        )  # fmt: skip
        table.add_row(*map(str, counts))
        console.print(table)
        for note, count in report.notes:
            console.print(f"· {note}: {count}", style="dim", markup=False)
        for name, code, detail in report.told:
            console.print(f"! {name}: {code} {detail}", style="yellow", markup=False, highlight=False)
        for name, code, text in report.faults:
            console.print(f"✗ {name}: {text} ({code})", style="red", markup=False, highlight=False)
        if report.faults:
            raise typer.Exit(1)


@app.command()
def orders(config: ConfigPath = CONFIG) -> None:
    """签发工作人员在枢纽递交的文件。 Sign the files that officers handed in at the hub."""
    with _agent(config) as agent:
        for one in agent.work_orders():
            if one.code:
                console.print(
                    f"… {one.id} {one.type}: {one.code}", style="yellow", markup=False, highlight=False
                )
            else:
                said = f"✓ {one.id} {one.type}: 签发 signed {one.signed} · 隔离 quarantined {one.quarantined}"
                console.print(said, markup=False, highlight=False)


@app.command()
def run(
    every: Annotated[int, typer.Option("--every", min=5, help="间隔秒数 seconds between rounds")] = 300,
    rounds: Annotated[int, typer.Option("--rounds", min=0, help="几轮后停，0 不停 0: for ever")] = 0,
    config: ConfigPath = CONFIG,
) -> None:
    """一直运行：同步、工单、证面，然后等下一轮。 Keep going: sync, work orders, faces, wait."""
    with _agent(config) as agent:
        done = 0
        while True:
            try:
                report = agent.sync()
                agent.work_orders()
                agent.faces()
                told = {"read": report.read, "new": report.registered, "changed": report.superseded}
                told |= {"revoked": report.revoked, "quarantined": report.quarantined, "held": report.held}
                line = " · ".join(f"{name} {count}" for name, count in told.items())
                console.print(f"✓ {line}", markup=False, highlight=False)
            except (Unavailable, TooMany) as fault:  # the hub is away: the next round goes on from there
                console.print(
                    f"✗ {fault.zh} {fault.en} ({fault.code})", style="red", markup=False, highlight=False
                )
            done += 1
            if rounds and done >= rounds:
                return
            time.sleep(every)


@app.command()
def faces(
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="最多几份 at most so many")] = None,
    config: ConfigPath = CONFIG,
) -> None:
    """为新签的证照制作证面 PDF，交给枢纽。 Render the printed faces of new certificates."""
    with _agent(config) as agent:
        report = agent.faces(limit=limit)
        console.print(f"✓ {report.made} · 待制 left {report.left}", highlight=False)
        for certificate_id, code in report.refused:
            console.print(f"✗ {certificate_id[:8]}…  {code}", style="red", markup=False, highlight=False)


@app.command()
def status(config: ConfigPath = CONFIG) -> None:
    """各数据集、状态列表和待送队列。 Datasets, status lists and what waits."""
    with _agent(config) as agent:
        found = agent.status()
        table = Table(
            "数据集 dataset", "有效 standing", "隔离 quarantined", "待定 held", "上次完整行数 last rows"
        )
        for one in found.datasets:
            rows = "-" if one.last_complete_rows is None else str(one.last_complete_rows)
            table.add_row(one.dataset, str(one.current), str(one.quarantined), str(one.held), rows)
        console.print(table)
        console.print(f"待送 waiting {found.waiting} · 空闲状态位 free indices {found.free_indices}")
        for _, seq, hours in found.lists:
            console.print(f"状态列表 status list v{seq}: {hours} h", highlight=False)


@app.command()
def quarantine(
    retry: Annotated[bool, typer.Option("--retry", help="下次同步重试 try again at the next sync")] = False,
    code: Annotated[str | None, typer.Option("--code", help="只限一种原因 one reason only")] = None,
    dataset: Annotated[str | None, typer.Option("--dataset", "-d")] = None,
    officer: Annotated[str, typer.Option("--officer", help="经办人 who decides")] = "",
    config: ConfigPath = CONFIG,
) -> None:
    """没有签发的行和原因。 Rows that were not signed, and why."""
    with _agent(config) as agent:
        if retry:
            count = quarantining.retry(agent.state, dataset, code=code, officer=officer)
            console.print(f"✓ {count}")
            return
        for one in quarantining.listed(agent.state, dataset):
            waived = f" · 已由 {one.officer} 免于修复 waived" if one.state == "waived" else ""
            console.print(
                f"[{one.dataset}] {one.key or '（无主键 no key）'}{waived}", style="bold", markup=False
            )
            console.print(f"   {one.finding.zh} {one.finding.en}", markup=False, highlight=False)
            place = " · ".join(filter(None, (one.finding.where, one.finding.column, one.finding.detail)))
            told = f"   {one.finding.code} · {place} · {one.rows} 行 rows · {one.last_seen}"
            console.print(told, style="dim", markup=False, highlight=False)


@app.command()
def held(
    release: Annotated[int | None, typer.Option("--release", help="放行的编号 let this one through")] = None,
    discard: Annotated[int | None, typer.Option("--discard", help="作废的编号 throw this one away")] = None,
    officer: Annotated[str, typer.Option("--officer", help="经办人姓名 who decides")] = "",
    config: ConfigPath = CONFIG,
) -> None:
    """被断路器扣下的批量变更，由具名人员放行。 Mass changes on hold, for a named officer to decide."""
    with _agent(config) as agent:
        chosen = release if release is not None else discard
        if chosen is not None:
            if not officer.strip():
                _stop("请写明经办人。\nSay who decides.", "--officer 姓名", "agent.no_officer")
            done = quarantining.release(agent.state, chosen, officer.strip(), discard=release is None)
            console.print("✓" if done else "✗ 没有这一条。 There is no such hold.")
            raise typer.Exit(0 if done else 1)
        table = Table("编号 id", "数据集 dataset", "原因 reason", "涉及 rows", "总数 of", "时间 made")
        for one in quarantining.held(agent.state):
            table.add_row(str(one.id), one.dataset, one.reason, str(one.rows), str(one.total), one.made)
        console.print(table)


@app.command()
def revoke(dataset: str, key: str, reason: str, config: ConfigPath = CONFIG) -> None:
    """按主键撤销一张证照。 Revoke the certificate of one source key."""
    with _agent(config) as agent:
        console.print(f"✓ {agent.revoke(dataset, key, reason)}", highlight=False)


if __name__ == "__main__":
    sys.exit(app())

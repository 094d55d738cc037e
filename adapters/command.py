"""`yimen-agent`: the agent for a shell. Texts are Chinese first, English second; nothing personal is printed."""

import json
import time
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from adapters import decisions
from adapters.agent import Agent
from adapters.model import Check
from adapters.shell import (
    AWAY,
    CONFIG,
    PASSPHRASE,
    WAITS,
    AsJson,
    ConfigPath,
    DatasetId,
    DryRun,
    console,
    opened,
    progress,
    say,
    say_json,
)
from adapters.sources.faults import TEMPORARY
from adapters.survey import Survey
from adapters.sync import SyncReport
from hub.errors import HubError, TooMany, Unavailable

if TYPE_CHECKING:
    from adapters.pulls import Answered

__all__ = ["CODE", "PASSPHRASE", "app"]

CODE = "YIMEN_ENROLMENT_CODE"
app = typer.Typer(
    help="部门代理：读自己的库，签自己的证照，交给枢纽。 A department's agent.\n\n"
    "退出码 exit codes: 0 完成 done · 1 失败 failed · 2 用法 usage · 3 待人决定 somebody decides · 75 稍后再试 later",
    no_args_is_help=True,
    add_completion=False,
)


def main() -> None:
    """The `yimen-agent` command."""
    app(prog_name="yimen-agent")


# --- the first day ---


@app.command()
def init(config: ConfigPath = CONFIG, dry_run: DryRun = False, as_json: AsJson = False) -> None:
    """生成密钥和状态库；没有配置时先写一份样例。 Make keys and state; write a sample configuration if there is none."""
    if not config.exists():
        if not dry_run:
            config.write_text(
                files("adapters").joinpath("sample.yaml").read_text(encoding="utf-8"), encoding="utf-8"
            )
        if as_json:
            say_json({"sample": str(config), "dry_run": dry_run})
            return
        zh, en = ("将写", "would be") if dry_run else ("✓ 已写", "was")
        say(f"{zh}样例 {config}，改好后再运行 init。 A sample {en} written: edit it, then init again.")
        return
    with opened(config, as_json=as_json) as agent:
        if dry_run:
            _keys([], as_json, "将生成缺少的密钥。 Missing keys would be made.")
            return
        _keys(
            agent.init(),
            as_json,
            "私钥只在本机 keys 目录。 Private keys stay in the keys folder of this machine.",
        )


def _keys(kids: list[str], as_json: bool, told: str = "") -> None:
    if as_json:
        say_json({"keys": kids})
        return
    for kid in kids:
        say(f"✓ {kid}")
    if told:
        say(told)


@app.command()
def schema() -> None:
    """输出配置文件的 JSON Schema，供编辑器使用。 The configuration's JSON Schema, for editors."""
    typer.echo(files("adapters").joinpath("agent.schema.json").read_text(encoding="utf-8"))


@app.command(context_settings={"ignore_unknown_options": True})  # a code may begin with a hyphen
def enrol(
    code: Annotated[str, typer.Argument(envvar=CODE, help="登记码 one-time code")] = "",
    config: ConfigPath = CONFIG,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """用一次性登记码向枢纽登记公钥。 Register the public keys with a one-time code."""
    with opened(config, as_json=as_json) as agent:
        if dry_run:
            said = agent.config.agent
            _keys([], as_json, f"将向 {said.hub} 登记 {said.department} 的公钥。 Public keys would go there.")
            return
        said_code = code or typer.prompt("登记码 Code", hide_input=True)
        _keys(agent.enrol(said_code.strip()), as_json)


@app.command()
def rotate(
    purpose: Annotated[str, typer.Argument(help="certificate | status | client")],
    config: ConfigPath = CONFIG,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """轮换一种用途的密钥，旧密钥为新密钥担保。 Replace the key of one purpose."""
    with opened(config, as_json=as_json) as agent:
        if dry_run:
            _keys(
                [],
                as_json,
                f"将更换 {purpose} 密钥，两分钟后启用。 The {purpose} key would be replaced in two minutes.",
            )
            return
        _keys([agent.rotate(purpose)], as_json)


@app.command()
def check(config: ConfigPath = CONFIG, as_json: AsJson = False) -> None:
    """检查密钥、枢纽、证照类型和数据源。 Look at everything a sync needs."""
    with opened(config, as_json=as_json) as agent:
        _told(agent.check(), as_json)


@app.command()
def doctor(config: ConfigPath = CONFIG, as_json: AsJson = False) -> None:
    """check 之外，再看文件权限、时钟、磁盘、积压。 What check looks at, and files, clock, disk and what waits."""
    with opened(config, as_json=as_json) as agent:
        _told(agent.doctor(), as_json)


def _told(found: list[Check], as_json: bool) -> None:
    if as_json:
        say_json([asdict(one) for one in found])
    else:
        for one in found:
            say(f"{'✓' if one.ok else '✗'} {one.name}", "green" if one.ok else "red")
            say(f"   {one.zh} {one.en}")
    if not all(one.ok for one in found):
        raise typer.Exit(1)


# --- every day ---


@app.command()
def preview(
    rows: Annotated[int, typer.Option("--rows", "-n", min=1, max=100)] = 5,
    dataset: DatasetId = None,
    config: ConfigPath = CONFIG,
    as_json: AsJson = False,
) -> None:
    """看前几行会签成什么（已脱敏）。 What the first rows would say, masked."""
    with opened(config, as_json=as_json) as agent:
        found = agent.preview(rows, dataset=dataset)
        if as_json:
            say_json([asdict(one) for one in found])
            return
        for row in found:
            say(f"[{row.dataset}] {row.key}", "bold")
            for holder in row.holders:
                say(f"   {holder['role']}: {holder['name']} {holder['id_no']}")
            for name, value in row.shown:
                say(f"   {name}: {value}")
            for name, day in (
                ("起 from", row.valid_from),
                ("止 until", row.valid_until),
                ("数据日期 as of", row.as_of),
            ):
                if day:
                    say(f"   {name}: {day}")
            for finding in row.findings:
                say(f"   ✗ {finding.zh} {finding.en} ({finding.code} {finding.where})", "red")
            for note in row.notes:
                say(f"   · {note.zh} {note.en} ({note.code} {note.where})", "dim")


@app.command()
def sync(
    dataset: DatasetId = None, config: ConfigPath = CONFIG, dry_run: DryRun = False, as_json: AsJson = False
) -> None:
    """读数据源，把变化签好交给枢纽。 Read the source and bring the hub up to date."""
    _sync(dataset, config, dry_run, as_json, whole=False)


@app.command()
def reconcile(
    dataset: DatasetId = None, config: ConfigPath = CONFIG, dry_run: DryRun = False, as_json: AsJson = False
) -> None:
    """整读一遍并对账：只有这时才判断哪些行没有了。 Read everything: only this judges which rows are gone."""
    _sync(dataset, config, dry_run, as_json, whole=True)


def _sync(dataset: str | None, config: Path, dry_run: bool, as_json: bool, *, whole: bool) -> None:
    with opened(config, as_json=as_json) as agent, progress(agent, quiet=as_json):
        if dry_run:
            _survey(agent.survey(dataset=dataset), as_json)
            return
        report = agent.sync(dataset=dataset, whole=whole)
        held = sum(one.held for one in agent.status().datasets)
    if as_json:
        say_json(asdict(report) | {"waiting_for_a_person": held})
    else:
        _report(report)
        if held:
            say(
                "! 有事待经办人决定：yimen-agent held。 Something waits for a person: yimen-agent held.",
                "yellow",
            )
    if report.faults:
        raise typer.Exit(AWAY if {code for _, code, _ in report.faults} <= TEMPORARY else 1)
    if held:
        raise typer.Exit(WAITS)


def _survey(found: list[Survey], as_json: bool) -> None:
    if as_json:
        say_json([asdict(one) for one in found])
        return
    table = Table(
        "数据集 dataset",
        "读取 read",
        "新签 new",
        "换发 changed",
        "未变 same",
        "消失 gone",
        "隔离 bad",
        "会扣下 would hold",
    )
    for one in found:
        counts = (one.read, one.new, one.changed, one.unchanged, one.gone, one.quarantined)
        table.add_row(one.dataset, *map(str, counts), "、".join(one.would_hold))
        zh, en = one.drift.told()
        if zh:
            say(f"! {one.dataset}: {zh} {en}", "yellow")
    console.print(table)
    say("没有签发，没有发送。 Nothing was signed or sent.")


def _report(report: SyncReport) -> None:
    table = Table(
        "读取 read", "新签 new", "未变 same", "换发 superseded", "撤销 revoked", "隔离 quarantined",
        "待定 held", "略过 skipped",
    )  # fmt: skip
    counts = (
        report.read, report.registered, report.unchanged, report.superseded, report.revoked,
        report.quarantined, report.held, report.skipped,
    )  # fmt: skip
    table.add_row(*map(str, counts))
    console.print(table)
    for note, count in report.notes:
        say(f"· {note}: {count}", "dim")
    for name, code, detail in report.told:
        say(f"! {name}: {code} {detail}", "yellow")
    for name, code, text in report.faults:
        say(f"✗ {name}: {text} ({code})", "red")


@app.command()
def orders(config: ConfigPath = CONFIG, dry_run: DryRun = False, as_json: AsJson = False) -> None:
    """签发工作人员在枢纽递交的文件。 Sign the files that officers handed in at the hub."""
    with opened(config, as_json=as_json) as agent:
        if dry_run:
            waiting = agent.desk.client.work_orders()
            if as_json:
                say_json([{"id": one.id, "type": one.type, "rows": one.rows} for one in waiting])
            for order in [] if as_json else waiting:
                say(f"{order.id} {order.type}: {order.rows} 行 rows")
            return
        done = agent.work_orders()
        if as_json:
            say_json([asdict(one) for one in done])
            return
        for one in done:
            if one.code:
                say(f"… {one.id} {one.type}: {one.code}", "yellow")
            else:
                say(f"✓ {one.id} {one.type}: 签发 signed {one.signed} · 隔离 quarantined {one.quarantined}")


@app.command()
def serve(
    every: Annotated[int, typer.Option("--every", min=5, help="间隔秒数 seconds between rounds")] = 300,
    rounds: Annotated[int, typer.Option("--rounds", min=0, help="几轮后停，0 不停 0: for ever")] = 0,
    config: ConfigPath = CONFIG,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """一直运行：同步、工单、证面，等下一轮；其间答复当场取证。 Keep going: sync, work orders, faces; answers pulls."""
    if dry_run:
        _sync(None, config, dry_run, as_json, whole=False)
        return
    with opened(config, as_json=as_json) as agent, agent.line(_pulled):
        done = 0
        while True:
            try:
                report = agent.sync()
                agent.work_orders()
                agent.faces()
                _round(agent, report, as_json)
            except (Unavailable, TooMany) as fault:  # the hub is away: the next round goes on from there
                say(f"✗ {fault.zh} {fault.en} ({fault.code})", "red")
            done += 1
            if rounds and done >= rounds:
                return
            time.sleep(every)


def _round(agent: Agent, report: SyncReport, as_json: bool) -> None:
    """One line for a round (one JSON object a line), and what somebody must look at."""
    if as_json:
        typer.echo(json.dumps({"at": agent.desk.stamp(), **asdict(report)}, ensure_ascii=False))
        return
    told = {"read": report.read, "new": report.registered, "changed": report.superseded}
    told |= {"revoked": report.revoked, "quarantined": report.quarantined, "held": report.held}
    say("✓ " + " · ".join(f"{name} {count}" for name, count in told.items()))
    for name, code, detail in report.told:
        say(f"! {name}: {code} {detail}", "yellow")
    for name, code, text in report.faults:
        say(f"✗ {name}: {text} ({code})", "red")
    for one in agent.status().datasets:
        if one.held:
            say(f"! {one.dataset}: 待经办人决定 a person decides: yimen-agent held ({one.held})", "yellow")


def _pulled(said: "Answered | HubError") -> None:
    """One line for each pull: its number, how it ended, why. Nothing about a person."""
    if isinstance(said, HubError):
        say(f"✗ {said.zh} {said.en} ({said.code})", "red")
    else:
        say(f"· pull {said.jti[:8]}… {said.outcome} {said.reason}".rstrip(), "dim")


@app.command()
def faces(
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="最多几份 at most so many")] = None,
    config: ConfigPath = CONFIG,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """为新签的证照制作证面 PDF，交给枢纽。 Render the printed faces of new certificates."""
    with opened(config, as_json=as_json) as agent:
        if dry_run:
            [(left,)] = agent.state.execute("select count(*) from unprinted")
            if as_json:
                say_json({"left": left})
            else:
                say(f"待制 left {left}")
            return
        report = agent.faces(limit=limit)
        if as_json:
            say_json(asdict(report))
            return
        say(f"✓ {report.made} · 待制 left {report.left}")
        for certificate_id, code in report.refused:
            say(f"✗ {certificate_id[:8]}…  {code}", "red")


@app.command()
def status(config: ConfigPath = CONFIG, as_json: AsJson = False) -> None:
    """各数据集、状态列表和待送队列。 Datasets, status lists and what waits."""
    with opened(config, as_json=as_json) as agent:
        found = agent.status()
        if as_json:
            say_json(asdict(found))
            return
        table = Table(
            "数据集 dataset", "有效 standing", "隔离 quarantined", "待定 held", "上次完整行数 last rows"
        )
        for one in found.datasets:
            rows = "-" if one.last_complete_rows is None else str(one.last_complete_rows)
            table.add_row(one.dataset, str(one.current), str(one.quarantined), str(one.held), rows)
        console.print(table)
        say(f"待送 waiting {found.waiting} · 空闲状态位 free indices {found.free_indices}")
        for _, seq, hours in found.lists:
            say(f"状态列表 status list v{seq}: {hours} h")


decisions.add_to(app)  # last, so that help begins with the first day


if __name__ == "__main__":
    main()

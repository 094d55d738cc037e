"""What a person decides at the shell: rows in quarantine, passes on hold, single revocations."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from adapters import quarantine as quarantining
from adapters.deciding import Decision
from adapters.shell import (
    CONFIG,
    AsJson,
    ConfigPath,
    DatasetId,
    DryRun,
    Officer,
    console,
    named,
    opened,
    say,
    say_json,
    stop,
)

_File = Path | None
Export = Annotated[_File, typer.Option("--export", help="写成 Excel 供修改 write a workbook to mend")]
Mend = Annotated[_File, typer.Option("--mend", help="交回改好的 Excel take in the mended workbook")]
Waive = Annotated[str | None, typer.Option("--waive", help="此主键不再修复 this key will not be repaired")]


def add_to(app: typer.Typer) -> None:
    """Hang these commands into the program."""
    for command in (quarantine, held, revoke):
        app.command()(command)


def quarantine(
    retry: Annotated[bool, typer.Option("--retry", help="下次同步重试 try again at the next sync")] = False,
    code: Annotated[str | None, typer.Option("--code", help="只限一种原因 one reason only")] = None,
    dataset: DatasetId = None,
    export: Export = None,
    mend: Mend = None,
    waive: Waive = None,
    officer: Officer = "",
    config: ConfigPath = CONFIG,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """没有签发的行和原因；导出、修改、交回、重试。 Rows that were not signed, and why; export, mend, retry."""
    with opened(config, as_json=as_json) as agent:
        if export is not None or mend is not None or waive is not None:
            if dataset is None:
                stop(
                    "请写明数据集。\nSay which dataset.", "--dataset ID", "agent.no_dataset", as_json=as_json
                )
            if export is not None:
                say(f"✓ {0 if dry_run else agent.export(dataset, export)} 行 rows → {export}")
            elif mend is not None and not dry_run:
                found = agent.mend(dataset, mend, officer=named(officer, as_json=as_json))
                say(
                    f"✓ 采用 taken {found.rows} 行 rows, {found.cells} 格 cells · 未改 unchanged {found.unchanged}"
                )
                for key in found.outdated:
                    say(f"✗ {key} 数据源里已变，请重新导出。 Changed at the source: export again.", "red")
            elif waive is not None and not dry_run:
                say(f"✓ {agent.waive(dataset, waive, officer=named(officer, as_json=as_json))}")
            return
        if retry:
            say(f"✓ {0 if dry_run else quarantining.retry(agent.state, dataset, code=code, officer=officer)}")
            return
        found_rows = quarantining.listed(agent.state, dataset)
        if as_json:
            say_json([asdict(one) for one in found_rows])
            return
        for one in found_rows:
            waived = f" · 已由 {one.officer} 免于修复 waived" if one.state == "waived" else ""
            say(f"[{one.dataset}] {one.shown_key or '（无主键 no key）'}{waived}", "bold")
            say(f"   {one.finding.zh} {one.finding.en}")
            place = " · ".join(filter(None, (one.finding.where, one.finding.column, one.finding.detail)))
            rules = f"规则 rules {one.rules[:8]}" if one.rules else ""
            told = " · ".join(
                filter(None, (one.finding.code, place, f"{one.rows} 行 rows", rules, one.last_seen))
            )
            say(f"   {told}", "dim")


def held(
    release: Annotated[int | None, typer.Option("--release", help="放行的编号 let this one through")] = None,
    discard: Annotated[int | None, typer.Option("--discard", help="作废的编号 throw this one away")] = None,
    past: Annotated[bool, typer.Option("--past", help="以前谁决定了什么 who decided what before")] = False,
    officer: Officer = "",
    config: ConfigPath = CONFIG,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """被扣下的批量变更，由具名人员决定，记入枢纽账本。 Mass changes on hold, for a named officer to decide."""
    with opened(config, as_json=as_json) as agent:
        chosen = release if release is not None else discard
        if chosen is not None and not dry_run:
            made = agent.decide(chosen, named(officer, as_json=as_json), discard=release is None)
            if made is None:
                stop(
                    "没有这一条。\nThere is no such hold.",
                    "yimen-agent held",
                    "agent.no_hold",
                    as_json=as_json,
                )
            elif as_json:
                say_json(asdict(made))
            else:
                say(f"✓ {made.decision} · 已入账本 in the ledger: {made.commitment[:16]}…")
            return
        if past:
            _past(agent.decided(), as_json)
            return
        found = quarantining.held(agent.state)
        if as_json:
            say_json([asdict(one) | {"examples": agent.examples(one)} for one in found])
            return
        table = Table(
            "编号 id",
            "数据集 dataset",
            "原因 reason",
            "涉及 rows",
            "总数 of",
            "时间 made",
            "怎么办 what to do",
        )
        for one in found:
            advice = [*quarantining.ADVICE.get(one.reason, ()), *agent.examples(one)]
            table.add_row(
                str(one.id),
                one.dataset,
                one.reason,
                str(one.rows),
                str(one.total),
                one.made,
                "\n".join(advice),
            )
        console.print(table)


def _past(found: list[Decision], as_json: bool) -> None:
    if as_json:
        say_json([asdict(one) for one in found])
        return
    table = Table(
        "时间 at", "数据集 dataset", "原因 reason", "涉及 rows", "总数 of", "决定 decision", "经办人 officer"
    )
    for one in found:
        table.add_row(
            one.at, one.dataset, one.reason, str(one.rows), str(one.total), one.decision, one.officer
        )
    console.print(table)


def revoke(
    dataset: str,
    key: str,
    reason: str,
    config: ConfigPath = CONFIG,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """按主键撤销一张证照。 Revoke the certificate of one source key."""
    with opened(config, as_json=as_json) as agent:
        done = agent.standing_for(dataset, key) if dry_run else agent.revoke(dataset, key, reason)
        if as_json:
            say_json({"certificate": done, "dry_run": dry_run})
        else:
            say(f"{'将撤销 would revoke' if dry_run else '✓'} {done}")

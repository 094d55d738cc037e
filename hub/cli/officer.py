"""`yimen officer ...`: import officers from a list, disable them, give them a one-time link."""

from pathlib import Path
from typing import Annotated, Any

import typer

from hub.actor import SYSTEM
from hub.cli.output import FAILED, Json, run, tell
from hub.clock import seconds
from hub.errors import Forbidden, NotFound
from hub.registry import ceremony, identities, officers
from hub.registry.model import may
from hub.registry.officers import ImportReport, Officer
from hub.registry.roster import read_roster
from hub.store.tx import View
from hub.web.deps import Hub

app = typer.Typer(help="工作人员。 Officers.", no_args_is_help=True, rich_markup_mode=None)

Who = Annotated[
    str, typer.Argument(help="部门/登录名 或 登录名。 DEPARTMENT/LOGIN, or LOGIN where it is unique.")
]


@app.command(name="import", help="从 CSV 导入（全部成功或全部不做）。 Import officers from CSV, all or none.")
def import_file(
    file: Annotated[
        Path, typer.Argument(help="列：部门,登录名,姓名,角色。 Columns: department,login,name,roles.")
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="只检查。 Check only.")] = False,
    json_out: Json = False,
) -> None:
    """Every error is told with its line; the file may be UTF-8 or GB 18030."""
    rows, unreadable = read_roster(file.read_bytes())

    async def work(hub: Hub) -> ImportReport:
        async with hub.tx(SYSTEM) as tx:
            return await officers.import_officers(tx, rows=rows, dry_run=dry_run or bool(unreadable))

    report = run(work)
    errors = sorted([*unreadable, *report.errors], key=lambda error: error.line)
    told = {
        "added": report.added,
        "changed": report.changed,
        "unchanged": report.unchanged,
        "dry_run": report.dry_run,
        "errors": [{"line": e.line, "code": e.code, "zh": e.zh, "en": e.en} for e in errors],
    }
    lines = [f"第 {e.line} 行 line {e.line}: {e.zh} / {e.en}" for e in errors]
    if errors:
        lines.append("有错误，未作任何改动。 Nothing was changed.")
    else:
        done = "检查通过 checked" if dry_run else "已导入 imported"
        lines.append(f"{done}: +{report.added} ~{report.changed} ={report.unchanged}")
    tell(told, lines, as_json=json_out)
    if errors:
        raise typer.Exit(FAILED)


@app.command(help="停用工作人员，立即生效。 Disable an officer at once.")
def disable(who: Who, json_out: Json = False) -> None:
    """Roles count no more and sessions end."""

    async def work(hub: Hub) -> Officer:
        async with hub.tx(SYSTEM) as tx:
            found = await named(tx, who)
            await officers.disable(tx, officer_id=found.id)
            return found

    found = run(work)
    line = f"已停用 {found.department}/{found.login}。 The officer is disabled."
    tell({"department": found.department, "login": found.login, "active": False}, [line], as_json=json_out)


@app.command(help="制作一次性登录链接（24 小时）。 Make a one-time sign-in link, 24 hours.")
def link(who: Who, json_out: Json = False) -> None:
    """For officers whose department has no identity provider connected yet."""

    async def work(hub: Hub) -> dict[str, Any]:
        async with hub.tx(SYSTEM) as tx:
            made = await ceremony.make_link(tx, officer_id=(await named(tx, who)).id)
        url = f"{hub.settings.public_url}/enter/{made.token}"
        return {"link": url, "expires_at": seconds(made.expires_at)}

    made = run(work)
    tell(made, [f"一次性链接（只显示这一次）/ one-time link, shown once: {made['link']}"], as_json=json_out)


@app.command(help="解除登录账号绑定（换了账号时）。 Forget the accounts an officer signed in with.")
def unlink(who: Who, json_out: Json = False) -> None:
    """The next sign-in through the department's provider binds anew."""

    async def work(hub: Hub) -> int:
        async with hub.tx(SYSTEM) as tx:
            return await identities.unlink(tx, officer_id=(await named(tx, who)).id)

    gone = run(work)
    tell({"unlinked": gone}, ["已解除，下次登录重新绑定。 The next sign-in binds anew."], as_json=json_out)


@app.command(name="list", help="列出工作人员。 List officers.")
def list_all(
    department: Annotated[str | None, typer.Option(help="只看一个部门。 Of one department.")] = None,
    json_out: Json = False,
) -> None:
    """Department, login, roles."""

    async def work(hub: Hub) -> list[Officer]:
        async with hub.view(SYSTEM) as view:
            return await officers.all_officers(view, department)

    found = run(work)
    told = [
        {"department": o.department, "login": o.login, "active": o.active, "roles": sorted(o.roles)}
        for o in found
    ]
    lines = [
        f"{o.department}/{o.login}  {'' if o.active else '(停用 disabled) '}{' '.join(sorted(o.roles))}"
        for o in found
    ]
    tell({"officers": told}, lines, as_json=json_out)


async def named(view: View, who: str) -> Officer:
    """The officer that DEPARTMENT/LOGIN or a unique LOGIN means. NotFound `officer.unknown`, `officer.not_unique`."""
    department, slash, login = who.partition("/")
    wanted = login if slash else who
    found = [o for o in await officers.all_officers(view, department if slash else None) if o.login == wanted]
    if len(found) > 1:
        raise NotFound(
            "officer.not_unique",
            "多个部门有此登录名，请写成 部门/登录名。",
            "Several departments have this login: write DEPARTMENT/LOGIN.",
        )
    if not found:
        raise NotFound("officer.unknown", "没有这名工作人员。", "There is no such officer.")
    return found[0]


async def administrator(view: View, who: str) -> Officer:
    """An active officer who may administer the registry; Forbidden `officer.not_administrator` otherwise."""
    found = await named(view, who)
    if not may(await officers.roles_of(view, found.id), "registry.administer"):
        raise Forbidden(
            "officer.not_administrator",
            f"{who} 不是在任管理员。",
            f"{who} is not an active administrator.",
            next_zh="请先用 yimen officer import 授予管理员角色。",
            next_en="Give the role administrator first: yimen officer import",
        )
    return found

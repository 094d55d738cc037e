"""`yimen department ...`: admit departments, stop them, give them enrolment codes."""

import csv
from pathlib import Path
from typing import Annotated, Any

import typer

from hub.actor import SYSTEM
from hub.cli.officer import administrator
from hub.cli.output import Json, run, tell
from hub.registry import departments, keys, redirects
from hub.registry.publish import publish_types
from hub.web.deps import Hub

app = typer.Typer(help="部门管理。 Departments.", no_args_is_help=True, rich_markup_mode=None)

Slug = Annotated[str, typer.Argument(help="部门代号，如 dg-edu。 Slug of the department.")]
Reason = Annotated[str, typer.Option(help="理由代码词（公开）。 Reason, a code word; it becomes public.")]


@app.command(help="登记部门。 Admit a department.")
def add(
    slug: Slug,
    uscc: Annotated[str, typer.Option(help="统一社会信用代码。 Credit code (GB 32100).")],
    name_zh: Annotated[str, typer.Option(help="中文名称。 Chinese name.")],
    name_en: Annotated[str, typer.Option(help="英文名称。 English name.")],
    json_out: Json = False,
) -> None:
    """Admit a department, and give it the issuing rights that the type files name."""

    async def work(hub: Hub) -> int:
        async with hub.tx(SYSTEM) as tx:
            await departments.add(tx, slug=slug, uscc=uscc, name_zh=name_zh, name_en=name_en)
            return (await publish_types(tx, hub.types.values())).issuers

    rights = run(work)
    line = f"已登记 {slug}，可签发 {rights} 类证照。 {slug} is admitted and may issue {rights} types."
    tell({"department": slug, "rights": rights}, [line], as_json=json_out)


@app.command(
    name="import", help="从 CSV 登记多个部门（全部成功或全部不做）。 Admit departments from CSV, all or none."
)
def import_file(
    file: Annotated[Path, typer.Argument(help="列 columns: slug,uscc,name_zh,name_en (UTF-8)")],
    json_out: Json = False,
) -> None:
    """Admit every department of a list, and give each the issuing rights that the type files name."""
    with file.open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream))
    wanted = ("slug", "uscc", "name_zh", "name_en")
    if not rows or any(set(row) != set(wanted) or None in row.values() for row in rows):
        raise ValueError(f"CSV: {', '.join(wanted)}")

    async def work(hub: Hub) -> int:
        async with hub.tx(SYSTEM) as tx:
            for row in rows:
                await departments.add(tx, **{name: row[name] for name in wanted})
            return (await publish_types(tx, hub.types.values())).issuers

    rights = run(work)
    told = {"departments": [row["slug"] for row in rows], "rights": rights}
    line = f"已登记 {len(rows)} 个部门。 {len(rows)} departments are admitted, with {rights} rights to issue."
    tell(told, [line], as_json=json_out)


@app.command(help="暂停部门。 Stop a department from registering and verifying.")
def suspend(slug: Slug, reason: Reason = "administrative", json_out: Json = False) -> None:
    """What it signed before stays verifiable."""

    async def work(hub: Hub) -> None:
        async with hub.tx(SYSTEM) as tx:
            await departments.suspend(tx, slug=slug, reason=reason)

    run(work)
    tell(
        {"department": slug, "state": "suspended"},
        [f"已暂停 {slug}。 {slug} is suspended."],
        as_json=json_out,
    )


@app.command(help="恢复部门。 Let a suspended department act again.")
def resume(slug: Slug, reason: Reason = "administrative", json_out: Json = False) -> None:
    """The opposite of `suspend`."""

    async def work(hub: Hub) -> None:
        async with hub.tx(SYSTEM) as tx:
            await departments.resume(tx, slug=slug, reason=reason)

    run(work)
    tell({"department": slug, "state": "active"}, [f"已恢复 {slug}。 {slug} is active."], as_json=json_out)


@app.command(help="登记同意后浏览器回到的地址。 Register where browsers come back to after consent.")
def redirect(
    slug: Slug,
    uri: Annotated[str, typer.Argument(help="完整的 https 地址。 The whole https address, compared as written.")],
    json_out: Json = False,
) -> None:
    """An address of the department's own website; it becomes public."""

    async def work(hub: Hub) -> list[str]:
        async with hub.tx(SYSTEM) as tx:
            await redirects.allow(tx, department=slug, uri=uri)
            return await redirects.of_department(tx, department=slug)

    told = run(work)
    lines = [f"{slug} 可回到 {len(told)} 个地址 / browsers may come back to:", *(f"  {one}" for one in told)]
    tell({"department": slug, "redirect_uris": told}, lines, as_json=json_out)


@app.command(name="list", help="列出部门。 List departments.")
def list_all(json_out: Json = False) -> None:
    """Slug, state, keys that stand, names."""

    async def work(hub: Hub) -> list[dict[str, Any]]:
        async with hub.view(SYSTEM) as view:
            found = []
            for one in await departments.all_departments(view):
                held = [key for key in await keys.history(view, one.slug) if key.stands_at(view.now)]
                found.append(
                    {
                        "slug": one.slug,
                        "state": str(one.state),
                        "uscc": one.uscc,
                        "name_zh": one.name_zh,
                        "name_en": one.name_en,
                        "keys": [{"kid": key.kid, "purpose": str(key.purpose)} for key in held],
                    }
                )
            return found

    told = run(work)
    lines = [
        f"{d['slug']:16} {d['state']:10} {len(d['keys'])} 🔑  {d['name_zh']} {d['name_en']}" for d in told
    ]
    tell({"departments": told}, lines, as_json=json_out)


@app.command(
    name="enrol-code", help="制作一次性登记码（两人）。 Make a one-time enrolment code; it takes two people."
)
def enrol_code(
    slugs: Annotated[list[str], typer.Argument(help="部门代号，可多个。 Slugs of departments, one or more.")],
    made_by: Annotated[str, typer.Option(help="制作人登录名。 Administrator who makes it.")],
    approved_by: Annotated[
        str, typer.Option(help="批准人登录名（另一人）。 Another administrator, who approves it.")
    ],
    hours: Annotated[int, typer.Option(help="有效小时数。 Hours until it ends.")] = keys.CODE_HOURS,
    json_out: Json = False,
) -> None:
    """Both people are administrators; the code is shown once. Who they were is a public leaf (ids, no names)."""

    async def work(hub: Hub) -> list[dict[str, Any]]:
        async with hub.tx(SYSTEM) as tx:
            maker, approver = await administrator(tx, made_by), await administrator(tx, approved_by)
            people = {"made_by": maker.reference(), "approved_by": approver.reference()}
            return [
                {
                    "department": slug,
                    "code": await keys.make_enrolment_code(tx, department=slug, hours=hours, **people),
                    "hours": hours,
                }
                for slug in slugs
            ]

    made = run(work)
    lines = [f"登记码（{hours} 小时内有效，只显示这一次）/ enrolment codes, shown once:"]
    lines += [f"  {one['department']}: {one['code']}" for one in made]
    lines.append(
        "请经可信渠道交给各部门的适配器管理员。 Hand each to its department's agent over a trusted channel."
    )
    tell(made[0] if len(made) == 1 else {"codes": made}, lines, as_json=json_out)

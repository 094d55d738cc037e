"""`yimen hall ...`: which halls there are, and who works in them."""

from typing import Annotated
from uuid import UUID

import typer

from hub.actor import SYSTEM, Actor, ActorKind
from hub.cases import halls
from hub.cli.officer import Who, administrator, named
from hub.cli.output import Json, run, tell
from hub.registry import officers
from hub.store.tx import View
from hub.web.deps import Hub

app = typer.Typer(help="政务大厅。 Halls.", no_args_is_help=True, rich_markup_mode=None)

Name = Annotated[str, typer.Argument(help="大厅代码。 Code of the hall.")]
By = Annotated[str, typer.Option(help="管理员 部门/登录名。 The administrator, DEPARTMENT/LOGIN.")]


@app.command(name="list", help="列出大厅和工作人员。 List halls and who works there.")
def list_all(json_out: Json = False) -> None:
    """Every hall with its level, what it takes, and its officers."""

    async def work(hub: Hub) -> dict[str, list[str]]:
        async with hub.view(SYSTEM) as view:
            names = {one.id: f"{one.department}/{one.login}" for one in await officers.all_officers(view)}
            found: dict[str, list[str]] = {code: [] for code in halls.load_halls()}
            for officer, hall in await halls.assigned(view):
                found.setdefault(hall, []).append(names.get(officer, str(officer)))
            return found

    who = run(work)
    every = halls.load_halls()
    told = [
        {"hall": one.code, "level": one.level, "zh": one.label(), "en": one.label("en"),
         "accepts": sorted(one.accepts), "officers": who[one.code]}
        for one in every.values()
    ]  # fmt: skip
    lines = [
        f"{one.code}  {one.label()} {one.label('en')}  {one.level}  {' '.join(who[one.code])}"
        for one in every.values()
    ]
    tell({"halls": told}, lines, as_json=json_out)


@app.command(help="安排工作人员到大厅。 Let an officer work in a hall.")
def assign(who: Who, hall: Name, by: By, json_out: Json = False) -> None:
    """An administrator is named; it is put on record who it was."""

    async def work(hub: Hub) -> None:
        async with hub.view(SYSTEM) as view:
            admin, officer = await _administrator(view, by), (await named(view, who)).id
        async with hub.tx(admin) as tx:
            await halls.assign(tx, officer_id=officer, hall=hall)

    run(work)
    tell({"officer": who, "hall": hall, "assigned": True}, [f"{who} → {hall}"], as_json=json_out)


@app.command(help="取消安排。 Let an officer work there no more.")
def remove(who: Who, hall: Name, by: By, json_out: Json = False) -> None:
    """Counts at once, also for pages that are open."""

    async def work(hub: Hub) -> bool:
        async with hub.view(SYSTEM) as view:
            admin, officer = await _administrator(view, by), (await named(view, who)).id
        async with hub.tx(admin) as tx:
            return await halls.remove(tx, officer_id=officer, hall=hall)

    gone = run(work)
    line = f"{who} ✗ {hall}" if gone else "本来就不在这个大厅。 Was not assigned there."
    tell({"officer": who, "hall": hall, "assigned": False}, [line], as_json=json_out)


async def _administrator(view: View, who: str) -> Actor:
    found = await administrator(view, who)
    roles = frozenset(str(role) for role in await officers.roles_of(view, found.id))
    identity: UUID = found.id
    return Actor(ActorKind.OFFICER, department=found.department, officer_id=identity, roles=roles)

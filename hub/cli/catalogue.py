"""`yimen catalogue ...`: check the catalogue, load it (two people), compare a file with what is published."""

from pathlib import Path
from typing import Annotated, Any

import typer

from hub.actor import SYSTEM, Actor, ActorKind
from hub.catalogue.catalogue import load_catalogue
from hub.catalogue.drafts import draft_item, draft_waiver, publish, review
from hub.catalogue.items import CLASSES, LEVELS, ServiceItem, parse
from hub.catalogue.lint import Report, lint
from hub.catalogue.materials import register
from hub.catalogue.model import WaiverState
from hub.catalogue.publish import digest_of, publish_items, published_hashes
from hub.catalogue.table import RowError, documents, read_lines
from hub.cli.officer import named
from hub.cli.output import FAILED, Json, run, tell
from hub.errors import Malformed, NotFound
from hub.registry import officers
from hub.registry.types import load_types
from hub.store.tx import View
from hub.web.deps import Hub

app = typer.Typer(
    help="事项目录。 The catalogue of service items.", no_args_is_help=True, rich_markup_mode=None
)

File = Annotated[
    Path | None,
    typer.Argument(
        help="CSV 或 Excel；不写则为随平台发布的目录。 CSV or Excel; without it what came with the hub."
    ),
]


@app.command(name="lint", help="检查目录，按完整程度计数。 Check the catalogue and count by completeness.")
def check(file: File = None, json_out: Json = False) -> None:
    """Every fault with its line or code; exit 1 when there is any. Needs no database."""
    items, errors = _read(file)
    report = lint(items, load_types())
    told = {
        "items": report.items, "complete": report.complete, "skeletons": report.items - report.complete,
        "by_class": _counts(report.by_class), "by_level": _counts(report.by_level),
        "by_subject": _counts(report.by_subject), "unconfirmed": dict(report.unconfirmed),
        "materials": report.materials, "materials_in_use": report.materials_in_use,
        "materials_with_certificate": report.with_certificate, "waivers": dict(report.waivers),
        "errors": _told(errors), "faults": [{"code": f.code, "zh": f.zh, "en": f.en} for f in report.faults],
    }  # fmt: skip
    lines = [*_lines(errors), *(f"{f.code}: {f.zh} / {f.en}" for f in report.faults), *_summary(report)]
    tell(told, lines, as_json=json_out)
    if errors or report.faults:
        raise typer.Exit(FAILED)


@app.command(
    help="公布目录；外来文件须两名工作人员。 Publish the catalogue; a file of your own takes two officers."
)
def load(
    file: File = None,
    made_by: Annotated[
        str, typer.Option(help="起草人 部门/登录名。 Officer who drafts, DEPARTMENT/LOGIN.")
    ] = "",
    approved_by: Annotated[str, typer.Option(help="复核人（另一人）。 Another officer, who reviews.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="只检查。 Check only.")] = False,
    json_out: Json = False,
) -> None:
    """All lines, or (with any error) none. A version that is published already is left alone."""
    items, errors = _read(file)
    faults = lint(items, load_types()).faults
    if errors or faults:
        lines = [
            *_lines(errors),
            *(f"{f.code}: {f.zh} / {f.en}" for f in faults),
            "有错误，未作任何改动。 Nothing was changed.",
        ]
        tell(
            {"published": [], "errors": _told(errors), "faults": [f.code for f in faults]},
            lines,
            as_json=json_out,
        )
        raise typer.Exit(FAILED)

    async def work(hub: Hub) -> list[str]:
        async with hub.tx(SYSTEM) as tx:
            new = await _new(tx, items)
            if dry_run:
                return [item.code for item in new]
            if file is None:
                return await publish_items(tx, items)
            maker, reviewer = await _acting(tx, made_by), await _acting(tx, approved_by)
            for item in new:
                tx.actor = maker
                draft = await draft_item(tx, document=dict(item.document))
                tx.actor = reviewer
                await review(tx, public_id=draft.public_id)
                await publish(tx, public_id=draft.public_id)
            return [item.code for item in new]

    done = run(work)
    word = "将公布 would publish" if dry_run else "已公布 published"
    tell({"published": done, "dry_run": dry_run, "errors": []}, [f"{word}: {len(done)}"], as_json=json_out)


@app.command(help="与已公布的目录比较。 Compare with what is published.")
def diff(file: File = None, json_out: Json = False) -> None:
    """New items, new versions, versions whose content differs (an error), and published items that are not in it."""
    items, errors = _read(file)

    async def work(hub: Hub) -> dict[tuple[str, int], bytes]:
        async with hub.view(SYSTEM) as view:
            return await published_hashes(view)

    known = run(work)
    codes, here = {code for code, _ in known}, {item.code for item in items}
    told: dict[str, list[str]] = {"new": [], "raised": [], "changed": [], "missing": sorted(codes - here)}
    for item in items:
        held = known.get((item.code, item.version))
        if item.code not in codes:
            told["new"].append(item.code)
        elif held is None:
            told["raised"].append(item.code)
        elif held != digest_of(item.document):
            told["changed"].append(item.code)
    names = {
        "new": "新事项 new",
        "raised": "新版本 new version",
        "changed": "同版本内容不同 changed",
        "missing": "文件中没有 not in it",
    }
    lines = [*_lines(errors), *(f"{names[name]}: {len(told[name])}" for name in told)]
    lines += [f"  {name}: {code}" for name in ("raised", "changed") for code in told[name]]
    tell({**told, "errors": _told(errors)}, lines, as_json=json_out)
    if errors or told["changed"]:
        raise typer.Exit(FAILED)


@app.command(help="改变一项免提交的状态（两人）。 Move a waiver to its next state; it takes two officers.")
def waiver(
    material: Annotated[
        str,
        typer.Argument(help="材料代号，可用逗号分隔多项，如 marriage,degree。 Codes of materials, by commas."),
    ],
    state: Annotated[WaiverState, typer.Argument(help="新的状态。 The new state.")],
    made_by: Annotated[str, typer.Option(help="起草人 部门/登录名。 Officer who drafts, DEPARTMENT/LOGIN.")],
    approved_by: Annotated[str, typer.Option(help="复核人（另一人）。 Another officer, who reviews.")],
    reason: Annotated[str, typer.Option(help="理由，记入历史。 Why, kept in its history.")],
    check_days: Annotated[
        int | None, typer.Option(help="告知承诺在几天内核查。 A promise is checked within so many days.")
    ] = None,
    item: Annotated[
        str, typer.Option(help="只对这一个事项。 For this item only (its own department decides).")
    ] = "",
    through: Annotated[
        bool, typer.Option("--through", help="连同中间的状态，逐步。 With the states in between, step by step.")
    ] = False,
    json_out: Json = False,
) -> None:
    """Both belong to the office that issues the paper, or are administrators. In force needs a legal basis.

    Every step of every material is a draft of its own, reviewed and published; all of them or none.
    """
    steps = [WaiverState.CONNECTED, state] if through and state is WaiverState.IN_FORCE else [state]

    async def work(hub: Hub) -> None:
        if item and item not in hub.items:
            raise NotFound("item.unknown", "没有这个事项。", "There is no such service item.")
        async with hub.tx(SYSTEM) as tx:
            maker, reviewer = await _acting(tx, made_by), await _acting(tx, approved_by)
            for code in material.split(","):
                for step in steps:
                    tx.actor = maker
                    draft = await draft_waiver(
                        tx, material=code.strip(), state=step, reason=reason, check_days=check_days,
                        item=hub.items[item] if item else None,
                    )  # fmt: skip
                    tx.actor = reviewer
                    await review(tx, public_id=draft.public_id)
                    await publish(tx, public_id=draft.public_id)

    run(work)
    tell({"material": material, "state": state}, [f"{material}: {state}"], as_json=json_out)


def _read(file: Path | None) -> tuple[list[ServiceItem], list[RowError]]:
    if file is None:
        return list(load_catalogue().values()), []
    made, errors = documents(read_lines(file.read_bytes()), register())
    return [parse(document) for document in made], errors


async def _new(view: View, items: list[ServiceItem]) -> list[ServiceItem]:
    known = await published_hashes(view)
    return [item for item in items if (item.code, item.version) not in known]


async def _acting(view: View, who: str) -> Actor:
    """The officer as they would act on a page, with the roles that count now."""
    if not who:
        raise Malformed(
            "catalogue.two_officers",
            "加载外来目录须写明 --made-by 和 --approved-by。",
            "Loading a file of your own needs --made-by and --approved-by.",
        )
    found = await named(view, who)
    roles = await officers.roles_of(view, found.id) if found.active else frozenset[str]()
    return Actor(ActorKind.OFFICER, department=found.department, officer_id=found.id, roles=roles)


def _told(errors: list[RowError]) -> list[dict[str, Any]]:
    return [{"line": e.line, "column": e.column, "zh": e.zh, "en": e.en} for e in errors]


def _lines(errors: list[RowError]) -> list[str]:
    return [f"第 {e.line} 行 line {e.line} [{e.column}]: {e.zh} / {e.en}" for e in errors]


def _counts(by: Any) -> dict[str, dict[str, int]]:
    return {code: {"items": every, "complete": whole} for code, (every, whole) in by.items()}


def _summary(report: Report) -> list[str]:
    def row(name: str, pair: tuple[int, int]) -> str:
        return f"  {pair[0]:5}  {pair[1]:4}  {name}"

    lines = [
        f"事项 items {report.items}: "
        f"编目完整 complete {report.complete}, 仅列名 skeletons {report.items - report.complete}",
        "  全部   完整",
    ]
    lines += [row(" ".join(CLASSES[code]), pair) for code, pair in report.by_class.items()]
    lines += [row(" ".join(LEVELS[code]), pair) for code, pair in report.by_level.items()]
    subjects = {"natural": "自然人 natural persons", "legal": "法人 legal persons"}
    lines += [row(subjects[code], pair) for code, pair in report.by_subject.items()]
    waived = ", ".join(f"{kind} {number}" for kind, number in sorted(report.waivers.items()))
    return [
        *lines,
        f"材料 materials {report.materials}: 在用 in use {report.materials_in_use}, "
        f"有证照 with a certificate {report.with_certificate}",
        f"已公布免提交 announced waivers {sum(report.waivers.values())}: {waived}",
        "未核实 unconfirmed: " + ", ".join(f"{name} {n}" for name, n in sorted(report.unconfirmed.items())),
        f"问题 faults {len(report.faults)}",
    ]

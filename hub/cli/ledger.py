"""`yimen ledger ...`: recompute the whole ledger from storage; show what auditors pin."""

from pathlib import Path
from typing import Annotated, Any

import typer

from hub.access.shelf import every_shelf
from hub.actor import SYSTEM
from hub.cli.output import FAILED, Json, run, tell
from hub.formats.note import parse, verify_checkpoint
from hub.ledger.check import Report, check
from hub.ledger.head import lag, log_key, read_head
from hub.web.deps import Hub

app = typer.Typer(help="透明日志。 The transparency ledger.", no_args_is_help=True, rich_markup_mode=None)


@app.command(name="check", help="从存储重新计算并核对全部日志。 Recompute and check everything.")
def check_all(
    pinned: Annotated[
        Path | None, typer.Option(help="以前保存的检查点文件。 A checkpoint that you kept earlier.")
    ] = None,
    json_out: Json = False,
) -> None:
    """Reads all leaves, tiles and bodies; changes nothing. Exit code 1 when anything is wrong."""

    async def work(hub: Hub) -> Report:
        key = log_key(hub.settings.origin, hub.signer("ledger"))
        kept = verify_checkpoint(parse(pinned.read_bytes()), key).checkpoint if pinned else None
        async with hub.view(SYSTEM) as view:
            return await check(view, hub.blobs, key=key, pinned=kept, shelves=every_shelf())

    report = run(work)
    told = {
        "ok": report.ok,
        "size": report.size,
        "root": report.root.hex(),
        "pending": report.pending,
        "leaves_read": report.leaves_read,
        "tiles_read": report.tiles_read,
        "bodies_read": report.bodies_read,
        "bodies_erased": report.bodies_erased,
        "failures": [{"code": f.code, "index": f.index, "what": f.what} for f in report.failures],
    }
    lines = [f"✗ {f.code} @{f.index}: {f.what}" for f in report.failures]
    lines.append(
        f"{'✓ 日志完好 the ledger is whole' if report.ok else '✗ 发现问题 problems were found'}: "
        f"{report.size} 条 leaves, {report.pending} 待登入 pending, root {report.root.hex()}"
    )
    tell(told, lines, as_json=json_out)
    if not report.ok:
        raise typer.Exit(FAILED)


@app.command(help="显示日志公钥与树头。 Show the ledger key and head.")
def show(json_out: Json = False) -> None:
    """What auditors and witnesses write down."""

    async def work(hub: Hub) -> dict[str, Any]:
        key = log_key(hub.settings.origin, hub.signer("ledger"))
        async with hub.view(SYSTEM) as view:
            found, waiting = await read_head(view), await lag(view)
        return {
            "log_key": str(key),
            "origin": found.origin,
            "size": found.size,
            "published_size": found.published_size,
            "root": found.root.hex(),
            "pending": waiting.pending,
            "oldest_pending_seconds": int(waiting.oldest.total_seconds()),
        }

    told = run(work)
    tell(told, [f"{name}: {value}" for name, value in told.items()], as_json=json_out)

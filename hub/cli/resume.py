"""`yimen ledger resume` and `succeed`: after a restore somebody decides how the ledger goes on."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer

from hub.actor import SYSTEM
from hub.cli.output import Json, run, tell
from hub.errors import NotFound
from hub.formats.note import parse_vkey
from hub.ledger import resume as decisions
from hub.ledger.cosign import witness_address
from hub.ledger.head import log_key
from hub.ledger.hold import Hold, read_hold, release_hold
from hub.web.deps import Hub

Seen = Annotated[
    list[Path] | None,
    typer.Option("--seen", help="审计方保存的检查点文件，可多次。 A checkpoint that an auditor kept; may be repeated."),
]


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module to the group `ledger`."""
    app.command(name="resume", help="恢复之后：原账本继续。 After a restore: the same ledger goes on.")(resume)
    app.command(
        name="succeed", help="恢复之后：以新名称和新密钥继续。 After a restore: go on under a new name and key."
    )(succeed)


def resume(
    seen: Seen = None,
    stopped: Annotated[
        bool,
        typer.Option(
            "--stopped", help="我确知备份之后平台没有运行过。 I know that the hub did not run after the backup."
        ),
    ] = False,
    json_out: Json = False,
) -> None:
    """Compares the restored head with everything that anybody knows; refuses when somebody has seen more."""

    async def decide(hub: Hub, hold: Hold, standing: decisions.Standing) -> dict[str, Any]:
        hub.db.read_only = False
        async with hub.tx(SYSTEM) as tx:
            await decisions.resume(tx, hold=hold, standing=standing, stopped=stopped)
        await release_hold(hub.blobs)
        return {"origin": hold.origin, "size": standing.size}

    told = run(_deciding(decide, seen))
    lines = [
        *_known(told),
        f"✓ 原账本从 {told['size']} 条继续，平台恢复读写。",
        f"  The ledger goes on from {told['size']} leaves; the hub reads and writes again.",
    ]
    tell(told, lines, as_json=json_out)


def succeed(seen: Seen = None, json_out: Json = False) -> None:
    """Set YIMEN_LEDGER_ORIGIN to the new name first. The key of the ledger is rotated here."""

    async def decide(hub: Hub, hold: Hold, standing: decisions.Standing) -> dict[str, Any]:
        hub.db.read_only = False
        origin, old = hub.settings.origin, parse_vkey(hold.log_key)
        if origin != hold.origin and log_key(origin, hub.signer("ledger")).public == old.public:
            hub.keyring.rotate("ledger", hub.clock())
        signer = hub.signer("ledger")
        found = await decisions.succeed(
            hub.db, hub.blobs, hold=hold, standing=standing, origin=origin, signer=signer
        )
        lost = max(standing.newest - found.size, 0)
        key = str(log_key(origin, signer))
        return {"origin": origin, "log_key": key, "size": found.size, "follows": hold.origin, "lost": lost}

    told = run(_deciding(decide, seen))
    lines = [
        *_known(told),
        f"✓ 新账本 {told['origin']} 接续 {told['follows']}，从 {told['size']} 条开始；已知丢失 {told['lost']} 条。",
        f"  The ledger {told['origin']} follows {told['follows']} from {told['size']} leaves; "
        f"{told['lost']} are known to be lost.",
        f"  新日志公钥（审计、见证、核验方都要换）/ new key, for auditors, witnesses, verifiers: {told['log_key']}",
    ]
    tell(told, lines, as_json=json_out)


Decide = Callable[[Hub, Hold, decisions.Standing], Awaitable[dict[str, Any]]]


def _deciding(decide: Decide, seen: list[Path] | None) -> Callable[[Hub], Awaitable[dict[str, Any]]]:
    notes = [(path.name, path.read_bytes()) for path in seen or []]

    async def work(hub: Hub) -> dict[str, Any]:
        hold = await read_hold(hub.blobs)
        if hold is None:
            raise NotFound(
                "ledger.not_held", "没有等待决定的恢复。", "No restore waits for a decision: there is nothing to do."
            )
        witnesses = [witness_address(text) for text in hub.settings.witnesses]
        async with (
            httpx.AsyncClient(trust_env=False, follow_redirects=False, timeout=5.0) as http,
            hub.view(SYSTEM) as view,
        ):
            standing = await decisions.look_around(view, hold=hold, witnesses=witnesses, http=http, seen=notes)
        known = [{"source": one.source, "size": one.size, "fits": one.fits} for one in standing.known]
        return {**await decide(hub, hold, standing), "known": known, "silent": list(standing.silent)}

    return work


def _known(told: dict[str, Any]) -> list[str]:
    heard = [f"· {one['source']}: {one['size']} 条 leaves" for one in told["known"]]
    return heard + [f"· {name}: 没有应答 no answer" for name in told["silent"]]

"""`yimen notices`: what could not be sent, and trying it again. Never an address, never a text."""

from datetime import timedelta
from typing import Annotated, Any

import sqlalchemy as sa
import typer

from hub.actor import SYSTEM
from hub.cli.output import Json, run, tell
from hub.clock import seconds
from hub.formats.webhook import write_key
from hub.notices.model import Channel, DeliveryState, Purpose, deliveries
from hub.notices.standing import standing
from hub.notices.webhooks import PURPOSE, signers
from hub.web.deps import Hub

app = typer.Typer(help="通知。 Notices.", no_args_is_help=True, rich_markup_mode=None)

Days = Annotated[int, typer.Option(min=1, max=30, help="看几天内的。 Of how many days.")]


@app.callback()
def _group() -> None:
    """通知。 Notices."""


@app.command(help="列出没有发出去的，按渠道和原因。 What was given up, by channel and reason.")
def show(days: Days = 7, json_out: Json = False) -> None:
    """Counts only."""

    async def work(hub: Hub) -> dict[str, Any]:
        async with hub.view(SYSTEM) as view:
            now = await standing(view)
            table = deliveries.c
            rows = await view.all(
                sa.select(table.channel, table.fault, sa.func.count().label("many"))
                .where(table.state == DeliveryState.DEAD, table.ended_at > view.now - timedelta(days=days))
                .group_by(table.channel, table.fault)
                .order_by(table.channel, table.fault)
            )
        dead = [{"channel": row.channel, "fault": row.fault, "count": int(row.many)} for row in rows]
        return {"untold": now.untold, "late_seconds": int(now.late.total_seconds()), "dead": dead}

    told = run(work)
    lines = [f"待处理 {told['untold']}，最久逾期 {told['late_seconds']} 秒 waiting, and the longest overdue"]
    lines += [f"{one['channel']:8} {one['fault'] or '-':28} {one['count']}" for one in told["dead"]]
    tell(told, lines, as_json=json_out)


@app.command("rotate-key", help="更换变更通知的签名密钥。 Change the key that signs webhooks.")
def rotate_key(
    starts_in: Annotated[int, typer.Option(min=0, max=720, help="几小时后启用。 Hours until it signs.")] = 24,
    json_out: Json = False,
) -> None:
    """The successor is published at once; after it took over both sign for two days."""

    async def work(hub: Hub) -> dict[str, Any]:
        now = hub.clock()
        signers(hub.keyring, now)
        made = hub.keyring.rotate(PURPOSE, now, starts=now + timedelta(hours=starts_in))
        return {"kid": made.kid, "key": write_key(made.public), "starts_at": seconds(now) + starts_in * 3600}

    told = run(work)
    tell(told, [f"新密钥 {told['key']}，{starts_in} 小时后启用 signs from then on"], as_json=json_out)


@app.command(help="把放弃的再发一次。 Try again what was given up.")
def retry(days: Days = 7, json_out: Json = False) -> None:
    """Mail, text messages and events, under the same ids; never a code, which nobody waits for any more."""

    async def work(hub: Hub) -> dict[str, Any]:
        async with hub.tx(SYSTEM) as tx:
            table = deliveries.c
            again = await tx.run(
                deliveries.update()
                .where(
                    table.state == DeliveryState.DEAD,
                    table.purpose != Purpose.CODE,
                    table.ended_at > tx.now - timedelta(days=days),
                )
                .values(
                    state=DeliveryState.WAITING, attempts=0, due_at=tx.now, ended_at=None,
                    expires_at=tx.now + timedelta(days=1),
                )
            )  # fmt: skip
        return {"again": again, "channels": [str(one) for one in Channel]}

    told = run(work)
    tell(told, [f"{told['again']} 条将再次发送 messages are sent again"], as_json=json_out)

"""`yimen init`: the hub's own keys, tables, ledger, types and items, and the first administrator. Once."""

from typing import Annotated, Any

import typer

from hub.actor import SYSTEM
from hub.cases.publish import publish_schemes
from hub.catalogue.publish import publish_items
from hub.cli.output import Json, run, tell
from hub.cli.serve import upgrade
from hub.clock import seconds
from hub.config import Settings
from hub.ledger.create import create
from hub.ledger.head import log_key
from hub.registry.ceremony import initialise
from hub.registry.publish import publish_types
from hub.web.deps import Hub
from keys.algorithms import EDDSA, ES256

OWN_KEYS = {"token": ES256, "receipt": ES256, "ledger": EDDSA, "webhook": EDDSA}
PAIRWISE = "pairwise"


def add_to(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command(help="首次初始化：密钥、日志、首位管理员。 First start: keys, ledger, first administrator.")(
        init
    )


def init(
    department: Annotated[str, typer.Option(help="运营部门代号。 Slug of the department that runs the hub.")],
    uscc: Annotated[str, typer.Option(help="统一社会信用代码。 Its credit code (GB 32100).")],
    name_zh: Annotated[str, typer.Option(help="中文名称。 Its Chinese name.")],
    name_en: Annotated[str, typer.Option(help="英文名称。 Its English name.")],
    login: Annotated[str, typer.Option(help="管理员登录名。 Login of the first administrator.")],
    person: Annotated[str, typer.Option(help="管理员姓名。 Name of the first administrator.")],
    json_out: Json = False,
) -> None:
    """1. Tables. 2. The hub's own keys (never a department's). 3. In one commit: department, administrator, ledger,
    types, items. The link is shown once and lasts 24 hours."""
    settings = Settings()
    settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    upgrade(settings)  # 1

    async def work(hub: Hub) -> dict[str, Any]:
        make_keys(hub)  # 2
        await hub.blobs.prepare()
        signer = hub.signer("ledger")
        async with hub.tx(SYSTEM) as tx:  # 3
            link = await initialise(
                tx, slug=department, uscc=uscc, name_zh=name_zh, name_en=name_en, login=login, name=person
            )
            await create(tx, blobs=hub.blobs, origin=settings.origin, signer=signer)
            await publish_types(tx, hub.types.values())
            await publish_items(tx, hub.items.values())
            await publish_schemes(tx, hub.schemes.values())
        return {
            "link": f"{settings.public_url}/enter/{link.token}",
            "expires_at": seconds(link.expires_at),
            "officer_id": str(link.officer_id),
            "log_key": str(log_key(settings.origin, signer)),
        }

    made = run(work, settings=settings)
    lines = [
        "初始化完成。 The hub is initialised.",
        f"管理员一次性链接（24 小时内有效，只显示这一次）/ one-time link, shown once: {made['link']}",
        f"日志公钥（请交给审计部门保存）/ ledger key, for auditors to pin: {made['log_key']}",
    ]
    tell(made, lines, as_json=json_out)


def make_keys(hub: Hub) -> None:
    """Make each of the hub's own keys and secrets that is not there yet."""
    now = hub.clock()
    held = {record.purpose for record in hub.keyring.inventory() if record.retired_at is None}
    for purpose, alg in OWN_KEYS.items():
        if purpose not in held:
            hub.keyring.create(purpose, alg=alg, not_before=now)
    hub.keyring.secret(PAIRWISE)

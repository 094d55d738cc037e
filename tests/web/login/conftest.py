"""A hub that knows one provider for citizens and one for the officers of one department, both run by idpyoidc."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from parts import FixedClock
from registry.makers import AUDIENCE
from web.login.provider import ACR, SECRET, Provider, running
from web.pages.family import Browser, Page, make_hub
from world import World

from hub.actor import SYSTEM
from hub.ledger.create import create
from hub.main import app as make_app
from hub.registry import officers, providers
from hub.registry.model import Level
from hub.registry.providers import Method
from hub.registry.roster import OfficerRow
from hub.web.deps import Hub


@dataclass
class Town:
    """The hub, its two providers, and everybody's browsers."""

    world: World
    hub: Hub
    app: object
    people: Provider
    office: Provider
    wang: str
    clerk: object

    def browser(self, agent: str = "Mozilla/5.0 (X11; Linux x86_64) Chrome/140") -> Browser:
        made = Browser(self.app, self.hub)
        made.client.headers["user-agent"] = agent
        return made

    async def off(self, browser: Browser, code: str, **query: str) -> str:
        """The browser is sent off; the provider's answer: the address back at the hub."""
        sent = await browser.client.get(f"/login/{code}", params=query, follow_redirects=False)
        assert sent.status_code == 303, sent.text
        return await self.there(sent.headers["location"])

    async def there(self, address: str) -> str:
        """What the provider does with the address that a browser was sent to."""
        async with httpx.AsyncClient() as outside:
            answer = await outside.get(address)
        assert answer.status_code == 302, answer.text
        return answer.headers["location"]

    async def enter(self, code: str, browser: Browser | None = None, **query: str) -> tuple[Browser, Page]:
        browser = browser or self.browser()
        back = await self.off(browser, code, **query)
        return browser, Page(await browser.client.get(back))


@pytest.fixture
async def town(postgresql_database: str, clock: FixedClock, tmp_path: Path) -> AsyncIterator[Town]:
    clock.moment = datetime.now(UTC).replace(microsecond=0)
    world = World(postgresql_database, clock)
    hub = make_hub(world, tmp_path / "hub")
    hub.keyring.create("login", not_before=clock())
    async with hub.tx(SYSTEM) as tx:
        await create(tx, blobs=hub.blobs, origin="hub.example/ledger", signer=hub.signer("ledger"))
    await world.department("dg-edu")
    await world.department("dg-si")
    rows = [
        OfficerRow(1, "dg-edu", "clerk-1", "李办", frozenset({"clerk"})),
        OfficerRow(2, "dg-edu", "clerk-2", "王办", frozenset({"clerk"})),
        OfficerRow(3, "dg-si", "clerk-1", "吴外", frozenset({"clerk"})),
    ]
    async with hub.tx(SYSTEM) as tx:
        await officers.import_officers(tx, rows=rows, dry_run=False)
        clerk = await officers.by_login(tx, "dg-edu", "clerk-1")
    wang = world.person("王小明").id_no
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    secret.chmod(0o600)
    citizens = {
        "wang": {"id_number": wang, "name": "王小明"},
        "wang-again": {"id_number": wang, "name": "王小明"},
        "li": {"id_number": world.person("李大勇").id_no, "name": "李大勇"},
        "nobody": {"name": "没有号码"},
    }
    staff = {
        "u1": {"preferred_username": "clerk-1"},
        "u1b": {"preferred_username": "clerk-1"},
        "u9": {"preferred_username": "nobody"},
        "wang": {"id_number": wang, "preferred_username": wang},
    }
    async with running(tmp_path / "people", citizens) as people, running(tmp_path / "office", staff) as office:
        keys = {"keys": [{**hub.signer("login").public.jwk, "kid": hub.signer("login").kid, "use": "sig"}]}
        people.admit("the-hub", f"{AUDIENCE}/login/people/back")
        office.admit("the-hub", f"{AUDIENCE}/login/office/back", keys=keys)
        made = providers.Provider(
            code="people", issuer=people.issuer, client_id="the-hub", name_zh="省统一身份认证", name_en="Province",
            method=Method.SECRET_BASIC, secret_file=str(secret), levels={ACR: Level.HIGH}, level=Level.SUBSTANTIAL,
        )  # fmt: skip
        theirs = providers.Provider(
            code="office", issuer=office.issuer, client_id="the-hub", name_zh="教育局登录", name_en="Education",
            department="dg-edu",
        )  # fmt: skip
        async with hub.tx(SYSTEM) as tx:
            await providers.add(tx, made, plain_http=True)
            await providers.add(tx, theirs, plain_http=True)
        yield Town(world, hub, make_app(hub), people, office, wang, clerk)
    await world.close()

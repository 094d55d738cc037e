"""One family, the departments that know them, and a school place asked for: what every page test starts from.

The Hub is real: real database, real keys, real files; only time stands still.
"""

from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import httpx
import lxml.html
import sqlalchemy as sa
from fastapi import FastAPI
from registry.makers import AUDIENCE
from world import Person, World

from hub.actor import SYSTEM
from hub.cases.scheme import load_schemes
from hub.certificates import find
from hub.certificates.model import StatusEvent
from hub.config import Settings
from hub.ledger.create import create
from hub.ledger.sequence import Sequencer
from hub.main import app as make_app
from hub.registry import officers, sessions
from hub.registry.model import departments
from hub.registry.roster import OfficerRow
from hub.store.blobs import FileBlobs
from hub.web.deps import Hub
from hub.web.pages.cookies import cookie_name
from keys.files import Keyring

ORIGIN = "hub.example/ledger"

NAMES = {
    "dg-edu": ("东莞市教育局", "Dongguan Education Bureau"),
    "dg-degree": ("学位授予单位", "Degree-awarding institution"),
    "dg-hrss": ("东莞市人力资源局", "Dongguan Human Resources Bureau"),
    "dg-si": ("东莞市社会保障局", "Dongguan Social Security Bureau"),
    "dg-ps": ("东莞市公安局", "Dongguan Public Security Bureau"),
    "dg-tax": ("东莞市税务局", "Dongguan Tax Bureau"),
    "dg-realestate": ("东莞市不动产登记中心", "Dongguan Real Estate Registry"),
    "dg-civil": ("东莞市民政局", "Dongguan Civil Affairs Bureau"),
    "dg-health": ("东莞市卫生和计划生育局", "Dongguan Health and Family Planning Bureau"),
    "dg-market": ("东莞市市场监督管理局", "Dongguan Market Supervision Administration"),
    "dg-science": ("东莞市科学技术局", "Dongguan Science and Technology Bureau"),
    "dg-volunteer": ("东莞市志愿服务联合会", "Dongguan Volunteer Federation"),
    "dg-audit": ("东莞市审计局", "Dongguan Audit Bureau"),
}


def make_hub(world: World, folder: Path, *, production: bool = False) -> Hub:
    """A hub around the world's database."""
    keyring = Keyring(folder / "keys", "a passphrase of tests")
    for purpose, alg in (("token", "ES256"), ("receipt", "ES256"), ("ledger", "EdDSA")):
        keyring.create(purpose, alg=alg, not_before=world.clock())
    settings = Settings(
        production=production,
        public_url=AUDIENCE,
        data_dir=folder,
        key_passphrase="a passphrase of tests",
    )
    return Hub(
        settings=settings,
        clock=world.clock,
        db=world.db,
        blobs=FileBlobs(folder / "blobs"),
        keyring=keyring,
        types=world.types,
        items=world.items,
        schemes=load_schemes(),
    )


class Browser:
    """A browser without scripts: follows links, fills in the forms that a page really has, keeps cookies."""

    def __init__(self, app: FastAPI, hub: Hub) -> None:
        self.hub = hub
        self.client = httpx.AsyncClient(
            transport=httpx.ASGITransport(app, raise_app_exceptions=False),
            base_url=AUDIENCE,
            headers={"accept": "text/html", "accept-language": "zh-CN"},
            follow_redirects=True,
        )

    async def get(self, path: str) -> "Page":
        return Page(await self.client.get(path))

    async def send(self, page: "Page", action: str, fields: dict[str, object] | None = None, **more: object) -> "Page":
        """Post the form of `page` with this action, its own hidden fields included."""
        form = page.form(action)
        data: dict[str, object] = {
            i.get("name"): i.get("value", "") for i in form.xpath(".//input[@type='hidden']") if i.get("name")
        }
        data |= fields or {}
        headers = {"origin": AUDIENCE, "sec-fetch-site": "same-origin"}
        answer = await self.client.post(form.get("action"), data=data, headers=headers, **more)
        return Page(answer)

    async def sign_in(self, *, subject: UUID | None = None, officer: UUID | None = None) -> None:
        async with self.hub.tx(SYSTEM) as tx:
            opened = await sessions.open_session(
                tx, assurance="substantial", subject_id=subject, officer_id=officer,
                through=sessions.Through(provider="demo", device="Chrome · Linux"),
            )  # fmt: skip
        self.client.cookies.set(cookie_name(self.hub, "session"), opened.token, domain="hub.example", path="/")


class Page:
    """An answer, with its text and its forms."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer = answer
        self.status = answer.status_code
        assert self.status < 500, answer.text[-2000:]
        self.headers = answer.headers
        self.url = answer.url
        self.root = lxml.html.fromstring(answer.text) if answer.text.strip() else lxml.html.Element("html")

    @property
    def text(self) -> str:
        body = self.root.find(".//main")
        return " ".join((body if body is not None else self.root).text_content().split())

    def one(self, xpath: str) -> lxml.html.HtmlElement:
        found = self.root.xpath(xpath)
        assert len(found) == 1, (xpath, len(found), self.text[:400])
        return found[0]

    def form(self, action: str) -> lxml.html.HtmlElement:
        found = [f for f in self.root.xpath("//form") if f.get("action") == action]
        assert found, f"no form {action!r}; there are {[f.get('action') for f in self.root.xpath('//form')]}"
        return found[0]

    def links(self) -> list[str]:
        return [str(link) for link in self.root.xpath("//a/@href")]


@dataclass
class Family:
    """The people of the tests, their certificates, and the officers who meet them."""

    world: World
    hub: Hub
    app: FastAPI
    parent: Person
    other: Person
    child: Person
    officers: dict[str, UUID]
    degree: str = ""

    def browser(self) -> Browser:
        return Browser(self.app, self.hub)

    async def as_parent(self) -> Browser:
        browser = self.browser()
        await browser.sign_in(subject=await self.world.subject(self.parent))
        return browser

    async def as_officer(self, login: str) -> Browser:
        browser = self.browser()
        await browser.sign_in(officer=self.officers[login])
        return browser

    async def token(self) -> str:
        """The parent's degree certificate as the department signed it."""
        async with self.hub.view(await self.world.citizen(self.parent)) as view:
            held = await find.of_holder(view, subject_id=await self.world.subject(self.parent), type_code="degree")
            return await find.open_body(view, held[0])

    async def sequence(self) -> None:
        """Bring all pending leaves into the ledger and publish."""
        blobs, signer = self.hub.blobs, self.hub.signer("ledger")
        sequencer = Sequencer(self.hub.db, blobs, origin=ORIGIN, signer=signer)
        await sequencer.take_office()
        while (await sequencer.step()).added:
            pass


async def make_family(world: World, folder: Path, *, all_papers: bool = False) -> Family:
    """Chen and his child, with the certificates that a school place by points asks for."""
    hub = make_hub(world, folder)
    async with hub.tx(SYSTEM) as tx:
        await create(tx, blobs=hub.blobs, origin=ORIGIN, signer=hub.signer("ledger"))
    for slug in NAMES if all_papers else ("dg-edu", "dg-audit", "dg-degree", "dg-health", "dg-si", "dg-ps"):
        await world.department(slug)
    rows = [
        OfficerRow(1, "dg-edu", "clerk", "李办", frozenset({"clerk"})),
        OfficerRow(2, "dg-edu", "issuing", "王签", frozenset({"issuing_officer"})),
        OfficerRow(3, "dg-edu", "second", "赵核", frozenset({"second_approver"})),
        OfficerRow(4, "dg-audit", "auditor", "孙审", frozenset({"auditor"})),
        OfficerRow(5, "dg-edu", "operator", "周运", frozenset({"operator"})),
        OfficerRow(6, "dg-si", "stranger", "吴外", frozenset({"clerk"})),
        OfficerRow(7, "dg-edu", "decider", "郑批", frozenset({"decider"})),
        OfficerRow(8, "dg-si", "si-decider", "冯批", frozenset({"decider"})),
        OfficerRow(9, "dg-degree", "degree-complaints", "褚诉", frozenset({"complaint_handler"})),
        OfficerRow(9, "dg-audit", "complaints", "郑诉", frozenset({"complaint_handler"})),
    ]
    async with hub.tx(SYSTEM) as tx:
        for slug, (zh, en) in NAMES.items():
            await tx.run(departments.update().where(departments.c.slug == slug).values(name_zh=zh, name_en=en))
        report = await officers.import_officers(tx, rows=rows, dry_run=False)
        assert not report.errors
        known = {o.login: o.id for o in await officers.all_officers(tx)}
    parent, other = world.person("陈䶮安"), world.person("林小满", "19880203")
    child = world.person("陈一诺", "20190412")
    family = Family(world, hub, make_app(hub), parent, other, child, known)
    await _papers(family, all_papers)
    return family


async def _papers(family: Family, all_papers: bool) -> None:
    world, parent, child = family.world, family.parent, family.child
    made = await world.certificate(
        "degree", (parent, "owner"), number="1181942007001234", education_level="bachelor",
        degree_level="bachelor", school="东莞理工学院", major="机械工程", conferred_on="2007-06-30",
    )  # fmt: skip
    family.degree = made.certificate
    await world.certificate(
        "birth", (child, "child"), (parent, "father"), number="S440012345", born_on="2019-04-12", sex="female",
    )  # fmt: skip
    await world.certificate(
        "social_insurance", (parent, "insured"), number="SI-0019283", pension_months=96, medical_months=96,
        unemployment_months=96, injury_months=96, maternity_months=90, insured_now=True,
    )  # fmt: skip
    if not all_papers:
        return
    permits = [{"kind": "residence", "valid_from": "2014-03-01", "valid_until": "2027-03-01"}]
    await world.certificate(
        "residence_permit", (parent, "owner"), number="R4419000012345", town="南城街道",
        address="东莞市南城街道元美路 8 号", permits=permits, exp=_in_days(world, 20),
    )  # fmt: skip
    await world.certificate(
        "property", (parent, "owner"), number="粤(2016)东莞不动产权第0012345号", use="home", ownership="sole",
        clear_title=True, area_m2="89.50", town="南城街道", address="东莞市南城街道元美路 8 号 1202",
        registered_on="2016-05-20",
    )  # fmt: skip
    await world.certificate(
        "tax_record", (parent, "taxpayer"), number="T2026-00812", wage_tax_3y="12680.00", period_until="2026-10-31",
    )  # fmt: skip
    await world.certificate(
        "employment", (parent, "worker"), number="E-2026-5531", kind="employed", service_months=148, working=True,
        employer="东莞市某机械有限公司", since="2014-07-01",
    )  # fmt: skip
    await world.certificate(
        "school_record", (child, "child"), number="G441900201904120023", stage="kindergarten",
        school="南城中心幼儿园", kindergarten_approved=True, kindergarten_months=30, primary_months=0,
    )  # fmt: skip
    gone = await world.certificate(
        "qualification", (parent, "owner"), number="1519003000400123", level="intermediate_worker",
        occupation="钳工", conferred_on="2009-11-01",
    )  # fmt: skip
    await world.change(gone.certificate, StatusEvent.REVOKE, by="dg-hrss")


def _in_days(world: World, days: int) -> int:
    from hub.clock import civil_day, day_start, seconds

    return seconds(day_start(civil_day(world.clock()))) + days * 86_400


async def count(hub: Hub, table: sa.Table) -> int:
    async with hub.view(SYSTEM) as view:
        return int(await view.value(sa.select(sa.func.count()).select_from(table)))

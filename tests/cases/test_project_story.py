"""The seed's project story over HTTP: one enterprise, its agent, one building; how often each paper is asked for.

Before: every counter asks for everything on its own list. After: the agent brings only what no department holds and
nobody has brought yet. Each of fifteen matters is a case of its own: planned, opened, agreed to and gathered on the
pages, accepted by the department's own pre-review, decided; what the department then registers is read by the next.
The last one (joint acceptance of the works) is decided by seven departments at once, closed, archived and checked
offline. Any material asked twice fails.

Papers go past the limited child process that reads uploads (tests/cases/test_uploads.py shows it): 26 of them would
cost half a second each.
"""

import asyncio
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from cases.applicants import decider
from cases.test_uploads import pdf
from parts import FixedClock
from registry.makers import credit
from web.pages.family import ORIGIN, Browser, make_hub
from world import World

from hub.actor import SYSTEM
from hub.cases import archive, close, steps, uploads
from hub.cases.accept import accept
from hub.cases.archivecheck import check_package
from hub.cases.asseen import as_seen
from hub.cases.model import CaseOutcome, MaterialState
from hub.cases.open import by_public_id, readable
from hub.cases.party import companies_for, on_behalf
from hub.cases.procedure import procedure_of
from hub.cases.scope import in_scope
from hub.catalogue.catalogue import load_catalogue
from hub.consent.entrust import offer, take
from hub.errors import NotFound
from hub.ledger.create import create
from hub.ledger.head import log_key
from hub.ledger.sequence import Sequencer
from hub.main import app as make_app
from hub.registry.publish import publish_types
from hub.web.current import archive_one, means_of

CODE = "2609-441900-04-01-000001"
ROAD: list[tuple[str, str | None]] = [
    ("dr-filing", "project_filing"),
    ("nr-site", "site_opinion"),
    ("nr-land-permit", "land_permit"),
    ("eco-eia", "eia_approval"),
    ("dr-energy", None),
    ("water-soil", None),
    ("nr-planning-permit", "planning_permit"),
    ("housing-drawings", "drawings_check"),
    ("housing-fire-review", "fire_review"),
    ("water-drainage", "drainage_permit"),
    ("housing-construction-permit", "construction_permit"),
    ("urban-dig", None),
    ("housing-fire-acceptance", None),
    ("eco-emission", None),
    ("housing-completion", None),
]
"""The items in the order in which a building needs them, each with what its department then registers."""


class Story:
    """The enterprise's road: what is asked for, and who does what."""

    def __init__(self, world: World, folder: Any) -> None:
        self.world, self.hub = world, make_hub(world, folder)
        self.app = make_app(self.hub)
        self.before, self.after, self.names = Counter[str](), Counter[str](), dict[str, str]()

    async def begin(self) -> None:
        world = self.world
        items = [world.items[f"441900-{slug}"] for slug, _ in ROAD]
        async with self.hub.tx(SYSTEM) as tx:
            await create(tx, blobs=self.hub.blobs, origin=ORIGIN, signer=self.hub.signer("ledger"))
        types = {e.type for item in items for m in item.materials for e in m.satisfied_by}
        deciding = {step.department for item in items for step in procedure_of(item).steps}
        for slug in sorted({item.department for item in items} | deciding | {world.types[c].owner for c in types}):
            await world.department(slug)
        async with self.hub.tx(SYSTEM) as tx:
            await publish_types(tx, world.types.values())
        self.agent, self.boss, self.number = world.person("孙经办"), world.person("赵法人"), credit(4711)
        firm = {"name": "东莞市一门精密制造有限公司", "id_type": "001", "id_no": self.number}
        self.firm = [{**firm, "role": "company"}]
        licence = [*self.firm, self.boss.as_holder("legal_representative")]
        await world.register(await world.sign("business_licence", licence), by="dg-market")
        land = [{**firm, "role": "owner"}]
        await world.register(await world.sign("property", land, ownership="sole", use="other"), by="dg-realestate")
        async with world.tx(await world.citizen(self.boss)) as tx:
            (company,) = await companies_for(tx, person=tx.actor.subject_id, item_code=items[0].code)
            offered = await offer(
                tx, principal=company, items=[item.code for item in items], types=sorted(types)[:32],
                valid_until=tx.now + timedelta(days=300),
            )  # fmt: skip
        self.company = company
        async with world.tx(await world.citizen(self.agent)) as tx:
            await take(tx, code=offered.code)
        self.sequencer = Sequencer(
            self.hub.db, self.hub.blobs, origin=ORIGIN, signer=self.hub.signer("ledger")
        )
        await self.sequencer.take_office()
        self.browser = Browser(self.app, self.hub)
        await self.browser.sign_in(subject=await world.subject(self.agent))

    async def matter(self, slug: str, gives: str | None) -> str:
        """One matter from the agent's plan to the department's last decision; gives the case."""
        item, browser = self.world.items[f"441900-{slug}"], self.browser
        plan = (await browser.client.get(f"/items/{item.code}/plan?for=c1")).json()
        self.count(item, plan)
        case = await browser.send(
            await browser.get(f"/items/{item.code}?for=c1"), "/cases", {"item": item.code, "company": "c1"}
        )
        at, number = case.url.path, case.url.path.rpartition("/")[2]
        request = await browser.send(case, f"{at}/gather")
        assert request.url.path.startswith("/requests/"), "one consent for everything that the matter needs"
        every = [box.get("value") for box in request.root.xpath("//input[@name='field']")]
        await browser.send(request, request.url.path, {"decision": "agree", "field": every})
        await browser.send(await browser.get(at), f"{at}/gather")
        for code in plan["bring"]:
            await self.bring(number, item, code)
        await self.accepted(number, item)
        await self.decided(number, item)
        if gives is not None:
            claims = {"project_code": CODE, "project_name": "精密制造厂房"}
            await self.world.register(
                await self.world.sign(gives, self.firm, **claims), by=self.world.types[gives].owner
            )
        self.world.clock.advance(hours=1)
        await self.sequenced()
        return number

    async def sequenced(self) -> None:
        while (await self.sequencer.step()).added:
            pass

    def count(self, item: Any, plan: dict[str, Any]) -> None:
        """What every counter would ask for on its own list, and what is asked for here."""
        groups: dict[str, Any] = {}
        for material in item.materials:
            groups.setdefault(material.either or material.code, material)
        for usual in groups.values():
            self.names[usual.code] = usual.label()
            self.before[usual.code] += usual.required
        for code in plan["bring"]:
            self.names[code] = item.material(code).label()
            self.after[code] += 1

    async def bring(self, number: str, item: Any, code: str) -> None:
        """The agent uploads a paper; a clerk takes it and compares the original."""
        clerk = decider(item.department, number=9, roles=("clerk",))
        citizen = await self.world.citizen(self.agent)
        async with self.hub.tx(citizen) as plain:
            tx = await on_behalf(plain, public_id=number)
            paper = await uploads.upload(
                tx, self.hub.blobs, case=await by_public_id(tx, number), item=item, code=code,
                file=uploads.Safe(pdf(code), "pdf"),
            )  # fmt: skip
        async with self.hub.tx(clerk) as tx:
            case, scope = await in_scope(tx, number)
            say = {"case": case, "scope": scope, "public_id": paper.public_id}
            await uploads.review(tx, **say, item=item, state=MaterialState.ACCEPTED, reason_code="", note="")
            await uploads.compare(tx, **say)

    async def accepted(self, number: str, item: Any) -> None:
        """Nothing is missing: what the planner did not ask for, the pre-review does not miss either."""
        async with self.hub.tx(decider(item.department, number=9, roles=("clerk",))) as tx:
            case, scope = await in_scope(tx, number)
            seen = await as_seen(tx, case=case, item=item, scheme=None)
            missing = [one.code for one in seen.review.materials if one.blocks]
            assert missing == [], (item.code, missing, [(one.type_code, one.reason) for one in seen.looks])
            await accept(tx, case=case, scope=scope, procedure=procedure_of(item), review=seen.review)

    async def decided(self, number: str, item: Any) -> None:
        plan = procedure_of(item)

        async def one(step: Any) -> None:
            async with self.hub.tx(decider(step.department)) as tx:
                case, _ = await in_scope(tx, number)
                await steps.decide(
                    tx, case=case, procedure=plan, code=step.code, passed=True, reason_code="verified"
                )

        await asyncio.gather(*(one(step) for step in plan.steps))
        async with self.hub.view(SYSTEM) as view:
            assert (await by_public_id(view, number)).outcome is CaseOutcome.PASSED


@pytest.fixture
async def story(sqlite_database: str, clock: FixedClock, tmp_path: Any) -> Story:
    world = World(sqlite_database, clock)
    world.items = load_catalogue()
    made = Story(world, tmp_path)
    await made.begin()
    yield made
    await world.close()


async def test_twenty_papers_six_departments_and_none_is_asked_twice(story: Story) -> None:
    hub, world = story.hub, story.world
    number = [await story.matter(slug, gives) for slug, gives in ROAD][-1]
    departments = {world.items[f"441900-{slug}"].department for slug, _ in ROAD}
    classes = {world.items[f"441900-{slug}"].item_class for slug, _ in ROAD}
    before, after = story.before, story.after
    print(f"\n经办人 {story.agent.name[0]}**：{len(ROAD)} 个事项，{len(departments)} 个部门，{len(before)} 种材料")
    for code, times in before.most_common():
        print(f"  {times:3} → {after[code]}  {story.names[code]}")
    print(f"  合计 {before.total()} → {after.total()}")
    assert classes == {"construction", "investment"}
    assert len(departments) >= 6
    assert len([code for code, times in before.items() if times]) > 20
    assert max(after.values()) == 1, "a material was asked twice"
    assert before["licence"] == len(ROAD)
    assert after["licence"] == after["planning_permit"] == after["land_permit"] == 0
    assert after.total() * 2 < before.total()

    # Somebody else sees nothing of the company's cases; the last one was decided by seven, and leaves its archive.
    stranger = Browser(story.app, hub)
    await stranger.sign_in(subject=await world.subject(world.person("路人")))
    assert (await stranger.get(f"/cases/{number}")).status == 404
    async with hub.tx(decider("dg-housing")) as tx:
        case = await close.close(tx, case=await by_public_id(tx, number))
        found = await steps.steps_of(tx, case=case)
    assert len({step.department for step in found}) == 7
    await story.sequenced()
    assert await archive_one(hub, means_of(hub), case)
    await story.sequenced()
    async with hub.view(SYSTEM) as view:
        package = await archive.package_of(view, hub.blobs, archive.TileReader(hub.blobs), case=case)
    index, findings = check_package(package, log_key=log_key(ORIGIN, hub.signer("ledger")))
    assert {one.name: one.holds for one in findings} == dict.fromkeys(
        ("index", "log_key", "leaves", "issuers", "agreement", "archived"), True
    )
    opened = [one["path"] for one in index["files"]]
    assert len([path for path in opened if path.startswith("decisions/")]) == 7
    async with world.view(await world.citizen(story.agent)) as view:
        acting = await on_behalf(view, public_id=number, only_representative=True)
        assert acting is view, "an agent takes no copy of the contents; the representative does"
        with pytest.raises(NotFound):
            await readable(acting, number)

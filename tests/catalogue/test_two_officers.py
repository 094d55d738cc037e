"""The catalogue changes by two officers of the owner; waivers come into force with a basis and a live source only."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from world import World

from hub.actor import SYSTEM, Actor, ActorKind
from hub.catalogue import drafts, waivers
from hub.catalogue.catalogue import Catalogue, load_catalogue
from hub.catalogue.current import refresh
from hub.catalogue.model import DraftState, WaiverState
from hub.catalogue.publish import publish_items
from hub.catalogue.sources import declare, sources
from hub.certificates import status
from hub.clock import seconds
from hub.errors import Conflict, Forbidden, HubError
from hub.ledger.model import leaves
from hub.registry import officers
from hub.registry.publish import publish_types
from hub.registry.roster import OfficerRow

PEOPLE = {
    "drafts": ("dg-civil", "issuing_officer"),
    "reviews": ("dg-civil", "second_approver"),
    "other-drafts": ("dg-tax", "issuing_officer"),
    "other-reviews": ("dg-tax", "second_approver"),
    "admin": ("dg-tax", "administrator"),
    "clerk": ("dg-civil", "clerk"),
}
MARRIAGE = "441900-civil-marriage"


@dataclass
class City:
    world: World
    ids: dict[str, UUID]
    catalogue: Catalogue

    def acts(self, login: str) -> Actor:
        department, role = PEOPLE[login]
        return Actor(
            ActorKind.OFFICER, department=department, officer_id=self.ids[login], roles=frozenset({role})
        )

    async def does(self, login: str, verb: Any, **arguments: Any) -> Any:
        async with self.world.tx(self.acts(login)) as tx:
            return await verb(tx, **arguments)

    async def moved(self, material: str, *states: str, check_days: int | None = None) -> None:
        """Both officers move a waiver through these states; administrators act where a department has none."""
        for state in states:
            draft = await self.does(
                "drafts", drafts.draft_waiver, material=material, state=WaiverState(state), reason="测试",
                check_days=check_days,
            )  # fmt: skip
            await self.does("reviews", drafts.review, public_id=draft.public_id)
            await self.does("reviews", drafts.publish, public_id=draft.public_id)


@pytest.fixture
async def city(world: World) -> City:
    for slug in ("dg-civil", "dg-tax"):
        await world.department(slug)
    async with world.tx() as tx:
        rows = [
            OfficerRow(line, department, login, login, frozenset({role}))
            for line, (login, (department, role)) in enumerate(PEOPLE.items(), start=2)
        ]
        report = await officers.import_officers(tx, rows=rows, dry_run=False)
        assert report.errors == ()
        ids = {one.login: one.id for one in await officers.all_officers(tx)}
        await publish_types(tx, world.types.values())
    return City(world, ids, load_catalogue())


def raised(catalogue: Catalogue, code: str = MARRIAGE, **changed: Any) -> dict[str, Any]:
    return {**catalogue[code].document, "version": 2, **changed}


async def refused(kind: type[HubError], doing: Any) -> str:
    with pytest.raises(kind) as told:
        await doing
    return told.value.code


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
async def test_publishing_the_whole_catalogue_once_leaves_1817_leaves(city: City) -> None:
    async with city.world.tx(SYSTEM) as tx:
        new = await publish_items(tx, city.catalogue.values())
        again = await publish_items(tx, city.catalogue.values())
        count = await tx.value(
            sa.select(sa.func.count()).select_from(leaves).where(leaves.c.kind == "catalogue")
        )
    assert (len(new), again, count) == (1817, [], 1817)


async def test_a_version_goes_from_draft_to_published_by_two_officers(city: City) -> None:
    async with city.world.tx(SYSTEM) as tx:
        await publish_items(tx, [city.catalogue[MARRIAGE]])
    draft = await city.does("drafts", drafts.draft_item, document=raised(city.catalogue))
    assert draft.state is DraftState.DRAFT
    reviewed = await city.does("reviews", drafts.review, public_id=draft.public_id)
    assert reviewed.state is DraftState.REVIEWED
    done = await city.does("drafts", drafts.publish, public_id=draft.public_id)
    assert (done.state, done.made_by, done.reviewed_by) == (
        DraftState.PUBLISHED, city.ids["drafts"], city.ids["reviews"],
    )  # fmt: skip
    async with city.world.view() as view:
        versions = await drafts.history(view, code=MARRIAGE)
        changed = await refresh(view, city.catalogue)
        assert await refresh(view, city.catalogue) == 0
    assert [item.version for item, _ in versions] == [1, 2]
    assert (changed, city.catalogue[MARRIAGE].version, len(city.catalogue)) == (1, 2, 1817)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
async def test_a_version_stands_from_its_first_day_and_not_before(city: City) -> None:
    later = raised(city.catalogue, valid_from="2099-01-01")
    draft = await city.does("drafts", drafts.draft_item, document=later)
    await city.does("reviews", drafts.review, public_id=draft.public_id)
    await city.does("reviews", drafts.publish, public_id=draft.public_id)
    async with city.world.view() as view:
        assert await refresh(view, city.catalogue) == 0
    assert city.catalogue[MARRIAGE].version == 1


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
async def test_nobody_else_and_nobody_alone_changes_an_item(city: City) -> None:
    document = raised(city.catalogue)
    for stranger in ("other-drafts", "clerk", "reviews"):
        assert await refused(Forbidden, city.does(stranger, drafts.draft_item, document=document)) == (
            "catalogue.not_owner"
        )
    draft = await city.does("drafts", drafts.draft_item, document=document)
    for stranger in ("other-reviews", "clerk", "drafts"):
        assert await refused(Forbidden, city.does(stranger, drafts.review, public_id=draft.public_id)) == (
            "catalogue.not_owner"
        )
    early = city.does("reviews", drafts.publish, public_id=draft.public_id)
    assert await refused(Conflict, early) == "catalogue.draft_state"
    own = await city.does("admin", drafts.draft_item, document=document)
    assert await refused(Forbidden, city.does("admin", drafts.review, public_id=own.public_id)) == (
        "catalogue.same_officer"
    )
    await city.does("reviews", drafts.refuse, public_id=draft.public_id)
    for verb in (drafts.review, drafts.publish, drafts.refuse):
        assert await refused(Conflict, city.does("reviews", verb, public_id=draft.public_id)) == (
            "catalogue.draft_state"
        )


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
async def test_an_old_or_broken_version_is_no_draft(city: City) -> None:
    async with city.world.tx(SYSTEM) as tx:
        await publish_items(tx, [city.catalogue[MARRIAGE]])
    old = city.does("drafts", drafts.draft_item, document=raised(city.catalogue, version=1))
    assert await refused(Conflict, old) == "item.version_old"
    for broken in ({"subject": "cat"}, {"class": "?"}, {"materials": [{}]}, {"caps": {}}):
        doing = city.does("drafts", drafts.draft_item, document=raised(city.catalogue, **broken))
        assert await refused(HubError, doing) == "item.invalid"


async def test_a_verified_waiver_needs_a_live_source_and_stops_with_it(city: City) -> None:
    early = city.moved("marriage", "connected")
    assert await refused(HubError, early) == "waiver.no_source"
    wang, li = city.world.person("王"), city.world.person("李")
    await city.world.certificate("marriage", (wang, "spouse"), (li, "spouse"))
    assert await refused(Conflict, city.moved("marriage", "in_force")) == "waiver.step_not_allowed"
    await city.moved("marriage", "connected", "in_force")
    async with city.world.view() as view:
        now = await waivers.standing(view)
        assert now.waivers["marriage"].effective
        assert now.sources["marriage"].live
        assert waivers.counts(now.every)["verified"]["in_force"] == 1
        rows = await waivers.history(view, "marriage")
        assert [(row.state, row.current) for row in rows] == [("connected", False), ("in_force", True)]
    city.world.clock.advance(days=8)  # the department's signed list has ended: nobody is at work there
    async with city.world.view() as view:
        silent = (await waivers.standing(view)).waivers["marriage"]
    assert (silent.state, silent.effective) == (WaiverState.IN_FORCE, False)

    # The hub suspends it by itself, once; the source alone does not bring it back, two officers do.
    async with city.world.tx() as tx:
        assert await waivers.suspend_silent(tx) == ["marriage"]
        assert await waivers.suspend_silent(tx) == []
        last = (await waivers.history(tx, "marriage"))[-1]
    assert (last.state, last.made_by, last.current) == ("suspended", None, True)
    assert await refused(HubError, city.moved("marriage", "in_force")) == "waiver.no_source"
    civil = city.world.departments["dg-civil"]
    (uri,) = civil.lists
    async with city.world.tx(city.world.acting(civil)) as tx:
        await status.push(tx, token=civil.sign_list(uri, {}, seconds(tx.now)))
    async with city.world.view() as view:
        back = (await waivers.standing(view)).waivers["marriage"]
    assert (back.state, back.effective, back.source is not None) == (WaiverState.SUSPENDED, False, True)
    await city.moved("marriage", "in_force")
    async with city.world.view() as view:
        assert (await waivers.standing(view)).waivers["marriage"].effective


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
async def test_a_waiver_for_one_item_belongs_to_its_department_and_decides_there(city: City) -> None:
    item = city.catalogue[MARRIAGE]
    paper = next(one for one in item.materials if waivers.register()[one.code].waiver == "verified")
    wang = city.world.person("王")
    await city.world.certificate(waivers.register()[paper.code].evidence[0]["type"], (wang, "head"))
    async with city.world.tx() as tx:
        await publish_types(tx, city.world.types.values())
    for state in ("connected", "in_force"):
        said = {"material": paper.code, "state": WaiverState(state), "reason": "本事项", "item": item}
        stranger = city.does("other-drafts", drafts.draft_waiver, **said)
        assert await refused(Forbidden, stranger) == "catalogue.not_owner"
        draft = await city.does("drafts", drafts.draft_waiver, **said)
        await city.does("reviews", drafts.review, public_id=draft.public_id)
        await city.does("reviews", drafts.publish, public_id=draft.public_id)
    async with city.world.view() as view:
        now = await waivers.standing(view)
    assert now.waiver(MARRIAGE, paper.code).effective
    assert not now.waiver("441900-other", paper.code).effective, "elsewhere it is only announced"
    assert waivers.counts(now.every)["verified"]["in_force"] == 1


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
async def test_a_promise_needs_the_days_of_its_later_check(city: City) -> None:
    assert await refused(HubError, city.moved("income_proof", "connected")) == "waiver.no_later_check"
    await city.moved("income_proof", "connected", "in_force", check_days=30)
    async with city.world.view() as view:
        one = (await waivers.standing(view)).waivers["income_proof"]
    assert (one.kind, one.effective, one.check_days) == ("commitment", True, 30)


async def test_a_department_speaks_for_its_own_source_only(city: City) -> None:
    civil, tax = city.world.departments["dg-civil"], city.world.departments["dg-tax"]
    async with city.world.tx(city.world.acting(civil)) as tx:
        await declare(
            tx, type_code="marriage", covers_from=None, gaps_zh="2005年以前未入库", gaps_en="none before 2005"
        )
        await declare(
            tx, type_code="marriage", covers_from=None, gaps_zh="2004年以前未入库", gaps_en="none before 2004"
        )
    async with city.world.view() as view:
        assert (await sources(view))["marriage"].gaps["en"] == "none before 2004"
    for department, gap, code in ((tax, "甲", "source.not_yours"), (civil, "", "source.invalid")):
        async with city.world.db.tx(city.world.acting(department)) as tx:
            with pytest.raises(HubError) as told:
                await declare(tx, type_code="marriage", covers_from=None, gaps_zh=gap, gaps_en="x")
        assert told.value.code == code

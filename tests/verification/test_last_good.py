"""The last good answer: taken while its source is away, as far as the item says, with its date; otherwise never."""

from collections.abc import Mapping
from copy import deepcopy

import pytest
from world import ITEMS, SCHOOL, World

from hub.catalogue.items import last_good_days, parse
from hub.verification.model import Ask, PullEnd, PullOutcome, Verdict
from hub.verification.verify import Redemption, verify

TYPE = "residence_permit"
AWAY = PullEnd(PullOutcome.UNAVAILABLE, "source.database")


def allowing(item, days: int | None):
    """The same item, taking a last answer of this type up to `days` old."""
    document: dict = deepcopy(dict(item.document))
    for material in document["materials"]:
        for evidence in material["satisfied_by"]:
            if evidence["type"] == TYPE:
                evidence["last_good_days"] = days
    return parse(document)


@pytest.fixture
async def world(sqlite_database: str, clock):
    made = World(sqlite_database, clock)
    yield made
    await made.close()


async def ask(world: World, person, pulled: PullEnd | None) -> Verdict:
    case, grants = await world.grant(person, [TYPE])
    department = await world.department("dg-edu")
    ends: Mapping = {} if pulled is None else {(grants[0].public_id, TYPE): pulled}
    redemption = Redemption(world.token(grants, holder=department), (Ask(TYPE),), case.facts(), pulled=ends)
    async with world.tx(world.acting(department)) as tx:
        return (await verify(tx, [redemption], items=world.items, types=world.types))[0][0]


async def test_only_while_the_source_is_away_and_only_as_old_as_the_item_says(world: World) -> None:
    wang = world.person("王")
    made = await world.certificate(TYPE, (wang, "owner"), as_of="2026-09-04")  # 80 days; the type's own limit is 62
    plain = world.items[SCHOOL]
    for days, pulled, wanted in (
        (None, AWAY, ("undecided", "validity.outdated")),
        (90, None, ("undecided", "validity.outdated")),
        (90, PullEnd(PullOutcome.NOT_FOUND), ("undecided", "validity.outdated")),
        (79, AWAY, ("undecided", "validity.outdated")),
        (90, AWAY, ("accepted", "accepted")),
    ):
        world.items[SCHOOL] = allowing(plain, days)
        verdict = await ask(world, wang, pulled)
        assert (verdict.outcome, verdict.reason) == wanted, (days, pulled)
        assert verdict.certificate == made.certificate
    assert any("2026-09-04" in check.zh and "2026-09-04" in check.en for check in verdict.checks)


def test_silence_is_the_strictest_and_a_shorter_word_is_no_word() -> None:
    item = ITEMS[SCHOOL]
    assert last_good_days(item, TYPE) is None
    for days in (0, 62, 367, "90", True):
        with pytest.raises(ValueError, match="last_good_days"):
            allowing(item, days)
    assert last_good_days(allowing(item, 90), TYPE) == 90

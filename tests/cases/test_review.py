"""A score can be computed again, under its own version or another, and is reviewed by somebody else than who scored."""

import json
from decimal import Decimal

import pytest
from cases.applicants import SCHEME, applicant, decider, scored
from world import World

from hub.cases import review
from hub.cases.model import ReviewState
from hub.cases.publish import publish_scheme, scheme_at, versions_of
from hub.cases.scheme import parse_scheme
from hub.cases.score import again, by_id, latest
from hub.errors import Conflict, Forbidden, NotFound, Unprocessable

PAPERS = {"employment": {"service_months": 72}, "degree": {"education_level": "bachelor"}}


def newer(per_year: str = "4") -> object:
    """Version 2 of the scheme, in which six and more years give another rate."""
    document = json.loads(json.dumps(SCHEME.document))
    document["version"] = 2
    document["rules"][0]["params"]["bands"][-1]["per_year"] = per_year
    return parse_scheme(document)


async def asked(world: World, one: object, reason: str = "我有八年工龄") -> review.Review:
    async with world.tx(await world.citizen(one.person)) as tx:
        return await review.ask_review(tx, case=one.case, reason=reason)


async def answered(world: World, one: object, found: review.Review, *, by: object) -> review.Review:
    async with world.tx(by) as tx:
        return await review.answer_review(tx, case=one.case, public_id=found.public_id, answer="已核对，无误")


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
async def test_the_same_evidence_scored_under_an_old_and_a_new_version(world: World) -> None:
    one = await applicant(world, "甲", PAPERS)
    await scored(world, one)
    second = await scored(world, one, scheme=newer())
    async with world.view() as view:
        now = await latest(view, case=one.case)
        assert (now.id, now.total, now.scheme_version) == (second.id, Decimal(44), 2)
        assert await versions_of(view, code=SCHEME.code) == [1, 2]
        old = again(now, await scheme_at(view, code=SCHEME.code, version=1))
        assert (old.total, old.version) == (Decimal(38), 1)
        assert again(now, await scheme_at(view, code=SCHEME.code, version=2)).as_json() == now.document
        with pytest.raises(NotFound):
            await scheme_at(view, code=SCHEME.code, version=3)


async def test_a_published_version_never_changes(world: World) -> None:
    async with world.tx() as tx:
        assert await publish_scheme(tx, newer())
        assert not await publish_scheme(tx, newer())
        with pytest.raises(Conflict) as caught:
            await publish_scheme(tx, newer("5"))
        assert caught.value.code == "scheme.version_changed"


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
async def test_a_review_is_upheld_after_computing_again(world: World) -> None:
    one = await applicant(world, "甲", PAPERS)
    await scored(world, one, by=decider(number=1))
    found = await asked(world, one)
    assert (found.state, found.reason) == (ReviewState.OPEN, "我有八年工龄")
    assert found.due_on.isoformat() == "2026-11-30"  # five working days after Monday 23 November
    with pytest.raises(Conflict) as twice:
        await asked(world, one)
    assert twice.value.code == "review.asked_before"
    with pytest.raises(Forbidden) as own:
        await answered(world, one, found, by=decider(number=1))
    assert own.value.code == "review.own_score"
    for stranger in (decider("dg-tax", number=2), decider(number=2, roles=("clerk",))):
        with pytest.raises(Forbidden):
            await answered(world, one, found, by=stranger)
    async with world.view() as view:
        assert [c.id for c, _ in await review.waiting_reviews(view, department="dg-edu")] == [one.case.id]
    upheld = await answered(world, one, found, by=decider(number=2))
    assert (upheld.state, upheld.answer, upheld.new_score_id) == (ReviewState.UPHELD, "已核对，无误", None)
    with pytest.raises(Conflict) as again_:
        await answered(world, one, found, by=decider(number=3))
    assert again_.value.code == "review.answered"
    async with world.view() as view:
        assert await review.waiting_reviews(view, department="dg-edu") == []


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
async def test_a_review_that_is_right_ends_in_a_new_score(world: World) -> None:
    one = await applicant(world, "甲", PAPERS)
    shown, one.disclosures = one.disclosures, one.disclosures[:1]
    first = await scored(world, one, by=decider(number=1))
    found = await asked(world, one, "学历没有计分")
    one.disclosures = shown
    second = await scored(world, one, by=decider(number=1))
    changed = await answered(world, one, found, by=decider(number=2))
    assert (changed.state, changed.new_score_id) == (ReviewState.CHANGED, second.id)
    async with world.view() as view:
        assert not (await by_id(view, case=one.case, score_id=first.id)).stands
        assert (await latest(view, case=one.case)).total == first.total + 20
    await asked(world, one, "再看一次")  # the new score may be reviewed in its turn


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
async def test_a_review_needs_a_score_and_words_and_its_applicant(world: World) -> None:
    one = await applicant(world, "甲", PAPERS)
    with pytest.raises(Unprocessable) as none:
        await asked(world, one)
    assert none.value.code == "review.no_score"
    await scored(world, one)
    for words in ("", "  ", "字" * 1001):
        with pytest.raises(Unprocessable):
            await asked(world, one, words)
    stranger = world.person("乙")
    async with world.tx(await world.citizen(stranger)) as tx:
        with pytest.raises(Forbidden):
            await review.ask_review(tx, case=one.case, reason="别人的")

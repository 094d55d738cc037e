"""One rating for each finished step, by its applicant alone; a low one is answered by the rated department."""

import asyncio
from datetime import timedelta

import pytest
from cases.applicants import decider
from world import World

from hub.actor import Actor
from hub.cases.model import StepState, case_steps
from hub.cases.open import Case
from hub.errors import HubError
from hub.ids import uuid7
from hub.oversight import ratings
from hub.oversight.board import Month, board

HANDLER = decider("dg-edu", number=7, roles=("complaint_handler",))
ELSEWHERE = decider("dg-ps", number=7, roles=("complaint_handler",))


async def finished(world: World, *, decided: bool = True, code: str = "edu") -> tuple[Actor, Case]:
    await world.department("dg-edu")
    person = world.person("王")
    case = await world.case(person)
    async with world.tx() as tx:
        await tx.insert(
            case_steps,
            {
                "id": uuid7(), "case_id": case.id, "code": code, "department": "dg-edu", "days": 5,
                "state": StepState.DECIDED if decided else StepState.RUNNING, "days_unconfirmed": False,
                "calendar": "test", "started_at": tx.now - timedelta(days=1), "decided_at": tx.now, "passed": True,
            },
        )  # fmt: skip
    return await world.citizen(person), case


async def rate(
    world: World, who: Actor, case: Case, score: int, words: str = "", step: str = "edu"
) -> ratings.Rating:
    async with world.tx(who) as tx:
        return await ratings.rate(tx, case=case, step=step, score=score, words=words)


async def refused(doing) -> str:
    with pytest.raises(HubError) as told:
        await doing
    return told.value.code


async def test_a_low_rating_is_answered_once_and_by_the_rated_department(world: World) -> None:
    me, case = await finished(world)
    low = await rate(world, me, case, 1, "等了三次")
    assert low.due_on is not None

    async def answer(by: Actor, words: str = "已整改") -> ratings.Rating:
        async with world.tx(by) as tx:
            return await ratings.reply(tx, public_id=low.public_id, words=words)

    async with world.view(HANDLER) as view:
        assert [one.words for one in await ratings.queue_of(view)] == ["等了三次"]
    async with world.view(ELSEWHERE) as view:
        assert await ratings.queue_of(view) == []
    assert await refused(answer(ELSEWHERE)) == "rating.unknown"
    assert await refused(answer(decider("dg-edu"))) == "rating.unknown"
    assert await refused(answer(HANDLER, " ")) == "rating.reply_empty"
    assert (await answer(HANDLER)).reply == "已整改"
    assert await refused(answer(HANDLER)) == "rating.replied"
    async with world.view(me) as view:
        assert (await ratings.of_case(view, case=case))["edu"].reply == "已整改"


async def test_one_rating_for_one_step_whoever_is_faster(world: World) -> None:
    me, case = await finished(world)
    answers = await asyncio.gather(*(rate(world, me, case, 5) for _ in range(5)), return_exceptions=True)
    assert sum(isinstance(one, ratings.Rating) for one in answers) == 1
    assert {one.code for one in answers if isinstance(one, HubError)} == {"rating.once"}
    async with world.view(HANDLER) as view:
        assert await ratings.queue_of(view) == [], "nobody owes a reply to praise"


async def test_only_the_applicant_rates_and_only_what_is_finished(world: World) -> None:
    me, case = await finished(world, decided=False)
    stranger = await world.citizen(world.person("李"))
    assert await refused(rate(world, me, case, 5)) == "rating.not_decided"
    assert await refused(rate(world, me, case, 5, step="nothing")) == "rating.not_decided"
    assert await refused(rate(world, stranger, case, 5)) == "case.unknown"
    assert await refused(rate(world, decider("dg-edu"), case, 5)) == "case.unknown"
    for score in (0, 6, -1):
        assert await refused(rate(world, me, case, score)) == "rating.invalid"


async def test_the_board_tells_of_ten_ratings_and_of_nothing_when_there_is_none(world: World) -> None:
    async def edu() -> dict:
        async with world.view() as view:
            told = await board(view, Month.of(world.clock()))
        return next(row for row in told["departments"] if row["department"] == "dg-edu")

    me, case = await finished(world)
    assert ((await edu())["ratings"], (await edu())["satisfied_percent"]) == (0, None)
    await rate(world, me, case, 5)
    assert ((await edu())["ratings"], (await edu())["satisfied_percent"]) == (None, None)
    for place in range(9):
        who, other = await finished(world)
        await rate(world, who, other, 5 if place < 7 else 3)
    assert ((await edu())["ratings"], (await edu())["satisfied_percent"]) == (10, 80)

"""A wrong certificate: its issuer is asked, with a deadline, answers, and whoever relied on it is told."""

from datetime import date

import pytest
from cases.applicants import Applicant, applicant, decider, scored
from world import World

from hub.access.history import of_subject as looks_at
from hub.access.model import Outcome
from hub.cases.evidence import keep_verdicts
from hub.cases.open import by_public_id as case_by_public_id
from hub.certificates.find import by_public_id
from hub.certificates.model import StatusEvent
from hub.certificates.register import Supersession
from hub.clock import seconds
from hub.errors import Conflict, Forbidden, NotFound, Unprocessable
from hub.formats import statuslist
from hub.oversight import objections, reliance
from hub.oversight.model import ObjectionState
from hub.verification.model import Ask

PAPERS = {"employment": {"service_months": 60}}
HANDLER = decider("dg-hrss", number=5, roles=("complaint_handler",))


async def relied_on(world: World) -> Applicant:
    """A case of the education bureau that rests on an employment record."""
    one = await applicant(world, "甲", PAPERS)
    case, grants = await world.grant(one.person, ["employment"])
    verdicts = await world.verify(case, grants, [Ask("employment")])
    async with world.tx() as tx:
        await keep_verdicts(tx, case=case, verdicts=[(v, grants[0].public_id) for v in verdicts])
    one.case = case
    await scored(world, one)
    return one


async def objected(world: World, one: Applicant, words: str = "少算了五年") -> objections.Objection:
    async with world.tx(await world.citizen(one.person)) as tx:
        return await objections.object_to_certificate(
            tx, certificate=one.certificates["employment"], words=words
        )


async def superseded(world: World, one: Applicant) -> str:
    """The issuer's agent signs and registers a corrected record."""
    issuer = await world.department("dg-hrss")
    async with world.view() as view:
        old = await by_public_id(view, one.certificates["employment"])
    token = await world.sign("employment", [one.person.as_holder("worker")], service_months=120, version=2)
    uri, index = str(old.status_uri), int(old.status_idx)
    listed = issuer.sign_list(uri, {index: statuslist.INVALID}, seconds(world.clock()))
    made = await world.register(token, by="dg-hrss", supersedes=Supersession(old.public_id, listed))
    issuer.accepted(uri, listed)
    return made.certificate


async def answered(
    world: World, found: objections.Objection, outcome: ObjectionState, *, by: object = HANDLER, **more
):
    async with world.tx(by) as tx:
        return await objections.answer(
            tx, public_id=found.public_id, outcome=outcome, words="已按缴费记录更正", **more
        )


async def test_a_wrong_record_is_superseded_and_whoever_relied_is_told(world: World) -> None:
    one = await relied_on(world)
    found = await objected(world, one)
    assert (found.department, found.state, found.due_on) == (
        "dg-hrss",
        ObjectionState.OPEN,
        date(2026, 12, 14),
    )
    async with world.view(HANDLER) as view:
        assert [o.words for o in await objections.queue_of(view, department="dg-hrss")] == ["少算了五年"]
        assert await objections.standing_of(view) == {"dg-hrss": (1, 0)}
    with pytest.raises(Unprocessable) as early:
        await answered(world, found, ObjectionState.SUPERSEDED)
    assert early.value.code == "objection.not_so", "the hub never takes a word for it"
    with pytest.raises(NotFound):
        await answered(world, found, ObjectionState.EXPLAINED, by=decider("dg-edu", roles=("complaint_handler",)))
    with pytest.raises(Forbidden):
        await answered(world, found, ObjectionState.EXPLAINED, by=decider("dg-hrss", roles=("decider",)))

    new = await superseded(world, one)
    closed = await answered(world, found, ObjectionState.SUPERSEDED, new_certificate=new)
    assert (closed.state, closed.new_certificate, closed.answer) == (
        ObjectionState.SUPERSEDED,
        new,
        "已按缴费记录更正",
    )
    with pytest.raises(Conflict):
        await answered(world, found, ObjectionState.SUPERSEDED)
    bureau = decider("dg-edu", number=2)
    async with world.tx(bureau) as tx:
        told = await reliance.notices_of(tx, department="dg-edu")
        assert [(n.event, n.new_certificate, list(n.cases)) for n in told] == [
            ("superseded", new, [one.case.public_id])
        ]
        case = await case_by_public_id(tx, one.case.public_id)
        assert [flag.certificate for flag in await reliance.flags_of(tx, case=case)] == [
            one.certificates["employment"]
        ]
        assert await reliance.tell_who_relied(tx, certificate=one.certificates["employment"]) == [], (
            "told once"
        )
        await reliance.clear(
            tx, case=case, certificate=one.certificates["employment"], conclusion="scored_anew"
        )
        with pytest.raises(Conflict):
            await reliance.clear(
                tx, case=case, certificate=one.certificates["employment"], conclusion="again"
            )
        assert (await reliance.flags_of(tx, case=case))[0].cleared_by == bureau.reference()
    async with world.view() as view:
        mine = await objections.of_subject(view, subject_id=one.case.applicant)
    assert [o.answer for o in mine] == ["已按缴费记录更正"]


async def test_a_record_that_is_right_is_explained_and_nobody_is_alarmed(world: World) -> None:
    one = await relied_on(world)
    found = await objected(world, one)
    assert (await answered(world, found, ObjectionState.EXPLAINED)).state is ObjectionState.EXPLAINED
    async with world.view() as view:
        assert await reliance.notices_of(view, department="dg-edu") == []
        assert await objections.standing_of(view) == {}


async def test_a_revocation_alone_tells_those_who_relied(world: World) -> None:
    one = await relied_on(world)
    await world.change(one.certificates["employment"], StatusEvent.REVOKE, by="dg-hrss")
    async with world.tx() as tx:
        assert await reliance.tell_who_relied(tx, certificate=one.certificates["employment"]) == ["dg-edu"]
    async with world.view() as view:
        assert [n.event for n in await reliance.notices_of(view, department="dg-edu")] == ["revoked"]


async def test_of_many_that_ended_those_who_relied_on_one_are_told(world: World) -> None:
    one = await relied_on(world)
    certificate = one.certificates["employment"]
    nobodys = (await world.certificate("degree", (world.person("王小莞"), "owner"))).certificate
    ends = [nobodys, certificate, "nothing"]
    for event, told in ((StatusEvent.SUSPEND, ["suspended"]), (StatusEvent.REINSTATE, ["reinstated", "suspended"])):
        await world.change(certificate, event, by="dg-hrss")
        for _ in range(2):  # twice is the same as once
            async with world.tx() as tx:
                await reliance.tell_all_who_relied(tx, certificates=ends)
        async with world.view() as view:
            assert sorted(n.event for n in await reliance.notices_of(view, department="dg-edu")) == told


async def test_a_suspension_is_told_each_time_and_its_end_to_those_who_heard_of_it(world: World) -> None:
    one = await relied_on(world)
    certificate = one.certificates["employment"]

    async def tell() -> list[str]:
        async with world.tx() as tx:
            return await reliance.tell_who_relied(tx, certificate=certificate)

    async def flags() -> list[tuple[str, bool]]:
        async with world.view() as view:
            return [(f.event, f.cleared_at is None) for f in await reliance.flags_of(view, case=one.case)]

    assert await tell() == [], "it stands, and nobody heard of anything"
    for _ in range(2):
        await world.change(certificate, StatusEvent.SUSPEND, by="dg-hrss")
        assert (await tell(), await tell()) == (["dg-edu"], [])
        assert await flags() == [("suspended", True)], "raised anew although it was cleared"
        async with world.tx(decider("dg-edu")) as tx:
            await reliance.clear(tx, case=one.case, certificate=certificate, conclusion="waits")
        world.clock.advance(hours=1)
        await world.change(certificate, StatusEvent.REINSTATE, by="dg-hrss")
        assert (await tell(), await tell()) == (["dg-edu"], [])
        world.clock.advance(hours=1)
    await world.change(certificate, StatusEvent.REVOKE, by="dg-hrss")
    assert await tell() == ["dg-edu"]
    assert await flags() == [("revoked", True)]
    async with world.view() as view:
        told = await reliance.notices_of(view, department="dg-edu")
    assert [one.event for one in told] == ["revoked", "reinstated", "suspended"]
    assert [one.seen_at is None for one in told] == [True, True, False]


async def test_unanswered_ones_are_overdue_on_the_board(world: World) -> None:
    one = await relied_on(world)
    found = await objected(world, one)
    world.clock.advance(days=22)  # the day after the last one
    async with world.view() as view:
        assert await objections.standing_of(view) == {"dg-hrss": (1, 1)}
        assert (await objections.queue_of(view, department="dg-hrss"))[0].overdue(date(2026, 12, 15))
    assert not found.overdue(date(2026, 12, 14))


async def test_a_department_that_was_shown_it_may_object_and_a_stranger_may_not(world: World) -> None:
    one = await relied_on(world)
    certificate = one.certificates["employment"]
    async with world.tx(decider("dg-edu", roles=("clerk",))) as tx:
        found = await objections.object_to_certificate(tx, certificate=certificate, words="与合同不符")
    assert found.filed_by.startswith("officer:dg-edu:")
    stranger = world.person("路人")
    for actor in (decider("dg-tax"), await world.citizen(stranger)):
        async with world.tx(actor) as tx:
            with pytest.raises(NotFound):
                await objections.object_to_certificate(tx, certificate=certificate, words="不是我的")
    for words in ("", " ", "字" * 2001):
        with pytest.raises(Unprocessable):
            await objected(world, one, words)


async def test_a_look_is_complained_of_and_answered_by_who_looked(world: World) -> None:
    one = await relied_on(world)
    citizen = await world.citizen(one.person)
    async with world.view(citizen) as view:
        look = next(
            a
            for a in await looks_at(view, subject_id=one.case.applicant)
            if a.look.outcome is Outcome.ACCEPTED
        )
    async with world.tx(citizen) as tx:
        found = await objections.complain_of_access(
            tx, subject_id=one.case.applicant, access=look.public_id, words="我没有办这件事"
        )
    assert (found.department, found.access, found.certificate) == ("dg-edu", look.public_id, None)
    handler = decider("dg-edu", number=5, roles=("complaint_handler",))
    with pytest.raises(Unprocessable):
        await answered(world, found, ObjectionState.SUPERSEDED, by=handler)
    assert (await answered(world, found, ObjectionState.UPHELD, by=handler)).state is ObjectionState.UPHELD
    async with world.tx(await world.citizen(world.person("路人"))) as tx:
        with pytest.raises(NotFound):
            await objections.complain_of_access(
                tx, subject_id=one.case.applicant, access=look.public_id, words="看热闹"
            )

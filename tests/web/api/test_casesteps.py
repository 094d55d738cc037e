"""A department whose own system decides: by the SDK, with its own token, each decision once and by a named officer."""

import asyncio
from dataclasses import replace
from typing import Any

import httpx
import pytest
from cases.test_uploads import pdf
from registry.makers import AUDIENCE
from web.api.apiworld import ApiWorld
from world import SCHOOL

from adapters.verifier import VerifierClient
from hub.access.history import of_subject
from hub.actor import Actor, ActorKind
from hub.cases import uploads
from hub.cases.accept import accept
from hub.cases.open import by_public_id
from hub.cases.prereview import PreReview
from hub.cases.procedure import load_procedures
from hub.cases.scope import in_scope
from hub.errors import Conflict, Forbidden, NotFound, Unprocessable
from hub.formats.receipt import read as read_receipt
from hub.ids import uuid7
from hub.oversight.objections import complain_of_access
from hub.registry import officers
from hub.registry.roster import OfficerRow
from hub.verification.model import Ask

PEOPLE = [("dg-edu", "li", "decider"), ("dg-edu", "win", "clerk"), ("dg-tax", "tan", "decider"),
          ("dg-edu", "chu", "complaint_handler")]  # fmt: skip


class Bridge(httpx.BaseTransport):
    """The SDK is synchronous and runs in a thread; the application answers in the loop of the test."""

    def __init__(self, world: ApiWorld) -> None:
        self.loop, self.line = asyncio.get_running_loop(), httpx.ASGITransport(world.app, raise_app_exceptions=False)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        async def go() -> httpx.Response:
            same = httpx.Request(request.method, request.url, headers=request.headers, content=request.read())
            answer = await self.line.handle_async_request(same)
            return httpx.Response(answer.status_code, headers=answer.headers, content=await answer.aread())

        return asyncio.run_coroutine_threadsafe(go(), self.loop).result(20)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
async def test_steps_uploads_and_objections_from_a_system_of_its_own(world: ApiWorld) -> None:
    made = {slug: await world.department(slug) for slug in ("dg-edu", "dg-tax", "dg-si", "dg-degree")}
    async with world.tx() as tx:
        rows = [OfficerRow(n, slug, login, "某", frozenset({role})) for n, (slug, login, role) in enumerate(PEOPLE)]
        assert not (await officers.import_officers(tx, rows=rows, dry_run=False)).errors
    wang = world.person("王小明")
    await world.certificate("degree", (wang, "owner"))
    await world.publish()
    case, grants = await world.grant(wang, ["degree"])
    await world.verify(case, grants, [Ask("degree")])
    async with world.tx(await world.citizen(wang)) as tx:
        paper = await uploads.upload(
            tx, world.blobs, case=case, item=world.items[SCHOOL], code="work", file=uploads.Safe(pdf(), "pdf")
        )
    clerk = world.acting(made["dg-edu"])
    async with world.tx(clerk) as tx:
        tx.actor = _clerk(clerk)
        seen, scope = await in_scope(tx, case.public_id)
        await accept(
            tx, case=seen, scope=scope, procedure=load_procedures()[SCHOOL], review=PreReview(True, (), ())
        )

    def sdk(slug: str) -> VerifierClient:
        return VerifierClient(
            AUDIENCE, slug, lambda: made[slug].client, clock=world.clock, transport=Bridge(world)
        )

    tax, edu, si = sdk("dg-tax"), sdk("dg-edu"), sdk("dg-si")

    async def call(verb: Any, *said: Any, **named: Any) -> Any:
        return await asyncio.to_thread(verb, *said, **named)

    number = case.public_id
    (mine,) = await call(tax.waiting_steps)
    assert (mine["case_id"], mine["step"], mine["state"]) == (number, "tax", "running")
    assert [one["step"] for one in (await call(tax.case_steps, number))["steps"]] == ["tax"], "its own part only"
    assert len((await call(edu.case_steps, number))["steps"]) == 8
    decision = {"passed": True, "reason": "verified"}
    for client, step, officer, refusal in (
        (tax, "insurance", "tan", Forbidden),  # another department's step
        (tax, "tax", "li", Forbidden),  # another department's officer
        (edu, "schooling", "win", Forbidden),  # a clerk decides nothing
    ):
        with pytest.raises(refusal):
            await call(client.decide_step, number, step, officer=officer, **decision)
    with pytest.raises(Unprocessable):
        await call(tax.decide_step, number, "tax", officer="tan", passed=False, reason="not_eligible")
    with pytest.raises(NotFound):
        await call(sdk("dg-degree").case_steps, number)
    paused = await call(tax.pause_step, number, "tax", officer="tan", ask="请补 2020 年完税证明")
    assert paused["step"]["state"] == "paused"
    await call(tax.resume_step, number, "tax", officer="tan")

    # Sent twice with one key, as after a lost answer: decided once, the same answer; without the key it is told.
    first = await call(tax.decide_step, number, "tax", officer="tan", key="once", **decision)
    again = await call(tax.decide_step, number, "tax", officer="tan", key="once", **decision)
    assert first == again
    assert read_receipt(first["receipt"], key=world.hub.signer("receipt").public).kind == "step.decided"
    with pytest.raises(Conflict):
        await call(tax.decide_step, number, "tax", officer="tan", **decision)
    assert await call(tax.waiting_steps) == []

    assert await call(si.case_materials, number) == [], "uploads belong to the department that handles the case"
    (upload,) = await call(edu.case_materials, number)
    assert (upload["id"], upload["level"]) == (paper.public_id, "C")
    for decided, level in (("accepted", "C"), ("compare", "B")):
        judged = await call(edu.judge_material, number, upload["id"], officer="win", decision=decided)
        assert judged["materials"][0]["level"] == level

    async with world.tx(await world.citizen(wang)) as tx:
        me = tx.actor.subject_id
        look = (await of_subject(tx, subject_id=me))[0].public_id
        await complain_of_access(tx, subject_id=me, access=look, words="不该看")
    (complaint,) = await call(edu.objections)
    assert (complaint["state"], complaint["words"]) == ("open", "不该看")
    assert await call(tax.objections) == []
    with pytest.raises(NotFound):
        await call(tax.answer_objection, complaint["id"], officer="tan", outcome="explained", words="x")
    answered = await call(edu.answer_objection, complaint["id"], officer="chu", outcome="explained", words="依授权查看")
    assert answered["objections"][0]["answer"] == "依授权查看"
    async with world.view(_clerk(clerk)) as view:
        assert (await by_public_id(view, number)).outcome is None


def _clerk(department: Actor) -> Actor:
    return replace(department, kind=ActorKind.OFFICER, officer_id=uuid7(), roles=frozenset({"clerk"}))

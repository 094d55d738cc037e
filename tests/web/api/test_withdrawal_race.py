"""A withdrawal and uses at the same moment: one order, the same in the answers and in the ledger (promise 5)."""

import asyncio

import pytest
import sqlalchemy as sa
from web.api.test_verifier import consent

from hub.access.body import of_case
from hub.access.shelf import every_shelf
from hub.consent.withdraw import withdraw
from hub.ledger.bodies import open_body
from hub.ledger.check import check
from hub.ledger.head import log_key
from hub.ledger.model import bodies, leaves

USES = 2
ASKS = {"asks": [{"type": "degree"}]}


@pytest.mark.parametrize("head_start", [0.0, 0.01, 0.03])
async def test_nothing_is_used_after_it_was_withdrawn(world, edu, head_start):
    person = world.person("王小明")
    await world.certificate("degree", (person, "owner"))
    _, grants = await world.grant(person, ["degree"], max_uses=USES)
    token, citizen = consent(world, edu, grants), await world.citizen(person)

    async def take_back():
        await asyncio.sleep(head_start)
        async with world.tx(citizen) as tx:
            await withdraw(tx, grant=grants[0].public_id)
        return "withdrawn"

    async def use():
        answer = await world.call(edu, "POST", "/v1/verifications", ASKS, token=token)
        return answer.json()["verdicts"][0]["reason"]

    told = await asyncio.gather(*[use() for _ in range(6)], take_back(), *[use() for _ in range(6)])
    assert await use() == "grant.withdrawn"
    accepted = [reason for reason in told if not reason.startswith(("grant.", "withdrawn"))]
    assert len(accepted) <= USES
    await world.publish()
    events = await in_ledger_order(world, citizen.subject_id, grants[0].case_id)
    of_grant = [e for e in events if e.get("grant") == grants[0].public_id and e.get("grant_seq")]
    kinds = [event["event"] for event in of_grant]
    assert kinds == ["grant.given", *["access"] * len(accepted), "grant.withdrawn"]
    assert [event["grant_seq"] for event in of_grant] == list(range(1, len(kinds) + 1))
    key = log_key(world.settings.origin, world.hub.signer("ledger"))
    async with world.view() as view:
        report = await check(view, world.blobs, key=key, shelves=every_shelf())
    assert report.failures == []


async def in_ledger_order(world, subject_id, case_id):
    """What the ledger commits to about one person, in its order; looks only for this case."""
    async with world.view() as view:
        kept = await view.all(sa.select(bodies.c.leaf_hash).where(bodies.c.subject_id == subject_id))
        found = await of_case(view, subject_id=subject_id, case_id=case_id)
        for row in kept:
            found[row.leaf_hash] = await open_body(view, leaf_hash=row.leaf_hash, subject_id=subject_id)
        order = await view.all(sa.select(leaves.c.leaf_hash).order_by(leaves.c.idx))
        return [found[row.leaf_hash].event for row in order if row.leaf_hash in found]

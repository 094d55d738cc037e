import dataclasses
from datetime import timedelta

import pytest
import sqlalchemy as sa
from registry.makers import credit

from hub.errors import Conflict
from hub.ledger.model import leaves
from hub.registry import departments
from hub.registry.model import certificate_types
from hub.registry.publish import may_issue, publish_types
from hub.registry.types import load_types

TYPES = load_types()
SCHOOL = TYPES["school_record"]


@pytest.mark.usefixtures("two_departments")
async def test_types_are_published_once_and_issuers_as_they_are_admitted(open_tx, clock):
    async with open_tx() as tx:
        first = await publish_types(tx, TYPES.values())
        assert first.types == len(TYPES)
        assert "dg-tax" in first.waiting
        assert "dg-edu" not in first.waiting
        assert await may_issue(tx, code="school_record", department="dg-edu", moment=tx.now)
        assert not await may_issue(tx, code="tax_record", department="dg-edu", moment=tx.now)
        assert not await may_issue(
            tx, code="school_record", department="dg-edu", moment=tx.now - timedelta(seconds=1)
        )
    async with open_tx() as tx:
        again = await publish_types(tx, TYPES.values())
        assert (again.types, again.issuers) == (0, 0)
        await departments.add(tx, slug="dg-tax", uscc=credit(3), name_zh="税务局", name_en="Tax")
        later = await publish_types(tx, TYPES.values())
        assert later.types == 0
        assert later.issuers >= 1
        assert await may_issue(tx, code="tax_record", department="dg-tax", moment=tx.now)
        kinds = {r.kind for r in await tx.all(sa.select(leaves.c.kind).distinct())}
    assert {"type.published", "type.issuer_added"} <= kinds


@pytest.mark.usefixtures("two_departments")
async def test_a_published_version_can_never_be_changed(open_tx):
    async with open_tx() as tx:
        await publish_types(tx, [SCHOOL])
        changed = dataclasses.replace(SCHOOL, document={**SCHOOL.document, "display": []})
        with pytest.raises(Conflict, match=r"type\.changed"):
            await publish_types(tx, [changed])
        assert (await tx.first(sa.select(certificate_types))).document == dict(SCHOOL.document)


@pytest.mark.usefixtures("two_departments")
async def test_a_right_that_was_taken_away_ends_now_and_can_come_back(open_tx, clock):
    without = dataclasses.replace(SCHOOL, issuers=frozenset())
    async with open_tx() as tx:
        await publish_types(tx, [SCHOOL])
    before = clock()
    clock.advance(days=1)
    async with open_tx() as tx:
        await publish_types(tx, [without])
        assert not await may_issue(tx, code=SCHOOL.code, department="dg-edu", moment=tx.now)
        assert await may_issue(tx, code=SCHOOL.code, department="dg-edu", moment=before)
    clock.advance(days=1)
    async with open_tx() as tx:
        await publish_types(tx, [SCHOOL])
        assert await may_issue(tx, code=SCHOOL.code, department="dg-edu", moment=tx.now)

import json

import pytest
import sqlalchemy as sa
from registry.makers import credit

from hub.errors import Conflict, Forbidden, Malformed, NotFound
from hub.ledger.model import leaves
from hub.registry import departments


@pytest.mark.usefixtures("two_departments")
async def test_every_change_of_a_department_is_a_readable_leaf(open_tx):
    async with open_tx() as tx:
        await departments.suspend(tx, slug="dg-edu", reason="under-review")
        await departments.resume(tx, slug="dg-edu", reason="review-done")
        rows = await tx.all(sa.select(leaves.c.kind, leaves.c.data).order_by(leaves.c.seq))
    assert [r.kind for r in rows] == ["department.added"] * 2 + ["department.suspended", "department.active"]
    assert json.loads(rows[2].data)["reason"] == "under-review"


@pytest.mark.usefixtures("two_departments")
async def test_a_suspended_department_may_not_act_until_it_is_resumed(open_tx):
    async with open_tx() as tx:
        await departments.suspend(tx, slug="dg-edu", reason="x")
        assert not (await departments.get(tx, "dg-edu")).active
        with pytest.raises(Forbidden, match=r"department\.suspended"):
            await departments.require_active(tx, "dg-edu")
        await departments.resume(tx, slug="dg-edu", reason="x")
        assert (await departments.require_active(tx, "dg-edu")).name("en") == "Education Bureau"


@pytest.mark.usefixtures("two_departments")
async def test_moving_to_the_same_state_twice_is_refused(open_tx):
    async with open_tx() as tx:
        await departments.suspend(tx, slug="dg-edu", reason="x")
        with pytest.raises(Conflict, match=r"department\.state"):
            await departments.suspend(tx, slug="dg-edu", reason="x")


@pytest.mark.parametrize(
    "slug", ["", "Dg", "dg_edu", "-dg", "dg-", "dg--edu", "教育", "a" * 33, "dg edu", "dg/edu"]
)
async def test_slugs_that_could_not_stand_in_a_url_are_refused(open_tx, slug):
    async with open_tx() as tx:
        with pytest.raises(Malformed, match=r"department\.slug"):
            await departments.add(tx, slug=slug, uscc=credit(1), name_zh="甲", name_en="A")


async def test_a_wrong_check_character_or_a_second_use_of_a_code_is_refused(open_tx):
    async with open_tx() as tx:
        wrong = credit(1)[:-1] + ("A" if credit(1)[-1] != "A" else "B")
        with pytest.raises(Malformed, match="gb32100"):
            await departments.add(tx, slug="dg-a", uscc=wrong, name_zh="甲", name_en="A")
        await departments.add(tx, slug="dg-a", uscc=credit(1), name_zh="甲", name_en="A")
        with pytest.raises(Conflict, match=r"department\.exists"):
            await departments.add(tx, slug="dg-b", uscc=credit(1), name_zh="乙", name_en="B")


@pytest.mark.usefixtures("two_departments")
async def test_all_are_listed_by_slug_and_strangers_are_not_found(open_tx):
    async with open_tx() as tx:
        assert [d.slug for d in await departments.all_departments(tx)] == ["dg-edu", "dg-ps"]
        with pytest.raises(NotFound, match=r"department\.unknown"):
            await departments.get(tx, "dg-none")
        with pytest.raises(Malformed, match=r"department\.reason"):
            await departments.suspend(tx, slug="dg-edu", reason="张三投诉")

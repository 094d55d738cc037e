"""Alternatives in pre-review, and what was brought once as the planner sees it."""

from datetime import date, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from cases.applicants import decider
from cases.test_uploads import pdf
from world import World

from hub.cases import uploads
from hub.cases.accept import accept
from hub.cases.model import MaterialState, case_lacking
from hub.cases.prereview import Uploaded, prereview
from hub.cases.procedure import procedure_of
from hub.cases.scope import in_scope
from hub.catalogue.catalogue import load_catalogue
from hub.errors import Unprocessable
from hub.store.blobs import FileBlobs

ITEM = load_catalogue()["441900-market-sole-trader"]  # identity; premises | lease | premises_promise; photo?
DAY = date(2026, 11, 23)


def test_of_alternatives_one_is_enough() -> None:
    accepted = Uploaded(MaterialState.ACCEPTED, None)
    nothing = prereview(ITEM, looks={}, uploads={}, as_of=DAY)
    assert {one.code for one in nothing.materials if one.blocks} == {
        "identity", "premises", "lease", "premises_promise",
    }  # fmt: skip
    one = prereview(ITEM, looks={}, uploads={"identity": accepted, "lease": accepted}, as_of=DAY)
    assert one.passes is True
    assert {m.code: m.how for m in one.materials} == {
        "identity": "uploaded", "premises": "not_needed", "lease": "uploaded", "premises_promise": "not_needed",
        "photo": "not_needed",
    }  # fmt: skip


def test_it_fails_only_when_no_alternative_is_left() -> None:
    accepted, refused = Uploaded(MaterialState.ACCEPTED, None), Uploaded(MaterialState.REFUSED, "unreadable")
    said = {"identity": accepted, "premises": refused}
    assert prereview(ITEM, looks={}, uploads=said, as_of=DAY).passes is None, "a lease will do as well"
    said |= {"lease": refused, "premises_promise": refused}
    assert prereview(ITEM, looks={}, uploads=said, as_of=DAY).passes is False


def test_of_alternatives_one_is_lacking() -> None:
    nothing = prereview(ITEM, looks={}, uploads={}, as_of=DAY)
    assert nothing.lacking == {("identity",), ("premises", "lease", "premises_promise")}
    lease = prereview(ITEM, looks={}, uploads={"lease": Uploaded(MaterialState.ACCEPTED, None)}, as_of=DAY)
    assert lease.lacking == {("identity",)}


async def test_of_alternatives_one_is_promised_and_any_settles_it(world: World, tmp_path: Path) -> None:
    """容缺: the clerk notes that the lease follows; what comes in the end is the deed."""
    world.items = {ITEM.code: ITEM}
    person, blobs = world.person("陈大文"), FileBlobs(tmp_path / "blobs")
    await world.department("dg-market")
    case = await world.case(person, item=ITEM.code)
    clerk = decider("dg-market", number=9, roles=("clerk",))
    review, day = prereview(ITEM, looks={}, uploads={}, as_of=DAY), DAY + timedelta(9)

    async def accepted(*promised: str) -> None:
        async with world.tx(clerk) as tx:
            seen, scope = await in_scope(tx, case.public_id)
            lacking = dict.fromkeys(promised, day)
            await accept(tx, case=seen, scope=scope, procedure=procedure_of(ITEM), review=review, lacking=lacking)

    with pytest.raises(Unprocessable) as refused:
        await accepted("identity")
    assert refused.value.facts["materials"] == ["lease", "premises", "premises_promise"]
    await accepted("identity", "lease")
    async with world.tx(await world.citizen(person)) as tx:
        paper = await uploads.upload(
            tx, blobs, case=case, item=ITEM, code="premises", file=uploads.Safe(pdf(), "pdf")
        )
    async with world.tx(clerk) as tx:
        seen, scope = await in_scope(tx, case.public_id)
        await uploads.review(
            tx, case=seen, item=ITEM, scope=scope, public_id=paper.public_id, state=MaterialState.ACCEPTED,
            reason_code="", note="",
        )  # fmt: skip
    async with world.view() as view:
        rows = await view.all(sa.select(case_lacking.c.material, case_lacking.c.fulfilled_at))
    assert {row.material: row.fulfilled_at is not None for row in rows} == {"identity": False, "lease": True}

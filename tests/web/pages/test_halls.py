"""A hall takes a case for a department that is not its own, and hands it over; each side has the other's signature."""

import json

import pytest
from cases.test_uploads import pdf
from parts import FixedClock
from web.pages.family import ORIGIN, Family, make_family
from world import World

from hub.actor import SYSTEM, Actor, ActorKind
from hub.cases import halls
from hub.formats.receipt import read as read_receipt
from hub.ledger.prove import prove_inclusion
from hub.ledger.tileset import TileReader
from hub.registry import officers
from hub.registry.roster import OfficerRow

SCHOOL = "441900-edu-points-enrolment"


@pytest.fixture
async def town(sqlite_database: str, clock: FixedClock, tmp_path) -> Family:
    world = World(sqlite_database, clock)
    family = await make_family(world, tmp_path)
    rows = [OfficerRow(n, "dg-si", f"w{n}", "窗口", frozenset({"clerk"})) for n in (1, 2)]
    async with family.hub.tx(SYSTEM) as tx:
        assert not (await officers.import_officers(tx, rows=rows, dry_run=False)).errors
        family.officers.update({o.login: o.id for o in await officers.all_officers(tx)})
    admin = Actor(
        ActorKind.OFFICER, department="dg-edu", officer_id=family.officers["operator"], roles={"administrator"}
    )
    async with family.hub.tx(admin) as tx:
        await halls.assign(tx, officer_id=family.officers["w1"], hall="machong")
        await halls.assign(tx, officer_id=family.officers["w2"], hall="xinji-village")
    yield family
    await world.close()


async def test_taken_in_a_hall_sent_back_once_then_received_with_receipts(town: Family) -> None:
    window = await town.as_officer("w1")
    page = await window.get("/halls")
    given = {"hall": "machong", "item": SCHOOL, "applicant": town.parent.id_no}
    wrong = await window.send(page, "/halls/cases", {**given, "hall": "xinji-village"})
    assert wrong.status == 422, "not a hall of theirs"
    case = await window.send(page, "/halls/cases", given)
    at, number = case.url.path, case.url.path.rpartition("/")[2]
    assert "麻涌" in case.text

    # The hall asks in the department's name, the citizen agrees, the look names the officer; no content is shown.
    await window.send(case, f"{at}/gather")
    parent = await town.as_parent()
    request = (await parent.get("/requests")).links()
    request = await parent.get(next(link for link in request if link.startswith("/requests/")))
    every = [box.get("value") for box in request.root.xpath("//input[@name='field']")]
    await parent.send(request, request.url.path, {"decision": "agree", "field": every})
    gathered = await window.send(await window.get(at), f"{at}/gather")
    assert "平台已核验" in gathered.text
    assert "1181942007001234" not in gathered.text
    scanned = await window.send(
        gathered, f"{at}/materials", {"material": "work"}, files={"file": ("a.pdf", pdf())}
    )
    assert (await window.get(f"/counter/cases/{number}")).url.path == at, "its own page, without contents"

    stranger = await town.as_officer("w2")
    assert (await stranger.get(at)).status == 404
    assert number[:8] not in (await stranger.get("/halls")).text
    await window.send(scanned, f"{at}/handover")
    assert (await window.send(scanned, f"{at}/handover")).status == 409

    clerk = await town.as_officer("clerk")
    assert number[:8] in (await clerk.get("/halls")).text
    mine = await clerk.get(at)
    bare = await clerk.send(mine, f"{at}/answer", {"decision": "refuse", "reason": ""})
    assert bare.status == 422
    back = await clerk.send(mine, f"{at}/answer", {"decision": "refuse", "reason": "照片不清楚"})
    assert "部门已退回" in back.text
    again = await window.get(at)
    assert "照片不清楚" in again.text
    await window.send(again, f"{at}/handover")
    closed = await window.get(at)
    left = [f for f in closed.root.xpath("//form/@action") if f.startswith(at)]
    assert left == [], "it is on its way: nothing to change"
    received = await clerk.send(await clerk.get(at), f"{at}/answer", {"decision": "receive"})
    assert "部门已接收" in received.text
    assert number[:8] not in (await clerk.get("/halls")).root.xpath("string(//section[@id='waiting'])")

    # Both sides keep what the other signed; each signature is about a leaf that is in the ledger.
    await town.sequence()
    told = [json.loads((await who.client.get(f"{at}/receipts")).text) for who in (window, clerk)]
    assert [one["state"] for one in told[0]["handovers"]] == ["refused", "received"]
    key = town.hub.signer("receipt").public
    kinds = []
    for one in told[0]["handovers"]:
        for side in ("sent", "answered"):
            said = read_receipt(one[side], key=key)
            kinds.append(said.kind)
            async with town.hub.view(SYSTEM) as view:
                assert await prove_inclusion(view, TileReader(town.hub.blobs), leaf_hash=said.leaf_hash)
            assert said.origin == ORIGIN
    assert kinds == ["case.handed_over", "case.handover_refused", "case.handed_over", "case.received"]
    assert [one["receipt"] for one in told[1]["handovers"]] == [one["receipt"] for one in told[0]["handovers"]]

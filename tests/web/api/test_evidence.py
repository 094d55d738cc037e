"""Revoking the certificate that proved a guardian ends what the guardian gave, in the same commit."""

from hub.certificates import find
from hub.consent.withdraw import by_public_id
from hub.formats import statuslist


async def test_revoking_a_birth_certificate_ends_what_rests_on_it(world, edu):
    mother, child = world.person("李䶮"), world.person("王𬭎", "20200301")
    birth = await world.certificate("birth", (child, "child"), (mother, "mother"), born_on="2020-03-01")
    case = await world.case(mother, child)
    detail = world.detail(case, ["school_record"], basis="guardian")
    (given,) = await world.agree(mother, (await world.ask("dg-edu", case, [detail], of=mother)).public_id)
    health = await world.department("dg-health")
    async with world.view() as view:
        known = await find.by_public_id(view, birth.certificate)
    signed = health.sign_list(
        known.status_uri, {known.status_idx: statuslist.INVALID}, int(world.clock().timestamp())
    )
    body = {"event": "revoke", "reason": "test", "status_list": signed}
    answer = await world.call(health, "POST", f"/v1/certificates/{birth.certificate}/status", body)
    assert answer.status_code == 200, answer.text
    async with world.view() as view:
        assert (await by_public_id(view, given.public_id)).state == "withdrawn"

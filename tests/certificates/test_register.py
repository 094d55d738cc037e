"""Registration: what the department signed goes in, everything else is refused by name and stores nothing."""

import pytest
import sqlalchemy as sa
from world import World

from hub.certificates.find import by_public_id, of_holder, open_body
from hub.certificates.model import certificates, status_indices
from hub.certificates.register import Source
from hub.errors import HubError
from hub.formats import sdjwt
from hub.ledger.model import leaves
from hub.registry import departments
from keys.signer import generate


async def count(world: World, table: sa.Table) -> int:
    async with world.view() as view:
        return int(await view.value(sa.select(sa.func.count()).select_from(table)))


async def refused(world: World, token: str, by: str, code: str) -> None:
    before = await count(world, certificates)
    with pytest.raises(HubError) as caught:
        await world.register(token, by=by)
    assert caught.value.code == code
    assert await count(world, certificates) == before


async def test_a_signed_degree_is_registered_and_found_by_its_holder(world: World) -> None:
    wang = world.person("王小莞")
    done = await world.certificate("degree", (wang, "owner"), degree_level="master")
    async with world.view() as view:
        (held,) = await of_holder(view, subject_id=await world.subject(wang))
        token = await open_body(view, held)
    assert held.certificate.public_id == done.certificate
    assert sdjwt.claims(token)["degree_level"] == "master"
    assert await count(world, leaves) > 0


async def test_the_stored_row_shows_no_personal_data(world: World) -> None:
    wang = world.person("王小莞")
    await world.certificate("degree", (wang, "owner"))
    async with world.view() as view:
        row = await view.first(sa.select(certificates))
    everything = repr(tuple(row)).encode() + row.sealed_body
    assert wang.id_no.encode() not in everything
    assert "王小莞".encode() not in everything


async def test_a_marriage_belongs_to_both_and_a_child_to_the_household(world: World) -> None:
    wang, li, bao = world.person("王小莞"), world.person("李䶮"), world.person("王𬭎", "20200301")
    await world.certificate("marriage", (wang, "spouse"), (li, "spouse"))
    await world.certificate("household_register", (wang, "head"), (li, "spouse"), (bao, "child"))
    await world.certificate("property", (wang, "owner"), (li, "co_owner"))
    async with world.view() as view:
        for person, types in ((wang, 3), (li, 3), (bao, 1)):
            assert len(await of_holder(view, subject_id=await world.subject(person))) == types


async def test_resending_the_same_source_row_is_answered_alike_and_stored_once(world: World) -> None:
    wang = world.person("王小莞")
    source = Source("degree", "r1", 1, b"h" * 32)
    token = await world.sign("degree", [wang.as_holder("owner")])
    first = await world.register(token, by="dg-degree", source=source)
    again = await world.register(token, by="dg-degree", source=source)
    assert again.replayed
    assert again.certificate == first.certificate
    assert await count(world, certificates) == 1


async def test_a_generation_with_other_claims_is_refused(world: World) -> None:
    wang = world.person("王小莞")
    token = await world.sign("degree", [wang.as_holder("owner")])
    await world.register(token, by="dg-degree", source=Source("degree", "r1", 1, b"h" * 32))
    other = await world.sign("degree", [wang.as_holder("owner")])
    with pytest.raises(HubError, match="generation_reused"):
        await world.register(other, by="dg-degree", source=Source("degree", "r1", 1, b"i" * 32))


async def test_a_department_cannot_sign_another_ones_type(world: World) -> None:
    wang = world.person("王小莞")
    token = await world.sign("degree", [wang.as_holder("owner")], by="dg-tax")
    await refused(world, token, "dg-tax", "certificate.type_not_yours")


async def test_a_department_cannot_register_in_another_ones_name(world: World) -> None:
    wang = world.person("王小莞")
    token = await world.sign("degree", [wang.as_holder("owner")])
    await world.department("dg-tax")
    await refused(world, token, "dg-tax", "key.unknown")


async def test_a_key_that_was_never_enrolled_signs_nothing(world: World) -> None:
    wang = world.person("王小莞")
    token = await world.sign("degree", [wang.as_holder("owner")], signer=generate())
    await refused(world, token, "dg-degree", "key.unknown")


async def test_a_status_key_signs_no_certificate(world: World) -> None:
    wang = world.person("王小莞")
    department = await world.department("dg-degree")
    token = await world.sign("degree", [wang.as_holder("owner")], signer=department.status)
    await refused(world, token, "dg-degree", "key.unknown")


async def test_a_changed_byte_is_refused(world: World) -> None:
    token = await world.sign("degree", [world.person("王小莞").as_holder("owner")])
    _, _, signature = token.partition("~")[0].rpartition(".")
    flipped = ("A" if signature[10] != "A" else "B").join((signature[:10], signature[11:]))
    broken = token.replace(signature, flipped)
    await refused(world, broken, "dg-degree", "jws.signature")


async def test_claims_must_fit_the_type(world: World) -> None:
    token = await world.sign("degree", [world.person("王小莞").as_holder("owner")], degree_level="emperor")
    await refused(world, token, "dg-degree", "type.claims_invalid")


async def test_an_index_is_used_once_and_only_after_it_was_reserved(world: World) -> None:
    wang = world.person("王小莞")
    first = await world.sign("degree", [wang.as_holder("owner")])
    entry = sdjwt.claims(first)["status"]
    await world.register(first, by="dg-degree")
    again = await world.sign("degree", [wang.as_holder("owner")], status=entry)
    await refused(world, again, "dg-degree", "status.index_taken")
    made_up = {"status_list": {**entry["status_list"], "idx": 131_000}}
    never = await world.sign("degree", [wang.as_holder("owner")], status=made_up)
    await refused(world, never, "dg-degree", "status.index_taken")
    assert await count(world, status_indices) > 0


async def test_a_day_of_signing_in_the_future_or_too_long_ago_is_refused(world: World) -> None:
    wang = world.person("王小莞")
    now = int(world.clock().timestamp())
    await refused(
        world,
        await world.sign("degree", [wang.as_holder("owner")], iat=now - 40 * 86_400),
        "dg-degree",
        "certificate.iat_out_of_range",
    )


async def test_a_suspended_department_registers_nothing(world: World) -> None:
    token = await world.sign("degree", [world.person("王小莞").as_holder("owner")])
    async with world.tx() as tx:
        await departments.suspend(tx, slug="dg-degree", reason="test")
    await refused(world, token, "dg-degree", "department.suspended")


async def test_holders_come_from_the_signed_claims_alone(world: World) -> None:
    wang = world.person("王小莞")
    extra = {**wang.as_holder("owner"), "subject_id": "x"}
    token = await world.sign("degree", [extra])
    await refused(world, token, "dg-degree", "certificate.holders_invalid")


async def test_nobody_finds_what_does_not_exist(world: World) -> None:
    async with world.view() as view:
        with pytest.raises(HubError, match=r"certificate\.unknown"):
            await by_public_id(view, "nothing")

"""Status: only the issuing department, only with a list that it signed, and never by accident."""

import pytest
import sqlalchemy as sa
from world import World

from hub.certificates import indices, status
from hub.certificates.find import StatusWord, by_public_id, of_holder, word_for
from hub.certificates.model import CertificateState, StatusEvent, status_list_tokens
from hub.certificates.register import Supersession
from hub.certificates.status import Standing
from hub.clock import seconds
from hub.errors import HubError
from hub.formats import statuslist
from keys.signer import generate


async def word(world: World, public_id: str) -> StatusWord:
    async with world.view() as view:
        certificate = await by_public_id(view, public_id)
        return await word_for(view, certificate, world.types[certificate.type_code])


async def test_revoked_is_final_and_suspended_may_come_back(world: World) -> None:
    done = await world.certificate("degree", (world.person("王小莞"), "owner"))
    assert await word(world, done.certificate) is StatusWord.VALID
    await world.change(done.certificate, StatusEvent.SUSPEND, by="dg-degree")
    assert await word(world, done.certificate) is StatusWord.SUSPENDED
    await world.change(done.certificate, StatusEvent.REINSTATE, by="dg-degree")
    assert await word(world, done.certificate) is StatusWord.VALID
    await world.change(done.certificate, StatusEvent.REVOKE, by="dg-degree")
    assert await word(world, done.certificate) is StatusWord.REVOKED
    with pytest.raises(HubError, match="step_not_allowed"):
        await world.change(done.certificate, StatusEvent.REINSTATE, by="dg-degree")


async def test_another_department_cannot_revoke(world: World) -> None:
    done = await world.certificate("degree", (world.person("王小莞"), "owner"))
    with pytest.raises(HubError, match="not_owner"):
        await world.change(done.certificate, StatusEvent.REVOKE, by="dg-tax")


async def test_a_list_that_changes_more_than_announced_is_refused(world: World) -> None:
    done = await world.certificate("degree", (world.person("王小莞"), "owner"))
    department = await world.department("dg-degree")
    async with world.view() as view:
        certificate = await by_public_id(view, done.certificate)
    uri, idx = str(certificate.status_uri), int(certificate.status_idx or 0)
    sly = department.sign_list(
        uri, {idx: statuslist.INVALID, idx ^ 1: statuslist.INVALID}, seconds(world.clock())
    )
    for attempt in (
        lambda tx: status.push(tx, token=sly),
        lambda tx: status.change(
            tx, certificate=certificate, event=StatusEvent.REVOKE, reason="x", token=sly
        ),
    ):
        with pytest.raises(HubError, match="unannounced_change"):
            async with world.tx(world.acting(department)) as tx:
                await attempt(tx)
    assert await word(world, done.certificate) is StatusWord.VALID


async def test_a_hub_key_or_an_old_version_signs_no_list(world: World) -> None:
    done = await world.certificate("degree", (world.person("王小莞"), "owner"))
    department = await world.department("dg-degree")
    async with world.view() as view:
        certificate = await by_public_id(view, done.certificate)
    uri = str(certificate.status_uri)
    good = department.sign_list(uri, {}, seconds(world.clock()))
    async with world.tx(world.acting(department)) as tx:
        await status.push(tx, token=good)
    with pytest.raises(HubError) as conflict:
        async with world.tx(world.acting(department)) as tx:
            await status.push(tx, token=good)
    assert conflict.value.code == "status.list_conflict"
    assert conflict.value.facts["seq"] == 2
    department.accepted(uri, good)
    department.status = generate()
    with pytest.raises(HubError, match=r"key\.unknown"):
        async with world.tx(world.acting(department)) as tx:
            await status.push(tx, token=department.sign_list(uri, {}, seconds(world.clock())))


async def test_a_stale_list_says_nothing_instead_of_valid(world: World) -> None:
    done = await world.certificate("degree", (world.person("王小莞"), "owner"))
    world.clock.advance(days=8)
    assert await word(world, done.certificate) is StatusWord.UNKNOWN
    async with world.view() as view:
        certificate = await by_public_id(view, done.certificate)
        standing, signed = await status.standing(
            view, uri=str(certificate.status_uri), idx=int(certificate.status_idx or 0)
        )
    assert standing is Standing.STALE
    assert signed is not None


async def test_a_new_certificate_supersedes_the_old_one_in_one_commit(world: World) -> None:
    wang = world.person("王小莞")
    old = await world.certificate("degree", (wang, "owner"))
    department = await world.department("dg-degree")
    async with world.view() as view:
        certificate = await by_public_id(view, old.certificate)
    uri, idx = str(certificate.status_uri), int(certificate.status_idx or 0)
    token = await world.sign("degree", [wang.as_holder("owner")], degree_level="doctor", version=2)
    lists = department.sign_list(uri, {idx: statuslist.INVALID}, seconds(world.clock()))
    new = await world.register(token, by="dg-degree", supersedes=Supersession(old.certificate, lists))
    department.accepted(uri, lists)
    assert await word(world, old.certificate) is StatusWord.SUPERSEDED
    assert await word(world, new.certificate) is StatusWord.VALID
    async with world.view() as view:
        current = await of_holder(view, subject_id=await world.subject(wang))
    assert [held.certificate.state for held in current] == [CertificateState.CURRENT]


async def test_every_version_of_a_list_is_kept_and_the_past_can_be_asked(world: World) -> None:
    done = await world.certificate("degree", (world.person("王小莞"), "owner"))
    before = world.clock()
    world.clock.advance(hours=2)
    await world.change(done.certificate, StatusEvent.REVOKE, by="dg-degree")
    async with world.view() as view:
        certificate = await by_public_id(view, done.certificate)
        uri, idx = str(certificate.status_uri), int(certificate.status_idx or 0)
        then = statuslist.read_bits(await status.list_token(view, uri=uri, at=before))
        now = statuslist.read_bits(await status.list_token(view, uri=uri))
        kept = await view.value(sa.select(sa.func.count()).select_from(status_list_tokens))
    assert (then.get(idx), now.get(idx)) == (statuslist.VALID, statuslist.INVALID)
    assert kept == 2


async def test_indices_are_unpredictable_and_never_given_twice(world: World) -> None:
    department = await world.department("dg-degree")
    seen: set[tuple[str, int]] = set()
    for _ in range(5):
        async with world.tx(world.acting(department)) as tx:
            got = await indices.reserve(tx, count=200, base_url="https://hub.example")
        assert not seen & set(got.reserved)
        seen |= set(got.reserved)
    numbers = [idx for _, idx in seen]
    assert sorted(numbers) != list(range(min(numbers), min(numbers) + 1000))
    assert len({uri for uri, _ in seen}) == 1

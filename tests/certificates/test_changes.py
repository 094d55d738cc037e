"""Many changes in one step: each list says exactly what came with it, and all of it is done or nothing is."""

import asyncio
import hashlib
from collections.abc import Sequence

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from registry.makers import AUDIENCE
from world import TYPES, TestDepartment, World

from hub.certificates import changes as changing
from hub.certificates.changes import Change, Changed, change_all
from hub.certificates.examine import Application, Source, examine
from hub.certificates.find import by_public_id
from hub.certificates.model import (
    CertificateState,
    StatusEvent,
    certificates,
    status_list_tokens,
    status_lists,
)
from hub.certificates.register import Handed, terms_of
from hub.clock import seconds
from hub.errors import HubError
from hub.formats import statuslist
from hub.ledger.model import leaves
from hub.store.model import outbox

INVALID, SUSPENDED, VALID = statuslist.INVALID, statuslist.SUSPENDED, statuslist.VALID
REVOKE, SUSPEND, REINSTATE, SUPERSEDE = (
    StatusEvent.REVOKE, StatusEvent.SUSPEND, StatusEvent.REINSTATE, StatusEvent.SUPERSEDE
)  # fmt: skip


def row(name: str, generation: int = 2) -> Source:
    return Source("all", name, generation, hashlib.sha256(f"{name}:{generation}".encode()).digest())


async def made(world: World, count: int) -> list[str]:
    """Certificates of the degree office, one list."""
    return [(await world.certificate("degree", (world.person(f"王{n}"), "owner"))).certificate for n in range(count)]


async def new(world: World, name: str, generation: int = 2, by: str = "dg-degree", type_code: str = "degree") -> Handed:
    """A new certificate as the door hands it on."""
    token = await world.sign(type_code, [world.person("王小莞").as_holder("owner")], by=by)
    async with world.view(world.acting(await world.department(by))) as view:
        terms = await terms_of(view, base_url=AUDIENCE)
    return Application("", row(name, generation)), examine([token], terms, TYPES)[0]


async def place(world: World, public_id: str) -> tuple[str, int]:
    async with world.view() as view:
        found = await by_public_id(view, public_id)
    return str(found.status_uri), int(found.status_idx or 0)


async def signed(world: World, entries: dict[str, int], by: str = "dg-degree") -> list[str]:
    """New versions of the lists that these certificates stand in, with these values."""
    department, lists = await world.department(by), {}
    for public_id, value in entries.items():
        uri, idx = await place(world, public_id)
        lists.setdefault(uri, {})[idx] = value
    return [department.sign_list(uri, said, seconds(world.clock())) for uri, said in lists.items()]


async def step(
    world: World, lists: Sequence[str], changes: Sequence[Change], by: str = "dg-degree"
) -> list[Changed]:
    department = await world.department(by)
    async with world.tx(world.acting(department)) as tx:
        found = await change_all(tx, lists=lists, changes=changes)
    accepted(department, lists)
    return found


def accepted(department: TestDepartment, lists: Sequence[str]) -> None:
    for token in lists:
        department.accepted(statuslist.jws.split(token).payload["sub"], token)


async def state(world: World) -> list[object]:
    """Everything that a step may touch."""
    async with world.view() as view:
        rows = await view.all(sa.select(certificates.c.public_id, certificates.c.state).order_by(certificates.c.id))
        counts = [
            await view.value(sa.select(sa.func.count()).select_from(table))
            for table in (leaves, outbox, status_list_tokens)
        ]
        heads = await view.all(sa.select(status_lists.c.uri, status_lists.c.seq))
    return [*map(tuple, rows), *counts, *sorted(map(tuple, heads))]


async def refused(world: World, lists: Sequence[str], changes: Sequence[Change], by: str = "dg-degree") -> HubError:
    """Why a step was not done; that it left nothing behind is looked at each time."""
    before = await state(world)
    with pytest.raises(HubError) as fault:
        await step(world, lists, changes, by)
    assert await state(world) == before
    return fault.value


def said(fault: HubError) -> list[tuple[int, str]]:
    assert fault.code == "changes.refused", fault
    assert fault.next_zh
    return [(one["change"], one["code"]) for one in fault.facts["refused"]]


def revoked(ids: Sequence[str], event: StatusEvent = REVOKE) -> list[Change]:
    return [Change(one, event, f"reason-{n}") for n, one in enumerate(ids)]


async def test_one_list_ends_many_each_with_its_own_leaf_and_reason(world: World) -> None:
    ids = await made(world, 7)
    before = await state(world)
    replaced = [Change(one, SUPERSEDE, "superseded", await new(world, one)) for one in ids[:4]]
    lists = await signed(world, dict.fromkeys(ids, INVALID))
    assert len(lists) == 1
    found = await step(world, lists, [*replaced, *revoked(ids[4:])])
    assert [one.state for one in found] == ["superseded"] * 4 + ["revoked"] * 3
    assert not any(one.replayed for one in found)
    async with world.view() as view:
        rows = {row.public_id: row for row in await view.all(sa.select(certificates))}
        kinds = [row.kind for row in await view.all(sa.select(leaves.c.kind).order_by(leaves.c.seq))]
        told = [row.facts for row in await view.all(sa.select(outbox).order_by(outbox.c.seq))]
    for one, change in zip(found[:4], replaced, strict=True):
        assert one.new is not None
        assert rows[change.certificate].superseded_by == rows[one.new.certificate].id
        assert rows[one.new.certificate].supersedes == rows[change.certificate].id
        assert rows[one.new.certificate].state == "current"
    assert [rows[one].state_reason for one in ids] == ["superseded"] * 4 + ["reason-0", "reason-1", "reason-2"]
    assert (kinds.count("certificate.superseded"), kinds.count("certificate.revoked")) == (4, 3)
    assert [fact["certificate"] for fact in told if fact.get("state")] == ids
    assert (await state(world))[-1] == (before[-1][0], before[-1][1] + 1), "one version of the list for all seven"


async def test_a_list_that_says_more_or_less_than_came_with_it_is_refused(world: World) -> None:
    ids = await made(world, 6)
    for more, fewer in ((1, 0), (0, 1), (1, 1)):
        shown = await signed(world, dict.fromkeys(ids[fewer : 4 + more], INVALID))
        fault = await refused(world, shown, revoked(ids[:4]))
        assert (fault.code, fault.facts["more"], fault.facts["fewer"]) == ("status.unannounced_change", more, fewer)
        assert "changes" in fault.next_en


async def test_a_wrong_value_counts_as_more_and_a_bare_list_changes_nothing(world: World) -> None:
    ids = await made(world, 2)
    fault = await refused(world, await signed(world, dict.fromkeys(ids, SUSPENDED)), revoked(ids))
    assert fault.facts["fewer"] == 2
    fault = await refused(world, await signed(world, {ids[0]: INVALID, ids[1]: INVALID}), revoked(ids[:1]))
    assert fault.facts["more"] == 1
    fault = await refused(world, await signed(world, {ids[0]: INVALID}), [])
    assert fault.code == "status.unannounced_change"
    assert (await refused(world, [], revoked(ids))).code == "changes.list_missing"
    twice = await signed(world, dict.fromkeys(ids, INVALID)) * 2
    assert (await refused(world, twice, revoked(ids))).code == "changes.list_twice"


async def test_one_bad_change_among_good_ones_is_named_and_nothing_is_done(world: World) -> None:
    ids = await made(world, 6)
    other = await world.certificate("employment", (world.person("李䶮"), "worker"))
    await step(world, await signed(world, {ids[5]: INVALID}), revoked(ids[5:]))
    bad = [
        Change(ids[0], SUPERSEDE, "superseded", await new(world, ids[0])),
        Change("nothing", REVOKE, "x"),
        Change(other.certificate, REVOKE, "x"),
        Change(ids[1], REVOKE, "x"),
        Change(ids[1], REVOKE, "x"),
        Change(ids[5], REVOKE, "x"),
        Change(ids[5], SUPERSEDE, "superseded", await new(world, "other")),
        Change(ids[2], REINSTATE, "x"),
        Change(ids[3], SUPERSEDE, "superseded", await new(world, ids[0])),
        Change(ids[4], SUPERSEDE, "superseded", HubError("sdjwt.form", "", "")),
    ]
    fault = await refused(world, await signed(world, dict.fromkeys(ids[:5], INVALID)), bad)
    assert said(fault) == [
        (2, "certificate.unknown"), (3, "certificate.unknown"), (5, "changes.repeated"), (6, "status.step_not_allowed"),
        (7, "changes.repeated"), (8, "status.step_not_allowed"), (9, "changes.repeated"), (10, "sdjwt.form"),
    ]  # fmt: skip
    left = [bad[0], bad[3]]
    found = await step(world, await signed(world, dict.fromkeys(ids[:2], INVALID)), left)
    assert [one.state for one in found] == ["superseded", "revoked"]


async def test_what_only_registering_shows_is_named_too(world: World) -> None:
    ids = await made(world, 3)
    good = [await new(world, one) for one in ids]
    spent = await new(world, "spent")
    assert not isinstance(spent[1], HubError)
    assert not isinstance(good[1][1], HubError)
    taken = (good[1][0], good[1][1]._replace(status_idx=good[1][1].status_idx or 0 ^ 1, status_uri="https://no/where"))
    changes = [Change(one, SUPERSEDE, "superseded", it) for one, it in zip(ids, [good[0], taken, good[2]], strict=True)]
    fault = await refused(world, await signed(world, dict.fromkeys(ids, INVALID)), changes)
    assert [place for place, _ in said(fault)] == [2]


async def test_another_departments_certificates_and_lists_are_strange(world: World) -> None:
    ids = await made(world, 2)
    await world.department("dg-edu")
    lists = await signed(world, dict.fromkeys(ids, INVALID))
    assert said(await refused(world, lists, revoked(ids), by="dg-edu")) == [
        (1, "certificate.unknown"), (2, "certificate.unknown")
    ]  # fmt: skip
    assert (await refused(world, lists, [], by="dg-edu")).code == "status.list_unknown"


async def test_a_version_that_moved_is_a_conflict_that_says_where_it_is(world: World) -> None:
    ids = await made(world, 3)
    old = await signed(world, dict.fromkeys(ids[:2], INVALID))
    await step(world, await signed(world, {ids[2]: INVALID}), revoked(ids[2:]))
    fault = await refused(world, old, revoked(ids[:2]))
    assert fault.code == "status.list_conflict"
    assert {"uri", "seq", "sha256"} <= set(fault.facts)


def receipt(one: Changed) -> tuple[str, bytes] | None:
    return (one.new.certificate, one.new.leaf_hash) if one.new else None


async def test_a_step_whose_answer_was_lost_is_answered_alike(world: World) -> None:
    ids = await made(world, 4)
    changes = [Change(one, SUPERSEDE, "superseded", await new(world, one)) for one in ids[:2]] + revoked(ids[2:])
    lists = await signed(world, dict.fromkeys(ids, INVALID))
    first = await step(world, lists, changes)
    after = await state(world)
    department = await world.department("dg-degree")
    for _ in range(2):
        async with world.tx(world.acting(department)) as tx:
            again = await change_all(tx, lists=lists, changes=changes)
        assert all(one.replayed for one in again)
        assert [(one.certificate, one.state) for one in again] == [(one.certificate, one.state) for one in first]
        assert [receipt(one) for one in again] == [receipt(one) for one in first]
        assert await state(world) == after
        bare = department.sign_list((await place(world, ids[0]))[0], {}, seconds(world.clock()))
        await step(world, [bare], [])  # the lists may have moved on meanwhile
        after = await state(world)
    other = [*changes[:3], Change(ids[3], SUSPEND, "x")]
    assert said(await refused(world, lists, other)) == [(4, "status.step_not_allowed")]
    again = await refused(world, [], changes[2:])
    assert said(again) == [(1, "status.step_not_allowed"), (2, "status.step_not_allowed")]


async def test_rows_that_were_registered_before_need_no_entry_in_a_newer_list(world: World) -> None:
    ids = await made(world, 3)
    changes = [Change(one, SUPERSEDE, "superseded", await new(world, one)) for one in ids]
    await step(world, await signed(world, {ids[0]: INVALID}), changes[:1])
    lists = await signed(world, dict.fromkeys(ids[1:], INVALID))
    found = await step(world, lists, changes)
    assert [one.replayed for one in found] == [True, False, False]
    assert all(one.new and one.state == "superseded" for one in found)


async def test_suspending_and_reinstating_go_the_same_way(world: World) -> None:
    ids = await made(world, 3)
    await step(world, await signed(world, dict.fromkeys(ids, SUSPENDED)), revoked(ids, SUSPEND))
    back = await signed(world, {ids[0]: VALID, ids[1]: INVALID})
    found = await step(world, back, [Change(ids[0], REINSTATE, "x"), Change(ids[1], REVOKE, "y")])
    assert [one.state for one in found] == ["current", "revoked"]
    final = await signed(world, {ids[1]: VALID})
    assert said(await refused(world, final, [Change(ids[1], REINSTATE, "x")])) == [(1, "status.step_not_allowed")]


def dying(whole):
    """The verb, whose process ends when it has done everything but commit."""

    async def dies(first, *args: object, **kwargs: object) -> None:
        if isinstance(first, World):
            async with first.tx(first.acting(await first.department("dg-degree"))) as tx:
                await change_all(tx, lists=args[0], changes=args[1])
                raise ZeroDivisionError
        await whole(first, *args, **kwargs)
        raise ZeroDivisionError

    return dies


async def test_a_failure_anywhere_in_between_leaves_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a kill does: whatever was not committed was never there."""
    ids = await made(world, 3)
    changes = [Change(one, SUPERSEDE, "superseded", await new(world, one)) for one in ids[:2]] + revoked(ids[2:])
    lists = await signed(world, dict.fromkeys(ids, INVALID))
    before = await state(world)
    for module, name in (
        (changing.status, "accept_list"), (changing, "register_all"), (changing.steps, "take"), (None, "commit"),
    ):  # fmt: skip
        with monkeypatch.context() as patch:
            if module is not None:
                patch.setattr(module, name, dying(getattr(module, name)))
            with pytest.raises(ZeroDivisionError):
                await dying(step)(world, lists, changes)
        assert await state(world) == before, name
    assert len(await step(world, lists, changes)) == 3


async def test_two_at_once_with_one_list_are_one_step_and_its_echo(world: World) -> None:
    ids = await made(world, 4)
    lists = await signed(world, dict.fromkeys(ids, INVALID))
    changes = [Change(one, SUPERSEDE, "superseded", await new(world, one)) for one in ids[:2]] + revoked(ids[2:])
    actor = world.acting(await world.department("dg-degree"))

    async def once() -> list[Changed]:
        async with world.tx(actor) as tx:
            return await change_all(tx, lists=lists, changes=changes)

    found = await asyncio.gather(once(), once())
    assert sorted(one[0].replayed for one in found) == [False, True]


EVENTS = st.sampled_from([REVOKE, SUSPEND, REINSTATE])


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_list_but_the_exact_one_is_refused(data: st.DataObject, property_world) -> None:
    """Whatever is announced and whatever is signed: they are taken together only when they are the same."""
    run, world, ids = property_world
    chosen = data.draw(st.dictionaries(st.sampled_from(ids), EVENTS, max_size=5))
    sly = data.draw(st.dictionaries(st.sampled_from(ids), st.sampled_from([VALID, INVALID, SUSPENDED]), max_size=3))
    run(_one_example(world, ids, chosen, sly))


async def _one_example(world: World, ids: list[str], chosen, sly) -> None:
    async with world.view() as view:
        now = {one: (await by_public_id(view, one)).state for one in ids}
    allowed = {
        one: event for one, event in chosen.items() if (now[one], event) in changing.steps.FOLLOWS
    }  # fmt: skip
    exact = {one: changing.steps.VALUES[event] for one, event in allowed.items()}
    held = {one: {"current": VALID, "suspended": SUSPENDED, "revoked": INVALID}[str(now[one])] for one in ids}
    after, wanted = held | exact | sly, held | exact
    lists = await signed(world, after)
    changes = [Change(one, event, "x") for one, event in allowed.items()]
    if after == wanted:
        found = await step(world, lists, changes)
        assert {one.certificate: one.state for one in found} == {
            one: changing.steps.STATES[event] for one, event in allowed.items()
        }
    else:
        assert (await refused(world, lists, changes)).code == "status.unannounced_change"


@pytest.fixture(scope="module")
def property_world(tmp_path_factory: pytest.TempPathFactory, sqlite_template):
    """One world for all examples: what one leaves is where the next begins."""
    import shutil

    from parts import FixedClock

    path = tmp_path_factory.mktemp("changes") / "hub.db"
    shutil.copyfile(sqlite_template, path)
    with asyncio.Runner() as runner:
        world = World(f"sqlite+aiosqlite:///{path}", FixedClock())
        ids = runner.run(made(world, 6))
        yield runner.run, world, ids
        runner.run(world.close())


def test_no_state_is_left_out_of_the_table() -> None:
    assert {CertificateState(state) for state in changing.steps.STATES.values()} == set(CertificateState)

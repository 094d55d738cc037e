import asyncio
import json

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from registry.makers import credit

from hub.actor import ActorKind
from hub.errors import Conflict, Malformed, NotFound, Unauthenticated
from hub.ledger.model import leaves
from hub.registry import ceremony, departments, officers, sessions
from hub.registry.model import APART, Role, may, one_time_links
from hub.registry.model import sessions as sessions_table
from hub.registry.roster import OfficerRow, read_roster

CSV = "department,login,name,roles\ndg-edu,li,李四,clerk;decider\ndg-ps,wang,王五,发证人员\n"


async def load(open_tx, text, dry_run=False):
    rows, errors = read_roster(text.encode() if isinstance(text, str) else text)
    assert not errors
    async with open_tx() as tx:
        return await officers.import_officers(tx, rows=rows, dry_run=dry_run)


async def one(open_tx, login, department="dg-edu"):
    async with open_tx() as tx:
        return await officers.by_login(tx, department, login)


@pytest.mark.usefixtures("two_departments")
class TestImport:
    async def test_a_list_in_utf8_and_in_gb18030_says_the_same(self, open_tx):
        assert read_roster(CSV.encode("gb18030")) == read_roster(("\ufeff" + CSV).encode())
        report = await load(open_tx, CSV)
        assert (report.added, report.changed, report.unchanged, report.errors) == (2, 0, 0, ())
        assert (await one(open_tx, "wang", "dg-ps")).roles == {Role.ISSUING}
        again = await load(open_tx, CSV)
        assert (again.added, again.changed, again.unchanged) == (0, 0, 2)

    async def test_a_dry_run_counts_and_writes_nothing(self, open_tx):
        report = await load(open_tx, CSV, dry_run=True)
        assert report.added == 2
        assert await one(open_tx, "li") is None

    async def test_every_error_is_told_with_its_line_and_then_nothing_is_done(self, open_tx):
        text = (
            "登录名,角色,部门,姓名\nok,clerk,dg-edu,好\n\nx,clerk,dg-none,甲\ny,king,dg-edu,乙\n"
            "z,operator;审计人员,dg-edu,丙\nok,clerk,dg-edu,丁\n"
        )
        report = await load(open_tx, text)
        assert [(e.line, e.code) for e in report.errors] == [
            (4, "officer.department"),
            (5, "officer.role"),
            (6, "officer.apart"),
            (7, "officer.repeated"),
        ]
        assert await one(open_tx, "ok") is None

    async def test_role_changes_are_leaves_without_names(self, open_tx):
        await load(open_tx, CSV)
        await load(open_tx, "department,login,name,roles\ndg-edu,li,李四,decider|auditor\n")
        async with open_tx() as tx:
            rows = await tx.all(
                sa.select(leaves.c.data).where(leaves.c.kind.like("officer.%")).order_by(leaves.c.seq)
            )
        told = [json.loads(r.data) for r in rows]
        assert [(e["event"], e["role"]) for e in told] == [
            ("officer.role_given", "clerk"),
            ("officer.role_given", "decider"),
            ("officer.role_given", "issuing_officer"),
            ("officer.role_taken", "clerk"),
            ("officer.role_given", "auditor"),
        ]
        whole = b"".join(r.data for r in rows).decode()
        assert "李四" not in whole
        assert "li" not in {e["officer"] for e in told}
        assert "login" not in whole

    async def test_a_disabled_officer_has_no_roles_and_no_session(self, open_tx):
        await load(open_tx, CSV)
        li = await one(open_tx, "li")
        async with open_tx() as tx:
            opened = await sessions.open_session(tx, officer_id=li.id, assurance="link")
            assert await officers.roles_of(tx, li.id) == {"clerk", "decider"}
        async with open_tx() as tx:
            await officers.disable(tx, officer_id=li.id)
            assert await officers.roles_of(tx, li.id) == frozenset()
            assert await sessions.lookup(tx, token=opened.token) is None
            with pytest.raises(Conflict, match=r"officer\.state"):
                await officers.disable(tx, officer_id=li.id)
        await load(open_tx, CSV)
        async with open_tx() as tx:
            assert await officers.roles_of(tx, li.id) == {"clerk", "decider"}
            assert await sessions.lookup(tx, token=opened.token) is None

    async def test_roles_of_a_suspended_department_do_not_count(self, open_tx):
        await load(open_tx, CSV)
        li = await one(open_tx, "li")
        async with open_tx() as tx:
            await departments.suspend(tx, slug="dg-edu", reason="x")
            assert await officers.roles_of(tx, li.id) == frozenset()


@pytest.mark.parametrize("pair", APART, ids=lambda p: "+".join(sorted(p)))
async def test_nobody_holds_roles_that_must_be_apart(open_tx, two_departments, pair):
    row = OfficerRow(2, "dg-edu", "x", "甲", frozenset(pair) | {Role.CLERK})
    async with open_tx() as tx:
        report = await officers.import_officers(tx, rows=[row], dry_run=False)
    assert [e.code for e in report.errors] == ["officer.apart"]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"a,b\n1,2\n",
        b"department,login,name,roles,roles\n",
        b'department,login,name,roles\n"x',
        b"\xff\xff\xff",
    ],
)
def test_files_that_are_no_roster_are_refused(data):
    with pytest.raises(Malformed, match=r"officer\.file"):
        read_roster(data)


def test_lines_without_a_name_or_with_an_impossible_login_are_told_by_number():
    rows, errors = read_roster("部门,登录名,姓名,角色\ndg-edu,li,,clerk\ndg-edu,李四,李四,clerk\n".encode())
    assert rows == []
    assert [(e.line, e.code) for e in errors] == [(2, "officer.empty"), (3, "officer.login")]


HEADED = st.text(max_size=200).map(lambda text: ("部门,登录名,姓名,角色\n" + text).encode("utf-8", "replace"))


@given(data=st.one_of(st.binary(max_size=200), HEADED))
def test_any_bytes_are_read_or_refused(data):
    try:
        rows, errors = read_roster(data)
    except Malformed:
        return
    assert all(r.line > 1 for r in [*rows, *errors])


HOST = {
    "slug": "dg-gov",
    "uscc": credit(7),
    "name_zh": "政务服务数据管理局",
    "name_en": "Government Services",
}


async def initialise(open_tx):
    async with open_tx() as tx:
        return await ceremony.initialise(tx, **HOST, login="root", name="管理员")


async def test_the_first_administrator_enters_by_a_link_once(open_tx):
    link = await initialise(open_tx)
    async with open_tx() as tx:
        assert (await tx.first(sa.select(one_time_links))).token_hash != link.token.encode()
        assert await ceremony.redeem_link(tx, token=link.token) == link.officer_id
        assert may(await officers.roles_of(tx, link.officer_id), "registry.administer")
    for token in (link.token, "", "nonsense"):
        async with open_tx() as tx:
            with pytest.raises(Unauthenticated, match=r"link\.refused"):
                await ceremony.redeem_link(tx, token=token)


async def test_two_initialisations_at_once_make_one_administrator(open_tx):
    results = await asyncio.gather(*[initialise(open_tx) for _ in range(4)], return_exceptions=True)
    assert sorted(type(r).__name__ for r in results) == ["Conflict"] * 3 + ["OneTimeLink"]


async def test_links_end_after_a_day_and_with_their_officer(open_tx, clock):
    link = await initialise(open_tx)
    clock.advance(hours=24)
    async with open_tx() as tx:
        with pytest.raises(Unauthenticated):
            await ceremony.redeem_link(tx, token=link.token)
        again = await ceremony.make_link(tx, officer_id=link.officer_id)
        await officers.disable(tx, officer_id=link.officer_id)
        with pytest.raises(Unauthenticated):
            await ceremony.redeem_link(tx, token=again.token)
        with pytest.raises(NotFound):
            await ceremony.make_link(tx, officer_id=link.officer_id)


async def test_two_clicks_on_one_link_let_one_in(open_tx):
    link = await initialise(open_tx)

    async def click():
        async with open_tx() as tx:
            return await ceremony.redeem_link(tx, token=link.token)

    results = await asyncio.gather(*[click() for _ in range(6)], return_exceptions=True)
    assert [r for r in results if not isinstance(r, Unauthenticated)] == [link.officer_id]


async def test_an_officers_session_lives_while_used_but_never_past_twelve_hours(open_tx, clock):
    link = await initialise(open_tx)
    async with open_tx() as tx:
        opened = await sessions.open_session(tx, officer_id=link.officer_id, assurance="link")
        assert opened.token not in repr((await tx.all(sa.select(sessions_table)))[0])
    for hours, stands in (*((0.9, True),) * 13, (0.4, False)):
        clock.advance(hours=hours)
        async with open_tx() as tx:
            assert (await sessions.lookup(tx, token=opened.token) is not None) == stands
            assert await sessions.touch(tx, token=opened.token) == stands


async def test_an_officers_unused_session_ends_after_an_hour_and_a_signed_out_one_at_once(open_tx, clock):
    link = await initialise(open_tx)
    async with open_tx() as tx:
        first = await sessions.open_session(tx, officer_id=link.officer_id, assurance="link")
        second = await sessions.open_session(tx, officer_id=link.officer_id, assurance="link")
        await sessions.end(tx, token=second.token)
        assert await sessions.lookup(tx, token=second.token) is None
        assert await sessions.lookup(tx, token="nonsense") is None
        actor = await sessions.actor_of(tx, await sessions.lookup(tx, token=first.token))
        assert (actor.kind, actor.department, actor.roles) == (ActorKind.OFFICER, "dg-gov", {"administrator"})
    clock.advance(hours=1)
    async with open_tx() as tx:
        assert await sessions.lookup(tx, token=first.token) is None
        assert not await sessions.touch(tx, token=first.token)


async def test_a_session_belongs_to_exactly_one(open_tx):
    async with open_tx() as tx:
        with pytest.raises(ValueError, match="one citizen or one officer"):
            await sessions.open_session(tx, assurance="x")

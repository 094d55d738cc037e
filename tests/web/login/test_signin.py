"""People sign in at a provider that nobody here wrote; and everything that must not let anybody in."""

import json
import re
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
import sqlalchemy as sa
from registry.makers import AUDIENCE
from web.pages.family import Page

from hub.actor import SYSTEM
from hub.errors import Conflict
from hub.ledger.model import leaves
from hub.registry import ceremony, identities, officers, providers, subjects
from hub.registry.model import login_attempts, sessions


async def standing(town, code=None):
    """The sessions that stand, as (kind, provider, level)."""
    async with town.hub.view(SYSTEM) as view:
        rows = await view.all(sa.select(sessions).where(sessions.c.ended_at.is_(None)))
    return [(row.kind, row.provider, row.assurance) for row in rows]


async def test_a_citizen_whom_nobody_knew_comes_in_and_is_the_same_person_ever_after(town):
    browser, page = await town.enter("people", next="/accesses")
    assert (page.status, page.url.path) == (200, "/accesses")
    assert "王*明" in page.root.text_content()
    assert await standing(town) == [("citizen", "people", "substantial")], "the provider may assure no more than that"
    asked = town.people.asked[-1]
    assert (asked["response_type"], asked["code_challenge_method"]) == ("code", "S256")
    assert {"state", "nonce", "code_challenge", "max_age"} <= asked.keys()
    async with town.hub.view(SYSTEM) as view:
        person = await subjects.find(view, id_type="111", id_no=town.wang)
        kept = await view.all(sa.select(login_attempts))
        shown = repr([tuple(row) for row in kept]) + repr([tuple(r) for r in await view.all(sa.select(sessions))])
    assert asked["nonce"] not in shown
    assert asked["state"] not in shown
    assert town.wang not in shown
    # another account of theirs at the provider, another browser: the same person
    town.people.user = "wang-again"
    await town.enter("people")
    async with town.hub.view(SYSTEM) as view:
        whose = {row.subject_id for row in await view.all(sa.select(sessions))}
    assert whose == {person}
    out = await browser.send(await browser.get("/wallet"), "/logout")
    assert "/login/people/leave" in out.links()


async def test_an_officer_comes_in_by_private_key_jwt_with_the_roles_of_the_registry_and_of_one_department(town):
    browser, page = await town.enter("office")
    assert page.url.path == "/counter"
    assert await standing(town) == [("officer", "office", "substantial")]
    assert (await browser.get("/auditor")).status == 403
    async with town.hub.tx(SYSTEM) as tx:
        await officers.disable(tx, officer_id=town.clerk.id)
    assert (await browser.get("/counter")).url.path == "/login", "disabled: out at once"
    _, refused = await town.enter("office")
    assert (refused.status, "没有登记您" in refused.text) == (403, True)


async def test_an_account_stays_with_whom_it_meant(town):
    await town.enter("office")
    town.office.user = "u1b"  # another account that says the same login
    _, page = await town.enter("office")
    assert (page.status, "另一个登录账号" in page.text) == (403, True)
    async with town.hub.tx(SYSTEM) as tx:
        assert await identities.unlink(tx, officer_id=town.clerk.id) == 1
    assert (await town.enter("office"))[1].status == 200
    await town.enter("people")
    town.people.context.userinfo.db["wang"]["id_number"] = town.people.context.userinfo.db["li"]["id_number"]
    _, page = await town.enter("people")
    assert (page.status, "另一个人" in page.text) == (403, True)


async def test_a_provider_speaks_for_its_own_people_only(town):
    """A department's provider names a citizen's number: nobody comes in by it, and the other way round."""
    wrong = [("office", town.office, "u9"), ("office", town.office, "wang"), ("people", town.people, "nobody")]
    for code, provider, user in wrong:
        provider.user = user
        _, page = await town.enter(code)
        assert page.status in (401, 403), user
    async with town.hub.tx(SYSTEM) as tx:
        await tx.run(sa.text("UPDATE identity_providers SET level = 'low'"))
    town.people.user, town.office.user = "wang", "u1"
    for code in ("people", "office"):
        _, page = await town.enter(code)
        assert (page.status, "实名等级不够" in page.text) == (403, True), code
    assert await standing(town) == []


async def test_a_department_with_a_provider_has_no_other_way_in(town):
    async with town.hub.tx(SYSTEM) as tx:
        with pytest.raises(Conflict, match=r"link\.has_provider"):
            await ceremony.make_link(tx, officer_id=town.clerk.id)
        await providers.disable(tx, code="office")
        link = await ceremony.make_link(tx, officer_id=town.clerk.id)
        other = await ceremony.make_link(tx, officer_id=town.clerk.id)
    browser = town.browser()
    inside = await browser.send(await browser.get(f"/enter/{link.token}"), f"/enter/{link.token}")
    assert inside.url.path == "/counter"
    async with town.hub.tx(SYSTEM) as tx:
        await providers.enable(tx, code="office")
    assert (await browser.get("/counter")).url.path == "/login", "a session by link ends with the provider's coming"
    late = await browser.send(await browser.get(f"/enter/{other.token}"), f"/enter/{other.token}")
    assert late.status == 401
    async with town.hub.view(SYSTEM) as view:
        rows = await view.all(sa.select(leaves.c.data).where(leaves.c.kind.like("provider.%")))
    events = [json.loads(row.data)["event"] for row in rows]
    assert sorted(set(events)) == ["provider.added", "provider.disabled", "provider.enabled"]


def changed(address, **fields):
    """An address with other query members; None takes one away."""
    parts = urlsplit(address)
    query = dict(parse_qsl(parts.query)) | fields
    return parts._replace(query=urlencode({n: v for n, v in query.items() if v is not None})).geturl()


async def test_an_answer_is_good_once_in_the_browser_that_asked_and_from_whom_it_asked(town):
    browser = town.browser()
    back = await town.off(browser, "people")
    wrong = {
        "another browser": (town.browser(), back),
        "no state": (browser, changed(back, state=None)),
        "another state": (browser, changed(back, state="x" * 43)),
        "another provider's address": (browser, back.replace("/login/people/", "/login/office/")),
    }
    for what, (who, address) in wrong.items():
        assert Page(await who.client.get(address)).status == 410, what
    for fields, status in (
        ({"iss": town.office.issuer}, 401),  # mix-up: RFC 9207
        ({"code": None, "error": "access_denied"}, 401),
        ({"code": None}, 400),
        ({"code": "made-up"}, 400),
    ):
        address = changed(await town.off(browser, "people"), **fields)
        assert Page(await browser.client.get(address)).status == status, fields
        assert Page(await browser.client.get(changed(address, iss=None))).status == 410, "a try is spent by any answer"
    assert Page(await browser.client.get(back)).status == 200
    assert Page(await browser.client.get(back)).status == 410, "twice"
    town.world.clock.advance(minutes=0)
    late = await town.off(browser, "people")
    town.world.clock.advance(minutes=11)
    assert Page(await browser.client.get(late)).status == 410
    assert len(await standing(town)) == 1


async def test_keys_that_change_are_read_again_but_not_at_every_ones_wish(town):
    await town.enter("people")
    read = town.people.hits.count("jwks.json")
    await town.enter("people")
    assert town.people.hits.count("jwks.json") == read, "remembered"
    town.people.rotate()
    _, page = await town.enter("people")
    assert page.status == 401, "not so soon after: anybody could make up key ids"
    from hub.registry import discovery

    kept = town.hub.db.memory.of(discovery._Providers).get(town.people.issuer)
    kept.keys_read -= discovery.LEAST_BETWEEN + 1
    _, page = await town.enter("people")
    assert page.status == 200
    assert town.people.hits.count("jwks.json") == read + 1


async def test_signing_out_at_the_provider_signs_out_here(town):
    first, _ = await town.enter("people")
    sub = town.people.vouched[-1]["sub"]
    second, _ = await town.enter("people")
    town.people.user = "li"
    other, _ = await town.enter("people")
    token = town.people.logout_token("the-hub", sub=sub)
    out = town.browser().client

    async def told(text, code="people"):
        return await out.post(f"/login/{code}/logout", data={"logout_token": text})

    for bad in (
        "x.y.z",
        town.people.logout_token("somebody", sub=sub),
        town.people.logout_token("the-hub"),
        town.people.logout_token("the-hub", sub=sub, nonce="n"),
        town.people.logout_token("the-hub", sub=sub, events={}),
        town.office.logout_token("the-hub", sub=sub),
    ):
        answer = await told(bad)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    assert (await first.get("/wallet")).url.path == "/wallet"
    done = await told(token)
    assert (done.status_code, done.headers["cache-control"]) == (200, "no-store")
    assert (await first.get("/wallet")).url.path == "/login"
    assert (await second.get("/wallet")).url.path == "/login"
    assert (await other.get("/wallet")).url.path == "/wallet"
    assert (await told(token)).status_code == 400, "once"
    assert (await told(token, "nowhere")).status_code == 400


async def test_where_a_browser_is_sent_stands_in_no_log_and_codes_in_no_page(town):
    browser = town.browser()
    back = await town.off(browser, "people")
    page = Page(await browser.client.get(back))
    code = dict(parse_qsl(urlsplit(back).query))["code"]
    assert code not in page.answer.text
    assert re.search(r"default-src 'none'", page.headers["content-security-policy"])
    assert page.answer.history[-1].headers["location"].startswith("/wallet")
    assert str(page.url).startswith(AUDIENCE + "/wallet")

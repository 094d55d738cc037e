"""The authorisation matrix: every route x every kind of caller x another person's or department's object.

Rows: `matrix.py`. On SQLite only: who may come in is decided above the database.
"""

import json
import re
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa
from parts import FixedClock
from registry.makers import AUDIENCE
from web.api.apiworld import ApiWorld, own_keys
from web.api.test_verifier import consent
from web.matrix import CALLERS, DOORS, OWNERS, ROWS, routes
from web.pages.family import Browser
from world import ITEMS, TYPES

from hub.access.history import of_subject
from hub.actor import Actor, ActorKind
from hub.cases import visits
from hub.cases.draw import announce
from hub.cases.model import StepState, case_steps
from hub.cases.office import ask_office
from hub.cases.paperconsent import begin
from hub.catalogue.drafts import draft_item
from hub.certificates import workorders
from hub.consent.entrust import offer
from hub.consent.model import consent_requests, passkeys
from hub.consent.model import grants as grants_table
from hub.consent.office import load_rules
from hub.consent.usecode import choose
from hub.ids import public_token, uuid7
from hub.notices import contacts, endpoints
from hub.notices.egress import Egress
from hub.notices.model import Channel
from hub.oversight.objections import complain_of_access
from hub.oversight.ratings import rate
from hub.registry import officers, sessions
from hub.registry.roster import OfficerRow
from hub.verification.model import Ask, pulls
from hub.web.pages import again
from hub.web.pages.mount import DOORS as PAGES

OFFICERS = {
    "clerk": ("dg-edu", "clerk"),
    "clerk of si": ("dg-si", "clerk"),
    "issuer": ("dg-edu", "issuing_officer"),
    "second": ("dg-edu", "second_approver"),
    "auditor": ("dg-audit", "auditor"),
    "operator": ("dg-edu", "operator"),
    "decider": ("dg-edu", "decider"),
    "decider of si": ("dg-si", "decider"),
    "complaints": ("dg-audit", "complaint_handler"),
    "complaints of edu": ("dg-edu", "complaint_handler"),
}
SCOPES = "issue verify grant_management_query grant_management_revoke"


@dataclass
class City:
    """Everybody who could call, and one object of each kind."""

    world: ApiWorld
    things: dict[str, str]
    browsers: dict[str, Browser]
    tokens: dict[str, str]

    async def call(self, who: str, name: str, thing: str = "") -> httpx.Response:
        """One well-formed request by `who`, its address filled with `thing`."""
        method, _, path = name.partition(" ")
        path = re.sub(r"\{[^}]*\}", thing or public_token(), path)
        send = dict(ROWS[name].send)
        form, body = send.get("form"), send.get("json")
        if who in self.browsers or who == "nobody":
            browser = self.browsers.get(who)
            client = browser.client if browser else Browser(self.world.app, self.world.hub).client
            csrf = {"csrf": await self.csrf(browser)} if browser else {}
            data = {**(form or {}), **csrf} if method == "POST" and body is None else None
            return await client.request(
                method, path, data=data, json=body, content=send.get("content"), follow_redirects=False,
                headers={"origin": AUDIENCE, "sec-fetch-site": "same-origin"},
            )  # fmt: skip
        slug = "dg-degree" if who == "degree" else "dg-edu"
        department = self.world.departments[slug]
        if path.startswith("/oauth/"):
            if who == "consent":  # a token is no client
                return await self.world.http.post(path, data={**(form or {}), "client_assertion": self.tokens[who]})
            return await self.world.form(department, path, with_proof=path == "/oauth/token", **(form or {}))
        content = send.get("content") or (json.dumps(body).encode() if body is not None else None)
        media = "application/pdf" if "content" in send else "application/json"
        return await self.world.call(
            department, method, path, token=self.tokens[who], content=content, media_type=media
        )

    async def csrf(self, browser: Browser) -> str:
        page = await browser.client.get("/help")
        return re.search(r'name="csrf" value="([^"]+)"', page.text)[1]


@pytest.fixture
async def city(sqlite_database: str, clock: FixedClock, tmp_path: Path) -> City:
    world = ApiWorld(sqlite_database, clock, tmp_path / "data", own_keys(tmp_path / "keys"))
    await world.begin()
    for slug in ("dg-edu", "dg-degree", "dg-si", "dg-audit"):
        await world.department(slug)
    wang, li = world.person("王小明"), world.person("李大勇")
    certificate = await world.certificate("degree", (wang, "owner"))
    await world.certificate("degree", (li, "owner"))
    await world.publish()
    case, grants = await world.grant(wang, ["degree"], max_uses=2)
    await world.verify(case, grants, [Ask("degree")])
    waiting = await world.ask("dg-edu", case, [world.detail(case, ["degree"])], of=wang)
    browsers = {}
    async with world.tx() as tx:
        rows = [
            OfficerRow(n, slug, f"o{n}", "某人", frozenset({role}))
            for n, (slug, role) in enumerate(OFFICERS.values())
        ]
        assert not (await officers.import_officers(tx, rows=rows, dry_run=False)).errors
        known = {officer.login: officer.id for officer in await officers.all_officers(tx)}
    for n, name in enumerate(OFFICERS):
        browsers[name] = Browser(world.app, world.hub)
        await browsers[name].sign_in(officer=known[f"o{n}"])
    for name, person in (("wang", wang), ("li", li)):
        browsers[name] = Browser(world.app, world.hub)
        await browsers[name].sign_in(subject=await world.subject(person))
    maker = Actor(
        ActorKind.OFFICER, department="dg-edu", officer_id=known["o2"], roles=frozenset({"issuing_officer"})
    )
    async with world.tx(maker) as tx:
        order = await workorders.make(
            tx, data="学校\n第一小学\n".encode(), kind=TYPES["school_record"], blobs=world.blobs
        )
    async with world.view(await world.citizen(wang)) as view:
        access = (await of_subject(view, subject_id=view.actor.subject_id))[0].public_id
        grant_id = await view.value(_request_of(grants[0].id))
    async with world.tx(await world.citizen(wang)) as tx:
        entrusted = await offer(
            tx, principal=tx.actor.subject_id, items=[case.item_code], types=["degree"],
            valid_until=tx.now + timedelta(days=1),
        )  # fmt: skip
    decider = Actor(ActorKind.OFFICER, department="dg-edu", officer_id=known["o6"], roles=frozenset({"decider"}))
    item = ITEMS[case.item_code]
    async with world.tx(decider) as tx:
        ranking = await announce(
            tx, item=item, scheme=world.hub.schemes[item.scheme], title_zh="甲", title_en="A", places=1
        )
    clerk = Actor(ActorKind.OFFICER, department="dg-edu", officer_id=known["o0"], roles=frozenset({"clerk"}))
    drafter = Actor(
        ActorKind.OFFICER, department="dg-edu", officer_id=known["o2"], roles=frozenset({"issuing_officer"})
    )
    async with world.tx(drafter) as tx:
        document = dict(item.document) | {"version": item.version + 1}
        draft = await draft_item(tx, document=document)
    async with world.tx(clerk) as tx:
        printed = await begin(tx, case=case, item=item, document_type="111", document_no=wang.id_no)
        look = await ask_office(tx, case_id=case.public_id, rule=load_rules()["441900-edu-points-recheck"])
        first = tx.now + timedelta(days=1)
        await visits.open_slots(
            tx, place_zh="一号窗", place_en="Window 1", first=first, number=1, minutes=30, capacity=2
        )
        slot = (await visits.free_slots(tx, department="dg-edu"))[0]
    async with world.tx(await world.citizen(wang)) as tx:
        visit = await visits.book(tx, slot=slot.public_id, item=item)
    async with world.tx() as tx:
        done = {"state": StepState.DECIDED, "started_at": tx.now, "decided_at": tx.now, "passed": True}
        step = {"id": uuid7(), "case_id": case.id, "code": "audit", "department": "dg-audit", "days": 5}
        await tx.insert(case_steps, step | done | {"days_unconfirmed": False, "calendar": "test"})
    async with world.tx(await world.citizen(wang)) as tx:
        rating = await rate(tx, case=case, step="audit", score=1, words="慢")
    async with world.tx(await world.citizen(wang)) as tx:
        objection = await complain_of_access(tx, subject_id=tx.actor.subject_id, access=access, words="不该看")
        row = {"credential_id": "wangs", "public_id": "wangs", "subject_id": tx.actor.subject_id, "label": "x"}
        address = await contacts.add(
            tx, subject_id=tx.actor.subject_id, address="wang@example.cn", offered=[Channel.EMAIL]
        )
        await tx.insert(passkeys, {**row, "public_key": b"x", "sign_count": 0, "created_at": tx.now})
        shown = await choose(
            tx, item=item, applicant=tx.actor.subject_id, beneficiary=None,
            details=[world.detail(case, ["degree"])],
        )  # fmt: skip
        pull = {"id": uuid7(), "public_id": public_token(), "department": "dg-degree", "type_code": "degree"}
        pull |= {"verifier": "dg-edu", "grant_public_id": grants[0].public_id, "subject_id": tx.actor.subject_id}
        pull |= {"fields": [], "access": access, "state": "waiting", "asked_at": tx.now, "deadline": tx.now}
        await tx.insert(pulls, pull)
    async with world.tx() as tx:
        endpoint = await endpoints.add(
            tx, department="dg-edu", url="https://a.example/y", events=["grant.withdrawn"], egress=Egress()
        )
    async with world.tx(await world.citizen(wang)) as tx:
        other = await sessions.open_session(tx, assurance="substantial", subject_id=tx.actor.subject_id)
        here = next(one for one in await sessions.devices(tx) if one.public_id != other.session.public_id)
        ticket = await again.interrupt(tx, session=here.public_id, path="/entrust", texts={"until": ["x"]})
    things = {
        "session": other.session.public_id,
        "interrupted": ticket,
        "use_code": shown.public_id,
        "paper": printed.public_id,
        "type": "degree",
        "pull": pull["public_id"],
        "rating": rating.public_id,
        "passkey": "wangs",
        "contact": address,
        "webhook": endpoint.public_id,
        "look": look.public_id,
        "draft": draft.public_id,
        "objection": objection.public_id,
        "objection_id": objection.public_id,
        "visit": visit.public_id,
        "ranking": ranking.public_id,
        "item": case.item_code,
        "entrustment": entrusted.public_id,
        "certificate": certificate.certificate,
        "case": case.public_id,
        "request": waiting.public_id,
        "grant": grants[0].public_id,
        "grant_id": grant_id,
        "access": access,
        "order": order.public_id,
        "key": world.departments["dg-edu"].certificate.kid,
    }
    tokens = {
        "edu": await world.own_token(world.departments["dg-edu"], SCOPES),
        "degree": await world.own_token(world.departments["dg-degree"], SCOPES),
        "consent": consent(world, world.departments["dg-edu"], grants),
    }
    yield City(world, things, browsers, tokens)
    await world.close()


def _request_of(grant):
    return (
        sa.select(consent_requests.c.public_id)
        .join(grants_table, grants_table.c.request_id == consent_requests.c.id)
        .where(grants_table.c.id == grant)
    )


def turned_away(answer: httpx.Response) -> bool:
    """Not let in: told to sign in, told who may, or told nothing."""
    to_login = answer.status_code == 303 and answer.headers["location"].startswith("/login")
    return to_login or answer.status_code in (401, 403)


def told(answer: httpx.Response) -> tuple[int, str]:
    """Status and our code, out of a problem document or a page."""
    code = re.search(r'"code":"([^"]+)"', answer.text) or re.search(r"<code>([^<]+)</code>", answer.text)
    return answer.status_code, code[1] if code else answer.text[:80]


def test_every_route_has_a_row_and_every_row_a_route():
    assert routes() - ROWS.keys() == set(), "tests/web/matrix.py wants a row for each"
    assert ROWS.keys() - routes() == set(), "these routes are gone"


def test_whatever_stands_in_an_address_has_an_owner():
    """Except below doors that are open to everybody."""
    for name, row in ROWS.items():
        assert row.door in DOORS, name
        assert ("{" in name) == bool(row.thing) or row.door == "public", name
        assert not row.thing or row.thing in OWNERS, name
        assert not row.thing or OWNERS[row.thing] & DOORS[row.door], f"{name}: nobody could open it"


PROGRAMS = {"POST /login/{code}/logout", "POST /demo-login/token"}  # no cookie counts there, so none can be misused


async def test_no_form_of_any_page_is_taken_without_the_token_of_its_session(city: City):
    """Every page that is posted to, by somebody whom it lets in: without the form token, and from another site."""
    posts = {f"POST {route.path}" for door in PAGES for route in door.router.routes if "POST" in route.methods}
    taken = []
    for name in sorted(posts - PROGRAMS):
        row = ROWS[name]
        who = sorted(DOORS[row.door] & OWNERS.get(row.thing, frozenset(CALLERS)))[0] if row.door != "public" else "wang"
        browser = city.browsers[who]
        path = re.sub(r"\{[^}]*\}", city.things.get(row.thing, "x"), name.removeprefix("POST "))
        token = await city.csrf(browser)
        for csrf, headers, code in (
            ({}, {"origin": AUDIENCE}, "form.token_wrong"),
            ({"csrf": token[:-1] + ("A" if token[-1] != "A" else "B")}, {"origin": AUDIENCE}, "form.token_wrong"),
            ({"csrf": token}, {"origin": "https://evil.example"}, "form.cross_site"),
            ({"csrf": token}, {"sec-fetch-site": "cross-site"}, "form.cross_site"),
        ):
            data = {**(row.send.get("form") or {}), **csrf}
            answer = await browser.client.post(path, data=data or {"x": ""}, headers=headers, follow_redirects=False)
            if told(answer) != (403, code):
                taken.append((name, who, code, told(answer)))
    assert taken == []
    assert len(posts) > 40


async def test_everybody_else_is_turned_away_at_every_door(city: City):
    open_to_others = []
    for name, row in ROWS.items():
        if row.door == "public":
            continue
        for who in CALLERS:
            if who not in DOORS[row.door]:
                answer = await city.call(who, name, city.things.get(row.thing, ""))
                if not turned_away(answer):
                    open_to_others.append((name, who, told(answer)))
    assert open_to_others == []


async def test_another_ones_object_is_answered_like_one_that_does_not_exist(city: City):
    wrong = []
    for name, row in ROWS.items():
        for who in sorted(DOORS[row.door] - OWNERS.get(row.thing, frozenset(CALLERS))):
            theirs = told(await city.call(who, name, city.things[row.thing]))
            nobodys = told(await city.call(who, name))
            if row.seen and theirs[0] == 403:
                continue
            if theirs != nobodys or (row.alike and theirs[0] != 404):
                wrong.append((name, who, theirs, nobodys))
    assert wrong == []


async def test_whoever_may_comes_in(city: City):
    """The control: without it, a hub that refuses everybody would pass the tests above."""
    refused = []
    last = ("DELETE", "POST /grants", "POST /v1/keys/", "POST /cases/{public_id}/withdraw")
    names = sorted(ROWS, key=lambda name: (name == "POST /devices/end", name.startswith(last)))
    for name in names:
        row = ROWS[name]
        for who in sorted(DOORS[row.door] & OWNERS.get(row.thing, frozenset(CALLERS))):
            answer = await city.call(who, name, city.things.get(row.thing, ""))
            if row.alike and (turned_away(answer) or (row.thing and answer.status_code == 404)):
                refused.append((name, who, told(answer)))
    assert refused == []

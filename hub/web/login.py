"""Home, sign-in and sign-out. The demo identity provider lets anyone choose a made-up person, and therefore
refuses to exist in production.

In production a department's or province's own identity provider belongs here; none is connected yet, and the
sign-in page says so instead of pretending.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from uuid import UUID

import sqlalchemy as sa
from fastapi import APIRouter, Depends
from starlette.responses import RedirectResponse, Response

from hub.actor import PUBLIC
from hub.clock import civil_day
from hub.consent.represent import of_age
from hub.errors import Forbidden, NotFound
from hub.formats.masking import mask_name
from hub.registry import ceremony, departments, officers, sessions, subjects
from hub.registry.model import ROLE_LABELS, Role, SubjectKind, may
from hub.registry.model import subjects as subjects_table
from hub.registry.officers import Officer
from hub.store.tx import Tx, View
from hub.web.deps import Hub
from hub.web.pages.render import render
from hub.web.pages.visit import (
    Visit,
    cookie_name,
    drop_cookie,
    posted,
    put_cookie,
    safe_next,
    text,
    visit_of,
)

router = APIRouter(include_in_schema=False)

PEOPLE_FILE = "demo/people.json"
"""Below the data folder; the demo may write it: [{"key", "zh", "en", "id_type", "id_no"}], the story's people."""

MOST_PEOPLE = 120


@dataclass(frozen=True, slots=True)
class Choice:
    """One demo identity as the sign-in page offers it; `value` is what the form posts."""

    value: str
    kind: str
    zh: str
    en: str
    start: str


class DemoProvider:
    """Signs in whoever is chosen from a list. Making one in production is an error at start-up."""

    def __init__(self, hub: Hub) -> None:
        if hub.production:
            raise RuntimeError("the demo identity provider must not exist in production")
        self.people_file = Path(hub.settings.data_dir) / PEOPLE_FILE

    def named(self) -> dict[str, dict[str, str]]:
        """The people of the demo's story by key, as the demo wrote them; none without a demo."""
        if not self.people_file.exists():
            return {}
        return {entry["key"]: entry for entry in json.loads(self.people_file.read_text(encoding="utf-8"))}

    async def choices(self, view: View) -> list[Choice]:
        """Everybody who can be chosen: the story's people, then active officers; without a story, grown-up people."""
        found = [Choice(f"named:{p['key']}", "named", p["zh"], p["en"], "/wallet") for p in self.named().values()]
        offices = {d.slug: d for d in await departments.all_departments(view)}
        for officer in await officers.all_officers(view):
            if officer.active and officer.department in offices:
                office = offices[officer.department]
                roles = sorted(Role(role) for role in officer.roles)
                name = mask_name(officer.name)
                zh = f"{office.name_zh} · {'、'.join(ROLE_LABELS[role][0] for role in roles)}（{name}）"
                en = f"{office.name_en} · {', '.join(ROLE_LABELS[role][1] for role in roles)} ({name})"
                found.append(Choice(f"officer:{officer.id}", "officer", zh, en, _start(officer)))
        return found if self.named() else found + await _grown_ups(view)

    async def identify(self, view: View, value: str) -> tuple[UUID | None, UUID | None]:
        """(subject id, officer id) of a chosen value, one of them None; NotFound `demo.unknown`."""
        kind, _, key = value.partition(":")
        if kind == "named" and (person := self.named().get(key)):
            subject_id = await subjects.find(view, id_type=person["id_type"], id_no=person["id_no"])
            if subject_id is not None:
                return subject_id, None
        elif kind == "person" and key in {c.value.partition(":")[2] for c in await _grown_ups(view)}:
            return UUID(key), None
        elif kind == "officer":
            for officer in await officers.all_officers(view):
                if officer.active and str(officer.id) == key:
                    return None, officer.id
        raise NotFound(
            "demo.unknown",
            "没有这个演示身份，或者还没有为此人登记过证照。",
            "There is no such demo identity, or nothing has been registered for it yet.",
            next_zh="请等演示数据准备好后重试。",
            next_en="Wait until the demo has been prepared and try again.",
        )


async def _grown_ups(view: View) -> list[Choice]:
    """People with a registered certificate who are 18 or older, by masked name; at most `MOST_PEOPLE`."""
    rows = await view.all(
        sa.select(subjects_table.c.id)
        .where(
            subjects_table.c.kind == SubjectKind.NATURAL,
            subjects_table.c.sealed_face.is_not(None),
            subjects_table.c.merged_into.is_(None),
        )
        .order_by(subjects_table.c.created_at)
        .limit(MOST_PEOPLE)
    )
    found = []
    today = civil_day(view.now)
    for row in rows:
        face = await subjects.face(view, row.id)
        if face and face.birth_date and of_age(face.birth_date, today):
            name, year = mask_name(face.name), face.birth_date.year
            zh, en = f"{name}（{year}年生）", f"{name} (born {year})"
            found.append(Choice(f"person:{row.id}", "person", zh, en, "/wallet"))
    return found


def provider_of(hub: Hub) -> DemoProvider | None:
    """The identity provider of this hub: the demo one outside production, none (yet) in production."""
    return None if hub.production else DemoProvider(hub)


@router.get("/")
async def home(visit: Annotated[Visit, Depends(visit_of)]) -> Response:
    """What Yimen is, and one tile for each kind of person, with one-click demo identities."""
    choices = await _choices(visit)
    first: dict[str, Choice] = {}
    for choice in choices:
        first.setdefault(choice.start, choice)
    return render(visit, "home.html", first=first)


@router.get("/login")
async def sign_in_page(visit: Annotated[Visit, Depends(visit_of)]) -> Response:
    """Choose a demo identity; `as` names the one that is offered first."""
    choices = await _choices(visit)
    wanted, following = (visit.request.query_params.get(name, "") for name in ("as", "next"))
    return render(
        visit,
        "login.html",
        available=provider_of(visit.hub) is not None,
        first=[c for c in choices if wanted and c.value.endswith(f":{wanted}")],
        groups={kind: [c for c in choices if c.kind == kind] for kind in ("named", "officer", "person")},
        following=safe_next(following) if following else "",
    )


@router.post("/login")
async def sign_in(visit: Annotated[Visit, Depends(visit_of)]) -> Response:
    """Start a session for the chosen demo identity; an older session of this browser ends."""
    form = await posted(visit)
    provider = provider_of(visit.hub)
    if provider is None:
        raise Forbidden("login.not_connected", "本平台尚未接入统一身份认证。", "No identity provider is connected.")
    async with visit.hub.tx(PUBLIC) as tx:
        subject_id, officer_id = await provider.identify(tx, text(form, "who"))
        await _end_session(visit, tx)
        opened = await sessions.open_session(tx, assurance="demo", subject_id=subject_id, officer_id=officer_id)
        officer = await officers.get(tx, officer_id) if officer_id else None
    return _enter(visit, opened, safe_next(text(form, "next") or (_start(officer) if officer else "/wallet")))


@router.get("/enter/{token}")
async def one_time_link(token: str, visit: Annotated[Visit, Depends(visit_of)]) -> Response:
    """The page of a one-time link: nothing is spent before the button is pressed."""
    return render(visit, "enter.html", token=token)


@router.post("/enter/{token}")
async def redeem(token: str, visit: Annotated[Visit, Depends(visit_of)]) -> Response:
    """Spend a one-time link and start the officer's session."""
    await posted(visit)
    async with visit.hub.tx(PUBLIC) as tx:
        officer_id = await ceremony.redeem_link(tx, token=token)
        opened = await sessions.open_session(tx, assurance="link", officer_id=officer_id)
    return _enter(visit, opened, "/admin")


@router.post("/logout")
async def sign_out(visit: Annotated[Visit, Depends(visit_of)]) -> Response:
    """End the session at once, on the server too."""
    await posted(visit)
    async with visit.hub.tx(visit.actor) as tx:
        await _end_session(visit, tx)
    response = RedirectResponse("/", status_code=303)
    drop_cookie(response, visit.hub, "session")
    return response


@router.get("/help")
async def help_page(visit: Annotated[Visit, Depends(visit_of)]) -> Response:
    """Help, complaints and the accessibility statement, always at the same place."""
    return render(visit, "help.html")


async def _choices(visit: Visit) -> list[Choice]:
    provider = provider_of(visit.hub)
    if provider is None:
        return []
    async with visit.hub.view(PUBLIC) as view:
        return await provider.choices(view)


async def _end_session(visit: Visit, tx: Tx) -> None:
    token = visit.request.cookies.get(cookie_name(visit.hub, "session"))
    if token:
        await sessions.end(tx, token=token)


def _enter(visit: Visit, opened: sessions.OpenedSession, following: str) -> Response:
    response = RedirectResponse(following, status_code=303)
    put_cookie(response, visit.hub, "session", opened.token, max_age=None)
    return response


def _start(officer: Officer) -> str:
    """The page an officer begins with: the first thing that their roles allow."""
    for act, page in (
        ("counter.verify", "/counter"),
        ("certificates.upload", "/officer"),
        ("certificates.approve", "/officer"),
        ("accesses.search", "/auditor"),
        ("system.operate", "/admin"),
    ):
        if may(officer.roles, act):
            return page
    return "/"

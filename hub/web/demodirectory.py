"""Whom the demonstration's identity provider knows: the people of its story, and the hub's own officers.

None of it exists in a production hub.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from hub.clock import civil_day
from hub.consent.represent import of_age
from hub.errors import NotFound
from hub.formats.masking import mask_name
from hub.registry import departments, officers, subjects
from hub.registry.model import ROLE_LABELS, Level, Role, SubjectKind
from hub.registry.model import subjects as subjects_table
from hub.registry.providers import DEMO, Provider
from hub.store.tx import View
from hub.web.deps import Hub
from hub.web.pages.start import start_of

PEOPLE_FILE = "demo/people.json"
"""Below the data folder; the demo may write it: [{"key", "zh", "en", "id_type", "id_no"}], the story's people."""

PATH = "/demo-login"
MOST_PEOPLE = 120


@dataclass(frozen=True, slots=True)
class Choice:
    """One demo identity as its provider offers it; `value` is what the form posts."""

    value: str
    kind: str
    zh: str
    en: str
    start: str


def demo_provider(hub: Hub) -> Provider:
    """The demonstration's provider as the hub's sign-in sees it."""
    if hub.production:
        raise RuntimeError("the demo identity provider must not exist in production")
    return Provider(
        code=DEMO,
        issuer=f"{hub.settings.public_url}{PATH}",
        client_id="yimen-hub",
        name_zh="演示身份提供方",
        name_en="Demo identity provider",
        claims={"id_no": "sub", "name": "sub"},
        level=Level.SUBSTANTIAL,
    )


def named(hub: Hub) -> dict[str, dict[str, str]]:
    """The people of the demo's story by key, as the demo wrote them; none without a demo."""
    path = Path(hub.settings.data_dir) / PEOPLE_FILE
    if hub.production or not path.exists():
        return {}
    return {entry["key"]: entry for entry in json.loads(path.read_text(encoding="utf-8"))}


async def choices(hub: Hub, view: View) -> list[Choice]:
    """Everybody who can be chosen: the story's people, then active officers; without a story, grown-up people."""
    if hub.production:
        return []
    people = named(hub)
    found = [Choice(f"named:{p['key']}", "named", p["zh"], p["en"], "/wallet") for p in people.values()]
    offices = {d.slug: d for d in await departments.all_departments(view)}
    for officer in await officers.all_officers(view):
        if officer.active and officer.department in offices:
            office = offices[officer.department]
            roles = sorted(Role(role) for role in officer.roles)
            name = mask_name(officer.name)
            zh = f"{office.name_zh} · {'、'.join(ROLE_LABELS[role][0] for role in roles)}（{name}）"
            en = f"{office.name_en} · {', '.join(ROLE_LABELS[role][1] for role in roles)} ({name})"
            found.append(Choice(f"officer:{officer.id}", "officer", zh, en, start_of(officer)))
    return found if people else found + await _grown_ups(view)


async def claims_of(hub: Hub, view: View, value: str) -> dict[str, str]:
    """What the provider vouches for about a chosen value: a person's number, or an officer's department and login.

    NotFound `demo.unknown`.
    """
    kind, _, key = value.partition(":")
    if kind == "named" and (person := named(hub).get(key)):
        if await subjects.find(view, id_type=person["id_type"], id_no=person["id_no"]) is not None:
            return {"sub": value, "id_type": person["id_type"], "id_number": person["id_no"]}
    elif kind == "person" and key in {c.value.partition(":")[2] for c in await _grown_ups(view)}:
        face = await subjects.face(view, UUID(key))
        if face is not None:
            return {"sub": value, "id_type": face.id_type, "id_number": face.id_no}
    elif kind == "officer":
        for officer in await officers.all_officers(view):
            if officer.active and str(officer.id) == key:
                return {"sub": value, "department": officer.department, "login": officer.login}
    raise unknown()


async def whom(view: View, claims: Mapping[str, Any]) -> tuple[UUID | None, UUID | None]:
    """(subject id, officer id) of the demonstration's claims, one of them None; NotFound `demo.unknown`."""
    if "department" in claims:
        officer = await officers.by_login(view, str(claims["department"]), str(claims.get("login")))
        if officer is not None and officer.active:
            return None, officer.id
    elif "id_number" in claims:
        person = await subjects.find(view, id_type=str(claims.get("id_type")), id_no=str(claims["id_number"]))
        if person is not None:
            return person, None
    raise unknown()


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


def unknown() -> NotFound:
    """Nobody whom the demonstration knows."""
    return NotFound(
        "demo.unknown",
        "没有这个演示身份，或者还没有为此人登记过证照。",
        "There is no such demo identity, or nothing has been registered for it yet.",
        next_zh="请等演示数据准备好后重试。",
        next_en="Wait until the demo has been prepared and try again.",
    )

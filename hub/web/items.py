"""What do I still need for this? Search over all items, one item in plain words, and the plan for whoever is signed in.

Anybody may search and read; the plan is shown to the person only, for themselves, their child or their company.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends
from starlette.responses import Response

from hub.cases.party import companies_for
from hub.cases.promises import barred
from hub.cases.uploads import filed
from hub.catalogue.catalogue import listed
from hub.catalogue.items import CLASSES, LEVELS, ServiceItem
from hub.catalogue.materials import offices as known_offices
from hub.catalogue.plan import Facts, ItemPlan, Planned, plan_all, plan_item
from hub.catalogue.planner import facts
from hub.catalogue.search import QUERY_CHARACTERS, search
from hub.catalogue.waivers import standing
from hub.consent import passkeys
from hub.consent.evidence import demands_passkey
from hub.errors import Gone, NotFound
from hub.registry import subjects
from hub.store.tx import View
from hub.web.answer import dumps, json_answer
from hub.web.pages import planwords
from hub.web.pages.render import render
from hub.web.pages.visit import Visit, citizen, visit_of
from hub.web.wallet import children, office_names

router = APIRouter(include_in_schema=False)

ROWS = 20
_SUBJECTS = {"natural": ("个人办事", "For people"), "legal": ("企业和单位办事", "For companies")}


@dataclass(frozen=True, slots=True)
class Party:
    """Whom a plan can be for: the signed-in person, a child, a company; `code` is what stands in addresses."""

    code: str
    name: str
    child: UUID | None = None
    company: UUID | None = None


@router.get("/items")
async def items_page(visit: Annotated[Visit, Depends(visit_of)]) -> Response:
    """Search and browse; for a citizen each catalogued item says how many things are still to be brought."""
    given = visit.request.query_params
    query = given.get("q", "").strip()[:QUERY_CHARACTERS]
    chosen = {
        "item_class": _one_of(given.get("class", ""), CLASSES),
        "level": _one_of(given.get("level", ""), LEVELS),
        "subject": _one_of(given.get("subject", ""), _SUBJECTS),
    }
    found = search(visit.hub.items, query, **chosen).items
    page = int(given["page"]) if given.get("page", "").isdecimal() and len(given["page"]) < 4 else 1
    shown = found[(page - 1) * ROWS : page * ROWS]
    plans: Mapping[str, ItemPlan] = {}
    if visit.signed_in and visit.actor.subject_id is not None:
        async with visit.hub.view(visit.actor) as view:
            known = await _facts(view, visit, Party("me", ""))
        mine = [one.code for one in shown if one.complete and one.subject == "natural"]
        plans = plan_all(visit.hub.items, known, mine)
    return render(
        visit, "items.html", query=query, chosen=chosen, found=found, shown=shown, page=page, plans=plans,
        more=len(found) > page * ROWS, classes=CLASSES, levels=LEVELS, subject_words=_SUBJECTS,
        total=len(listed(visit.hub.items)), office=known_offices(),
    )  # fmt: skip


@router.get("/items/{code}")
async def item_page(code: str, visit: Annotated[Visit, Depends(visit_of)]) -> Response:
    """One item. A skeleton says "ask the counter"; a catalogued one lists what it needs and a citizen's plan."""
    item = _item(visit, code)
    plan, parties, party = None, [], None
    async with visit.hub.view(visit.actor) as view:
        offices = await office_names(view)
        city = await standing(view)
        has_passkey = visit.actor.subject_id is not None and bool(await passkeys.of_person(view))
        if visit.actor.subject_id is not None:
            parties = await _parties(view, visit, item)
            party = _chosen(parties, visit.request.query_params.get("for", ""))
            plan = plan_item(item, await _facts(view, visit, party)) if item.complete else None
    return render(
        visit, "item.html", demanded=demands_passkey(item.code), has_passkey=has_passkey,
        item=item, plan=plan, parties=parties, party=party, city=city, offices=offices,
        known=known_offices(), ways=planwords.WAYS, reasons=planwords.REASONS, waiver_words=planwords.WAIVERS,
        party_options=[(one.code, one.name) for one in parties], silent=planwords.SILENT, if_any=planwords.IF_ANY,
        levels=LEVELS, classes=CLASSES, groups=_groups(item),
        may_apply=item.complete
        and item.department in offices
        and (item.subject == "natural" or (party is not None and party.company is not None)),
        for_child=any(m.holder == "child" for m in item.materials),
    )  # fmt: skip


@router.get("/items/{code}/plan")
async def plan_document(code: str, visit: Annotated[Visit, Depends(citizen)]) -> Response:
    """The plan as JSON, for the person who is signed in and nobody else (`?for=` as on the page)."""
    async with visit.hub.view(visit.actor) as view:
        plan, _ = await planned_for(view, visit, code)
    return json_answer(dumps(as_json(plan)))


async def planned_for(view: View, visit: Visit, code: str) -> tuple[ItemPlan, Party]:
    """The plan of an item for the party that the address names (`?for=`), by default the first."""
    item = _item(visit, code)
    party = _chosen(await _parties(view, visit, item), visit.request.query_params.get("for", ""))
    return plan_item(item, await _facts(view, visit, party)), party


def as_json(plan: ItemPlan) -> dict[str, Any]:
    """A plan for programs: codes, never contents. `catalogued: false` means "ask the counter", not "nothing"."""
    item = plan.item
    return {
        "item": item.code,
        "version": item.version,
        "catalogued": item.complete,
        "bring": [one.best.material.code for one in plan.to_bring] if item.complete else None,
        "requirements": [
            {
                "required": one.required,
                "way": one.best.way,
                "options": [_option(option) for option in one.options],
            }
            for one in plan.requirements
        ],
    }


def _option(planned: Planned) -> dict[str, Any]:
    held = planned.holding
    zh, en = planwords.REASONS[planned.reason]
    return {
        "material": planned.material.code,
        "name": dict(planned.material.display),
        "way": planned.way,
        "reason": planned.reason,
        "why": {"zh": zh, "en": en},
        "department": planned.department,
        "type": planned.type_code,
        "certificate": held.public_id if held else None,
        "as_of": held.as_of.isoformat() if held and held.as_of else None,
        "gaps": dict(planned.source.gaps) if planned.source and planned.source.gaps["zh-CN"] else None,
        "check_days": planned.check_days,
    }


async def _facts(view: View, visit: Visit, party: Party) -> Facts:
    people = [one for one in (visit.subject_id, party.child, party.company) if one is not None]
    return await facts(
        view, person=visit.subject_id, types=visit.hub.types, child=party.child, company=party.company,
        filed=await filed(view, people), promises=not await barred(view, party.company or visit.subject_id),
    )  # fmt: skip


async def _parties(view: View, visit: Visit, item: ServiceItem) -> list[Party]:
    """For whom this item can be planned: children where it is about a child, companies where it is theirs."""
    if item.subject == "legal":
        found = []
        for number, company in enumerate(
            await companies_for(view, person=visit.subject_id, item_code=item.code), start=1
        ):
            found.append(Party(f"c{number}", await _company_name(view, company), company=company))
        return found or [Party("new", visit.t("尚未设立的企业", "a company not set up yet"))]
    if any(material.holder == "child" for material in item.materials):
        family = await children(view, visit)
        return [Party(str(child.number), child.name, child=child.subject_id) for child in family] or [
            Party("me", visit.t("孩子尚未登记", "no child is registered"))
        ]
    return [Party("me", visit.t("本人", "yourself"))]


async def _company_name(view: View, company: UUID) -> str:
    try:
        face = await subjects.face(view, company)
    except Gone:
        return ""
    return face.name if face else ""


def _chosen(parties: list[Party], code: str) -> Party:
    return next((party for party in parties if party.code == code), parties[0])


def _groups(item: ServiceItem) -> list[list[Any]]:
    """The materials of an item, alternatives side by side."""
    found: dict[str, list[Any]] = {}
    for material in item.materials:
        found.setdefault(material.either or material.code, []).append(material)
    return list(found.values())


def _one_of(value: str, allowed: Mapping[str, Any]) -> str:
    return value if value in allowed else ""


def _item(visit: Visit, code: str) -> ServiceItem:
    item = visit.hub.items.get(code)
    if item is None:
        raise NotFound("item.unknown", "没有这个事项。", "There is no such service item.")
    return item

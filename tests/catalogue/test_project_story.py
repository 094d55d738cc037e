"""The seed's project story: one enterprise, its agent, one building; how often each paper is asked for.

Before: every counter asks for everything on its own list. After: the planner asks only for what no department holds and
nobody has brought yet. What was brought is on file from then on (`hub.cases.uploads`), and each approval is registered
by the department that gives it, so the next one reads it. Any material asked twice fails.
"""

from collections import Counter
from typing import Any

from registry.makers import credit
from world import World

from hub.catalogue.catalogue import load_catalogue
from hub.catalogue.plan import Filed, Way, plan_item
from hub.catalogue.planner import companies_of, facts
from hub.clock import civil_day

ITEMS = load_catalogue()
CODE = "2609-441900-04-01-000001"
ROAD: list[tuple[str, str | None]] = [
    ("dr-filing", "project_filing"),
    ("nr-site", "site_opinion"),
    ("nr-land-permit", "land_permit"),
    ("eco-eia", "eia_approval"),
    ("dr-energy", None),
    ("water-soil", None),
    ("nr-planning-permit", "planning_permit"),
    ("housing-drawings", "drawings_check"),
    ("housing-fire-review", "fire_review"),
    ("water-drainage", "drainage_permit"),
    ("housing-construction-permit", "construction_permit"),
    ("urban-dig", None),
    ("housing-fire-acceptance", None),
    ("housing-completion", None),
    ("eco-emission", None),
]
"""The items in the order in which a building needs them, each with what its department then registers."""


async def test_twenty_papers_six_departments_and_none_is_asked_twice(world: World) -> None:
    agent, boss = world.person("孙经办"), world.person("赵法人")
    number = credit(4711)
    company: list[dict[str, Any]] = [
        {"name": "东莞市一门精密制造有限公司", "id_type": "001", "id_no": number, "role": "company"}
    ]
    licence = [*company, boss.as_holder("legal_representative")]
    await world.register(await world.sign("business_licence", licence), by="dg-market")
    land = [{**company[0], "role": "owner"}]
    await world.register(
        await world.sign("property", land, ownership="sole", use="other"), by="dg-realestate"
    )
    me = await world.subject(boss)
    before, after, on_file = Counter[str](), Counter[str](), dict[str, Filed]()
    departments, names = set(), dict[str, str]()
    for slug, gives in ROAD:
        item = ITEMS[f"441900-{slug}"]
        assert item.item_class in ("construction", "investment")
        departments.add(item.department)
        async with world.view() as view:
            (firm,) = await companies_of(view, me)
            known = await facts(view, person=me, company=firm, types=world.types, filed=on_file)
            plan = plan_item(item, known)
        for requirement in plan.requirements:
            usual = next(m for m in item.materials if (m.either or m.code) == _key(requirement))
            names[usual.code] = usual.label()
            before[usual.code] += usual.required
            best = requirement.best
            if best.way is Way.BRING and requirement.required:
                names[best.material.code] = best.material.label()
                after[best.material.code] += 1
                on_file[best.material.code] = Filed(civil_day(known.now), None)
        if gives is not None:
            claims = {"project_code": CODE, "project_name": "精密制造厂房"}
            await world.register(await world.sign(gives, company, **claims), by=world.types[gives].owner)
    print(f"\n经办人 {agent.name[0]}**：{len(ROAD)} 个事项，{len(departments)} 个部门，{len(before)} 种材料")
    for code, times in before.most_common():
        print(f"  {times:3} → {after[code]}  {names[code]}")
    print(f"  合计 {before.total()} → {after.total()}")
    assert len(departments) >= 6
    assert len([code for code, times in before.items() if times]) > 20
    assert max(after.values()) == 1, "a material was asked twice"
    assert before["licence"] == len(ROAD)
    assert after["licence"] == after["planning_permit"] == after["land_permit"] == 0
    assert after.total() * 2 < before.total()


def _key(requirement: Any) -> str:
    material = requirement.best.material
    return str(material.either or material.code)

"""The order of the play: the city is built, the story told, what must fail fails, who looked is shown and proved."""

import subprocess
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import httpx

from adapters.demo import asking, refusals, report, story, watched
from adapters.demo import people_at_pages as pages
from adapters.demo import world as city
from adapters.demo.asking import Bureau, Round
from adapters.demo.browser import Browser
from adapters.demo.families import Family
from adapters.demo.story import Stage
from adapters.demo.telling import expect
from adapters.demo.world import World

LANES = 2


def everything(world: World, *, families: int) -> tuple[subprocess.Popen[str], dict[str, Any]]:
    """Play all of it; gives the running hub and the summary."""
    hub = _build(world)
    item = httpx.get(f"{world.url}/v1/items/{asking.SCHOOL}", timeout=30).raise_for_status().json()
    family = world.written.family("school")
    with Bureau(world) as bureau, Browser(world.url) as parent:
        checker, names = story.checker_of(world, bureau), _type_names(world)
        stage = Stage(world, world.teller, family, item, parent, bureau, checker, names)
        told = story.tell(stage)
        _face(stage)
        refused = refusals.show(stage, told)
        looks = watched.who_looked(stage, told)
        watched.audit(stage, told)
        others = _others(
            world, item, [one for one in world.written.families if one is not family][: families - 1]
        )
        sums = report.materials(world.teller, world, item, told)
    final = world.yimen("ledger", "check", codes=(0, 1))
    expect(bool(final["ok"]), f"日志有误：{final['failures'][:3]}", "the ledger check fails at the end")
    registered = sum(int(one["registered"]) for one in world.synced.values())
    return hub, {
        "families": 1 + len(others),
        "departments": len(world.synced),
        "certificates": registered - 1,
        "registered": registered,
        "revoked": 1,
        "quarantined": sum(int(one["quarantined"]) for one in world.synced.values()),
        "accesses": watched.count_accesses(world),
        "looks_shown_to_parent": looks,
        "ledger_size": int(final["size"]),
        **story.summary_of(told),
        **sums,
        "failures_shown": [one.as_json() for one in refused],
        "database": "postgresql" if "postgres" in city.database() else "sqlite",
    }


def _build(world: World) -> subprocess.Popen[str]:
    teller = world.teller
    teller.chapter(
        "建一座城市：平台、十二个部门、四十个家庭", "A city: a hub, twelve departments, forty families"
    )
    city.initialise(world)
    hub = city.launch_hub(world)
    city.admit(world)
    city.await_hub(world, hub)
    city.write_people(world)
    teller.good(
        f"平台在 {world.url}，它没有任何部门的私钥", "The hub runs; it holds no private key of any department"
    )
    teller.chapter("各部门接入自己的老库", "Each department connects its own legacy store")
    city.enrol_and_sync(world)
    city.waive(world)
    registered = sum(int(one["registered"]) for one in world.synced.values())
    spoilt = sum(int(one["quarantined"]) for one in world.synced.values())
    expect(registered > 600, f"只登记了 {registered} 份证照", f"only {registered} certificates")
    expect(spoilt == 4, f"隔离了 {spoilt} 行，应为 4 行", f"{spoilt} rows in quarantine instead of 4")
    teller.good(
        f"十二个部门各用自己的密钥签发并登记 {registered} 份；{spoilt} 行有错的没有签，隔离待查",
        f"Twelve departments signed and registered {registered} with their own keys; {spoilt} bad rows were set aside",
    )
    teller.good(
        f"两名工作人员起草、复核，{len(city.WAIVED)} 项免提交、{len(city.PROMISED)} 项告知承诺生效；其余仍只是公布",
        f"Two officers put {len(city.WAIVED)} waivers and {len(city.PROMISED)} promises in force; others are announced",
    )
    return hub


def _type_names(world: World) -> dict[str, str]:
    found = httpx.get(f"{world.url}/v1/types", timeout=30).raise_for_status().json()["types"]
    return {
        one["code"]: next(name["name"] for name in one["display"] if name["locale"] == "zh-CN")
        for one in found
    }


def _face(stage: Stage) -> None:
    """The printed face of the degree, rendered by its department's agent; the others are made after the story."""
    answer = stage.world.agent("dg-degree", "faces", *pages.cards(stage.parent))
    expect(
        answer["made"] == 1 and not answer["refused"], f"证面没有做出来：{answer}", "the face was not made"
    )
    stage.teller.good(
        "学位授予单位的代理做好证面 PDF（生僻字在内）；平台只核对，从不替部门盖章",
        "The degree office's agent rendered the printed face, rare characters included; the hub only checks it",
    )


def _others(world: World, item: Mapping[str, Any], families: Sequence[Family]) -> list[Round]:
    """The other families, each through the same pages and doors."""
    if not families:
        return []
    world.teller.chapter("其余家庭", "The other families")
    done: list[Round] = []
    with world.teller.bar("申请、同意、核验、评分", "apply, agree, verify, score", len(families)) as bar:

        def lane(some: Sequence[Family]) -> None:
            with Bureau(world) as bureau:  # a client is one thread's
                for family in some:
                    done.append(asking.whole_round(world, bureau, item, family))
                    bar.done()

        for _ in world.children.together([partial(lane, families[n::LANES]) for n in range(LANES)]):
            pass
    totals = sorted((float(one.score["total"]) for one in done), reverse=True)
    middle = sorted(one.verify_seconds * 1000 for one in done)[len(done) // 2]
    world.teller.good(
        f"{len(done)} 家全部评分：最高 {totals[0]:g}，最低 {totals[-1]:g}；核验用时中位数 {middle:.0f} 毫秒",
        f"{len(done)} families scored, {totals[0]:g} to {totals[-1]:g} points; median verification {middle:.0f} ms",
    )
    return done

"""Afterwards: the parent sees who looked, each look with its proof, and an auditor proves that nothing is missing."""

import re
from typing import Any

from adapters.demo import people_at_pages as pages
from adapters.demo.browser import Browser
from adapters.demo.story import Stage, Told
from adapters.demo.telling import expect
from adapters.demo.world import World


def who_looked(stage: Stage, told: Told) -> int:
    """The parent's page for himself and for his child; gives the number of looks, refusals included."""
    stage.teller.chapter("家长看到谁看过", "The parent sees who looked")
    mine, page = pages.looks(stage.parent, "/accesses")
    childs, below = pages.looks(stage.parent, "/accesses?of=1")
    shown = set(mine) | set(childs)
    missing = [leaf for leaf in told.leaves if leaf not in shown]
    expect(not missing, f"有 {len(missing)} 次查看没有显示", f"{len(missing)} looks are not shown")
    for word in ("东莞市教育局", "记录编号连续"):
        expect(page.says(word) and below.says(word), f"页面缺少“{word}”", f"the page lacks {word}")
    refused = page.text.count("原因：")
    expect(refused >= 3, f"只显示了 {refused} 次拒绝", f"only {refused} refusals are shown")
    for leaf in shown:
        stage.checker.in_ledger(leaf)
    box = stage.parent.open("/inbox")
    for word in ("按您的同意查看了证照", "请您同意查看证照"):
        expect(box.says(word), f"“消息”里没有“{word}”", f"the messages lack {word}")
    stage.teller.good(
        "“消息”里：谁请他同意，谁看过；手机也收到了",
        "His messages say who asked and who looked; the phone got them too",
    )
    stage.teller.good(
        f"本人 {len(mine)} 条、孩子 {len(childs)} 条，被拒绝的也在内；编号连续，{len(shown)} 个日志证明都成立",
        f"{len(mine)} looks at his data and {len(childs)} at the child's, refusals included; every proof holds",
    )
    return len(shown)


def audit(stage: Stage, told: Told) -> dict[str, Any]:
    """An auditor signs in, finds the case, follows a look to its proof; then the whole ledger is recomputed."""
    teller, world = stage.teller, stage.world
    teller.chapter("审计人员证明", "An auditor proves it")
    with Browser(world.url) as auditor:
        who = pages.officer_identity(auditor, "审计局", "审计")
        pages.sign_in(auditor, who, "/auditor")
        found = auditor.open(f"/auditor?case={told.round.case_id}")
        traces = found.links_to("/auditor/accesses/")
        expect(
            len(traces) >= len(told.leaves),
            "审计查不全这个办件",
            "the audit page does not show the whole case",
        )
        page = auditor.open(traces[-1])
        expect(page.says("刚刚核对", "叶哈希"), "追溯页没有证明", "the trace shows no proof")
        proofs = page.links_to("/v1/proofs/")
        index, size = stage.checker.in_ledger(bytes.fromhex(proofs[0].rpartition("/")[2]))
        for leak in (stage.family.parent.person.id_no, stage.family.parent.person.name):
            expect(
                leak not in page.html and leak not in found.html,
                "审计页出现了个人信息",
                "personal data on the page",
            )
    teller.good(
        f"按办件编号查到 {len(traces)} 条；第 {index} 号叶子在 {size} 条的日志里，页面上没有姓名和证件号",
        f"{len(traces)} records of the case; leaf {index} is in the ledger of {size}; no name or number on the page",
    )
    report = world.yimen("ledger", "check", codes=(0, 1))
    expect(bool(report["ok"]), f"日志有误：{report['failures'][:3]}", "the ledger check fails")
    teller.good(
        f"yimen ledger check：从存储重新计算 {report['leaves_read']} 个叶子、{report['tiles_read']} 个瓦片、"
        f"{report['bodies_read']} 个封存正文，全部一致",
        f"yimen ledger check recomputed {report['leaves_read']} leaves, {report['bodies_read']} sealed bodies: whole",
    )
    return report


def count_accesses(world: World) -> int:
    """How many looks and refusals the auditor's page counts in all."""
    with Browser(world.url) as auditor:
        page = pages.sign_in(auditor, pages.officer_identity(auditor, "审计局", "审计"), "/auditor")
    counted = re.search(r"共 (\d+) 条", page.text)
    expect(counted is not None, "审计页没有总数", "the audit page shows no total")
    return int(counted[1]) if counted else 0

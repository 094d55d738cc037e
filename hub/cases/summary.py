"""The summary of a closed case as PDF, for people: what was applied for, what was shown, who decided what.

Printed like the forms (`hub.paper.form`): nothing is shrunk or cut, rare characters are right. Words that cannot be
printed (an officer wrote a character that no font has) never stop an archive: the summary then points to the file.
"""

import unicodedata
from collections.abc import Iterator

from hub.cases.collect import Collected, Means
from hub.cases.model import CaseOutcome
from hub.clock import civil_day
from hub.errors import Unprocessable
from hub.paper.form import Block, Form, form_in_child
from hub.paper.model import MAX_VALUE

OUTCOMES = {
    CaseOutcome.PASSED: ("各部门都已通过", "Passed by every department"),
    CaseOutcome.REJECTED: ("不予通过", "Rejected"),
    CaseOutcome.WITHDRAWN: ("申请人已撤回", "Withdrawn by the applicant"),
}
LEVELS = {"B": "已核对原件", "C": "未核对原件"}
Row = tuple[str, str, str, str]


async def summary_of(found: Collected, means: Means) -> bytes:
    """The PDF, made in the limited child process. Raises those of `form_in_child`."""
    try:
        return await form_in_child(summary(found, means))
    except Unprocessable:
        return await form_in_child(summary(found, means, bare=True))


def summary(found: Collected, means: Means, *, bare: bool = False) -> Form:
    """What is printed; `bare` leaves out everything that people wrote and that certificates say."""
    case = found.case
    zh, en = OUTCOMES[case.outcome or CaseOutcome.WITHDRAWN]
    day = civil_day(case.closed_at or case.opened_at)
    about: list[Row] = [
        ("办件编号", "Case", case.public_id, ""),
        ("事项", "Item", f"{found.item.label()}（第 {case.item_version} 版）", ""),
        ("办理部门", "Handled by", _office(found, case.department), ""),
        ("开立", "Opened", f"{civil_day(case.opened_at)}", ""),
        ("最终结果", "Final state", zh, en),
    ]
    if found.score is not None:
        total = f"{found.score.total:f}"
        about.append(("积分", "Points", total, f"{found.score.scheme} v{found.score.scheme_version}"))
    blocks = [Block("办件", "Case", tuple(about))]
    blocks += [
        Block("核验的证照", "Certificates verified", tuple(_looks(found, means, bare=bare))),
        Block("上传的材料", "Uploaded", tuple(_uploads(found, bare=bare))),
        Block("各部门决定", "Decisions", tuple(_decisions(found, bare=bare))),
        Block("透明日志", "Ledger", (("记录", "Leaves", f"{len(found.leaves)} 条，逐条附证明", "proofs/"),)),
    ]
    return Form(
        title_zh=f"{found.item.label()}归档概要",
        title_en="Summary of the archive package",
        office=_office(found, case.department),
        item=case.item_code,
        made_on=day,
        blocks=tuple(block for block in blocks if block.rows),
        signed=False,
    )


def _looks(found: Collected, means: Means, *, bare: bool) -> Iterator[Row]:
    for look in found.looks:
        kind = means.types[look.type_code]
        said = {"accepted": "可采信", "refused": "不可采信", "undecided": "无法核验"}.get(look.outcome, "没有记录")
        yield kind.label(), kind.label("en"), said, _office(found, look.issuer) if look.issuer else ""
        if bare or not look.claims:
            continue
        for info in kind.claims:
            if len(info.path) == 1 and look.claims.get(str(info.path[0])) is not None:
                value = means.say(kind, info.path, look.claims[str(info.path[0])])
                yield from _words(kind.claim_label(info.path), kind.claim_label(info.path, "en"), value, "")


def _uploads(found: Collected, *, bare: bool) -> Iterator[Row]:
    for one, _ in found.materials:
        label = found.item.material(one.code)
        said = f"{LEVELS[one.level]}（{one.level} 级），{one.size} 字节"
        yield label.label(), label.label("en"), said, f"materials/{one.code}"[:60]
        if one.note and not bare:
            yield from _words("说明", "Note", one.note, "")


def _decisions(found: Collected, *, bare: bool) -> Iterator[Row]:
    for step in found.steps:
        plan = found.procedure.step(step.code)
        reason = next((r.display["zh-CN"] for r in found.procedure.reasons if r.code == step.reason_code), "")
        said = "未决定" if step.passed is None else f"{'通过' if step.passed else '不通过'}：{reason}"
        used = "" if step.clock.ours is None else f"用 {step.clock.ours} 个工作日，限 {step.clock.limit}"
        yield plan.label(), plan.label("en"), said, f"{_office(found, step.department)} {used}"
        if step.note and not bare:
            yield from _words("说明", "Note", step.note, "")


def _words(zh: str, en: str, text: str, source: str) -> Iterator[Row]:
    """Words of people in as many rows as they need, without line breaks and invisible characters."""
    plain = "".join(" " if unicodedata.category(c) in ("Cc", "Zl", "Zp") else c for c in text)
    plain = "".join(c for c in plain if unicodedata.category(c) not in ("Cf", "Cs")).strip()
    for start in range(0, len(plain), MAX_VALUE):
        yield (zh, en, plain[start : start + MAX_VALUE], source)


def _office(found: Collected, slug: str) -> str:
    return found.offices[slug][0] if slug in found.offices else slug

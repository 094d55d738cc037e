"""The application form of an item as PDF, filled in for whoever is signed in, to check and sign (表单自动套打)."""

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.responses import Response

from hub.cases.prefill import Line, Part, prefill
from hub.catalogue.items import ServiceItem
from hub.catalogue.materials import offices as known_offices
from hub.catalogue.plan import Way
from hub.clock import civil_day
from hub.paper.form import Block, Form, form_in_child
from hub.registry.departments import Department
from hub.web.items import planned_for
from hub.web.pages import planwords, words
from hub.web.pages.visit import Visit, citizen
from hub.web.wallet import office_names

router = APIRouter(include_in_schema=False)

_BLANKS = (("联系电话", "Telephone"), ("通讯地址", "Postal address"))


@router.get("/items/{code}/form.pdf")
async def form_pdf(code: str, visit: Annotated[Visit, Depends(citizen)]) -> Response:
    """The form, made in a limited child process outside the transaction; kept by nobody."""
    async with visit.hub.view(visit.actor) as view:
        plan, party = await planned_for(view, visit, code)
        parts = await prefill(
            view, plan=plan, subject_id=visit.subject_id, types=visit.hub.types,
            say=lambda kind, path, value: words.claim_value(kind, path, value, "zh-CN"),
        )  # fmt: skip
        offices = await office_names(view)
        today = civil_day(view.now)
    item = plan.item
    form = Form(
        title_zh=f"{item.label()}申请表",
        title_en=f"Application: {item.label('en')}",
        office=_office(offices, item.department),
        item=item.code,
        made_on=today,
        blocks=tuple(_blocks(item, parts, offices, party.name)),
    )
    pdf = await form_in_child(form)
    name = f"{item.code}.pdf"
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return Response(pdf, media_type="application/pdf", headers=headers)


def _blocks(item: ServiceItem, parts: list[Part], offices: dict[str, Department], party: str) -> list[Block]:
    """What stands already, then what is still to come, then what only the applicant can write."""
    intro = [("事项", "Item", item.label(), ""), ("为谁办", "For", party, "")]
    intro += [_row(line, offices) for part in parts for line in part.lines if line.own]
    made = [Block("申请人", "Applicant", tuple(intro))]
    rest = []
    for part in parts:
        material = part.planned.material
        rows = tuple(_row(line, offices) for line in part.lines if not line.own)
        if rows:
            made.append(Block(material.label(), material.label("en"), rows))
        else:
            rest.append((material.label(), material.label("en"), _said(part), ""))
    if rest:
        made.append(Block("其他材料", "Other materials", tuple(rest)))
    return [*made, Block("请填写", "Please fill in", tuple((zh, en, "", "") for zh, en in _BLANKS))]


def _said(part: Part) -> str:
    one = part.planned
    if one.way is Way.HELD:
        return "已登记，已写在上面；或由办理部门经同意后读取。"
    way = planwords.IF_ANY if one.way is Way.BRING and not one.material.required else planwords.WAYS[one.way]
    return f"□ {way.zh}" if one.way in (Way.BRING, Way.PROMISE) else way.zh


def _row(line: Line, offices: dict[str, Department]) -> tuple[str, str, str, str]:
    one = line.source.certificate
    day = (
        f"数据日期 {one.as_of.isoformat()}"
        if one.as_of
        else f"登记 {civil_day(one.registered_at).isoformat()}"
    )
    return line.zh, line.en, line.value, f"{_office(offices, one.department)} {day}"


def _office(offices: dict[str, Department], slug: str) -> str:
    known = known_offices().get(slug)
    return offices[slug].name_zh if slug in offices else known[0] if known else slug

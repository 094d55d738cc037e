"""Assisted consent at the counter: a form printed, signed, scanned, confirmed by a second officer; and taken back."""

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.responses import RedirectResponse, Response

from hub.cases import paperconsent as paper
from hub.cases import papers, uploads
from hub.cases.open import readable
from hub.catalogue.items import ServiceItem
from hub.clock import civil_day, from_seconds, seconds
from hub.consent.shown import narrowed
from hub.errors import Malformed
from hub.paper.form import Block, Form, form_in_child
from hub.paper.handed import inspect_in_child
from hub.registry.departments import Department
from hub.web.pages import words
from hub.web.pages.render import render
from hub.web.pages.visit import Visit, officer, posted, text
from hub.web.requests import chosen_of
from hub.web.wallet import office_names

router = APIRouter(prefix="/counter", include_in_schema=False)

clerk = officer("counter.verify")
SCAN_BYTES = uploads.MAX_UPLOAD + 64 * 1024
MEDIA = {"pdf": ("application/pdf", "pdf"), "image": ("application/octet-stream", "bin")}


@router.post("/cases/{public_id}/paper")
async def begin(public_id: str, visit: Annotated[Visit, Depends(clerk)]) -> Response:
    """The identity document was seen: print a form for whoever has no phone."""
    form = await posted(visit)
    async with visit.hub.tx(visit.actor) as tx:
        case = await readable(tx, public_id)
        made = await paper.begin(
            tx, case=case, item=visit.hub.items[case.item_code], document_type=text(form, "document_type"),
            document_no=text(form, "document_no"),
        )  # fmt: skip
    return RedirectResponse(f"/counter/paper/{made.public_id}", status_code=303)


@router.get("/paper")
async def papers_page(visit: Annotated[Visit, Depends(clerk)]) -> Response:
    """The department's forms: those that wait for a second officer first."""
    async with visit.hub.view(visit.actor) as view:
        found = await papers.papers_of_department(view)
    return render(visit, "papers.html", papers=found, items=visit.hub.items, me=visit.actor.officer_id, done=False)


@router.post("/paper/withdraw")
async def withdraw(visit: Annotated[Visit, Depends(clerk)]) -> Response:
    """Take back at any department's counter what somebody consented to on paper."""
    form = await posted(visit)
    async with visit.hub.tx(visit.actor) as tx:
        ended = await paper.withdraw_at_counter(
            tx, id_type=text(form, "document_type"), id_no=text(form, "document_no"), slip=text(form, "slip")
        )
    async with visit.hub.view(visit.actor) as view:
        found = await papers.papers_of_department(view)
    told = bool(text(form, "slip")) and ended > 0  # without a slip nobody learns here whether there was one
    return render(
        visit, "papers.html", papers=found, items=visit.hub.items, me=visit.actor.officer_id,
        done="one" if told else "any",
    )  # fmt: skip


@router.get("/paper/{public_id}")
async def paper_page(public_id: str, visit: Annotated[Visit, Depends(clerk)]) -> Response:
    """One form: what to do next, and who may do it."""
    async with visit.hub.view(visit.actor) as view:
        found = await papers.paper_of(view, public_id=public_id)
    item = visit.hub.items[found.item_code]
    return render(
        visit, "paper.html", paper=found, item=item, parts=found.parts(item, visit.hub.types), types=visit.hub.types,
        mine=found.officer == visit.actor.officer_id,
    )  # fmt: skip


@router.get("/paper/{public_id}/form.pdf")
async def form_pdf(public_id: str, visit: Annotated[Visit, Depends(clerk)]) -> Response:
    """The form to be signed, made in a limited child process."""
    async with visit.hub.view(visit.actor) as view:
        found = await papers.paper_of(view, public_id=public_id)
        offices = await office_names(view)
    return _download(await form_in_child(_form(visit, found, offices)), f"form-{found.slip}")


def _form(visit: Visit, found: papers.PaperConsent, offices: dict[str, Department]) -> Form:
    """The form as it was printed: the same whenever it is made."""
    item = visit.hub.items[found.item_code]
    blocks = _asked(visit, found, item) + _ends() + _signatures(found)
    return Form(
        title_zh="用证同意书（纸质）", title_en="Consent on paper", office=offices[found.department].name_zh,
        item=item.code, made_on=civil_day(found.created_at), blocks=tuple(blocks), signed=False, code=found.code(),
    )  # fmt: skip


@router.post("/paper/{public_id}/scan")
async def scan(public_id: str, visit: Annotated[Visit, Depends(clerk)]) -> Response:
    """The signed form comes back: judged safely like any upload, sealed, with what was ticked on it."""
    form = await posted(visit, max_bytes=SCAN_BYTES)
    async with visit.hub.view(visit.actor) as view:
        found = await papers.paper_of(view, public_id=public_id)
        offices = await office_names(view)
    file = await uploads.judge(form.files.get("file", b""))
    pages = 1
    if found.code() in file.codes:  # otherwise it is refused anyway
        pages = (await inspect_in_child(await form_in_child(_form(visit, found, offices)))).pages
    parts = found.parts(visit.hub.items[found.item_code], visit.hub.types)
    ticked = {value for name in ("field", "all") for value in form.texts.get(name, [])}
    kept = [detail for _, detail in narrowed(parts, chosen_of(parts, ticked))]
    async with visit.hub.tx(visit.actor) as tx:
        await paper.keep_scan(tx, visit.hub.blobs, public_id=public_id, file=file, pages=pages, ticked=kept)
    return RedirectResponse(f"/counter/paper/{public_id}", status_code=303)


@router.get("/paper/{public_id}/scan")
async def scan_file(public_id: str, visit: Annotated[Visit, Depends(clerk)]) -> Response:
    """The scan, to be saved and compared while it waits; never shown by the browser itself."""
    async with visit.hub.view(visit.actor) as view:
        found = await papers.paper_of(view, public_id=public_id)
        data = await paper.scan_of(view, visit.hub.blobs, found)
    media, ending = MEDIA[found.kind or "image"]
    headers = {"Content-Disposition": f'attachment; filename="{found.slip}.{ending}"', "Cache-Control": "no-store"}
    return Response(data, media_type=media, headers=headers)


@router.post("/paper/{public_id}")
async def decide(public_id: str, visit: Annotated[Visit, Depends(clerk)]) -> Response:
    """The second officer confirms that scan, signature and ticks fit, or does not."""
    form, hub = await posted(visit, fresh=True), visit.hub
    decision = text(form, "decision")
    if decision not in ("confirm", "refuse"):
        raise Malformed("form.field_invalid", "没有选择同意或不同意。", "Neither agree nor refuse was chosen.")
    async with hub.tx(visit.actor) as tx:
        if decision == "confirm":
            await paper.confirm(tx, public_id=public_id, items=hub.items, types=hub.types)
        else:
            await paper.refuse(tx, public_id=public_id)
    return RedirectResponse(f"/counter/paper/{public_id}", status_code=303)


@router.get("/paper/{public_id}/slip.pdf")
async def slip_pdf(public_id: str, visit: Annotated[Visit, Depends(clerk)]) -> Response:
    """What the person takes home: what they gave, until when, and how to take it back."""
    async with visit.hub.view(visit.actor) as view:
        found = await papers.paper_of(view, public_id=public_id)
        grants = await papers.grants_until(view, found)
        offices = await office_names(view)
        today = civil_day(view.now)
    item = visit.hub.items[found.item_code]
    rows = [("凭条编号", "Slip number", found.slip, ""), ("事项", "Matter", item.label(), "")]
    rows += [("最晚到", "Until", words.when(grant.valid_until, "zh-CN"), "") for grant in grants[:1]]
    rows += [("最多看", "At most", f"{grant.max_uses} 次", "") for grant in grants[:1]]
    blocks = [Block("您同意了什么", "What you agreed to", tuple(rows)), *_asked(visit, found, item, signed=True)]
    blocks += [
        Block("怎样收回、怎样查看", "How to take it back, how to see who looked", (
            ("收回", "Withdraw", "带身份证到任何一个部门的窗口，报凭条编号即可收回，立即生效；没有凭条也可以。", ""),
            ("查看", "See", "登录本平台“谁看过我的证照”，或在窗口请工作人员帮您查看：每一次查看都有记录。", ""),
            ("投诉", "Complain", "不是您签的、看得不对，都可以在窗口或平台投诉，部门须在期限内答复。", ""),
        ))
    ]  # fmt: skip
    slip = Form(
        title_zh="用证同意凭条", title_en="Slip of a consent on paper", office=offices[found.department].name_zh,
        item=item.code, made_on=today, blocks=tuple(blocks), signed=False, code=found.code(),
    )  # fmt: skip
    return _download(await form_in_child(slip), f"slip-{found.slip}")


def _download(pdf: bytes, name: str) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{name}.pdf"', "Cache-Control": "no-store"}
    return Response(pdf, media_type="application/pdf", headers=headers)


def _asked(visit: Visit, found: papers.PaperConsent, item: ServiceItem, *, signed: bool = False) -> list[Block]:
    """What is asked, part by part, with the same words as on a phone. Boxes of what is optional start empty."""
    first = found.details[0]
    until = from_seconds(max(first.valid_until, seconds(found.created_at)))
    blocks = []
    if not signed:
        blocks.append(Block("谁要看、为什么", "Who asks, and for what", (
            ("事项", "Matter", f"{item.label()}，{item.purpose_label(first.purpose)}", ""),
            ("能看几次", "How often", f"每份最多 {first.max_uses} 次，最晚到 {words.when(until, 'zh-CN')}", ""),
            ("表号", "Form", found.slip, ""),
        )))  # fmt: skip
    for p, part in enumerate(found.parts(item, visit.hub.types)):
        rows = []
        for t, ask in enumerate(part.types):
            kind = visit.hub.types[ask.type_code]
            must = [one.path for one in ask.fields if one.required]
            may = [one.path for one in ask.fields if not one.required]
            said = []
            if must:
                said.append("必须看：" + "、".join(words.claim_names(kind, must, "zh-CN")))
            if may:
                box = "同意看：" if signed else f"□ {p + 1}.{t + 1} 同意看（可选，不勾就是不给）："
                said.append(box + "、".join(words.claim_names(kind, may, "zh-CN")))
            said += [] if signed else ["为什么：" + item.material(code).why["zh-CN"] for code, _ in ask.reasons]
            if ask.not_shown:
                said.append("看不到：" + "、".join(words.claim_names(kind, ask.not_shown, "zh-CN")))
            rows.append((kind.label(), kind.label("en"), "。".join(said), ""))
        child = part.basis == "guardian"
        title = "孩子的证照" if child else "本人的证照"
        blocks.append(Block(title, "Certificates of the child" if child else "Own certificates", tuple(rows)))
    return blocks


def _ends() -> list[Block]:
    return [
        Block("不同意会怎样、以后怎样收回", "If you refuse; how to take it back", (
            ("不同意", "If you refuse", "不用签字。部门什么也看不到，也不知道您有没有；事情仍然能办：出示原件。", ""),
            ("收回", "Withdraw", "随时可以：带身份证到任何部门的窗口，或登录平台。收回立即生效。", ""),
            ("记录", "Record", "每看一次都有记录，您以后登录平台就看得到；这种同意标明为“纸质、可信程度较低”。", ""),
        ))
    ]  # fmt: skip


def _signatures(found: papers.PaperConsent) -> list[Block]:
    seen = paper.DOCUMENTS[found.document_type][0]
    return [
        Block("签字", "Signatures", (
            ("我已看懂并同意以上勾选的内容（本人签名、日期）", "I understand and agree to what is ticked", "", ""),
            (f"已查验{seen}原件，本人当面签字（经办人）", "Document seen, signed before me", "", ""),
            ("扫描件与勾选相符（复核人）", "Scan and ticks fit", "", ""),
        ))
    ]  # fmt: skip

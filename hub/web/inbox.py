"""A citizen's messages, and how they want to be told: contacts, language, quiet hours. Plain forms, no script."""

from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.responses import RedirectResponse, Response

from hub.errors import HubError, Malformed
from hub.notices import contacts, files, inbox
from hub.notices.derive import write_notices
from hub.notices.model import NoticeKind
from hub.notices.ways import offered
from hub.notices.wishes import choose, wishes_of
from hub.notices.words import KINDS, title
from hub.registry.departments import Department
from hub.store.tx import Tx
from hub.web.pages.render import render
from hub.web.pages.visit import Visit, citizen, posted, text, visit_of
from hub.web.wallet import office_names

router = APIRouter(include_in_schema=False)

ROWS = 30
LEADS = {
    NoticeKind.ASKED: ("/requests/", "看看要什么，再决定", "Read it, then decide"),
    NoticeKind.USED: ("/accesses#looks", "看了什么", "What they saw"),
    NoticeKind.TRIED: ("/accesses#looks", "查看记录", "See the record"),
    NoticeKind.OFFICE: ("/accesses#looks", "看了什么，可以投诉", "What they saw; complain"),
    NoticeKind.GIVEN: ("/accesses#grants", "查看或收回", "See or withdraw"),
    NoticeKind.WITHDRAWN: ("/accesses", "查看记录", "See the records"),
    NoticeKind.CERTIFICATE: ("/wallet", "看我的证照", "See my certificates"),
    NoticeKind.ANSWERED: ("/objections", "看答复", "Read the answer"),
    NoticeKind.DECIDED: ("/cases/", "看决定", "See the decision"),
    NoticeKind.MEND: ("/cases/", "看要补什么", "See what is needed"),
    NoticeKind.CONTACT: ("/inbox/settings", "看联系方式", "See my contacts"),
}
"""Where a message leads, and the words of the link; an address that ends in a slash is followed by what it is about."""


@router.get("/inbox")
async def inbox_page(visit: Annotated[Visit, Depends(citizen)]) -> Response:
    """Newest first, unread ones marked; `before` continues an older page."""
    before = visit.request.query_params.get("before", "")[:64]
    async with visit.hub.view(visit.actor) as view:
        rows = await inbox.newest(view, subject_id=visit.subject_id, before=before, limit=ROWS)
        offices = await office_names(view)
    return render(
        visit, "inbox.html", rows=rows, titles=[_title(one, visit, offices) for one in rows], leads=LEADS,
        items=visit.hub.items, types=visit.hub.types, more=rows[-1].public_id if len(rows) == ROWS else None,
    )  # fmt: skip


@router.post("/inbox/read")
async def read_all(visit: Annotated[Visit, Depends(citizen)]) -> Response:
    """Mark everything as read; what it says stays where it is."""
    await posted(visit)
    async with visit.hub.tx(visit.actor) as tx:
        await inbox.mark_read(tx, subject_id=visit.subject_id)
    return RedirectResponse("/inbox", status_code=303)


@router.get("/inbox/settings")
async def settings_page(visit: Annotated[Visit, Depends(citizen)]) -> Response:
    """Contacts, language, quiet hours, and what may stay here alone."""
    return await _settings(visit)


@router.post("/inbox/settings")
async def keep_wishes(visit: Annotated[Visit, Depends(citizen)]) -> Response:
    """Keep language, quiet hours and kinds that are sent out (`kind`, ticked)."""
    form = await posted(visit)
    sent_out = set(form.texts.get("kind", ()))
    try:
        quiet = None
        if text(form, "quiet"):
            quiet = _minute(text(form, "from")), _minute(text(form, "to"))
        async with visit.hub.tx(visit.actor) as tx:
            await choose(
                tx, subject_id=visit.subject_id, language=text(form, "language"), quiet=quiet,
                silenced=[kind for kind in KINDS if kind not in sent_out],
            )  # fmt: skip
    except Malformed as fault:
        return await _settings(visit, [("from", fault.zh, fault.en)])
    return RedirectResponse("/inbox/settings?done=kept", status_code=303)


@router.post("/inbox/contacts")
async def add_contact(visit: Annotated[Visit, Depends(citizen)]) -> Response:
    """Keep an address and send a code to it; the address travels in the body only."""
    form = await posted(visit)
    address = text(form, "address", limit=300)
    try:
        async with visit.hub.tx(visit.actor) as tx:
            public_id = await contacts.add(
                tx, subject_id=visit.subject_id, address=address, offered=offered(visit.hub.settings)
            )
    except HubError as fault:
        if not fault.code.startswith("contact."):
            raise
        return await _settings(visit, [("address", fault.zh, fault.en)], address=address)
    return RedirectResponse(f"/inbox/settings?sent={public_id}#code-{public_id}", status_code=303)


@router.post("/inbox/contacts/{public_id}/code")
async def try_code(public_id: str, visit: Annotated[Visit, Depends(citizen)]) -> Response:
    """Compare a code; a wrong one counts, also when the answer is lost on the way."""
    form = await posted(visit)
    try:
        async with visit.hub.tx(visit.actor) as tx:
            right = await contacts.try_code(
                tx, subject_id=visit.subject_id, public_id=public_id, code=text(form, "code", limit=20)
            )
            if right:
                await _tell(tx, visit, public_id, "added")
    except HubError as fault:
        if fault.code != "contact.code_over":
            raise
        return await _settings(visit, [(f"code-{public_id}", fault.zh, fault.en)])
    if not right:
        return await _settings(visit, [(f"code-{public_id}", "验证码不对。", "The code is not right.")])
    return RedirectResponse("/inbox/settings?done=verified", status_code=303)


@router.post("/inbox/contacts/{public_id}/remove")
async def remove_contact(public_id: str, visit: Annotated[Visit, Depends(citizen)]) -> Response:
    """Forget an address at once. The others are told, should it not have been its owner."""
    await posted(visit)
    async with visit.hub.tx(visit.actor) as tx:
        await contacts.remove(tx, subject_id=visit.subject_id, public_id=public_id)
        await _tell(tx, visit, public_id, "removed")
    return RedirectResponse("/inbox/settings?done=removed", status_code=303)


@router.get("/outbox")
async def outbox_page(visit: Annotated[Visit, Depends(visit_of)]) -> Response:
    """What a demonstration would have sent. Nothing in production, or where messages really leave."""
    folder = visit.hub.settings.notice_files_dir
    if visit.hub.production or folder is None:
        return Response(status_code=404)
    return render(visit, "outbox.html", rows=files.newest(folder))


def _title(one: inbox.Notice, visit: Visit, offices: Mapping[str, Department]) -> str:
    slug = one.facts.get("department", "")
    office = offices[slug].name(visit.lang) if slug in offices else slug
    return title(one.kind, visit.lang, office=office, about=one.about_other)


async def _tell(tx: Tx, visit: Visit, public_id: str, change: str) -> None:
    await write_notices(tx, [contacts.changed(visit.subject_id, public_id, change, tx.now)])


async def _settings(
    visit: Visit, errors: list[tuple[str, str, str]] | None = None, *, address: str = ""
) -> Response:
    subject = visit.subject_id
    async with visit.hub.view(visit.actor) as view:
        held = await contacts.of_person(view, subject_id=subject)
        wishes = (await wishes_of(view, [subject]))[subject]
    return render(
        visit, "inboxsettings.html", status=422 if errors else 200, held=held, wishes=wishes, kinds=KINDS,
        errors=errors or [], address=address, offered=offered(visit.hub.settings), most=contacts.MOST,
    )  # fmt: skip


def _minute(said: str) -> int:
    """Minutes of the day out of HH:MM, as a browser's time field sends it."""
    hour, colon, minute = said.partition(":")
    if not (colon and hour.isdecimal() and minute.isdecimal() and len(said) <= 5):
        raise Malformed("notice.wish_invalid", "请写明时间，例如 22:00。", "Give a time, such as 22:00.")
    return int(hour) * 60 + int(minute)

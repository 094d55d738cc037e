"""The page where anybody checks a certificate: drop a file, paste its text, or follow the code on a printed face.

No sign-in. A file is read by a limited child process, answered, and forgotten: it is never stored.
"""

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.responses import Response

from hub.actor import PUBLIC
from hub.errors import NotFound, TooLarge
from hub.paper.handed import MAX_PDF, inspect_in_child
from hub.verification import handed_in
from hub.verification.handed_in import Answer, Finding
from hub.web.pages import words
from hub.web.pages.render import render
from hub.web.pages.visit import Visit, posted, text, visit_of

router = APIRouter(include_in_schema=False)

PASTE_CHARACTERS = 512 * 1024
ROOM_FOR_FORM = 64 * 1024

OPEN = frozenset({Answer.STATUS_STALE, Answer.NOT_REGISTERED, Answer.TOO_COMPLEX, Answer.UNREADABLE_PHOTO})
"""Answers that say nothing against the certificate: shown as "cannot be checked", never as "false"."""


@router.get("/verify")
async def verify_page(visit: Annotated[Visit, Depends(visit_of)]) -> Response:
    """The empty form."""
    return render(visit, "verify.html", found=None, errors=[])


@router.post("/verify")
async def verify_file(visit: Annotated[Visit, Depends(visit_of)]) -> Response:
    """Answer about one file or one pasted text; the answer is the page itself, since nothing is kept."""
    try:
        form = await posted(visit, max_bytes=MAX_PDF + ROOM_FOR_FORM)
    except TooLarge:
        return _answer(visit, Finding(Answer.TOO_LARGE))
    pasted = text(form, "text", limit=PASTE_CHARACTERS)
    data = form.files.get("file") or "".join(pasted.split()).encode()
    if not data:
        errors = [("file", "请选择一个文件，或者粘贴证照内容。", "Choose a file, or paste the text of a certificate.")]
        return render(visit, "verify.html", status=422, found=None, errors=errors)
    hub = visit.hub
    inspection = await inspect_in_child(data)
    async with hub.view(PUBLIC) as view:
        found = await handed_in.check(
            view,
            data=data,
            inspection=inspection,
            types=hub.types,
            base_url=hub.settings.public_url,
            blobs=hub.blobs,
        )
    return _answer(visit, found)


@router.get("/v/{public_id}")
async def landing(public_id: str, visit: Annotated[Visit, Depends(visit_of)]) -> Response:
    """Where the code on a printed face leads: what is registered, and how to check the paper itself."""
    async with visit.hub.view(PUBLIC) as view:
        try:
            found = await handed_in.landing(view, public_id=public_id, types=visit.hub.types)
        except NotFound:
            found = Finding(Answer.NOT_REGISTERED, from_code=True)
    return _answer(visit, found)


def _answer(visit: Visit, found: Finding) -> Response:
    tone = "ok" if found.answer is Answer.VALID else "warn" if found.answer in OPEN else "bad"
    shown = words.disclosed(found.kind, found.claims, visit.lang) if found.kind else []
    status = 404 if found.from_code and found.certificate is None else 200
    return render(
        visit, "verify.html", status=status, found=found, tone=tone, shown=shown, errors=[],
        sentence=handed_in.words(found.answer), part_words=handed_in.PART_WORDS,
    )  # fmt: skip

"""Making a face: one A4 page in Chinese and English, a QR code, and the SD-JWT attached. Pure: no clock, no network.

The order is fixed, and sealing comes after it (`hub.paper.seal`):

1. find fonts for every character, or refuse by naming those that nobody can print;
2. draw, wrapping long values at their size, or refuse when one page does not hold them;
3. attach the SD-JWT;
4. repair ToUnicode for characters beyond the BMP, which MuPDF writes as five hex digits;
5. replace every date by the certificate's own and save without a random id: the same face, the same bytes;
6. reopen and read back: every character drawn, in order, none as an empty box, none in a foreign font.
"""

import base64
import hashlib
import re
from datetime import date
from typing import Any

from hub.errors import Internal
from hub.paper import child, fonts
from hub.paper.layout import A4, SEAL_BOX, TEMPLATE, draw, fixed_texts
from hub.paper.model import ATTACHMENT, Face
from hub.paper.mupdf import lock, mupdf
from hub.paper.typeset import Sheet

__all__ = ["SEAL_BOX", "TEMPLATE", "Face", "cache_key", "face_in_child", "face_sync"]

RENDER_LIMITS = child.Limits(cpu_seconds=10, wall_seconds=20.0)


async def face_in_child(face: Face, limits: child.Limits = RENDER_LIMITS) -> bytes:
    """The PDF of `face`, made in a limited child process. Errors as `face_sync`, and those of `child.run`."""
    answer = await child.run("render", face.to_json(), limits)
    try:
        return base64.b64decode(answer, validate=True)
    except (TypeError, ValueError):
        raise Internal("paper.child_failed", "证面生成进程出错。", "The rendering process failed.") from None


def job(data: bytes) -> str:
    """The child's side of `face_in_child`."""
    return base64.b64encode(face_sync(Face.from_json(data))).decode()


def cache_key(face: Face) -> str:
    """SHA-256 (hex) of everything the bytes of a face depend on, MuPDF's own version included."""
    parts = (face.to_json(), TEMPLATE.encode(), fonts.digest().encode(), mupdf.VersionBind.encode())
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def face_sync(face: Face) -> bytes:
    """The PDF of `face`: about 40 KB, unsealed; equal faces give equal bytes with equal fonts and MuPDF.

    Raises Unprocessable `paper.no_glyph` (characters named), `paper.overfull` (more than one page) or `qr.too_long`.
    """
    texts = [*face.texts(), *fixed_texts(face)]
    cuts = fonts.cuts("".join(texts), system=fonts.system_font())  # 1.
    with lock, mupdf.open() as document:
        page = document.new_page(width=A4.width, height=A4.height)
        sheet = Sheet(page, cuts)
        draw(page, sheet, face)  # 2.
        _describe(document, face)
        _attach(document, face)  # 3.
        repair_to_unicode(document)  # 4.
        data = _save(document, face.issued_on)  # 5.
        _read_back(data, sheet.drawn)  # 6.
    return data


def _describe(document: Any, face: Face) -> None:
    moment = _moment(face.issued_on)
    document.set_metadata(
        {
            "title": f"{face.title_zh} {face.title_en}".strip(),
            "author": face.issuer_zh,
            "subject": face.number,
            "producer": "Yimen",
            "creationDate": moment,
            "modDate": moment,
        }
    )
    root = document.pdf_catalog()
    document.xref_set_key(root, "Lang", mupdf.get_pdf_str("zh-CN"))
    document.xref_set_key(root, "ViewerPreferences", "<</DisplayDocTitle true>>")


def _attach(document: Any, face: Face) -> None:
    """MuPDF writes the file specification into the name tree; /AF (ISO 32000-2, 14.13) wants an object of its own."""
    stream = document.embfile_add(ATTACHMENT, face.sd_jwt.encode("ascii"))
    document.xref_set_key(stream, "Subtype", "/application#2Fdc+sd-jwt")
    name = mupdf.get_pdf_str(ATTACHMENT)
    spec = document.get_new_xref()
    document.update_object(
        spec,
        f"<</Type/Filespec/F{name}/UF{name}/Desc(SD-JWT VC)/AFRelationship/Data"
        f"/EF<</F {stream} 0 R/UF {stream} 0 R>>>>",
    )
    root = document.pdf_catalog()
    document.xref_set_key(root, "Names/EmbeddedFiles/Names", f"[{name} {spec} 0 R]")
    document.xref_set_key(root, "AF", f"[{spec} 0 R]")


def repair_to_unicode(document: Any) -> None:
    """MuPDF writes `<0003> <2cb4e>` for characters beyond the BMP; ISO 32000-2 9.10.3 wants UTF-16BE: `<d872df4e>`."""
    for xref in range(1, document.xref_length()):
        if document.xref_is_stream(xref) and b"beginbf" in (stream := document.xref_stream(xref)):
            repaired = re.sub(rb"<([0-9a-fA-F]{5,6})>", _surrogates, stream)
            if repaired != stream:
                document.update_stream(xref, repaired)


def _surrogates(found: re.Match[bytes]) -> bytes:
    return b"<" + chr(int(found[1], 16)).encode("utf-16-be").hex().encode() + b">"


def _save(document: Any, issued_on: date) -> bytes:
    moment = mupdf.get_pdf_str(_moment(issued_on))
    for xref in range(1, document.xref_length()):
        if document.xref_get_key(xref, "Params")[0] == "dict":
            document.xref_set_key(xref, "Params/CreationDate", moment)
            document.xref_set_key(xref, "Params/ModDate", moment)
    return bytes(document.tobytes(garbage=3, deflate=True, no_new_id=True))


def _moment(day: date) -> str:
    return f"D:{day:%Y%m%d}000000+08'00'"


def _read_back(data: bytes, drawn: list[str]) -> None:
    """Compare what the saved page says with what was meant; blanks are left out, since MuPDF places them itself."""
    with mupdf.open("pdf", data) as document:
        spans = document[0].get_texttrace()
        filled = [
            span for span in spans if span["type"] == 0
        ]  # strokes of the title come once more as type 1
        said = "".join(chr(c[0]) for span in filled for c in span["chars"])
        boxes = [chr(c[0]) for span in spans for c in span["chars"] if c[1] == 0]
        foreign = {span["font"] for span in spans} - {fonts.POSTSCRIPT_NAME}
        attached = document.embfile_get(ATTACHMENT) if document.embfile_count() == 1 else b""
    if boxes or foreign or not attached or _solid(said) != _solid("".join(drawn)):
        raise Internal(
            "paper.not_as_drawn",
            "证面读回的内容与应打印的内容不一致，未生成。",
            "The page does not read back as it was drawn, so it was not made.",
            boxes=len(boxes),
            fonts=sorted(foreign),
        )


def _solid(text: str) -> str:
    return "".join(text.split())

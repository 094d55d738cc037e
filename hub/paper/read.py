"""Reading what somebody hands in: a face, a photo of its QR code, or a bare SD-JWT. Nothing here checks a signature.

The order for a PDF; the first failure is the answer, and each has its own reason:

1. size, first and last bytes: a polyglot, or anything behind the last %%EOF;
2. encryption: `password_protected`;
3. structure: repaired by the reader, too many objects or pages;
4. active content and foreign attachments: nothing of ours runs code, and exactly one file is attached;
5. the attachment `credential.sd-jwt`, unpacked with a bound;
6. the text of the pages and the QR codes on the first ones, the picture's size checked before it is drawn.

A document that carries our attachment and fails 1, 3, 4 or 5 is `altered_after_sealing`; any other is simply not ours.

`inspect` is for bytes that are trusted (and for the child itself); what was uploaded goes to `inspect_in_child`
of `hub.paper.handed`, which a server can import without MuPDF.
"""

import math
import re
import zlib
from collections.abc import Iterator
from typing import Any

from hub.paper import qr
from hub.paper.handed import MAX_PDF, by_size, inspect_in_child
from hub.paper.model import ATTACHMENT, MAX_SD_JWT, WORDS, Inspection, Kind, Outcome
from hub.paper.mupdf import lock, mupdf

__all__ = ["MAX_PDF", "MAX_PHOTO", "WORDS", "Inspection", "Outcome", "inspect", "inspect_in_child"]

MAX_PHOTO = 10 * 2**20
MAX_PAGES = 50
MAX_OBJECTS = 20_000
MAX_TEXT = 2**20
MAX_RASTER_PAGES = 5
MAX_PIXELS = 20_000_000  # drawn by us
MAX_PHOTO_PIXELS = 64_000_000  # inside a photo as it came: phones make 50 million
MAX_PHOTO_SIDE = 3_000  # drawn by us, in pixels

_SD_JWT = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+~(?:[\w-]+~)*(?:[\w-]+\.[\w-]+\.[\w-]+)?", re.ASCII)
_PICTURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8", b"BM", b"II*\0", b"MM\0*")
_OTHER_PICTURES = (
    b"ftypheic",
    b"ftypheix",
    b"ftypmif1",
    b"ftypavif",
    b"WEBPVP8",
)  # phones make them, MuPDF cannot
_ACTIVE = re.compile(
    r"/(JavaScript|JS|Launch|XFA|OpenAction|AA|RichMedia|GoToE|GoToR|ImportData|SubmitForm)(?![\w#])"
)
_NAME = ATTACHMENT.encode()  # our own files hold it in the clear
_ATTACHED = re.compile(r"/EF(?![\w#])")


def job(data: bytes) -> Any:
    """The child's side of `inspect_in_child`."""
    return inspect(data).to_json()


def inspect(data: bytes) -> Inspection:
    """What `data` is and carries. No limit on time or memory: see `inspect_in_child`. Raises nothing for content."""
    if refused := by_size(data):
        return refused
    try:
        with lock:
            return _sorted_by_magic(data)
    except _Told as told:
        return told.inspection
    except MemoryError:
        raise
    except Exception as fault:  # MuPDF raises many classes on hostile files: each one means "not readable"
        return _unreadable(data, fault)


class _Told(Exception):
    """An answer found in the middle of reading."""

    def __init__(self, kind: Kind, outcome: Outcome, reason: str, **found: Any) -> None:
        super().__init__(reason)
        self.inspection = Inspection(kind, outcome, reason, **found)


def _unreadable(data: bytes, fault: Exception) -> Inspection:
    pdf, words = b"%PDF-" in data[:1024], str(fault).lower()
    if any(
        word in words for word in ("malloc", "memory", "overly large", "too large", "bomb", "stack overflow")
    ):
        return Inspection("pdf" if pdf else "image", Outcome.TOO_COMPLEX, "resources")
    if pdf:
        return Inspection("pdf", _blame(_NAME in data), "unreadable")
    return Inspection("image", Outcome.UNREADABLE_PHOTO, "unreadable")


def _blame(ours: bool) -> Outcome:
    return Outcome.ALTERED if ours else Outcome.NOT_OURS


def _sorted_by_magic(data: bytes) -> Inspection:
    if b"%PDF-" in data[:1024]:
        return _pdf(data)
    if data.startswith(_PICTURES):
        return _picture(data)
    if any(mark in data[:32] for mark in _OTHER_PICTURES):
        return Inspection("image", Outcome.UNREADABLE_PHOTO, "format")
    return _text(data)


# --- a bare SD-JWT, a photo -----------------------------------------------------------------------------------


def _text(data: bytes) -> Inspection:
    bare = data.strip(b" \t\r\n")
    token = bare.decode("ascii") if bare.isascii() else ""
    if _SD_JWT.fullmatch(token) is None:
        return Inspection("unknown", Outcome.NOT_OURS, "format")
    if len(token) > MAX_SD_JWT:
        return Inspection("sd_jwt", Outcome.TOO_LARGE, "sd_jwt")
    return Inspection("sd_jwt", Outcome.FOUND, sd_jwt=token)


def _picture(data: bytes) -> Inspection:
    if len(data) > MAX_PHOTO:
        return Inspection("image", Outcome.TOO_LARGE, "bytes")
    with mupdf.open(stream=data, filetype="image") as document:
        page = document[0]
        said = page.get_image_info()[0]  # from the header: nothing is unpacked yet
        width, height = said["width"], said["height"]
        if width * height > MAX_PHOTO_PIXELS:
            return Inspection("image", Outcome.TOO_LARGE, "pixels")
        wanted = min(MAX_PHOTO_SIDE, max(width, height))
        codes = _codes(page, wanted / max(page.rect.width, page.rect.height))
    if not codes:
        return Inspection("image", Outcome.UNREADABLE_PHOTO, "no_code")
    return Inspection("image", Outcome.FOUND, qr=tuple(codes))


def _codes(page: Any, scale: float) -> list[str]:
    area = page.rect.width * page.rect.height
    if not area > 0:
        return []
    scale = min(scale, math.sqrt(MAX_PIXELS / area))  # before a single pixel is asked for
    pixels = page.get_pixmap(
        matrix=mupdf.Matrix(scale, scale), colorspace=mupdf.csGRAY, alpha=False, annots=True
    )
    if pixels.stride != pixels.width:
        raise _Told("pdf", Outcome.TOO_COMPLEX, "picture")
    return qr.decode(pixels.samples, pixels.width, pixels.height)


# --- a PDF ----------------------------------------------------------------------------------------------------


def _pdf(data: bytes) -> Inspection:
    fault = ends(data)  # 1.
    with mupdf.open(stream=data, filetype="pdf") as document:
        if document.needs_pass or document.metadata.get("encryption"):  # 2.
            return Inspection("pdf", Outcome.PASSWORD, "encrypted")
        names = document.embfile_names()
        fault = fault or _structure(document) or _contents(document, names)  # 3. 4.
        if fault:
            return Inspection("pdf", _blame(ATTACHMENT in names or _NAME in data), fault)
        token = _attached(document) if names else None  # 5.
        text, codes = _pages(document)  # 6.
        found: dict[str, Any] = {"text": text, "pages": document.page_count, "sealed": _is_sealed(document)}
    if token is None and not codes:
        return Inspection("pdf", Outcome.NOT_OURS, "no_attachment", **found)
    return Inspection("pdf", Outcome.FOUND, sd_jwt=token, qr=tuple(codes), **found)


def ends(data: bytes) -> str:
    """What is wrong with the first and last bytes of a PDF: `leading_bytes`, `truncated`, `trailing_bytes`, or ""."""
    end = data.rfind(b"%%EOF")
    if not data.startswith(b"%PDF-"):
        return "leading_bytes"
    if end < 0:
        return "truncated"
    return "" if data[end + 5 :] in (b"", b"\n", b"\r", b"\r\n") else "trailing_bytes"


def _structure(document: Any) -> str:
    if document.is_repaired:
        return "repaired"
    if document.xref_length() > MAX_OBJECTS:
        raise _Told("pdf", Outcome.TOO_COMPLEX, "objects")
    if document.page_count > MAX_PAGES:
        raise _Told("pdf", Outcome.TOO_LARGE, "pages")
    return "" if document.page_count else "no_pages"


def _contents(document: Any, names: list[str]) -> str:
    """Active content, or any attachment but ours. MuPDF prints names unescaped, so `/J#53` is seen as `/JS`."""
    attached = 0
    for source in _objects(document):
        if _ACTIVE.search(source) and (found := _ACTIVE.search(_without_strings(source))):
            return f"active_content:{found[1].lower()}"
        attached += len(_ATTACHED.findall(_without_strings(source))) if "/EF" in source else 0
    return "" if attached == len(names) and names in ([], [ATTACHMENT]) else "attachments"


def _objects(document: Any) -> Iterator[str]:
    for xref in range(1, document.xref_length()):
        try:
            yield document.xref_object(xref, compressed=True)
        except RuntimeError as fault:
            if "cannot find object in xref" not in str(
                fault
            ):  # a hole, as an update leaves it: reads as null
                raise


def _is_sealed(document: Any) -> bool:
    return any("/ByteRange[" in source for source in _objects(document))


def _without_strings(source: str) -> str:
    """An object as MuPDF prints it, without its literal strings: a title may well speak of "/JS"."""
    kept, depth, at = [], 0, 0
    while at < len(source):
        c = source[at]
        if c == "\\" and depth:
            at += 1
        elif c == "(":
            depth += 1
        elif c == ")":
            depth -= 1
        elif not depth:
            kept.append(c)
        at += 1
    return "".join(kept)


def _attached(document: Any) -> str:
    stream = _stream_of(document)
    kind, packing = document.xref_get_key(stream, "Filter")
    raw = document.xref_stream_raw(stream)
    if kind == "null":
        unpacked = raw
    elif (
        packing in ("/FlateDecode", "[/FlateDecode]")
        and document.xref_get_key(stream, "DecodeParms")[0] == "null"
    ):
        unpacked = zlib.decompressobj().decompress(raw, MAX_SD_JWT + 1)  # never more, whatever it claims
    else:
        raise _Told("pdf", Outcome.ALTERED, "attachment_filter")
    if len(unpacked) > MAX_SD_JWT:
        raise _Told("pdf", Outcome.TOO_LARGE, "attachment")
    inside = _text(unpacked)
    if inside.sd_jwt is None:
        raise _Told("pdf", Outcome.ALTERED, "attachment_format")
    return inside.sd_jwt


def _stream_of(document: Any) -> int:
    """Object number of the one embedded stream. /F and /UF must name the same: readers differ in which they take."""
    for source in map(_without_strings, _objects(document)):
        if found := re.search(r"/EF(?:<<([^<>]*)>>| (\d+) 0 R)", source):
            inner = found[1] or document.xref_object(int(found[2]), compressed=True)
            if len(streams := set(re.findall(r"/(?:F|UF|DOS|Mac|Unix) (\d+) 0 R", inner))) == 1:
                return int(streams.pop())
    raise _Told("pdf", Outcome.ALTERED, "attachment_format")


def _pages(document: Any) -> tuple[str, list[str]]:
    texts: list[str] = []
    room = MAX_TEXT
    codes: dict[str, None] = {}
    for number, page in enumerate(document):
        texts.append(page.get_text("text")[:room])
        room -= len(texts[-1])
        if number < MAX_RASTER_PAGES and len(codes) < qr.MAX_CODES:
            codes.update(dict.fromkeys(_codes(page, 150 / 72)))
    return "".join(texts), list(codes)[: qr.MAX_CODES]
